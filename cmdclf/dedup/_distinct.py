"""Equal vectors, found while they come in: a graph in which thousands of points coincide loses its way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.dedup import _kernels
from cmdclf.dedup._kernels import Floats, IdBytes, Positions, precedes
from cmdclf.jit import compiled, compiled_with

__all__ = ["DistinctVectors"]

Bits = npt.NDArray[np.uint32]
Hashes = npt.NDArray[np.uint64]


@compiled_with(_kernels)
def _enter(
    begin: int, bits: Bits, ids: IdBytes, slots: Positions, hashes: Hashes, first: Positions, smallest: Positions,
    count: int,
) -> int:  # fmt: skip
    """Enters the vectors from `begin` on by open addressing; gives the new count of distinct ones."""
    room = np.uint64(len(slots) - 1)
    for i in range(begin, len(bits)):
        h = np.uint64(0xCBF29CE484222325)
        for d in range(bits.shape[1]):
            h = (h ^ np.uint64(bits[i, d])) * np.uint64(0x100000001B3)
            h ^= h >> np.uint64(29)
        at = h & room
        known = slots[at]
        while known >= 0:
            if hashes[known] == h and (bits[i] == bits[first[known]]).all():
                break
            at = (at + np.uint64(1)) & room
            known = slots[at]
        if known < 0:
            slots[at], hashes[count], first[count], smallest[count] = count, h, i, i
            count += 1
        elif precedes(ids[i], ids[smallest[known]]):
            smallest[known] = i
    return count


@compiled
def _place(hashes: Hashes, slots: Positions) -> None:
    room = np.uint64(len(slots) - 1)
    for number in range(len(hashes)):
        at = hashes[number] & room
        while slots[at] >= 0:
            at = (at + np.uint64(1)) & room
        slots[at] = number


class DistinctVectors:
    """Numbers the distinct vectors of an array that grows at its end, in the order of their first appearance."""

    def __init__(self) -> None:
        self._entered = self._count = 0
        self._slots = np.zeros(0, np.int64)
        self._hashes = np.zeros(0, np.uint64)
        self._first = np.zeros(0, np.int64)
        self._smallest = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return self._count

    @property
    def first(self) -> Positions:
        """(len(self),) int64: the position of each distinct vector's first appearance; a view."""
        return self._first[: self._count]

    @property
    def smallest(self) -> Positions:
        """(len(self),) int64: of the positions of equal vectors, that of the smallest id; a view."""
        return self._smallest[: self._count]

    def enter(self, vectors: Floats, ids: IdBytes) -> None:
        """Takes what the arrays, (n, dim) float32 and (n, w) uint8 in one piece, have gained since the last call."""
        most = self._count + len(vectors) - self._entered
        if 2 * most > len(self._slots):
            size = 1 << (2 * most).bit_length()
            kept = slice(0, self._count)
            for name in ("_hashes", "_first", "_smallest"):
                old = getattr(self, name)
                wider = np.zeros(size // 2, old.dtype)
                wider[kept] = old[kept]
                setattr(self, name, wider)
            self._slots = np.full(size, -1, np.int64)
            _place(self._hashes[kept], self._slots)
        self._count = _enter(
            self._entered, vectors.view(np.uint32), ids, self._slots, self._hashes, self._first, self._smallest,
            self._count,
        )  # fmt: skip
        self._entered = len(vectors)
