"""What the verbs that look for a day's candidates say and write alike."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli._messages import say
from cmdclf.errors import CmdclfError, TelemetryError

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.detect import DayFound

__all__ = ["beside", "candidate_rows", "chosen_day", "tell_set_aside"]


def beside(out: Path, ending: str) -> Path:
    """A file beside the output, named after it."""
    return out.with_name(out.name + ending)


def tell_set_aside(verb: str, rows: pa.Table, file: Path | None) -> None:
    """Name on standard error what was not processed, and write it to the file; without any the file is removed."""
    import pyarrow.parquet as pq

    if file is not None:
        file.unlink(missing_ok=True)
    if not rows.num_rows:
        return
    for row in rows.to_pylist():
        count = "an unknown number of rows" if row["rows"] is None else f"{row['rows']:,} rows"
        say(f"{verb}: set aside: {row['file']}: {count}: {row['reason']}", file=sys.stderr)
    if file is not None:
        pq.write_table(rows, file)
        say(f"{verb}: what was set aside is listed in {file}", file=sys.stderr)


def chosen_day(asked: str | None, days: list[date], lake: str | Path) -> date:
    """The day that was asked for, or the lake's last.

    Raises:
        TelemetryError: the lake has no such day, or none at all.
        CmdclfError: it is not written as a day.
    """
    if not days:
        raise TelemetryError(
            "there are no days of process events here",
            file=lake,
            remedy="Fill it with 'cmdclf ingest' or 'cmdclf replay'",
        )
    if asked is None:
        return days[-1]
    try:
        day = date.fromisoformat(asked)
    except ValueError:
        raise CmdclfError(f"--day {asked!r} is not a day", remedy="Write it as YYYY-MM-DD") from None
    if day not in days:
        named = [str(d) for d in days]
        shown = named if len(named) <= 10 else [*named[:3], "...", *named[-3:]]
        raise TelemetryError(f"the lake has no day {day}", file=lake, remedy=f"It has {len(days)}: {', '.join(shown)}")
    return day


def candidate_rows(result: DayFound, day: date) -> pa.RecordBatch:
    """One row per detector and rank, as 'cmdclf anomalies' describes its columns."""
    import pyarrow as pa

    found, lines = result.found, result.lines
    columns = {
        "command_line": lines.column("command_line"),
        "platform": lines.column("platform"),
        "detector": found.column("detector"),
        "score": found.column("score"),
        "rank": found.column("rank"),
        "command_id": found.column("command_id"),
    }
    return pa.RecordBatch.from_pydict(
        {
            **{name: column.combine_chunks() for name, column in columns.items()},
            "day": pa.repeat(pa.scalar(day, pa.date32()), found.num_rows),
        }
    )
