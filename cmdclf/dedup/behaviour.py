"""What a line does, as a key: lines of unlike keys never share a verdict, however close their vectors.

A line's *behaviour text* is the line without what varies freely: process ids, times, dates, GUIDs, hashes, versions,
random names, users, what lies in temporary folders, and the names of documents, logs and archives. What acts stays as
it is: programs, verbs, flags, the hosts of URLs and of remote targets, addresses, registry keys, values and data,
services, scripts, exports, settings, operators. The key also holds the behavioural checks that match the line, and
the behaviour texts of its decoded layers.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup._behaviour_text import behaviour_rows
from cmdclf.features.embed_text import string_buffers
from cmdclf.lines import decode_batch
from cmdclf.rules import RuleSet

__all__ = ["BEHAVIOUR_VERSION", "behaviour_keys", "behaviour_texts"]

#: Keys of another version are not comparable.
BEHAVIOUR_VERSION = 1
_ROWS = 16_384


def _scanned(lines: pa.StringArray, windows: npt.NDArray[np.bool_], decoded: npt.NDArray[np.bool_]) -> pa.StringArray:
    text, offsets = string_buffers(lines)
    written, ends = behaviour_rows(text, offsets, windows, decoded)
    return pa.LargeStringArray.from_buffers(len(lines), pa.py_buffer(ends), pa.py_buffer(written)).cast(pa.string())


def behaviour_texts(lines: pa.StringArray, platforms: pa.StringArray) -> pa.StringArray:
    """(n,) string: each line's behaviour text, its decoded layers' behind it, each after a line feed.

    Args:
        lines: command lines; a null counts as empty.
        platforms: `windows` (letter case means nothing), `linux` or `macos`, aligned.
    """
    lines = pc.fill_null(lines, "")
    windows = pc.fill_null(pc.equal(platforms, "windows"), False).to_numpy(zero_copy_only=False)
    layers = decode_batch(lines, platforms)
    decoded = np.zeros(len(lines), np.bool_)
    decoded[layers.row] = True
    own = _scanned(lines, windows, decoded)
    if len(layers.row) == 0:
        return own
    inner = _scanned(layers.text, windows[layers.row], np.zeros(len(layers.row), np.bool_))
    starts = np.searchsorted(layers.row, np.arange(len(lines) + 1))
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), inner), "\n")
    return pc.binary_join_element_wise(own, joined, "\n")


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
