"""Parts: Parquet files that hold a day's distinct lines, each once, to be read in batches of bounded size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import StoreError
from cmdclf.store.database import _translated

__all__ = ["DISTINCT", "SET_ASIDE", "Part", "Parts", "part_batches"]

#: One row of a part.
DISTINCT = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("command_line", pa.string(), nullable=False),
        pa.field("events", pa.int64(), nullable=False),
    ]
)

#: Rows that were not processed; `rows` is null where nobody can say how many there were.
SET_ASIDE = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("rows", pa.int64()),
    ]
)

_MANIFEST = "parts.json"
_BATCH_ROWS = 65_536
_BATCH_BYTES = 16 << 20

_LOOK_UP = """
select command_id, platform, command_line
from given join read_parquet($parts, hive_partitioning = false) using (command_id)
order by place
"""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of distinct lines."""

    path: Path
    rows: int


@dataclass(frozen=True, slots=True)
class Parts:
    """A folder of parts, and what the day held besides.

    Attributes:
        folder: where they lie.
        files: the largest first, so that threads that take one after the other end at about the same time.
        events: process events behind the lines.
        set_aside: SET_ASIDE, what could not be processed.
    """

    folder: Path
    files: tuple[Part, ...]
    events: int
    set_aside: pa.Table

    @property
    def rows(self) -> int:
        """The number of distinct lines."""
        return sum(part.rows for part in self.files)

    @classmethod
    def of_folder(cls, folder: Path, *, events: int, set_aside: pa.Table) -> Parts:
        """The Parquet files that were just written into a folder; those without rows are removed."""
        files = []
        for path in sorted(folder.glob("*.parquet")):
            rows = pq.read_metadata(path).num_rows
            if rows:
                files.append(Part(path, rows))
            else:
                path.unlink()
        return cls(folder, tuple(sorted(files, key=lambda part: (-part.rows, part.path.name))), events, set_aside)

    def save(self) -> None:
        """Write the manifest, by which `load` knows that the parts are whole."""
        content = {
            "events": self.events,
            "parts": [[part.path.name, part.rows, part.path.stat().st_size] for part in self.files],
            "set_aside": self.set_aside.to_pylist(),
        }
        (self.folder / _MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Parts | None:
        """What `save` described; None if it is not there, or a part is missing or has another size."""
        try:
            content = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            files = []
            for name, rows, size in content["parts"]:
                if (folder / name).stat().st_size != size:
                    return None
                files.append(Part(folder / name, int(rows)))
            set_aside = pa.Table.from_pylist(content["set_aside"], schema=SET_ASIDE)
            return cls(folder, tuple(files), int(content["events"]), set_aside)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None

    def lines_by_id(self, ids: pa.Array | pa.ChunkedArray) -> pa.Table:
        """`command_id, platform, command_line`, one row per id given and in their order; one pass over the ids.

        Raises:
            StoreError: an id is in no part.
        """
        schema = pa.schema([DISTINCT.field(name) for name in ("command_id", "platform", "command_line")])
        if not len(ids):
            return schema.empty_table()
        given = pa.table({"command_id": ids, "place": pa.array(range(len(ids)), pa.int64())})
        with _translated(self.folder), duckdb.connect() as connection:
            connection.register("given", given)
            paths = [literal(part.path) for part in self.files]
            table = connection.sql(_LOOK_UP, params={"parts": paths}).to_arrow_table().cast(schema)
        if table.num_rows != len(ids):
            raise StoreError(f"{len(ids) - table.num_rows} command_ids are in no part", file=self.folder)
        return table


def part_batches(
    part: Path, columns: Sequence[str] | None = None, *, max_rows: int = _BATCH_ROWS, max_bytes: int = _BATCH_BYTES
) -> Iterator[pa.RecordBatch]:
    """The part's rows in batches of at most `max_rows` rows, and at most `max_bytes` of text unless one row is longer.

    Raises:
        StoreError: the file is damaged.
    """
    try:
        with pq.ParquetFile(part) as file:
            names = DISTINCT.names if columns is None else list(columns)
            schema = pa.schema([DISTINCT.field(name) for name in names])
            for index in range(file.num_row_groups):  # or a batch would reach over many short ones of long lines
                for batch in file.iter_batches(max_rows, row_groups=[index], columns=names, use_threads=False):
                    # The database declares a column with or without nulls as it sees fit.
                    same = pa.RecordBatch.from_arrays(batch.select(names).columns, schema=schema)
                    yield from _cut(same, max_bytes)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(
            f"a part can't be read ({str(error).splitlines()[0]})",
            remedy="Remove the work folder and run it again",
            file=part,
        ) from error


def _cut(batch: pa.RecordBatch, max_bytes: int) -> Iterator[pa.RecordBatch]:
    if batch.nbytes <= max_bytes or "command_line" not in batch.schema.names:
        yield batch
        return
    lines = batch.column("command_line")
    offsets = np.frombuffer(lines.buffers()[1], np.int32)[lines.offset : lines.offset + len(lines) + 1]
    at = 0
    while at < batch.num_rows:
        end = int(np.searchsorted(offsets, int(offsets[at]) + max_bytes, side="right")) - 1
        end = min(max(end, at + 1), batch.num_rows)
        yield batch.slice(at, end - at)
        at = end


def literal(path: Path) -> str:
    """The path with DuckDB's glob characters escaped: a folder may be called `a[1]`."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in str(path))
