"""Recorded verdicts on a pool's own lines."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import StudyError

__all__ = ["read_verdicts"]

_COLUMNS = ("platform", "process_command_line", "verdict")


def read_verdicts(file: Path) -> dict[tuple[str, str], str]:
    """(platform, process_command_line) -> verdict; of a line that occurs twice the last one.

    Raises:
        StudyError: the file can't be read, or lacks a column.
    """
    try:
        names = pq.read_schema(file).names
        missing = [c for c in _COLUMNS if c not in names]
        if missing:
            raise StudyError(
                f"the column '{missing[0]}' is missing",
                file=file,
                remedy=f"Recorded verdicts have the columns {', '.join(_COLUMNS)}",
            )
        table = pq.read_table(file, columns=list(_COLUMNS))
    except (pa.ArrowInvalid, OSError) as error:
        raise StudyError(f"it is not a readable Parquet file: {error}", file=file, remedy="Write it again") from error
    columns = (table[c].to_pylist() for c in _COLUMNS)
    return {(platform, line): verdict for platform, line, verdict in zip(*columns, strict=True)}
