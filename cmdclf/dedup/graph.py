"""usearch's HNSW graphs, filled side by side and yet always alike, kept in files from one process to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from cmdclf.dedup._kernels import Floats, Positions
from cmdclf.dedup.keys import processors

__all__ = ["CANDIDATES", "GRANULE", "LANES", "Graph", "Shelf"]

#: Vector p belongs to lane p % LANES; every lane is a graph, filled by one thread and searched for every query.
LANES = 4
#: After so many vectors the lanes are written and read again, so that a graph from a file goes on like any other.
GRANULE = 65_536
#: How many neighbours a lane is asked for; the exact cosine decides between them.
CANDIDATES = 8
#: `benchmarks/dedup.py` measures what these give. One byte a component: a quarter of the memory, about twice as fast
#: as float32, and its integer sums are the same on every processor.
_SETTINGS = {"metric": "cos", "dtype": "i8", "connectivity": 16, "expansion_add": 96, "expansion_search": 96}


class Shelf(Protocol):
    """Where graphs are kept under the digest of what they hold."""

    def load(self, digest: str) -> list[bytes] | None:
        """The lanes that were saved, or None."""
        ...

    def save(self, digest: str, lanes: list[bytes], instead: str | None) -> None:
        """Keep lanes; those under the digest `instead` are no longer needed."""
        ...


class Graph:
    """Proposes near vectors of the many that were added, always the same ones for the same additions in their order.

    A graph depends on the order in which vectors come in and on the level that chance gives each. So a lane is filled
    by one thread, and after each `GRANULE` vectors it is replaced by what its bytes say: chance begins anew there,
    in this process as in one that reads the bytes from a shelf.

    Args:
        dim: length of a vector.
        shelf: where lanes are kept at the end of each granule, and looked for.
        granule: see `GRANULE`.
    """

    def __init__(self, dim: int, shelf: Shelf | None = None, granule: int = GRANULE) -> None:
        self._dim = dim
        self._shelf = shelf
        self._granule = granule
        self._size = 0
        self._kept: str | None = None
        self._threads = processors()
        self._lanes = [self._lane() for _ in range(LANES)]
        self._seen = hashlib.blake2b(repr((dim, LANES, granule, sorted(_SETTINGS.items()))).encode(), digest_size=16)

    def __len__(self) -> int:
        return self._size

    @property
    def nbytes(self) -> int:
        """Memory of all lanes."""
        return sum(int(lane.memory_usage) for lane in self._lanes)

    def _lane(self) -> Any:
        from usearch.index import Index

        return Index(ndim=self._dim, enable_key_lookups=False, **_SETTINGS)

    def extend(self, vectors: Floats) -> None:
        """Appends vectors (n, dim) float32 under the next positions."""
        edges = np.arange(0, len(vectors) + 1) + self._size
        cuts = [0, *(np.flatnonzero(edges[1:] % self._granule == 0) + 1).tolist(), len(vectors)]
        known = self._from_shelf(vectors, cuts[1:-1])
        with ThreadPoolExecutor(min(LANES, self._threads)) as pool:
            for a, b in pairwise(cuts):
                if b <= known or a == b:
                    continue
                positions = np.arange(self._size, self._size + b - a, dtype=np.uint64)
                _wait(pool.submit(self._fill, lane, positions, vectors[a:b]) for lane in range(LANES))
                self._size += b - a
                self._seen.update(vectors[a:b].tobytes())
                if self._size % self._granule == 0:
                    self._renew()

    def _fill(self, lane: int, positions: Any, vectors: Floats) -> None:
        mine = positions % LANES == lane
        if mine.any():
            # More threads on one graph would make it depend on which of them is first.
            self._lanes[lane].add(positions[mine], vectors[mine], threads=1)

    def _renew(self) -> None:
        lanes = [lane.save() for lane in self._lanes]
        if self._shelf is not None:
            digest = self._seen.hexdigest()
            self._shelf.save(digest, lanes, self._kept)
            self._kept = digest
        self._restore(lanes)

    def _restore(self, lanes: list[bytes]) -> None:
        self._lanes = [self._lane() for _ in lanes]
        for lane, content in zip(self._lanes, lanes, strict=True):
            lane.load(content)
            # They are not among the bytes.
            lane.expansion_add, lane.expansion_search = _SETTINGS["expansion_add"], _SETTINGS["expansion_search"]

    def _from_shelf(self, vectors: Floats, ends: list[int]) -> int:
        """Takes the longest beginning of these vectors that lies on the shelf; gives its length."""
        if self._shelf is None:
            return 0
        seen, start, taken = self._seen.copy(), 0, 0
        for end in ends:
            seen.update(vectors[start:end].tobytes())
            start = end
            lanes = self._shelf.load(seen.hexdigest())
            if lanes is not None:
                self._restore(lanes)
                self._kept, self._seen, taken = seen.hexdigest(), seen.copy(), end
        self._size += taken
        return taken

    def candidates(self, queries: Floats) -> Positions:
        """(n, LANES * CANDIDATES) int64: positions that may be the nearest, -1 where there are fewer."""
        parts = [self._ask(lane, queries) for lane in self._lanes if len(lane)]
        return np.concatenate(parts, axis=1) if parts else np.full((len(queries), 1), -1, np.int64)

    def _ask(self, lane: Any, queries: Floats) -> Positions:
        found = lane.search(queries, min(CANDIDATES, len(lane)), threads=self._threads)
        # usearch drops the batch axis for one query, and gives fewer than asked where the graph has holes.
        keys = np.atleast_2d(np.asarray(found.keys)).astype(np.int64)
        counts = np.atleast_1d(np.asarray(getattr(found, "counts", np.full(len(keys), keys.shape[1]))))
        keys[np.arange(keys.shape[1])[None, :] >= counts[:, None]] = -1
        keys[(keys < 0) | (keys >= self._size)] = -1
        return keys


def _wait(jobs: Iterable[Future[None]]) -> None:
    for job in list(jobs):
        job.result()
