"""The k largest scores of a stream, in bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["RANKED", "TopK"]

RANKED = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
    ]
)

_HELD = pa.schema([RANKED.field("command_id"), RANKED.field("score")])
_ORDER = [("score", "descending"), ("command_id", "ascending")]


class TopK:
    """Keeps the k rows with the largest scores out of any number of batches.

    Equal scores are ordered by command_id (bytes of its UTF-8), so the result depends on the rows alone: not on their
    order, not on how they were cut into batches. Memory is O(k + the largest batch); time is O(n) for rows that do
    not reach the top, as only those above the k-th best so far are sorted.

    >>> top = TopK(2)
    >>> top.push(["a", "b", "c"], [0.5, 0.9, 0.5])
    >>> top.table().to_pydict()
    {'command_id': ['b', 'a'], 'score': [0.9, 0.5], 'rank': [1, 2]}
    """

    def __init__(self, k: int) -> None:
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        self.k = k
        self._held = _HELD.empty_table()
        self._threshold = -np.inf

    def push(self, ids: Any, scores: npt.ArrayLike) -> None:
        """Take a batch.

        Args:
            ids: (n,) command_ids: an Arrow array, a numpy array or a sequence. Each may be pushed once only.
            scores: (n,) finite or infinite numbers.

        Raises:
            ValueError: the lengths differ, a score is NaN, or an id is null.
        """
        array = ids if isinstance(ids, pa.Array | pa.ChunkedArray) else pa.array(ids, pa.string())
        if array.type != pa.string():
            array = array.cast(pa.string())
        # + 0.0 turns -0.0 into 0.0: equal scores must also sort as equal.
        values = np.asarray(scores, dtype=np.float64).reshape(-1) + 0.0
        if len(array) != len(values):
            raise ValueError(f"{len(array)} ids for {len(values)} scores")
        if np.isnan(values).any():
            raise ValueError("a score is NaN: it has no rank")
        if array.null_count:
            raise ValueError("a command_id is null")
        chosen = np.flatnonzero(values >= self._threshold)
        if not len(chosen):
            return
        fresh = pa.table([array.take(pa.array(chosen)), pa.array(values[chosen])], schema=_HELD)
        self._held = pa.concat_tables([self._held, fresh])
        if self._held.num_rows > 2 * self.k:
            self._prune()

    def _prune(self) -> None:
        order = pc.sort_indices(self._held, sort_keys=_ORDER)
        self._held = self._held.take(order.slice(0, self.k)).combine_chunks()
        if self._held.num_rows == self.k:
            self._threshold = self._held.column("score")[-1].as_py()

    def table(self) -> pa.Table:
        """RANKED: at most k rows, rank 1 has the largest score. More batches may follow."""
        self._prune()
        return pa.table(
            [*self._held.columns, pa.array(range(1, self._held.num_rows + 1), pa.int32())],
            schema=RANKED,
        )
