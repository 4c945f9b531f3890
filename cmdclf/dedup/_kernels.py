"""Cosines of unit vectors and the order of ids, compiled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.jit import compiled, compiled_reordered

__all__ = [
    "SLACK",
    "Floats",
    "IdBytes",
    "Levels",
    "Positions",
    "cosine_of",
    "encode_ids",
    "frozen",
    "id_order",
    "precedes",
    "rough_cosine",
]

#: A product that was rounded in another order is this close to the exact one, up to a dimension of 4096. Whatever
#: comes so close to a bound is computed again, exactly.
SLACK = np.float32(3e-4)

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
Levels = npt.NDArray[np.int8]
IdBytes = npt.NDArray[np.uint8]


@compiled
def cosine_of(a: Floats, b: Floats) -> np.float32:
    """The dot product of two unit vectors, summed in float64 in a fixed order and clipped to [-1, 1]."""
    total = 0.0
    for d in range(a.shape[0]):
        total += float(a[d]) * float(b[d])
    return np.float32(min(1.0, max(-1.0, total)))


@compiled_reordered
def rough_cosine(a: Floats, b: Floats) -> np.float32:
    """The dot product of two unit vectors within `SLACK`, ten times as fast; decides nothing by itself."""
    total = np.float32(0)
    for d in range(a.shape[0]):
        total += a[d] * b[d]
    return total


@compiled
def precedes(a: IdBytes, b: IdBytes) -> bool:
    """Whether id `a` comes before id `b` in byte order."""
    for k in range(a.shape[0]):
        if a[k] != b[k]:
            return bool(a[k] < b[k])
    return False


def frozen(values: Floats) -> Floats:
    """A read-only view: numba compiles a kernel anew for arrays of the other kind."""
    view = values.view()
    view.flags.writeable = False
    return view


@compiled
def _copy_ids(data: IdBytes, offsets: Positions, out: IdBytes) -> None:
    for row in range(out.shape[0]):
        start = offsets[row]
        for k in range(offsets[row + 1] - start):
            out[row, k] = data[start + k]


def encode_ids(ids: Sequence[str] | pa.Array, width: int) -> IdBytes:
    """(n, width) uint8: each id's UTF-8 bytes, padded with zeros.

    Raises:
        ValueError: an id is longer than `width` bytes.
    """
    texts = ids if isinstance(ids, pa.Array) else pa.array(ids, pa.string())
    out = np.zeros((len(texts), width), np.uint8)
    if len(texts) == 0:
        return out
    _, starts, payload = texts.buffers()
    offsets = np.frombuffer(starts, np.int32, len(texts) + 1, texts.offset * 4).astype(np.int64)
    if (np.diff(offsets) > width).any():
        longest = texts[int(np.argmax(np.diff(offsets)))].as_py()
        raise ValueError(f"an id is longer than {width} bytes: {longest!r}")
    _copy_ids(np.frombuffer(payload or b"", np.uint8), offsets, out)
    return out


def id_order(ids: IdBytes, *within: Positions) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """Rows in ascending id, equal ones in their own order, and which of them are the first of their id.

    Args:
        ids: (n, w), see `encode_ids`.
        within: (n,) numbers that come before the id; equal ids of other numbers count as others.
    """
    words = np.zeros((len(ids), -(-max(ids.shape[1], 1) // 8) * 8), np.uint8)
    words[:, : ids.shape[1]] = ids
    keys = [*within, *np.ascontiguousarray(words.view(">u8").astype(np.uint64).T)]
    order = np.lexsort(keys[::-1])
    first = np.zeros(len(ids), np.bool_)
    first[:1] = True
    for key in keys:
        first[1:] |= key[order[1:]] != key[order[:-1]]
    return order, first
