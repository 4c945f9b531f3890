"""Bytes and encoded runs as text: base64, base32, hex, number lists, gzip, UTF-16."""

from __future__ import annotations

import base64
import binascii
import re
import zlib

from cmdclf.lines.decode.layer import Budget

__all__ = ["base32_text", "base64_bytes", "base64_text", "bytes_text", "hex_text", "numbers"]

# What a failed attempt costs whatever its length (an inflater's window), in steps.
_ATTEMPT = 400
_TO_STANDARD = {ord("-"): "+", ord("_"): "/", **{ord(c): None for c in " \t\r\n"}}
_NUMBER = re.compile(r"0x[0-9a-f]{1,4}|[0-9a-f]{1,5}")


def base64_text(encoded: str, limit: int, budget: Budget) -> tuple[str, bool] | None:
    """The text behind a base64 run and whether it was compressed; None if it is no base64 or no text.

    Padding may be missing. At most `limit` characters are returned and at most that many bytes decompressed, so that
    a compression bomb costs no more than a plain payload.
    """
    data = base64_bytes(encoded, limit, budget)
    if data is None:
        return None
    inflated = _inflate(data, limit)
    if inflated is not None and not budget.spend(len(inflated)):
        return None
    text = bytes_text(data if inflated is None else inflated, limit)
    return None if text is None else (text, inflated is not None)


def base64_bytes(encoded: str, limit: int, budget: Budget) -> bytes | None:
    """The bytes behind a base64 run, standard or URL-safe; None if it is none."""
    if not budget.spend(_ATTEMPT + len(encoded)):
        return None
    run = encoded[: limit * 4].translate(_TO_STANDARD).rstrip("=")
    if len(run) % 4 == 1:
        # Cut off by a sensor's length limit: the whole groups still decode.
        run = run[:-1]
    try:
        return base64.b64decode(run + "=" * (-len(run) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def base32_text(encoded: str, limit: int, budget: Budget) -> str | None:
    """The text behind a base32 run, or None."""
    run = encoded[: limit * 2].rstrip("=")
    if not budget.spend(_ATTEMPT + len(run)) or len(run) % 8 in (1, 3, 6):
        return None
    try:
        return bytes_text(base64.b32decode(run + "=" * (-len(run) % 8)), limit)
    except (binascii.Error, ValueError):
        return None


def hex_text(encoded: str, limit: int) -> str | None:
    """The text behind a run of hexadecimal digits, or None."""
    try:
        return bytes_text(bytes.fromhex(encoded[: limit * 2 & ~1]), limit)
    except ValueError:
        return None


def numbers(listed: str, base: int = 10) -> list[int]:
    """The numbers of a list such as `105,0x65,120`, whatever separates them; `base` of those without `0x`."""
    found = _NUMBER.findall(listed.lower())
    try:
        return [int(n, 16) if n[:2] == "0x" else int(n, base) for n in found]
    except ValueError:
        return []


def _inflate(data: bytes, limit: int) -> bytes | None:
    if data[:2] == b"\x1f\x8b":
        window = 31
    elif data[:1] == b"\x78" and data[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        window = 15
    elif len(data) < 10 or (data[0] & 7 not in (2, 3, 4, 5)) or data[1::2].count(0) * 2 > len(data) // 2:
        # A raw deflate stream has no magic, but its first bits say "one block" or "compressed", and UTF-16 is none.
        return None
    else:
        window = -15
    inflater = zlib.decompressobj(window)
    try:
        out = inflater.decompress(data, limit)
    except zlib.error:
        return None
    # Only a raw stream that ends properly, or fills the bound, counts.
    if window == -15 and ((not inflater.eof and len(out) < limit) or len(out) < 8):
        return None
    return out


def bytes_text(data: bytes, limit: int) -> str | None:
    """Bytes as text if they look like text: UTF-16 LE by its zero bytes, else UTF-8; None for binary data.

    Text rule: NUL becomes the four characters `\\x00`.
    """
    if len(data) < 3:
        return None
    data = data[: limit * 2]
    if data.isascii() and b"\0" not in data:
        text = data.decode("ascii")[:limit]
    elif data[:2] == b"\xff\xfe" or data[1::2].count(0) * 2 > len(data) // 2:
        text = data[: len(data) & ~1].decode("utf-16-le", "replace").removeprefix("\ufeff")[:limit]
    else:
        text = data.decode("utf-8", "replace")[:limit]
    if not text.strip():
        return None
    if not text.isprintable():
        readable = sum(map(str.isprintable, text)) + sum(map(text.count, "\n\r\t"))
        if readable < 0.9 * len(text):
            return None
    if text.count("\ufffd") > 0.02 * len(text):
        return None
    return text.replace("\0", "\\x00")
