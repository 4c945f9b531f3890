"""Distinct lines that are very long, one by one: a database works on 2,048 rows at once, and these would fill it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.errors import StoreError
from cmdclf.store.parts import DISTINCT
from cmdclf.store.salvage import file_batches, usable_rows
from cmdclf.telemetry import command_ids

__all__ = ["LONG_BYTES", "write_long_lines"]

#: Longer lines than this are kept out of the database's aggregation. Hardly any sensor records one.
LONG_BYTES = 64 << 10

_GROUP_BYTES = 16 << 20


def write_long_lines(files: Sequence[Path], into: Path) -> None:
    """Write the distinct lines longer than LONG_BYTES as a part: each once, in the order in which they come.

    Two passes, the first for the events. Memory: an id for each of the lines, and one batch.

    Raises:
        StoreError: a file is damaged.
    """
    events: dict[str, int] = {}
    for batch in _long_rows(files):
        for name, count in zip(batch["command_id"].to_pylist(), batch["events"].to_pylist(), strict=True):
            events[name] = events.get(name, 0) + count
    with pq.ParquetWriter(into, DISTINCT) as writer:
        for batch in _long_rows(files):
            first, counts = [], []
            for row, name in enumerate(batch["command_id"].to_pylist()):
                if name in events:
                    first.append(row)
                    counts.append(events.pop(name))
            fresh = batch.take(pa.array(first, pa.int64())).set_column(
                3, DISTINCT.field(3), pa.array(counts, pa.int64())
            )
            for begin in range(0, fresh.num_rows, _GROUP_BYTES >> 20):  # of at most 1 MiB each
                writer.write_table(pa.Table.from_batches([fresh.slice(begin, _GROUP_BYTES >> 20)]))


def _long_rows(files: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for file in files:
        try:
            with pq.ParquetFile(file) as parquet:
                for index in range(parquet.num_row_groups):
                    for batch in file_batches(parquet, index):
                        rows, _, _ = usable_rows(batch)
                        rows = rows.filter(pc.greater(pc.binary_length(rows["command_line"]), LONG_BYTES))
                        if rows.num_rows:
                            platform, line, count = (rows[name] for name in ("platform", "command_line", "count"))
                            columns = [command_ids(platform, line), platform, line, pc.fill_null(count, 1)]
                            yield pa.RecordBatch.from_arrays(columns, schema=DISTINCT)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StoreError(
                f"a file of the lake is damaged ({error})", remedy="Remove it and ingest its source again", file=file
            ) from error
