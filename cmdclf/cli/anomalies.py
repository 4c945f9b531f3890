"""`cmdclf anomalies`: one day's candidates out of a lake."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli._arguments import seed
from cmdclf.cli._messages import say
from cmdclf.errors import CmdclfError, TelemetryError

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.store import Store

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--lake", required=True, type=Path, metavar="DIR", help="the lake that 'cmdclf ingest' wrote")
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="the day to look at (default: the lake's last)")
    parser.add_argument(
        "--scale", choices=("full", "reduced"), default="full",
        help="full: isolation forest on hand-engineered features of every distinct line; "
        "reduced: k-means and PCA on embeddings of a deterministic sample (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--top", type=int, default=100, metavar="K", help="lines per detector (default: %(default)s)")
    parser.add_argument(
        "--sample", type=int, default=10_000, metavar="N", help="distinct lines at reduced scale (default: %(default)s)"
    )
    parser.add_argument(
        "--embedder", default="bundled", metavar="NAME", help="at reduced scale (default: %(default)s); see 'embed'"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="where to: .parquet, .csv or .jsonl by its ending"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the sample and the detectors (default: %(default)s)")
    parser.epilog = (
        "Columns: command_line, platform, detector, score (higher = more anomalous), rank (1 = most anomalous of its "
        "detector), command_id, day. The same lake, day and seed give the same file."
    )


def run(args: argparse.Namespace) -> int:
    """Write the day's most anomalous lines and print how many of how many they are."""
    import tempfile

    from cmdclf.cli._lines_io import LinesWriter
    from cmdclf.store import Store
    from cmdclf.telemetry import Lake

    for name in ("top", "sample"):
        if getattr(args, name) < 1:
            raise CmdclfError(f"--{name} is {getattr(args, name)}", remedy="Give a number of at least 1")
    lake = Lake(args.lake)
    day = _day(args.day, lake.days(), args.lake)
    # A passing store on the disk, not in memory: the day may be larger than that.
    with (
        LinesWriter(args.out) as out,
        tempfile.TemporaryDirectory(prefix="cmdclf-") as folder,
        Store.open(Path(folder) / "day.duckdb") as store,
    ):
        count = store.add_day(day, lake.files(day))
        found, scored = _detected(store, day, count.distinct, args)
        lines = store.lines_by_id(found.column("command_id"))
        out.write(_rows(found, lines, day))
    # The rows themselves may go to standard output.
    say(
        f"{day}: {count.events:,} events, {count.distinct:,} distinct lines, {scored:,} scored at {args.scale} scale, "
        f"{found.num_rows:,} rows in {args.out}",
        file=sys.stderr if str(args.out) == "-" else None,
    )
    return 0


def _day(asked: str | None, days: list[date], lake: Path) -> date:
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


def _detected(store: Store, day: date, distinct: int, args: argparse.Namespace) -> tuple[pa.Table, int]:
    """DETECTED rows, and how many lines were scored."""
    from cmdclf.detect import day_anomalies, published_detectors
    from cmdclf.progress import Progress

    detectors = published_detectors(args.scale, random_state=args.seed)
    if args.scale == "full":
        from cmdclf.features import FeatureMaker

        lines = store.lines([day])
        maker = FeatureMaker().fit(lines)
        with Progress("anomalies", distinct, unit="lines") as progress:
            found = day_anomalies(lines, detectors, maker.matrix, args.top, advance=progress.update)
        return found, distinct
    from cmdclf.features import load_embedder

    embedder = load_embedder(args.embedder)
    sample = store.sample(day, args.sample, seed=args.seed)
    if sample.num_rows < 2:
        raise CmdclfError(
            f"reduced scale needs at least 2 distinct lines, {day} has {sample.num_rows} in the sample",
            remedy="Choose another day, or --scale full",
        )
    batches = sample.to_batches(max_chunksize=8192)
    with Progress("anomalies", sample.num_rows, unit="lines") as progress:
        found = day_anomalies(
            batches,
            detectors,
            lambda batch: embedder.embed(batch.column("command_line")),
            args.top,
            fit_rows=args.sample,
            advance=progress.update,
        )
    return found, sample.num_rows


def _rows(found: pa.Table, lines: pa.Table, day: date) -> pa.RecordBatch:
    import pyarrow as pa

    def one(table: pa.Table, name: str) -> pa.Array:
        return table.column(name).combine_chunks()

    return pa.RecordBatch.from_pydict(
        {
            "command_line": one(lines, "command_line"),
            "platform": one(lines, "platform"),
            "detector": one(found, "detector"),
            "score": one(found, "score"),
            "rank": one(found, "rank"),
            "command_id": one(found, "command_id"),
            "day": pa.repeat(pa.scalar(day, pa.date32()), found.num_rows),
        }
    )
