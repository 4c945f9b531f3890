"""Which lines of a batch are worth decoding: one compiled pass over the bytes, at a few nanoseconds each.

The Python decoders cost tens of microseconds a line and nearly every line hides nothing. Whatever hides text needs a
punctuation mark in an unusual place; the pass looks only there. It lets a few lines through in vain, but never keeps
one back whose decoding undoes more than wrappers and whole variables (kinds `wrapper` and `plain-env`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines.decode._gate_kernels import marks_of, scan
from cmdclf.lines.platform import guess_platform

__all__ = ["line_bytes", "suspects", "text_marks"]

#: For so few rows Python is faster than starting one of Arrow's kernels.
_FEW = 16


def suspects(lines: pa.StringArray, platform: pa.StringArray | None = None) -> npt.NDArray[np.bool_]:
    """(n,) bool: whether decoding the line may undo something that hides text.

    A superset of the rows with a layer of another kind than `wrapper` and `plain-env`; null lines are False. Takes a
    few nanoseconds a byte.

    Args:
        lines: the command lines.
        platform: of each line; None, or null in a row: guessed.
    """
    if len(lines) == 0:
        return np.zeros(0, np.bool_)
    if platform is None or platform.null_count:
        guessed = guess_platform(lines)
        platform = guessed if platform is None else pc.coalesce(platform.cast(pa.string()), guessed)
    found: npt.NDArray[np.bool_] = scan(*line_bytes(lines), _posix(platform))
    if lines.null_count:
        found &= lines.is_valid().to_numpy(zero_copy_only=False)
    return found


def line_bytes(lines: pa.StringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """(n + 1,) int64 offsets of n > 0 lines into their bytes, both read-only; a null line may own bytes."""
    if pa.types.is_string(lines.type):
        _, starts, data = lines.buffers()
        offsets = np.frombuffer(starts, np.int32, len(lines) + 1, 4 * lines.offset).astype(np.int64)
    else:
        lines = lines if pa.types.is_large_string(lines.type) else lines.cast(pa.large_string())
        _, starts, data = lines.buffers()
        offsets = np.frombuffer(starts, np.int64, len(lines) + 1, 8 * lines.offset)
    # One writability for all inputs: numba compiles a kernel anew for each.
    offsets.flags.writeable = False
    return offsets, np.frombuffer(b"" if data is None else data, np.uint8)


def _posix(platform: pa.StringArray) -> npt.NDArray[np.bool_]:
    if len(platform) <= _FEW:
        return np.array([name != "windows" for name in platform.to_pylist()], np.bool_)
    return np.asarray(pc.not_equal(platform, "windows").to_numpy(zero_copy_only=False), np.bool_)


def text_marks(text: str, *, posix: bool) -> int:
    """The bits of `marks.py` that one text shows: which decodings have something to undo."""
    return int(marks_of(np.frombuffer(text.encode("utf-8", "replace"), np.uint8), posix))
