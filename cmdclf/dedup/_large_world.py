"""One world with very many representatives: block by block against an index of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cmdclf.dedup import _kernels
from cmdclf.dedup._kernels import SLACK, Floats, IdBytes, Levels, Positions, cosine_of, precedes, rough_cosine
from cmdclf.dedup._worlds import Found, Worlds
from cmdclf.dedup.index import NearIndex
from cmdclf.jit import compiled_with

__all__ = ["group_large_world"]

_BLOCK = 1024


@compiled_with(_kernels)
def _assign(
    ids: IdBytes, vectors: Floats, codes: Positions, same: Positions, near_at: Positions, near_cosine: Floats,
    base: int, known_ids: IdBytes, known_vectors: Floats, rep_of_code: Positions, threshold: float, at: Positions,
    level: Levels, cosine: Floats,
) -> Positions:  # fmt: skip
    """One block in the order of its ids; a new representative gets the next position from `base`. Gives their rows."""
    fresh = np.empty(len(ids), np.int64)
    count = 0
    for i in range(len(ids)):
        if same[i] >= 0:
            at[i], level[i], cosine[i] = same[i], 0, 1.0
            continue
        masked = rep_of_code[codes[i]]
        if masked >= 0:
            other = known_vectors[masked] if masked < base else vectors[fresh[masked - base]]
            at[i], level[i], cosine[i] = masked, 1, cosine_of(vectors[i], other)
            continue
        best, value = near_at[i], near_cosine[i]
        for k in range(count):
            j = fresh[k]
            if rough_cosine(vectors[i], vectors[j]) < max(threshold, value) - SLACK:
                continue
            c = cosine_of(vectors[i], vectors[j])
            # Among the new ones ids rise, so only an earlier day's id can lose a tie to a new one.
            if best < 0 or c > value or (c == value and best < base and precedes(ids[j], known_ids[best])):
                best, value = base + k, c
        if best >= 0 and value >= threshold:
            at[i], level[i], cosine[i] = best, 2, value
        else:
            fresh[count] = i
            at[i], level[i], cosine[i] = base + count, 0, 1.0
            rep_of_code[codes[i]] = base + count
            count += 1
    return fresh[:count]


def group_large_world(
    worlds: Worlds,
    world: int,
    ids: pa.StringArray,
    known_ids: pa.StringArray,
    vectors: Floats,
    known_vectors: Floats,
    threshold: float,
    index: NearIndex,
    found: Found,
) -> None:
    """Fills in `found` for the lines of one world.

    Args:
        worlds: see `Worlds`.
        world: its place there.
        ids: (n,) command_ids of the table's rows.
        known_ids: of all earlier representatives.
        vectors: (n, dim) float32.
        known_vectors: (q, dim) float32.
        threshold: least cosine.
        index: an empty one; it takes the world's representatives.
        found: where the answers go.
    """
    mine = slice(int(worlds.starts[world]), int(worlds.starts[world + 1]))
    earlier = slice(int(worlds.known_starts[world]), int(worlds.known_starts[world + 1]))
    p = len(worlds.known)
    rows, known = worlds.rows[mine], worlds.known[earlier]
    codes, known_codes = _narrowed(worlds.pairs[mine], worlds.known_pairs[earlier])
    same = np.where(worlds.same[mine] >= 0, worlds.same[mine] - earlier.start, -1)
    index.add(known_ids.take(pa.array(known)), known_vectors[known])
    rep_of_code = np.full(int(codes.max()) + 1, -1, np.int64)
    # The smallest id of a masked text comes last and stays.
    order = np.lexsort(worlds.known_ids[earlier].T[::-1])[::-1]
    order = order[known_codes[order] >= 0]
    rep_of_code[known_codes[order]] = order
    # Position in the index -> number.
    numbers = np.concatenate([np.arange(earlier.start, earlier.stop), np.empty(len(rows), np.int64)])
    at = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(rows)))
        own = vectors[rows[block]]
        asked = np.flatnonzero((same[block] < 0) & (rep_of_code[codes[block]] < 0))
        near_at, near_cosine = np.full(len(own), -1, np.int64), np.full(len(own), -1, np.float32)
        near_at[asked], near_cosine[asked] = index.nearest(own[asked])
        level, cosine = found.level[mine][block], found.cosine[mine][block]
        size = len(index)
        fresh = _assign(
            worlds.ids[mine][block], own, codes[block], same[block], near_at, near_cosine, size, index.id_bytes,
            index.vectors, rep_of_code, threshold, at[block], level, cosine,
        )  # fmt: skip
        numbers[size : size + len(fresh)] = p + mine.start + start + fresh
        index.add(ids.take(pa.array(rows[start + fresh])), own[fresh])
    found.number[mine] = numbers[at]


def _narrowed(pairs: Positions, known_pairs: Positions) -> tuple[Positions, Positions]:
    """The same pairs numbered from 0; -1 for a known one without a line."""
    distinct, codes = np.unique(pairs, return_inverse=True)
    places = np.minimum(np.searchsorted(distinct, known_pairs), len(distinct) - 1)
    return codes.astype(np.int64), np.where(distinct[places] == known_pairs, places, -1)
