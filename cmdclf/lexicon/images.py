"""The program that a command line names, for many lines at once."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cmdclf.jit import compiled

__all__ = ["images"]

_QUOTE, _BLANK, _COLON, _BACKSLASH, _SLASH = 34, 32, 58, 92, 47


@compiled
def _is_exe(data: np.ndarray, at: int) -> bool:
    """Whether '.exe ' in any case stands at `at`."""
    return bool(
        data[at] == 46
        and data[at + 1] | 32 == 101
        and data[at + 2] | 32 == 120
        and data[at + 3] | 32 == 101
        and data[at + 4] == _BLANK
    )


@compiled
def _spans(data: np.ndarray, offsets: np.ndarray, windows: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> None:
    """Where each line's program stands; an empty span where the line names none by its path."""
    for row in range(len(windows)):
        begin, end = int(offsets[row]), int(offsets[row + 1])
        stop = end
        if end > begin and data[begin] == _QUOTE:
            begin += 1
            for k in range(begin, end):
                if data[k] == _QUOTE:
                    stop = k
                    break
        else:
            found = False
            if windows[row] and end - begin > 2 and data[begin + 1] == _COLON and data[begin + 2] == _BACKSLASH:
                for k in range(begin, end - 4):
                    if _is_exe(data, k):
                        stop, found = k + 4, True
                        break
            if not found:
                for k in range(begin, end):
                    if data[k] == _BLANK:
                        stop = k
                        break
        if windows[row]:
            absolute = stop - begin > 2 and data[begin + 1] == _COLON and data[begin + 2] == _BACKSLASH
        else:
            absolute = stop > begin and data[begin] == _SLASH
        begins[row], ends[row] = begin, stop if absolute else begin


@compiled
def _copied(data: np.ndarray, begins: np.ndarray, offsets: np.ndarray, out: np.ndarray) -> None:
    for row in range(len(begins)):
        start, begin = offsets[row], begins[row]
        for k in range(offsets[row + 1] - start):
            out[start + k] = data[begin + k]


def images(lines: pa.StringArray, windows: np.ndarray) -> pa.StringArray:
    """The program's path where the line itself names it, else null, as `render.image_of` says.

    Args:
        lines: (n,) command lines; null gives null.
        windows: (n,) bool, whether the line is one of Windows.
    """
    n = len(lines)
    if not n:
        return pa.array([], pa.string())
    _, ends_buffer, data_buffer = lines.buffers()
    offsets = np.frombuffer(ends_buffer, np.int32)[lines.offset : lines.offset + n + 1]
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer is not None else np.zeros(0, np.uint8)
    begins, ends = np.empty(n, np.int64), np.empty(n, np.int64)
    _spans(data, offsets, np.ascontiguousarray(windows), begins, ends)
    length = ends - begins
    if lines.null_count:
        length[np.asarray(lines.is_null())] = 0
    where = np.zeros(n + 1, np.int32)
    np.cumsum(length, out=where[1:])
    out = np.empty(where[-1], np.uint8)
    _copied(data, begins, where, out)
    valid = pa.py_buffer(np.packbits(length > 0, bitorder="little"))
    return pa.StringArray.from_buffers(n, pa.py_buffer(where), pa.py_buffer(out), valid)
