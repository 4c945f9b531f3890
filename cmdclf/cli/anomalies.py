"""`cmdclf anomalies`: one day's candidates out of a lake."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli._arguments import seed
from cmdclf.cli._candidates import beside, candidate_rows, chosen_day, tell_set_aside
from cmdclf.cli._messages import say
from cmdclf.errors import CmdclfError

if TYPE_CHECKING:
    from cmdclf.detect import DayFound, StreamedDay

__all__ = ["add_arguments", "run"]

_LEAST_MEMORY_MB = 256


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
    parser.add_argument(
        "--work", type=Path, metavar="DIR",
        help="where unfinished work lies, from which the same command goes on after it was stopped; kept if named here "
        "(default: beside the output as FILE.work, removed at the end)",
    )  # fmt: skip
    parser.add_argument(
        "--memory", type=int, default=2048, metavar="MIB",
        help="what sorting out the distinct lines may use before it goes to the disk (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", help="how many cores to use (default: all)")
    parser.add_argument("--seed", type=seed, default=0, help="of the sample and the detectors (default: %(default)s)")
    parser.epilog = (
        "Columns: command_line, platform, detector, score (higher = more anomalous), rank (1 = most anomalous of its "
        "detector), command_id, day. The same lake, day and seed give the same file, whatever the memory and threads. "
        "Damaged files and lines over 1 MiB are set aside, named, and counted in FILE.set-aside.parquet."
    )


def run(args: argparse.Namespace) -> int:
    """Write the day's most anomalous lines and print how many of how many they are."""
    from contextlib import ExitStack
    from tempfile import TemporaryDirectory

    from cmdclf.cli._lines_io import LinesWriter
    from cmdclf.detect import StreamedDay, WorkFolder
    from cmdclf.telemetry import Lake

    least = {"top": 1, "sample": 2, "memory": _LEAST_MEMORY_MB, "threads": 1}
    for name, number in least.items():
        value = getattr(args, name)
        if value is not None and value < number:
            raise CmdclfError(f"--{name} is {value}", remedy=f"Give a number of at least {number}")
    lake = Lake(args.lake)
    day = chosen_day(args.day, lake.days(), args.lake)
    piped = str(args.out) == "-"
    with ExitStack() as stack:
        out = stack.enter_context(LinesWriter(args.out))
        folder = args.work or (
            Path(stack.enter_context(TemporaryDirectory(prefix="cmdclf-"))) if piped else beside(args.out, ".work")
        )
        work = stack.enter_context(WorkFolder(folder))
        streamed = StreamedDay(lake.files(day), work, args.memory, args.threads, progress=True)
        result = _detected(streamed, day, args)
        if args.scale == "reduced" and result.scored < 2:
            if args.work is None:
                work.remove()
            raise CmdclfError(
                f"reduced scale needs at least 2 distinct lines, {day} has {result.scored} in the sample",
                remedy="Choose another day, or --scale full",
            )
        out.write(candidate_rows(result, day))
    if args.work is None and not piped:
        work.remove()
    tell_set_aside("cmdclf anomalies", result.set_aside, None if piped else beside(args.out, ".set-aside.parquet"))
    # The rows themselves may go to standard output.
    say(
        f"{day}: {result.events:,} events, {result.distinct:,} distinct lines, {result.scored:,} scored at "
        f"{args.scale} scale, {result.found.num_rows:,} rows in {args.out}",
        file=sys.stderr if piped else None,
    )
    return 0


def _detected(streamed: StreamedDay, day: date, args: argparse.Namespace) -> DayFound:
    from cmdclf.detect import IsolationForestDetector, published_detectors
    from cmdclf.features import FeatureMaker, load_embedder

    if args.scale == "full":
        return streamed.full_scale(
            args.top, maker=FeatureMaker(), forest=IsolationForestDetector(random_state=args.seed)
        )
    embedder = load_embedder(args.embedder)
    return streamed.reduced_scale(
        args.top,
        day=day,
        sample=args.sample,
        seed=args.seed,
        embed=embedder.embed,
        embedder=embedder.name,
        detectors=published_detectors("reduced", random_state=args.seed),
    )
