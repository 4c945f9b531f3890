"""What no template may hold: hosts and addresses of the real internet, secrets, machine code, ready destruction."""

from __future__ import annotations

import re

from cmdclf.lexicon.template import SLOT

__all__ = ["inert_faults"]

_URL_HOST = re.compile(
    r"(?:https?|ftps?|wss?|ldaps?)://(?:[^\s/@'\"]*@)?(\{\{[^{}]*\}\}|[A-Za-z0-9._-]+)", re.IGNORECASE
)
_ADDRESS = re.compile(r"(?<![\d.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_RESERVED_ENDS = ("example.com", "example.net", "example.org", ".test", ".invalid", ".example", ".local", "localhost")
#: Names that mean one cloud machine's own metadata service, not a host of the internet.
_METADATA = frozenset({"metadata.google.internal", "169.254.169.254"})

#: Fault -> pattern. Each is bounded, so that no text makes it slow.
_FORBIDDEN: dict[str, re.Pattern[str]] = {
    "a secret with the prefix of a real one (use {{token}} or {{password}})": re.compile(
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30}|\bxox[abprs]-[0-9]{6}|\bglpat-[\w-]{20}|\bsk-[\w]{32}"
        r"|PRIVATE KEY-----\s*[A-Za-z0-9+/]{16}"
    ),
    "bytes of machine code (a few are enough to recognise it)": re.compile(
        r"(?:\\x[0-9a-f]{2}){16}|(?:0x[0-9a-f]{2},\s?){16}", re.IGNORECASE
    ),
    "it wipes a whole system as it stands (name a folder, or a device by {{device}})": re.compile(
        r"\brm\s+(?:-[a-z-]+\s+){1,4}/\*?(?:[\s;&|'\"]|$)|:\s?\(\)\s?\{\s?:\s?\|\s?:\s?&?\s?\}"
        r"|(?:of=|>\s?)/dev/(?:sda|nvme0n1|vda|disk0)\b|\bmkfs\S*\s[^|;&]{0,80}/dev/(?:sda|nvme0n1|vda|disk0)\b"
        r"|\bformat(?:\.com)?\s+c:|PhysicalDrive0\b.{0,40}\b(?:clean|wipe)",
        re.IGNORECASE,
    ),
}


def inert_faults(text: str) -> list[str]:
    """Faults of a template's texts before slots are filled, one clause each."""
    faults = [
        f"host '{host}' is not reserved (use example.com, example.net, example.org, .test, .invalid)"
        for host in _URL_HOST.findall(text)
        if _is_outside(host)
    ]
    bare = SLOT.sub("", text)
    faults.extend(
        f"address {match[0]} is neither private nor reserved for documentation"
        for match in _ADDRESS.finditer(bare)
        if not _is_reserved(tuple(int(g) for g in match.groups()))
    )
    faults.extend(message for message, pattern in _FORBIDDEN.items() if pattern.search(bare))
    return faults


def _is_outside(host: str) -> bool:
    name = host.lower().rstrip(".")
    if host.startswith("{{") or "." not in name or _ADDRESS.fullmatch(name) or name in _METADATA:
        return False
    return not name.endswith(_RESERVED_ENDS)


def _is_reserved(a: tuple[int, ...]) -> bool:
    if any(part > 255 for part in a):
        return True  # a version number, no address
    private = a[0] in (0, 10, 127, 255) or (a[0] == 172 and 16 <= a[1] <= 31) or a[:2] in ((192, 168), (169, 254))
    documented = a[:3] in ((192, 0, 2), (198, 51, 100), (203, 0, 113))
    version_like = a[0] < 10 or a[3] == 0  # 4.12.0.311 and 1.2.3.4 are versions; sensors record both
    return private or documented or version_like or a[0] >= 224
