"""The representatives of earlier days, against which new lines are held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup._kernels import Floats, Positions, encode_ids, id_order
from cmdclf.dedup.behaviour import behaviour_keys
from cmdclf.dedup.keys import as_text, in_slices, masked_keys, text_column

__all__ = ["KnownGroups", "new_representatives"]


@dataclass(frozen=True, slots=True)
class KnownGroups:
    """The representatives of earlier days, in the order in which they came.

    Attributes:
        ids: their command_ids.
        platforms: their platforms.
        behaviours: their behaviour keys.
        masks: their masked keys.
        vectors: (n, dim) float32, unit rows.
    """

    ids: pa.StringArray
    platforms: pa.StringArray
    behaviours: pa.StringArray
    masks: pa.StringArray
    vectors: Floats

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def empty(cls, dim: int) -> KnownGroups:
        """None yet, for vectors of dimension `dim`."""
        none = pa.array([], pa.string())
        return cls(none, none, none, none, np.zeros((0, dim), np.float32))

    @classmethod
    def from_lines(cls, lines: pa.Table, embeddings: Floats, behaviours: pa.StringArray | None = None) -> KnownGroups:
        """All of these lines as representatives; `lines` holds command_id, platform, command_line."""
        return cls(
            text_column(lines, "command_id"),
            text_column(lines, "platform"),
            in_slices(behaviour_keys, lines) if behaviours is None else as_text(behaviours),
            masked_keys(lines),
            np.ascontiguousarray(embeddings, np.float32),
        )

    def extended(
        self, lines: pa.Table, embeddings: Floats, groups: pa.Table, behaviours: pa.StringArray | None = None
    ) -> KnownGroups:
        """These, and behind them in ascending id the new representatives.

        Args:
            lines: what was grouped.
            embeddings: their vectors.
            groups: `near_duplicates(lines, embeddings, known=self)`.
            behaviours: what `near_duplicates` was given.
        """
        rows = new_representatives(groups, self.ids)
        at = pa.array(rows)
        fresh = KnownGroups.from_lines(
            lines.take(at), np.asarray(embeddings)[rows], None if behaviours is None else behaviours.take(at)
        )
        return KnownGroups.concat([self, fresh])

    @classmethod
    def concat(cls, parts: Sequence[KnownGroups]) -> KnownGroups:
        """All of these behind each other; no id may occur twice."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            pa.concat_arrays([part.ids for part in parts]),
            pa.concat_arrays([part.platforms for part in parts]),
            pa.concat_arrays([part.behaviours for part in parts]),
            pa.concat_arrays([part.masks for part in parts]),
            np.concatenate([part.vectors for part in parts]),
        )

    def take(self, rows: Positions) -> KnownGroups:
        """Those at these positions, in their order."""
        at = pa.array(rows)
        ids, platforms, behaviours, masks = (
            column.take(at) for column in (self.ids, self.platforms, self.behaviours, self.masks)
        )
        return KnownGroups(ids, platforms, behaviours, masks, self.vectors[rows])


def new_representatives(groups: pa.Table, known: pa.StringArray) -> Positions:
    """The rows of `groups` that are representatives and not among the known, one of each id, in ascending id."""
    new = pc.and_(
        pc.equal(groups["command_id"], groups["representative_id"]),
        pc.invert(pc.is_in(groups["command_id"], value_set=known)),
    ).combine_chunks()
    rows = np.flatnonzero(new.to_numpy(zero_copy_only=False))
    ids = text_column(groups, "command_id").take(pa.array(rows))
    order, first = id_order(encode_ids(ids, pc.max(pc.binary_length(ids)).as_py() or 0))
    return rows[order[first]]
