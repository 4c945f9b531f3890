"""Command lines with their volatile parts replaced, so that equal commands on different hosts read alike."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["MASK_VERSION", "mask"]

#: Masked text of another version is not comparable.
MASK_VERSION = 1

# What may stand before a volatile part. `>` is excluded on purpose: it ends our own placeholders, and a part that
# could start right after one would make a second pass find more than the first (idempotence is a promise here).
_START = r"(^|[^a-z0-9>])"
# A path part's characters; `<` and `>` are excluded for the same reason.
_PART = r"""\\/\s"'<>|:*?,;()&"""
# Profile folders that say something about a command (C:\Users\Public is where droppers live) stay.
_KEPT_PROFILES = ("all", "default", "public", "shared")


def _other_than(words: Iterable[str], stop: str) -> str:
    """A pattern for a longest run of characters outside `stop` that is none of the words: RE2 has no lookahead."""
    first: dict[str, list[str]] = {}
    for word in words:
        if word:
            first.setdefault(word[0], []).append(word[1:])
    others = f"[^{stop}{re.escape(''.join(sorted(first)))}][^{stop}]*"
    branches = [others]
    for letter, rests in sorted(first.items()):
        inner = _other_than(rests, stop)
        ends = "" if "" in rests else r"|\b"
        branches.append(f"{letter}(?:{inner}{ends})")
    return "(?:" + "|".join(branches) + ")"


# Order matters: what is recognised by a longer shape goes first. No pattern may become able to match because a later
# one has written its placeholder; tests/lines/test_mask.py hunts for such pairs.
_PASSES: tuple[tuple[str, str], ...] = (
    (r"[ \t\n\r\f\v]{2,}|[\t\n\r\f\v]", " "),
    (r"\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?", "<guid>"),
    (_START + r"s-1-[0-9]{1,2}(?:-[0-9]+)+", r"\1<sid>"),
    # IPv4; IPv6 in full (and MAC addresses); IPv6 shortened, by its usual first group, or C++ names would do (d::b).
    (
        r"(^|[^a-z0-9.>])(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b|[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){5,7}"
        r"|(?:fe80|f[cd][0-9a-f]{2}|2[0-9a-f]{3})(?::[0-9a-f]{1,4}){0,6}::[0-9a-f:]*)",
        r"\1<ip>",
    ),
    # A replica set's hash and its pod's five letters: both change with every roll-out.
    (r"-[0-9a-f]{8,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b", "-<hex>"),
    # Letters and digits must both occur: `20240101` is a number, `defaced` a word.
    (_START + r"(?:[0-9]+[a-f]|[a-f]+[0-9])[0-9a-f]{5,}\b", r"\1<hex>"),
    # Somewhere a digit and 24 more characters without a slash, or 48 letters: paths are made of the same characters,
    # but their parts are not so long.
    (r"""(^|[\s"'=,;(:@])[a-z0-9][a-z0-9+/]*(?:[0-9][a-z0-9+]{24}|[a-z+]{48})[a-z0-9+/]*={0,2}""", r"\1<b64>"),
    (r"([\\/](?:users|home)[\\/]{1,2})" + _other_than(_KEPT_PROFILES, _PART), r"\1<user>"),
    (_START + r"(?:[a-z0-9_~-]{2,}\.tmp\b|tmp\.[a-z0-9]{10}\b|tmp[a-z0-9_]{7}[a-z0-9]\b)", r"\1<tmp>"),
    # Versions, dates and times are runs of numbers. A lone digit before letters is a name (7z, 2to3) and stays.
    (
        r"((?:^|[^a-z0-9>])v?)"
        r"(?:0x[0-9a-f]+|[0-9]+(?:[.:,t][0-9]+)+|[0-9]+(?:[smhd]|[kmgt]b?)\b|[0-9]{2,}|[0-9]\b)",
        r"\1<n>",
    ),
    # tmp48213, kb5023778; but system32, sha256 and x64 stay. The underscore keeps the word's end what it was.
    (r"([a-z])[0-9]{4,}\b", r"\1_<n>"),
)


def mask(arr: pa.StringArray) -> pa.StringArray:
    """Lower-cased lines with their volatile parts replaced by placeholders.

    The placeholders: `<guid>`, `<sid>`, `<ip>`, `<hex>`, `<b64>`, `<user>`, `<tmp>`, `<n>`. Two lines that differ only
    in such parts get equal masks; verbs, flags, URL hosts and registry names stay (but for their numbers).
    Runs of white space become one blank. Masking is idempotent: `mask(mask(x)) == mask(x)`.

    Args:
        arr: (n,) string; nulls stay null.

    Returns:
        (n,) string. Time is linear in the bytes: each pass is one RE2 replacement over the Arrow buffers.
    """
    masked = pc.utf8_lower(arr.cast(pa.string()))
    for pattern, replacement in _PASSES:
        masked = pc.replace_substring_regex(masked, pattern, replacement)
    return pc.ascii_trim_whitespace(masked)
