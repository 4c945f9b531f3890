"""Tables of lines and verdicts as files and Arrow: reading, identity, look-up."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from cmdclf.errors import JudgeError
from cmdclf.telemetry import PLATFORMS, command_ids

__all__ = ["content_sha256", "lookup", "read_table", "text_column", "with_command_id", "write_table"]


def read_table(source: pa.Table | Sequence[dict[str, Any]] | str | Path) -> tuple[pa.Table, Path | None]:
    """The table that `source` is or names, and the file it came from.

    Args:
        source: a table, a list of records, or a Parquet or JSON lines file (told apart by its first bytes).

    Raises:
        JudgeError: the file can't be read as either.
    """
    if isinstance(source, pa.Table):
        return _plain(source), None
    if not isinstance(source, str | Path):
        return _plain(pa.Table.from_pylist(list(source))), None
    path = Path(source)
    try:
        with path.open("rb") as handle:
            head = handle.read(4)
        if not head:
            raise JudgeError("the file is empty", file=path, remedy="It should hold one row per line")
        table = pq.read_table(path) if head == b"PAR1" else pyarrow.json.read_json(path)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise JudgeError(
            f"the file is neither Parquet nor JSON lines ({str(error).splitlines()[0]})",
            file=path,
            remedy="Give one JSON object per line, or a Parquet file",
        ) from error
    except OSError as error:
        raise JudgeError(
            f"the file can't be read ({error.strerror or error})", file=path, remedy="Check the path"
        ) from error
    return _plain(table), path


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet, or as JSON lines where the name ends in `.jsonl`; whole or not at all.

    Raises:
        OSError: the disk is full, the folder is missing, and the like. The file keeps its old content then.
    """
    part = path.with_name(path.name + ".part")
    try:
        if path.suffix in (".jsonl", ".ndjson"):
            with part.open("w", encoding="utf-8") as handle:
                for batch in table.to_batches(max_chunksize=10_000):
                    handle.writelines(
                        json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in batch.to_pylist()
                    )
        else:
            pq.write_table(table, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _plain(table: pa.Table) -> pa.Table:
    """The table with dictionary, large and view strings as plain strings."""
    for index, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if kind != field.type or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            target = pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind
            table = table.set_column(index, field.name, table.column(index).cast(target))
    return table


def text_column(table: pa.Table, wanted: str | None, file: Path | None) -> str | None:
    """The column that holds the command lines: the wanted one, else `command_line`, else `process_command_line`.

    Raises:
        JudgeError: the wanted column isn't there.
    """
    names = [wanted] if wanted else ["command_line", "process_command_line"]
    found = next((name for name in names if name in table.column_names), None)
    if wanted and found is None:
        raise JudgeError(
            f"the column '{wanted}' is missing", file=file, remedy=f"It has: {', '.join(table.column_names)}"
        )
    return found


def with_command_id(table: pa.Table, text: str | None, file: Path | None = None) -> pa.Table:
    """The table with a column `command_id`, computed from platform and text where it has none.

    Raises:
        JudgeError: there is neither a command_id nor platform and text, or one of them is null or strange in some row.
    """
    if "command_id" in table.column_names and table["command_id"].null_count == 0:
        return table.set_column(
            table.schema.get_field_index("command_id"), "command_id", pc.utf8_lower(table["command_id"])
        )
    needed = [name for name in (text, "platform") if name is None or name not in table.column_names]
    if needed:
        raise JudgeError(
            "the lines can't be identified: they need command_id, or command_line and platform",
            file=file,
            remedy=f"It has: {', '.join(table.column_names)}",
        )
    for name in (text, "platform"):
        if not pa.types.is_string(table[name].type):
            raise JudgeError(f"the column '{name}' holds {table[name].type}, not text", file=file)
        if table[name].null_count:
            row = pc.index(pc.is_null(table[name]), True).as_py() + 1
            raise JudgeError(f"the column '{name}' is empty", file=file, row=row, remedy="Drop such rows")
    wrong = pc.index(pc.is_in(table["platform"], pa.array(PLATFORMS)), False).as_py()
    if wrong >= 0:
        raise JudgeError(
            f"'{table['platform'][wrong]}' is no platform",
            file=file,
            row=wrong + 1,
            remedy=f"Platforms are {', '.join(PLATFORMS)}",
        )
    ids = command_ids(table["platform"].combine_chunks(), table[text].combine_chunks())
    if "command_id" in table.column_names:
        return table.set_column(table.schema.get_field_index("command_id"), "command_id", ids)
    return table.append_column("command_id", ids)


def lookup(keys: pa.Array, values: pa.Array, wanted: Sequence[str | None]) -> list[Any]:
    """For each wanted key its value, or None where the key is unknown. `keys` are distinct."""
    where = pc.index_in(pa.array(wanted, pa.string()), value_set=keys)
    return list(values.take(where).to_pylist())


def content_sha256(table: pa.Table) -> str:
    """SHA-256 over a table's rows, whatever their order and however they are cut into chunks; 64 hexadecimal digits."""
    rows = sorted(json.dumps(row, sort_keys=True, default=str) for row in table.to_pylist())
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
