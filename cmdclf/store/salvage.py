"""Lake files that are damaged or hold monstrous lines: what can be read of them, and what is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.telemetry import MAX_LINE_BYTES

__all__ = [
    "EVENT_COLUMNS",
    "MAX_PLATFORM_BYTES",
    "NO_LINE",
    "TOO_LONG",
    "SetAside",
    "checked_footer",
    "file_batches",
    "salvage",
    "usable_rows",
]

#: What is read of a process event here.
EVENT_COLUMNS = ("platform", "command_line", "count")
MAX_PLATFORM_BYTES = 256

NO_LINE = "no command line, or no platform of at most 256 bytes"
TOO_LONG = "a command line longer than 1 MiB"

#: A reader decodes 2,048 rows at once. Where the text of a row group is larger than this, and its rows are long on
#: average, so many rows might not fit into the memory: such files are first copied without their longest lines.
_LARGE_GROUP_BYTES = 128 << 20
_LONG_ROW_BYTES = 1024
_COPY_ROWS = 512
_COPY_BYTES = 64 << 20

_COPIED = pa.schema([("platform", pa.string()), ("command_line", pa.string()), ("count", pa.int64())])


@dataclass(frozen=True, slots=True)
class SetAside:
    """Rows of a file that were not processed; `rows` is None where nobody can say how many there were."""

    file: str
    reason: str
    rows: int | None


def checked_footer(file: Path) -> tuple[int, bool, str]:
    """Rows that the file declares, whether it must be copied before use, and why it can't be used at all, or ""."""
    try:
        with pq.ParquetFile(file) as parquet:
            schema, metadata = parquet.schema_arrow, parquet.metadata
    except (pa.ArrowException, OSError) as error:
        return 0, False, f"not a whole Parquet file ({_first_line(error)})"
    for name in EVENT_COLUMNS:
        if name not in schema.names:
            return metadata.num_rows, False, f"no process events: the column '{name}' is missing"
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_integer(kind) if name == "count" else _is_text(kind)):
            return metadata.num_rows, False, f"no process events: the column '{name}' is of type {kind}"
    return metadata.num_rows, _has_large_group(metadata), ""


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _has_large_group(metadata: pq.FileMetaData) -> bool:
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        for number in range(group.num_columns):
            column = group.column(number)
            size = column.total_uncompressed_size
            if (
                column.path_in_schema == "command_line"
                and size > _LARGE_GROUP_BYTES
                and size > _LONG_ROW_BYTES * group.num_rows
            ):
                return True
    return False


def salvage(file: Path, into: Path) -> list[SetAside]:
    """Copy what can be read of a file into a new one, in bounded memory; returns what can't.

    A row group is read to its first damaged page; its rows from there on are lost, the next row group is read again.
    """
    lost: dict[str, int] = {}
    with pq.ParquetFile(file, memory_map=False) as parquet, pq.ParquetWriter(into, _COPIED) as writer:
        for index in range(parquet.num_row_groups):
            metadata = parquet.metadata.row_group(index)
            read = 0
            try:
                for batch in file_batches(parquet, index):
                    kept, long, without = usable_rows(batch)
                    writer.write_table(pa.Table.from_batches([kept]))  # a row group of its own, so of bounded size
                    read += batch.num_rows
                    for reason, rows in ((TOO_LONG, long), (NO_LINE, without)):
                        if rows:
                            lost[reason] = lost.get(reason, 0) + rows
            except (pa.ArrowException, OSError, ValueError) as error:
                reason = f"a damaged page ({_first_line(error)})"
                lost[reason] = lost.get(reason, 0) + metadata.num_rows - read
    return [SetAside(str(file), reason, rows) for reason, rows in lost.items()]


def file_batches(parquet: pq.ParquetFile, index: int) -> Iterator[pa.RecordBatch]:
    """The event columns of a row group in batches of at most 512 rows, fewer where these are long on average."""
    metadata = parquet.metadata.row_group(index)
    size = max(metadata.column(k).total_uncompressed_size for k in range(metadata.num_columns))
    rows = max(1, min(_COPY_ROWS, _COPY_BYTES * metadata.num_rows // max(size, 1)))
    for batch in parquet.iter_batches(rows, row_groups=[index], columns=list(EVENT_COLUMNS), use_threads=False):
        batch.validate(full=True)  # Arrow takes any bytes for UTF-8 that a file declares as text
        yield batch.select(list(EVENT_COLUMNS)).cast(_COPIED)


def usable_rows(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, int, int]:
    """The rows that can be used, and the numbers of those that are too long and of those without line or platform."""
    length = pc.binary_length(batch.column("command_line"))
    named = pc.less_equal(pc.binary_length(batch.column("platform")), MAX_PLATFORM_BYTES)
    complete = pc.and_(length.is_valid(), named.fill_null(False))
    fits = pc.and_(complete, pc.less_equal(length, MAX_LINE_BYTES).fill_null(False))
    kept = batch.filter(fits)
    without = batch.num_rows - (pc.sum(complete).as_py() or 0)
    return kept, batch.num_rows - without - kept.num_rows, without


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
