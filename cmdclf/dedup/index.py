"""The nearest of many vectors by cosine: block-wise exact up to some size, usearch's HNSW graphs above."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from cmdclf.dedup import _kernels
from cmdclf.dedup._distinct import DistinctVectors
from cmdclf.dedup._kernels import SLACK, Floats, IdBytes, Positions, cosine_of, encode_ids, frozen, precedes
from cmdclf.dedup.graph import GRANULE, Graph, Shelf
from cmdclf.jit import compiled_with

__all__ = ["EXACT_LIMIT", "NearIndex", "Nearest"]

#: Up to this many vectors a matrix product finds the true nearest; above, graphs find it almost always, at a cost that
#: hardly grows with their number: from about here on they are the faster way on two cores.
EXACT_LIMIT = 50_000
_CELLS = 4_000_000


@compiled_with(_kernels)
def _best(near: Floats, queries: Floats, vectors: Floats, ids: IdBytes, at: Positions, cosine: Floats) -> None:
    """Of the columns of `near` that rounding leaves in question, the one of highest exact cosine and smallest id."""
    for row in range(near.shape[0]):
        highest = near[row, 0]
        for j in range(near.shape[1]):
            highest = max(highest, near[row, j])
        for j in range(near.shape[1]):
            if near[row, j] >= highest - SLACK:
                value = cosine_of(queries[row], vectors[j])
                if at[row] < 0 or value > cosine[row] or (value == cosine[row] and precedes(ids[j], ids[at[row]])):
                    at[row], cosine[row] = j, value


@compiled_with(_kernels)
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

    The same additions in the same order give the same answers, whatever the number of threads (see `Graph`), and each
    decision is taken on the cosine recomputed in float64 from the stored float32 vectors, never on the graph's own
    distance. A million vectors of dimension 128 take 0.5 GB, and their graphs 0.3 GB more.

    Args:
        dim: length of a vector.
        exact_limit: up to this many vectors the search is exhaustive; None means always.
        id_bytes: the longest id in UTF-8 bytes (a command_id has 32).
        shelf: where graphs are kept for the next process, and looked for.
        granule: see `Graph`.

    Example:
        >>> index = NearIndex(2)
        >>> index.add(["a", "b"], np.eye(2, dtype=np.float32))
        >>> index.nearest(np.array([[0.6, 0.8]], np.float32)).position
        array([1])
    """

    def __init__(
        self,
        dim: int,
        *,
        exact_limit: int | None = EXACT_LIMIT,
        id_bytes: int = 32,
        shelf: Shelf | None = None,
        granule: int = GRANULE,
    ) -> None:
        self.dim = dim
        self.exact_limit = exact_limit
        self._size = 0
        self._vectors = np.zeros((1024, dim), np.float32)
        self._ids = np.zeros((1024, id_bytes), np.uint8)
        self._distinct = DistinctVectors()
        self._graph = Graph(dim, shelf, granule)

    def __len__(self) -> int:
        return self._size

    @property
    def nbytes(self) -> int:
        """Memory of vectors, ids and graphs."""
        return self._vectors.nbytes + self._ids.nbytes + self._graph.nbytes

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
        self._size = size
        if self.exact_limit is not None and size > self.exact_limit:
            self._distinct.enter(self.vectors, self.id_bytes)
            fresh = self._distinct.first[len(self._graph) :]
            self._graph.extend(self._vectors[fresh])

    def nearest(self, queries: Floats) -> Nearest:
        """The nearest vector of each query, queries (n, dim) float32 with unit rows; -1 and -1 in an empty index."""
        queries = frozen(np.ascontiguousarray(queries, np.float32))
        at, cosine = np.full(len(queries), -1, np.int64), np.full(len(queries), -1.0, np.float32)
        if self._size == 0 or len(queries) == 0:
            return Nearest(at, cosine)
        if len(self._graph):
            found = self._graph.candidates(queries)
            found = np.where(found < 0, -1, self._distinct.smallest[found])
            _best_of(found, queries, self.vectors, self.id_bytes, at, cosine)
            return Nearest(at, cosine)
        step = max(1, _CELLS // self._size)
        for a in range(0, len(queries), step):
            rows = slice(a, a + step)
            near = queries[rows] @ self.vectors.T
            _best(near, queries[rows], self.vectors, self.id_bytes, at[rows], cosine[rows])
        return Nearest(at, cosine)
