"""Arrow string arrays as plain NumPy buffers, the form that compiled kernels read."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["as_string_array", "string_buffers"]


def as_string_array(text: pa.Array | pa.ChunkedArray) -> pa.Array:
    """The same rows as one `pa.StringArray` or `pa.LargeStringArray`.

    Dictionary, view and null arrays are cast; chunks are joined (as large_string where 32-bit offsets might not do).

    Raises:
        TypeError: the array does not hold text.
    """
    if isinstance(text, pa.ChunkedArray):
        if text.num_chunks == 1:
            return as_string_array(text.chunk(0))
        if pa.types.is_string(text.type) and text.nbytes > 2**30:
            text = text.cast(pa.large_string())
        text = text.combine_chunks()
        if isinstance(text, pa.ChunkedArray):  # older releases give a chunked array back
            text = pa.concat_arrays(text.chunks)
    kind = text.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return text
    if pa.types.is_null(kind) or pa.types.is_dictionary(kind) or pa.types.is_string_view(kind):
        return text.cast(pa.string() if pa.types.is_null(kind) else pa.large_string())
    raise TypeError(f"a string array is needed, not {kind}")


def string_buffers(text: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Row offsets `(n + 1,) int64` into the UTF-8 bytes `(m,) uint8`, both read-only; a null row is empty.

    Slices keep their parent's buffer (the first offset is then not 0). The bytes are a view, never a copy.
    """
    rows = len(text)
    if rows == 0:
        offsets = np.zeros(1, np.int64)
        data = np.zeros(0, np.uint8)
    else:
        validity, starts, payload = text.buffers()
        width: Any = np.int64 if pa.types.is_large_string(text.type) else np.int32
        offsets = np.frombuffer(starts, width, rows + 1, text.offset * np.dtype(width).itemsize).astype(np.int64)
        data = np.zeros(0, np.uint8) if payload is None else np.frombuffer(payload, np.uint8)
        if validity is not None and text.null_count and np.any(np.diff(offsets)[_is_null(text)]):
            # The specification lets a null row own bytes; write the text anew so that no kernel sees them.
            return string_buffers(text.fill_null(""))
    # One writability for all inputs: numba compiles a kernel anew for each.
    offsets.flags.writeable = False
    data.flags.writeable = False
    return offsets, data


def _is_null(text: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(text.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
