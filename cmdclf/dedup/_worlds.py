"""Lines sorted into worlds, out of which no group leads: the same platform and the same behaviour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup._kernels import Floats, IdBytes, Levels, Positions, encode_ids, id_order
from cmdclf.dedup.known import KnownGroups

__all__ = ["Found", "Worlds", "sort_into_worlds"]


@dataclass(frozen=True, slots=True)
class Worlds:
    """Lines and earlier representatives, world by world. A *number* below p names a representative, one above a line.

    Attributes:
        rows: (m,) the lines' rows in their table, one of each id, by world and ascending id.
        starts: (w + 1,) where each world's lines begin.
        inverse: (n,) for every row of the table, which of the m lines it is.
        known: (p,) the positions of the earlier representatives of these worlds, by world, in the order they came.
        known_starts: (w + 1,) where each world's representatives begin.
        same: (m,) which of the p representatives the line itself is, or -1.
        pairs: (m,) a number for each world and masked text.
        known_pairs: (p,) the same of the representatives; -1 where no line has it.
        ids, known_ids: the ids' bytes.
    """

    rows: Positions
    starts: Positions
    inverse: Positions
    known: Positions
    known_starts: Positions
    same: Positions
    pairs: Positions
    known_pairs: Positions
    ids: IdBytes
    known_ids: IdBytes

    def __len__(self) -> int:
        return len(self.starts) - 1


@dataclass(frozen=True, slots=True)
class Found:
    """What each of the m lines joins: its representative's number, the level, the cosine."""

    number: Positions
    level: Levels
    cosine: Floats


def sort_into_worlds(
    ids: pa.StringArray,
    platforms: pa.StringArray,
    behaviours: pa.StringArray,
    known: KnownGroups,
    masks: Callable[[Positions], pa.StringArray],
) -> Worlds:
    """Rows of equal platform and behaviour side by side, with what is known of their world.

    Args:
        ids, platforms, behaviours: (n,) of the table's rows.
        known: earlier representatives.
        masks: gives the masked keys of some rows; those that are alone in their world need none.
    """
    worlds, places = _numbered(*_codes(platforms, known.platforms), *_codes(behaviours, known.behaviours))
    of_world = np.flatnonzero(places >= 0)
    of_world = of_world[np.argsort(places[of_world], kind="stable")]
    width = max([32, *(pc.max(pc.binary_length(a)).as_py() for a in (ids, known.ids) if len(a))])
    id_bytes = encode_ids(ids, width)
    order, first = id_order(id_bytes, worlds)
    rows = order[first]
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.cumsum(first) - 1
    worlds, known_worlds = worlds[rows], places[of_world]
    every = np.arange(worlds[-1] + 2 if len(worlds) else 1)
    starts, known_starts = np.searchsorted(worlds, every), np.searchsorted(known_worlds, every)
    at = pa.array(of_world)
    same = _places(ids.take(pa.array(rows)), known.ids.take(at))
    if len(of_world):
        same[known_worlds[same] != worlds] = -1
    shared = np.flatnonzero((np.diff(starts) + np.diff(known_starts) > 1)[worlds])
    mask_codes = np.zeros(len(rows), np.int64)
    mask_codes[shared], known_codes = _codes(masks(rows[shared]), known.masks.take(at))
    pairs, known_pairs = _numbered(worlds, known_worlds, mask_codes, known_codes)
    return Worlds(
        rows,
        starts,
        inverse,
        of_world,
        known_starts,
        same,
        pairs,
        known_pairs,
        id_bytes[rows],
        encode_ids(known.ids.take(at), width),
    )


def _places(values: pa.StringArray, among: pa.StringArray) -> Positions:
    """(n,) where each value first stands, or -1."""
    found: Positions = pc.fill_null(pc.index_in(values, value_set=among), -1).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)


def _codes(values: pa.StringArray, known: pa.StringArray) -> tuple[Positions, Positions]:
    """Equal texts as equal numbers; -1 for a known one that is not among the values."""
    codes = values.dictionary_encode()
    return codes.indices.to_numpy(zero_copy_only=False).astype(np.int64), _places(known, codes.dictionary)


def _numbered(a: Positions, known_a: Positions, b: Positions, known_b: Positions) -> tuple[Positions, Positions]:
    """Equal pairs (a, b) as equal numbers from 0; -1 for a known pair that does not occur."""
    base = int(b.max()) + 1 if len(b) else 1
    distinct, numbers = np.unique(a * base + b, return_inverse=True)
    asked = known_a * base + known_b
    places = np.searchsorted(distinct, asked)
    places[places == len(distinct)] = 0
    right = (known_a >= 0) & (known_b >= 0)
    right &= (distinct[places] == asked) if len(distinct) else False
    return numbers.astype(np.int64), np.where(right, places, -1)
