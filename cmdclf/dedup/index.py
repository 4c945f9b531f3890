"""The nearest of many vectors by cosine: block-wise exact up to some size, usearch's HNSW graph above."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["EXACT_LIMIT", "NearIndex", "Nearest", "compiled", "cosine_of", "precedes"]

#: Up to this many vectors a matrix product finds the true nearest; above, a graph finds it almost always, at a cost
#: that no longer grows with the number of vectors. Its additions are slow (one thread): grouping 80,000 public lines
#: (63,000 representatives, two cores) took 14 s exhaustively and 28 s, with equal groups, with graphs from 20,000 on.
EXACT_LIMIT = 100_000
#: BLAS rounds by the shape of its blocks: whatever comes this close to the best is compared again, exactly.
_SLACK = np.float32(1e-4)
_CELLS = 4_000_000
_CANDIDATES = 16

Floats = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]
IdBytes = npt.NDArray[np.uint8]
F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """`function` compiled by numba, cached where a writable place is found."""
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, numba.njit(nogil=True)(function))


@compiled
def cosine_of(a: Floats, b: Floats) -> np.float32:
    """The dot product of two unit vectors, summed in float64 in a fixed order and clipped to [-1, 1]."""
    total = 0.0
    for d in range(a.shape[0]):
        total += float(a[d]) * float(b[d])
    return np.float32(min(1.0, max(-1.0, total)))


@compiled
def precedes(a: IdBytes, b: IdBytes) -> bool:
    """Whether id `a` comes before id `b` in byte order."""
    for k in range(a.shape[0]):
        if a[k] != b[k]:
            return bool(a[k] < b[k])
    return False


@compiled
def _best(near: Floats, queries: Floats, vectors: Floats, ids: IdBytes, at: Positions, cosine: Floats) -> None:
    for row in range(near.shape[0]):
        highest = near[row, 0]
        for j in range(near.shape[1]):
            highest = max(highest, near[row, j])
        for j in range(near.shape[1]):
            if near[row, j] >= highest - _SLACK:
                value = cosine_of(queries[row], vectors[j])
                if at[row] < 0 or value > cosine[row] or (value == cosine[row] and precedes(ids[j], ids[at[row]])):
                    at[row], cosine[row] = j, value


@compiled
def _best_of(
    candidates: Positions, queries: Floats, vectors: Floats, ids: IdBytes, at: Positions, cosine: Floats
) -> None:
    for row in range(candidates.shape[0]):
        for k in range(candidates.shape[1]):
            j = candidates[row, k]
            if j < 0:
                continue
            value = cosine_of(queries[row], vectors[j])
            if at[row] < 0 or value > cosine[row] or (value == cosine[row] and precedes(ids[j], ids[at[row]])):
                at[row], cosine[row] = j, value


class Nearest(NamedTuple):
    """Per query: the position of the nearest vector in the index (-1 where it is empty) and the cosine to it."""

    position: Positions
    cosine: Floats


class NearIndex:
    """Finds the nearest of the added vectors by cosine; equal cosines go to the smallest id.

    The same additions in the same order give the same answers: additions run on one thread, and each decision is taken
    on the cosine recomputed in float64 from the stored float32 vectors, never on the graph's own distance.

    Args:
        dim: length of a vector.
        exact_limit: up to this many vectors the search is exhaustive; None means always.
        id_bytes: the longest id in UTF-8 bytes (a command_id has 32).

    Example:
        >>> index = NearIndex(2)
        >>> index.add(["a", "b"], np.eye(2, dtype=np.float32))
        >>> index.nearest(np.array([[0.6, 0.8]], np.float32)).position
        array([1])
    """

    def __init__(self, dim: int, *, exact_limit: int | None = EXACT_LIMIT, id_bytes: int = 32) -> None:
        self.dim = dim
        self.exact_limit = exact_limit
        self._size = 0
        self._vectors = np.zeros((1024, dim), np.float32)
        self._ids = np.zeros((1024, id_bytes), np.uint8)
        self._graph: Any = None

    def __len__(self) -> int:
        return self._size

    @property
    def vectors(self) -> Floats:
        """(n, dim) float32 in the order of addition; a view."""
        return self._vectors[: self._size]

    @property
    def id_bytes(self) -> IdBytes:
        """(n, id_bytes) uint8: the ids padded with zeros; a view."""
        return self._ids[: self._size]

    def add(self, ids: Sequence[str] | pa.StringArray, vectors: Floats) -> None:
        """Appends vectors (n, dim) float32 with unit rows under their ids.

        Raises:
            ValueError: the shapes don't fit each other or the index, or an id is too long.
        """
        vectors = np.ascontiguousarray(vectors, np.float32)
        if vectors.shape != (len(ids), self.dim):
            raise ValueError(f"{len(ids)} ids of dimension {self.dim} don't fit vectors of shape {vectors.shape}")
        size = self._size + len(ids)
        if size > len(self._vectors):
            room = max(size, 2 * len(self._vectors))
            self._vectors = np.concatenate([self.vectors, np.zeros((room - self._size, self.dim), np.float32)])
            self._ids = np.concatenate([self.id_bytes, np.zeros((room - self._size, self._ids.shape[1]), np.uint8)])
        self._vectors[self._size : size] = vectors
        self._ids[self._size : size] = encode_ids(ids, self._ids.shape[1])
        first, self._size = self._size, size
        if self.exact_limit is not None and size > self.exact_limit:
            self._extend_graph(0 if self._graph is None else first)

    def _extend_graph(self, first: int) -> None:
        if self._graph is None:
            from usearch.index import Index

            self._graph = Index(
                ndim=self.dim, metric="cos", dtype="f32", connectivity=16, expansion_add=128, expansion_search=96
            )
        # One thread: with more, the graph depends on the order in which they finish.
        self._graph.add(np.arange(first, self._size, dtype=np.uint64), self._vectors[first : self._size], threads=1)

    def nearest(self, queries: Floats) -> Nearest:
        """The nearest vector of each query, queries (n, dim) float32 with unit rows; -1 and -1 in an empty index."""
        queries = np.ascontiguousarray(queries, np.float32)
        at, cosine = np.full(len(queries), -1, np.int64), np.full(len(queries), -1.0, np.float32)
        if self._size == 0 or len(queries) == 0:
            return Nearest(at, cosine)
        if self._graph is not None:
            _best_of(self._candidates(queries), queries, self.vectors, self.id_bytes, at, cosine)
            return Nearest(at, cosine)
        step = max(1, _CELLS // self._size)
        for a in range(0, len(queries), step):
            rows = slice(a, a + step)
            near = queries[rows] @ self.vectors.T
            _best(near, queries[rows], self.vectors, self.id_bytes, at[rows], cosine[rows])
        return Nearest(at, cosine)

    def _candidates(self, queries: Floats) -> Positions:
        found = self._graph.search(queries, min(_CANDIDATES, self._size))
        # usearch drops the batch axis for one query, and gives fewer than asked where the graph has holes.
        keys = np.atleast_2d(np.asarray(found.keys)).astype(np.int64)
        counts = np.atleast_1d(np.asarray(getattr(found, "counts", np.full(len(keys), keys.shape[1]))))
        keys[np.arange(keys.shape[1])[None, :] >= counts[:, None]] = -1
        keys[(keys < 0) | (keys >= self._size)] = -1
        return keys


def encode_ids(ids: Sequence[str] | pa.StringArray, width: int) -> IdBytes:
    """(n, width) uint8: each id's UTF-8 bytes, padded with zeros.

    Raises:
        ValueError: an id is longer than `width` bytes.
    """
    texts = ids.to_pylist() if isinstance(ids, pa.Array | pa.ChunkedArray) else list(ids)
    raw = [str(text).encode() for text in texts]
    if raw and max(map(len, raw)) > width:
        raise ValueError(f"an id is longer than {width} bytes: {max(raw, key=len)!r}")
    return (
        np.array(raw, dtype=f"S{width}").view(np.uint8).reshape(len(raw), width)
        if raw
        else np.zeros((0, width), np.uint8)
    )
