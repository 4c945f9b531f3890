"""The program's path as a sensor would have recorded it, taken from the first token of a command line."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.jit import compiled
from cmdclf.rules.buffers import string_buffers
from cmdclf.rules.condition import NAME_MARK

__all__ = ["first_token_images", "names_only"]

Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_TAB, _BLANK, _DOUBLE, _SINGLE, _DOT, _SLASH, _COLON, _BACKSLASH = 9, 32, 34, 39, 46, 47, 58, 92


def first_token_images(lines: pa.Array, windows: npt.NDArray[np.bool_]) -> pa.LargeStringArray:
    """`(n,)` images, empty where the line is empty or null.

    The first token, without its quotes; an unquoted Windows path with blanks in it ends at its `.exe`. A bare name gets
    the separator that ends a folder before it and, on Windows, `.exe` behind it where it has no extension:
    `powershell -nop` gives `\\powershell.exe`, so that a rule for the end of the image finds it.

    Args:
        lines: n command lines, as `as_string_array` gives them.
        windows: `(n,)` whether the line is one of Windows.
    """
    offsets, data = string_buffers(lines)
    begins, ends, length = _spans(offsets, data, windows)
    where = np.zeros(len(lines) + 1, np.int64)
    np.cumsum(length, out=where[1:])
    text = _written(data, begins, ends, where, windows)
    return pa.LargeStringArray.from_buffers(len(lines), pa.py_buffer(where), pa.py_buffer(text))


def names_only(images: pa.Array) -> pa.LargeStringArray:
    """`(n,)` the program's name behind `NAME_MARK` where the image doesn't say its folder, else empty.

    Known is the folder of a path from the root, a drive or a share; `\\name` alone is what `first_token_images` makes
    of a bare name.
    """
    offsets, data = string_buffers(images)
    begins, length = _name_spans(offsets, data)
    where = np.zeros(len(images) + 1, np.int64)
    np.cumsum(length, out=where[1:])
    text = _marked_names(data, begins, where, ord(NAME_MARK))
    return pa.LargeStringArray.from_buffers(len(images), pa.py_buffer(where), pa.py_buffer(text))


@compiled
def _name_spans(offsets: Longs, data: Bytes) -> tuple[Longs, Longs]:
    rows = offsets.size - 1
    begins, length = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    for row in range(rows):
        begin, end = offsets[row], offsets[row + 1]
        if begin == end:
            continue
        last = begin - 1
        for k in range(begin, end):
            if data[k] == _SLASH or data[k] == _BACKSLASH:
                last = k
        rooted = data[begin] == _SLASH or data[begin] == _BACKSLASH
        drive = end - begin > 2 and data[begin + 1] == _COLON
        if not drive and not (rooted and last > begin):
            begins[row] = last + 1
            length[row] = end - last  # the mark takes the separator's place
    return begins, length


@compiled
def _marked_names(data: Bytes, begins: Longs, where: Longs, mark: int) -> Bytes:
    out = np.empty(where[-1], np.uint8)
    for row in range(begins.size):
        if where[row] == where[row + 1]:
            continue
        out[where[row]] = mark
        for k in range(where[row + 1] - where[row] - 1):
            out[where[row] + 1 + k] = data[begins[row] + k]
    return out


@compiled
def _ends_exe(data: Bytes, at: int, end: int) -> bool:
    """Whether `.exe` in any case stands at `at` and a token may end behind it."""
    return bool(
        at + 4 <= end
        and data[at] == _DOT
        and data[at + 1] | 32 == 101
        and data[at + 2] | 32 == 120
        and data[at + 3] | 32 == 101
        and (at + 4 == end or data[at + 4] in (_TAB, _BLANK, _DOUBLE))
    )


@compiled
def _token(data: Bytes, begin: int, end: int, windows: bool) -> tuple[int, int]:
    while begin < end and (data[begin] == _BLANK or data[begin] == _TAB):
        begin += 1
    if begin < end and (data[begin] == _DOUBLE or (data[begin] == _SINGLE and not windows)):
        quote = data[begin]
        for k in range(begin + 1, end):
            if data[k] == quote:
                return begin + 1, k
        return begin + 1, end
    stop = end
    path = False
    for k in range(begin, end):
        if data[k] == _BLANK or data[k] == _TAB:
            stop = k
            break
        path = path or data[k] == _BACKSLASH
    if windows and path and stop < end and not _ends_exe(data, stop - 4, end):
        for k in range(stop, end):
            if data[k] == _DOUBLE:
                break
            if _ends_exe(data, k, end):
                return begin, k + 4
    return begin, stop


@compiled
def _spans(offsets: Longs, data: Bytes, windows: npt.NDArray[np.bool_]) -> tuple[Longs, Longs, Longs]:
    rows = offsets.size - 1
    begins, ends, length = np.empty(rows, np.int64), np.empty(rows, np.int64), np.zeros(rows, np.int64)
    for row in range(rows):
        begins[row], ends[row] = _token(data, offsets[row], offsets[row + 1], windows[row])
        if ends[row] > begins[row]:
            bare, dotted = _shape(data, begins[row], ends[row], windows[row])
            length[row] = ends[row] - begins[row] + bare + (0 if dotted or not windows[row] else 4)
    return begins, ends, length


@compiled
def _shape(data: Bytes, begin: int, end: int, windows: bool) -> tuple[bool, bool]:
    """Whether the token names no folder, and whether its last part has a dot."""
    bare, dotted = True, False
    for k in range(begin, end):
        if data[k] == _SLASH or (windows and (data[k] == _BACKSLASH or data[k] == _COLON)):
            bare, dotted = False, False
        elif data[k] == _DOT:
            dotted = True
    return bare, dotted


@compiled
def _written(data: Bytes, begins: Longs, ends: Longs, where: Longs, windows: npt.NDArray[np.bool_]) -> Bytes:
    out = np.empty(where[-1], np.uint8)
    for row in range(begins.size):
        if where[row] == where[row + 1]:
            continue
        at = where[row]
        bare, dotted = _shape(data, begins[row], ends[row], windows[row])
        if bare:
            out[at] = _BACKSLASH if windows[row] else _SLASH
            at += 1
        for k in range(begins[row], ends[row]):
            out[at] = data[k]
            at += 1
        if windows[row] and not dotted:
            for byte in (46, 101, 120, 101):
                out[at] = byte
                at += 1
    return out
