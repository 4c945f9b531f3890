"""Lines that are marked for a person's look: samples to audit, suspects."""

from __future__ import annotations

import pyarrow as pa

from cmdclf.store.database import Database
from cmdclf.store.schema import MARKED, REVIEW_MARKS, checked

__all__ = ["ReviewMarks"]


class ReviewMarks(Database):
    """The table `review_mark`."""

    def put_marks(self, kind: str, batch: str, table: pa.Table) -> None:
        """Replace what is marked under this kind and batch.

        Args:
            kind: why: `audit` or `suspect`.
            batch: which draw or run of it.
            table: command_id, seq, value, detail; the order of the rows is kept.

        Raises:
            StoreError: a column is missing or holds nulls.
        """
        rows = checked(table, MARKED, "marks")
        rows = rows.append_column("place", pa.array(range(rows.num_rows), pa.int64()))
        key = {"kind": kind, "batch": batch}
        with self.transaction(), self._given(rows):
            self._run("delete from review_mark where kind = $kind and batch = $batch", key)
            self._run(
                "insert into review_mark"
                " select $kind, $batch, place, command_id, seq, value, detail, $now from given order by place",
                key | {"now": self._clock()},
            )

    def marks(self, kind: str | None = None) -> pa.Table:
        """REVIEW_MARKS of this kind (None: all), by kind, batch and place."""
        return self._table(
            "select kind, batch, place, command_id, seq, value, detail, marked_at from review_mark"
            " where $kind is null or kind = $kind order by kind, batch, place",
            REVIEW_MARKS,
            {"kind": kind},
        )
