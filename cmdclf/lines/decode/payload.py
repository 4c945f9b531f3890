"""Bytes and encoded runs as text: base64, hex, gzip, UTF-16."""

from __future__ import annotations

import base64
import binascii
import zlib

__all__ = ["base64_text", "bytes_text", "hex_text"]


def base64_text(encoded: str, limit: int) -> tuple[str, bool] | None:
    """The text behind a base64 run and whether it was compressed; None if it is no base64 or no text.

    Padding may be missing. At most `limit` characters are returned and at most that many bytes decompressed, so that
    a compression bomb costs no more than a plain payload.
    """
    run = encoded[: limit * 4].translate(_TO_STANDARD).rstrip("=")
    if len(run) % 4 == 1:
        # Cut off by a sensor's length limit: the whole groups still decode.
        run = run[:-1]
    try:
        data = base64.b64decode(run + "=" * (-len(run) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    inflated = _inflate(data, limit)
    text = bytes_text(data if inflated is None else inflated, limit)
    return None if text is None else (text, inflated is not None)


_TO_STANDARD = {ord("-"): "+", ord("_"): "/", **{ord(c): None for c in " \t\r\n"}}


def hex_text(encoded: str, limit: int) -> str | None:
    """The text behind a run of hexadecimal digits, or None."""
    try:
        return bytes_text(bytes.fromhex(encoded[: limit * 2 & ~1]), limit)
    except ValueError:
        return None


def _inflate(data: bytes, limit: int) -> bytes | None:
    if data[:2] == b"\x1f\x8b":
        window = 31
    elif data[:1] == b"\x78" and data[1:2] in (b"\x01", b"\x5e", b"\x9c", b"\xda"):
        window = 15
    else:
        # A raw deflate stream has no magic; only one that ends properly counts.
        window = -15
    inflater = zlib.decompressobj(window)
    try:
        out = inflater.decompress(data, limit)
    except zlib.error:
        return None
    if window == -15 and (not inflater.eof or len(out) < 8):
        return None
    return out


def bytes_text(data: bytes, limit: int) -> str | None:
    """Bytes as text if they look like text: UTF-16 LE by its zero bytes, else UTF-8; None for binary data.

    Text rule: NUL becomes the four characters `\\x00`.
    """
    if len(data) < 3:
        return None
    data = data[: limit * 2]
    zeros = data[1::2].count(0)
    if data[:2] == b"\xff\xfe" or zeros * 2 > len(data) // 2:
        text = data[: len(data) & ~1].decode("utf-16-le", "replace").removeprefix("\ufeff")
    else:
        text = data.decode("utf-8", "replace")
    text = text[:limit]
    readable = sum(map(str.isprintable, text)) + sum(map(text.count, "\n\r\t"))
    if not text.strip() or readable < 0.9 * len(text) or text.count("\ufffd") > 0.02 * len(text):
        return None
    return text.replace("\0", "\\x00")
