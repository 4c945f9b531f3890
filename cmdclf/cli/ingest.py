"""`cmdclf ingest`: any supported log -> lake."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli._messages import printable
from cmdclf.errors import CmdclfError, TelemetryError

if TYPE_CHECKING:
    from cmdclf.telemetry import IngestReport

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="logs, or folders of logs")
    parser.add_argument("--lake", required=True, type=Path, metavar="DIR", help="the lake to put them into")
    parser.add_argument(
        "--format", default="auto", help="auto, parquet, csv, jsonl or windows_event; text formats also as .gz and .zip"
    )
    parser.add_argument(
        "--map", action="append", default=[], metavar="OURS=THEIRS",
        help="where a column is found, for instance command_line=proc.cmd (dotted where nested); may be repeated; "
        "an empty name switches a column off",
    )  # fmt: skip
    parser.add_argument("--platform", help="windows, linux or macos: the platform of all records")
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="the UTC day of records without a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts as JSON too")
    parser.epilog = (
        "Each record is written, skipped with a reason, or quarantined in DIR/quarantine. A file whose content is in "
        "the lake already is replaced, so that nothing is counted twice. Exit code 2 if a file couldn't be read."
    )


def run(args: argparse.Namespace) -> int:
    """Ingest the files and print one row of counts for each."""
    from cmdclf.progress import Progress
    from cmdclf.telemetry import Lake, ReadOptions, ingest_file, log_files
    from cmdclf.telemetry.readers import get_reader

    options = ReadOptions(columns=_mapping(args.map), platform=args.platform, day=_day(args.day))
    if args.format != "auto":
        get_reader(args.format)
    lake = Lake(args.lake)
    files = list(log_files(args.files, lake=lake))
    if not files:
        raise TelemetryError("there is no file in the folders named", file=args.files[0])
    reports: list[IngestReport] = []
    faults: list[TelemetryError] = []
    with Progress("ingest", len(files), unit="files") as progress:
        for path in files:
            try:
                reports.append(ingest_file(path, lake, format=args.format, options=options))
            except TelemetryError as error:
                faults.append(error)
            except OSError as error:
                print(_table(reports) if reports else "nothing was ingested")
                if error.errno is None or error.filename is not None:
                    raise
                raise OSError(error.errno, error.strerror, str(args.lake)) from error
            progress.update()
    if reports:
        print(_table(reports))
    if args.json is not None:
        content = {"files": [_as_json(r) for r in reports], "unreadable": [str(f) for f in faults]}
        args.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    for fault in faults:
        print(f"cmdclf ingest: {printable(str(fault))}", file=sys.stderr)
    return 2 if faults else 0


def _mapping(pairs: list[str]) -> dict[str, str]:
    mapping = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals:
            raise CmdclfError(f"--map {pair!r} has no '='", remedy="Write --map command_line=COLUMN")
        mapping[ours.strip()] = theirs.strip()
    return mapping


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CmdclfError(f"--day {text!r} is not a day", remedy="Write it as YYYY-MM-DD") from None


def _table(reports: list[IngestReport]) -> str:
    header = ("file", "format", "read", "written", "skipped", "quarantined", "days")
    rows: list[tuple[str, ...]] = [
        (
            printable(Path(r.file).name), r.format, f"{r.read:,}", f"{r.written:,}", f"{sum(r.skipped.values()):,}",
            f"{r.quarantined:,}", _days(r) + (" (replaced)" if r.replaced else ""),
        )
        for r in reports
    ]  # fmt: skip
    totals = [
        sum(v)
        for v in zip(*((r.read, r.written, sum(r.skipped.values()), r.quarantined) for r in reports), strict=True)
    ]
    rows.append((f"{len(reports)} files", "", *(f"{t:,}" for t in totals), ""))
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for number, row in enumerate((header, *rows)):
        cells = [c.rjust(w) if 2 <= i <= 5 else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
        if 0 < number <= len(reports):
            lines.extend(_reasons(reports[number - 1]))
    return "\n".join(lines)


def _reasons(report: IngestReport) -> list[str]:
    named = [("skipped", report.skipped), ("quarantined", report.quarantine_reasons)]
    return [
        f"    {what} {count:,}: {printable(reason)}" for what, reasons in named for reason, count in reasons.items()
    ]


def _days(report: IngestReport) -> str:
    days = list(report.days)
    if not days:
        return "-"
    return str(days[0]) if len(days) == 1 else f"{len(days)}: {days[0]} to {days[-1]}"


def _as_json(report: IngestReport) -> dict[str, object]:
    return {
        "file": report.file, "format": report.format, "read": report.read, "written": report.written,
        "skipped": report.skipped, "quarantined": report.quarantined, "quarantine_reasons": report.quarantine_reasons,
        "days": {str(day): count for day, count in report.days.items()}, "replaced": report.replaced,
    }  # fmt: skip
