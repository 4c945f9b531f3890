"""`cmdclf replay`: labelled pools or the lexicon as believable daily telemetry."""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli._arguments import seed
from cmdclf.cli._messages import say
from cmdclf.errors import TelemetryError

if TYPE_CHECKING:
    from cmdclf.lexicon.pools import Pool
    from cmdclf.lexicon.replay import ReplayReport

__all__ = ["add_arguments", "run"]

#: Arguments that are settings of the replay, by the same names.
_SETTINGS = (
    "days",
    "per_day",
    "start",
    "seed",
    "hold_out",
    "rotation",
    "labelled_share",
    "head_templates",
    "zipf",
    "share_top",
    "tail_share",
    "malicious_per_day",
    "distinct",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    pool = parser.add_argument_group("where lines come from")
    given = pool.add_mutually_exclusive_group(required=True)
    given.add_argument("--pool", nargs="+", metavar="FILE", help="labelled Parquet: command_line, platform, label ...")
    given.add_argument("--lexicon", nargs="?", const="", metavar="DIR", help="a lexicon; the bundled one without DIR")
    pool.add_argument("--keep", nargs="+", metavar="SOURCE", help="use these sources only (with --pool)")
    pool.add_argument("--leave-out", nargs="+", default=[], metavar="SOURCE", help="leave these sources out")
    pool.add_argument(
        "--rewrap", action="store_true", help="draw shell wrappers anew, from one pool for both labels (with --pool)"
    )
    shape = parser.add_argument_group("the telemetry")
    shape.add_argument("--lake", required=True, metavar="DIR", help="folder to write; truth goes to DIR.truth.parquet")
    shape.add_argument("--days", type=int, required=True, metavar="N")
    shape.add_argument("--per-day", type=int, required=True, metavar="N", help="events of each day")
    shape.add_argument("--start", type=_date, default=dt.date(2026, 1, 5), metavar="DATE", help="default: 2026-01-05")
    shape.add_argument("--seed", type=seed, default=0)
    shape.add_argument(
        "--head-templates", type=int, default=3000, metavar="N", help="recurring templates; default 3000"
    )
    shape.add_argument("--zipf", type=float, default=1.1, help="exponent of their frequencies; default 1.1")
    shape.add_argument(
        "--share-top",
        type=float,
        default=0.45,
        metavar="SHARE",
        help="share of the distinct lines that the 100 most frequent templates hold; default 0.45",
    )
    shape.add_argument("--tail-share", type=float, default=0.10, metavar="SHARE", help="at most this share occurs once")
    shape.add_argument("--malicious-per-day", type=int, metavar="N", help="default: one event in a thousand")
    shape.add_argument(
        "--distinct", action="store_true", help="every event is another line: a day to measure full scale on"
    )
    shape.add_argument("--overwrite", action="store_true", help="replace another replay in that lake")
    split = parser.add_argument_group("what is kept back")
    split.add_argument(
        "--hold-out",
        type=float,
        default=1 / 3,
        metavar="SHARE",
        help="share of the sources, or of a lexicon's families of twins, never replayed; default 1/3",
    )
    split.add_argument("--rotation", type=int, default=0, metavar="K", help="which of the thirds is held out")
    split.add_argument("--labelled-share", type=float, default=0.5, metavar="SHARE", help="of the malicious groups")
    split.add_argument("--incident", metavar="FILE", help="write the incident test (what is held out) here")
    split.add_argument("--labelled", metavar="FILE", help="write the labelled malicious lines of the baseline here")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no date like 2026-01-05") from None


def run(args: argparse.Namespace) -> int:
    """Write the lake, its truth and the files asked for; print what was made."""
    from cmdclf.lexicon.replay import replay, write_atomically
    from cmdclf.lexicon.split import incident_test, labelled_pool, split_pool

    pool = _pool(args)
    report = replay(
        pool,
        args.lake,
        overwrite=args.overwrite,
        progress=not args.quiet,
        **{name: getattr(args, name) for name in _SETTINGS},
    )
    _report(report, args.lake)
    split = split_pool(
        pool, hold_out=args.hold_out, rotation=args.rotation, labelled_share=args.labelled_share, seed=args.seed
    )
    if args.incident:
        table = incident_test(pool, split, seed=args.seed)
        write_atomically(table, Path(args.incident))
        groups = [g or "malicious" for g in table["benign_group"].to_pylist()]
        counts = ", ".join(f"{groups.count(g):,} {g}" for g in ("malicious", "hard", "complex", "simple"))
        say(f"incident test: {counts} -> {args.incident}")
    if args.labelled:
        table = labelled_pool(pool, split, seed=args.seed)
        write_atomically(table, Path(args.labelled))
        say(f"labelled pool: {len(table):,} malicious lines -> {args.labelled}")
    return 0


def _pool(args: argparse.Namespace) -> Pool:
    from cmdclf.lexicon import Lexicon
    from cmdclf.lexicon.pools import LexiconPool, ParquetPool

    if args.pool is None:
        return LexiconPool(Lexicon.load(args.lexicon or None))
    for file in args.pool:
        if not Path(file).is_file():
            raise TelemetryError("there is no such file", file=file, remedy="Check the path")
    return ParquetPool(args.pool, keep=args.keep, leave_out=args.leave_out, rewrap=args.rewrap, seed=args.seed)


def _report(report: ReplayReport, lake: str) -> None:
    for reason, count in report.dropped.items():
        say(f"left out of the pool: {count:,} rows ({reason})")
    malicious = list(report.malicious.values())
    say(f"events: {report.events:,} on {len(malicious)} days -> {lake}")
    say(f"distinct lines: {report.distinct:,} (truth -> {report.truth})")
    say(f"top {report.top} templates: {report.top_events:.1%} of events, {report.top_distinct:.1%} of distinct lines")
    say(f"tail (drawn once): {report.tail:,} events")
    say(f"malicious events per day: {min(malicious)} to {max(malicious)}, {sum(malicious):,} in all")
    say(f"held out (sources, or families of templates): {len(report.held_out):,}")
    say(f"speed: {report.events / max(report.seconds, 1e-9):,.0f} events/s")
