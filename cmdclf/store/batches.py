"""Batches of a query that can be read more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

__all__ = ["LineBatches"]


class LineBatches:
    """Record batches of one query; every `iter()` runs it anew, so two-pass methods may read it twice.

    Attributes:
        schema: of each batch.
    """

    def __init__(self, read: Callable[[], Iterator[pa.RecordBatch]], schema: pa.Schema) -> None:
        self._read = read
        self.schema = schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._read()

    def table(self) -> pa.Table:
        """All batches as one table in memory."""
        return pa.Table.from_batches(list(self), schema=self.schema)
