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

__all__ = ["suspects", "text_marks"]


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
    if not pa.types.is_large_string(lines.type):
        lines = lines.cast(pa.large_string())
    if platform is None or platform.null_count:
        guessed = guess_platform(lines)
        platform = guessed if platform is None else pc.coalesce(platform.cast(pa.string()), guessed)
    posix = pc.not_equal(platform, "windows").to_numpy(zero_copy_only=False)
    _, offset_buffer, data_buffer = lines.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[lines.offset : lines.offset + len(lines) + 1]
    data = np.zeros(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    found: npt.NDArray[np.bool_] = scan(offsets, data, posix)
    if lines.null_count:
        found &= lines.is_valid().to_numpy(zero_copy_only=False)
    return found


def text_marks(text: str, *, posix: bool) -> int:
    """The bits of `marks.py` that one text shows: which decodings have something to undo."""
    return int(marks_of(np.frombuffer(text.encode("utf-8", "replace"), np.uint8), posix))
