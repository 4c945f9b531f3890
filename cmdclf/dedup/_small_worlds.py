"""Worlds with few representatives, half a million of them in one compiled pass."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cmdclf.dedup import _kernels
from cmdclf.dedup._kernels import SLACK, Floats, IdBytes, Levels, Positions, cosine_of, precedes, rough_cosine
from cmdclf.dedup._worlds import Found, Worlds
from cmdclf.dedup.keys import processors
from cmdclf.jit import compiled_with

__all__ = ["MANY", "group_small_worlds"]

#: A world with more representatives is compared by matrix products and graphs.
MANY = 4096
#: Below this many lines a second thread costs more than it brings.
_ROWS_PER_THREAD = 4096


@compiled_with(_kernels)
def _remember_masks(begin: int, end: int, known_ids: IdBytes, known_pairs: Positions, rep_of_pair: Positions) -> None:
    """The smallest id among earlier representatives of one masked text stands for it."""
    for x in range(begin, end):
        pair = known_pairs[x]
        if pair >= 0 and (rep_of_pair[pair] < 0 or precedes(known_ids[x], known_ids[rep_of_pair[pair]])):
            rep_of_pair[pair] = x


@compiled_with(_kernels)
def _nearest(
    mine: Floats, reps: Positions, rows: Positions, known: Positions, vectors: Floats, known_vectors: Floats,
    ids: IdBytes, known_ids: IdBytes, threshold: float,
) -> tuple[int, np.float32]:  # fmt: skip
    """The number of the nearest of `reps` with at least the threshold, or -1, and its cosine."""
    p = len(known)
    best, value, bound = -1, np.float32(-1), threshold - SLACK
    for x in reps:
        theirs = known_vectors[known[x]] if x < p else vectors[rows[x - p]]
        if rough_cosine(mine, theirs) < bound:
            continue
        c = cosine_of(mine, theirs)
        if c < threshold or (best >= 0 and c < value):
            continue
        if best >= 0 and c == value:
            other = known_ids[best] if best < p else ids[best - p]
            if not precedes(known_ids[x] if x < p else ids[x - p], other):
                continue
        best, value, bound = x, c, max(bound, c - SLACK)
    return best, value


@compiled_with(_kernels)
def _group(
    begin: int, end: int, many: int, starts: Positions, known_starts: Positions, rows: Positions, known: Positions,
    vectors: Floats, known_vectors: Floats, ids: IdBytes, known_ids: IdBytes, pairs: Positions, known_pairs: Positions,
    same: Positions, threshold: float, rep_of_pair: Positions, number: Positions, level: Levels, cosine: Floats,
    left: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    """Worlds `begin` to `end`; `left` becomes true for those with more than `many` representatives."""
    p = len(known)
    reps = np.empty(many, np.int64)
    for w in range(begin, end):
        count = known_starts[w + 1] - known_starts[w]
        left[w] = count > many
        if left[w]:
            continue
        reps[:count] = np.arange(known_starts[w], known_starts[w + 1])
        _remember_masks(known_starts[w], known_starts[w + 1], known_ids, known_pairs, rep_of_pair)
        for i in range(starts[w], starts[w + 1]):
            mine = vectors[rows[i]]
            x = rep_of_pair[pairs[i]]
            if same[i] >= 0:
                number[i], level[i], cosine[i] = same[i], 0, 1.0
                continue
            if x >= 0:
                theirs = known_vectors[known[x]] if x < p else vectors[rows[x - p]]
                number[i], level[i], cosine[i] = x, 1, cosine_of(mine, theirs)
                continue
            best, value = _nearest(mine, reps[:count], rows, known, vectors, known_vectors, ids, known_ids, threshold)
            if best >= 0:
                number[i], level[i], cosine[i] = best, 2, value
                continue
            left[w] = count == many
            if left[w]:
                break
            number[i], level[i], cosine[i] = p + i, 0, 1.0
            reps[count] = rep_of_pair[pairs[i]] = p + i
            count += 1


def group_small_worlds(
    worlds: Worlds, vectors: Floats, known_vectors: Floats, threshold: float, many: int = MANY
) -> tuple[Found, Positions]:
    """Every line of worlds with up to `many` representatives, by comparison with all of them; and the other worlds.

    Worlds are independent, so threads share them out and the answer is the same for any number of threads.
    """
    m = len(worlds.rows)
    found = Found(np.zeros(m, np.int64), np.zeros(m, np.int8), np.ones(m, np.float32))
    left = np.zeros(len(worlds), np.bool_)
    rep_of_pair = np.full(int(worlds.pairs.max()) + 1 if m else 0, -1, np.int64)

    def group(begin: int, end: int) -> None:
        _group(
            begin, end, many, worlds.starts, worlds.known_starts, worlds.rows, worlds.known, vectors, known_vectors,
            worlds.ids, worlds.known_ids, worlds.pairs, worlds.known_pairs, worlds.same, threshold, rep_of_pair,
            found.number, found.level, found.cosine, left,
        )  # fmt: skip

    threads = processors()
    if threads == 1 or m < 2 * _ROWS_PER_THREAD:
        group(0, len(worlds))
    else:
        # Many small shares: one world may cost as much as all others.
        edges = np.searchsorted(worlds.starts, np.arange(0, m, _ROWS_PER_THREAD)).tolist()
        with ThreadPoolExecutor(threads) as pool:
            for job in [pool.submit(group, a, b) for a, b in pairwise([*edges, len(worlds)]) if a < b]:
                job.result()
    return found, np.flatnonzero(left)
