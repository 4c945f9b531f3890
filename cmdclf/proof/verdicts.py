"""Recorded verdicts on a pool's own lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.errors import StudyError
from cmdclf.study.workplace import content_hash, settings_hash
from cmdclf.telemetry import command_ids

__all__ = ["read_verdicts", "verdicts_hash", "verdicts_on"]

_LINES = ("platform", "process_command_line")
_ID = "command_id"


def read_verdicts(file: Path) -> pa.Table:
    """command_id, verdict: the file's verdicts, each line once; of one that occurs twice the last.

    The file has a column `verdict` (benign | malicious | unsure), and beside it `process_command_line` and `platform`,
    or `command_id` alone: their id, where the lines themselves may not be passed on.

    Raises:
        StudyError: the file can't be read, or lacks a column.
    """
    try:
        names = pq.read_schema(file).names
        keys = (_ID,) if _ID in names and not set(_LINES) <= set(names) else _LINES
        missing = [c for c in (*keys, "verdict") if c not in names]
        if missing:
            raise StudyError(
                f"the column '{missing[0]}' is missing",
                file=file,
                remedy=f"Recorded verdicts have the columns {', '.join(_LINES)}, verdict; or {_ID}, verdict",
            )
        table = pq.read_table(file, columns=[*keys, "verdict"])
    except (pa.ArrowInvalid, OSError) as error:
        raise StudyError(f"it is not a readable Parquet file: {error}", file=file, remedy="Write it again") from error
    ids = table[_ID] if keys == (_ID,) else command_ids(*(_text(table[c]) for c in _LINES))
    spoken = pa.table({_ID: ids, "verdict": table["verdict"]}).cast(_SPOKEN)
    return _last_of_each(spoken)


_SPOKEN = pa.schema([(_ID, pa.string()), ("verdict", pa.string())])


def verdicts_on(files: Sequence[Path], platform: pa.StringArray, line: pa.StringArray) -> list[str | None]:
    """(n,) verdicts of these lines, the last file's first; None where there is none.

    Raises:
        StudyError: a file can't be read.
    """
    said = pa.concat_tables([_SPOKEN.empty_table(), *(read_verdicts(file) for file in files)])
    found = dict(zip(said[_ID].to_pylist(), said["verdict"].to_pylist(), strict=True))
    known = pc.fill_null(line, "")
    return [found.get(i) for i in command_ids(platform, known).to_pylist()]


def verdicts_hash(files: Sequence[Path]) -> str:
    """Hash of all that the files say.

    Raises:
        StudyError: a file can't be read.
    """
    return settings_hash([content_hash(read_verdicts(file)) for file in files])


def _text(column: pa.ChunkedArray) -> pa.StringArray:
    return pc.fill_null(column.combine_chunks().cast(pa.string()), "")


def _last_of_each(spoken: pa.Table) -> pa.Table:
    numbered = spoken.append_column("_n", pa.array(range(spoken.num_rows), pa.int64()))
    last = numbered.group_by(_ID, use_threads=False).aggregate([("_n", "max")])["_n_max"]
    return spoken.take(last.sort())
