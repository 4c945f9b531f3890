"""What a line does, as a key: lines of unlike keys never share a verdict, however close their vectors.

A line's *behaviour text* is the line without what varies freely: process ids, times, dates, GUIDs, hashes, versions,
random names, users, what lies in temporary folders, and the names of documents, logs and archives. What acts stays as
it is: programs, verbs, flags, the hosts of URLs and of remote targets, addresses, registry keys, values and data,
services, scripts, exports, settings, operators. The key also holds the behavioural checks that match the line, and
the behaviour texts of its decoded layers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup._behaviour_atoms import OPAQUE
from cmdclf.dedup._behaviour_text import behaviour_rows
from cmdclf.features.embed_text import string_buffers
from cmdclf.lines import KINDS, decode_batch
from cmdclf.lines.mask import MASK_VERSION
from cmdclf.rules import RuleSet

__all__ = ["behaviour_keys", "behaviour_texts", "behaviour_version"]

_VERSION = 2
_ROWS = 16_384
#: What makes code out of data, and data that could be code. Where a line with both was not decoded to its end, its
#: numbers and its odd words act: they may be what it does.
_MAKES_CODE = (
    r"(?i)base64|b64|[\s\"'](?:-|/|–|—|―)e(?:nc?[a-z]*|c)?\s|\biex\b|invoke-expression|eval|exec\s*\(|-join|"
    r"\[char|chr\(|charcode|xor|fromhex|hexlify|xxd|printf|\\x[0-9a-f]{2}|\\[0-7]{3}|decompress|gunzip|inflate|zlib|"
    r"rot13|\brev\b|reverse|getstring|bytes\s*\(|bytearray|unescape|openssl|certutil|\bawk\b|\bpack\s*\("
)
_DATA = (
    r"(?i)[a-z0-9+]{20}|(?:[0-9]{1,3}[ ,;:]+){8}|(?:[\\0]x[0-9a-f]{2}[ ,]?){6}|(?:\\[0-7]{3}){4}|(?:%[0-9a-f]{2}){6}"
)
_ENCODED = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
_WRAPPER = KINDS.index("wrapper")


def behaviour_version() -> str:
    """What keys depend on beside the line: keys of another version are not comparable."""
    return f"{_VERSION}.{MASK_VERSION}.{_checks().version[:12]}"


def _scanned(lines: pa.StringArray, windows: npt.NDArray[np.bool_]) -> pa.StringArray:
    """The behaviour texts of lines or layers, each by itself."""
    modes = np.zeros(len(lines), np.int64)
    makes = np.flatnonzero(_flags(pc.match_substring_regex(lines, _MAKES_CODE)))
    modes[makes[_flags(pc.match_substring_regex(lines.take(pa.array(makes)), _DATA))]] = OPAQUE
    text, offsets = string_buffers(lines)
    written, ends = behaviour_rows(text, offsets, windows, modes)
    return pa.LargeStringArray.from_buffers(len(lines), pa.py_buffer(ends), pa.py_buffer(written)).cast(pa.string())


def _flags(values: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    return np.asarray(values.to_numpy(zero_copy_only=False), np.bool_)


def behaviour_texts(lines: pa.StringArray, platforms: pa.StringArray) -> pa.StringArray:
    """(n,) string: each line's behaviour text, its decoded layers' behind it, each after a line feed.

    Args:
        lines: command lines; a null counts as empty.
        platforms: `windows` (letter case means nothing), `linux` or `macos`, aligned.
    """
    lines = pc.fill_null(lines, "")
    windows = pc.fill_null(pc.equal(platforms, "windows"), False).to_numpy(zero_copy_only=False)
    layers = decode_batch(lines, platforms)
    # A wrapped command stands in its line.
    kept = np.flatnonzero(layers.kind != _WRAPPER)
    if len(kept) == 0:
        return _scanned(lines, windows)
    row, inner = layers.row[kept], layers.text.take(pa.array(kept)).to_pylist()
    starts = np.searchsorted(row, np.arange(len(lines) + 1))
    hiding = np.flatnonzero(np.diff(starts))
    texts = lines.take(pa.array(hiding)).to_pylist()
    for k, i in enumerate(hiding.tolist()):
        first, last = int(starts[i]), int(starts[i + 1])
        known = {text.strip() for text in inner[first:last]}
        texts[k] = _without(texts[k], known)
        inner[first:last] = [_without(text, known) for text in inner[first:last]]
    mask = np.zeros(len(lines), np.bool_)
    mask[hiding] = True
    own = _scanned(pc.replace_with_mask(lines, pa.array(mask), pa.array(texts, pa.string())), windows)
    written = _scanned(pa.array(inner, pa.string()), windows[row])
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), written), "\n")
    return pc.binary_join_element_wise(own, joined, "\n")


def _without(text: str, known: set[str]) -> str:
    """The text without the encoded words that were decoded, whole: their layers stand for them."""

    def gone(found: re.Match[str]) -> str:
        word = found[0]
        try:
            raw = base64.b64decode(word.rstrip("=") + "=" * (-len(word.rstrip("=")) % 4), validate=True)
        except (binascii.Error, ValueError):
            return word
        readings = (raw.decode(form, "replace").strip() for form in ("utf-16-le", "utf-8"))
        return "*" if any(reading in known for reading in readings) else word

    return _ENCODED.sub(gone, text)


@cache
def _checks() -> RuleSet:
    return RuleSet.bundled("behaviours")


def behaviour_keys(lines: pa.Table) -> pa.StringArray:
    """(n,) string of 32 hexadecimal digits: equal where two lines do the same.

    Args:
        lines: with `platform` and `command_line`; a line's own platform does not enter its key.
    """
    texts, platforms = _column(lines, "command_line"), _column(lines, "platform")
    checks = _checks()
    keys: list[str] = []
    for start in range(0, len(texts), _ROWS):
        part, shells = texts.slice(start, _ROWS), platforms.slice(start, _ROWS)
        acting = behaviour_texts(part, shells).to_pylist()
        matched = np.packbits(checks.match(part, shells).astype(np.bool_), axis=1)
        for text, bits in zip(acting, matched, strict=True):
            keys.append(hashlib.blake2b(text.encode() + b"\0" + bits.tobytes(), digest_size=16).hexdigest())
    return pa.array(keys, pa.string())


def _column(lines: pa.Table, name: str) -> pa.StringArray:
    column = lines.column(name)
    return pc.fill_null(
        (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string()), ""
    )
