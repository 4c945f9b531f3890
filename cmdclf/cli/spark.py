"""`cmdclf spark anomalies`, `features` and `package`: full scale on a Spark cluster."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cmdclf.cli._arguments import seed
from cmdclf.cli._candidates import beside, candidate_rows, chosen_day, tell_set_aside
from cmdclf.cli._messages import say
from cmdclf.errors import CmdclfError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    anomalies = actions.add_parser(
        "anomalies",
        help="what 'cmdclf anomalies' finds at full scale",
        description="Write the day's most anomalous lines: the rows of 'cmdclf anomalies --scale full'.",
        epilog="The same lake, day, K and seed give the same rows as 'cmdclf anomalies', whatever the cluster. "
        "Damaged files and lines over 1 MiB are set aside, named, and counted in FILE.set-aside.parquet.",
    )
    _job_arguments(anomalies)
    anomalies.add_argument("--top", type=int, default=100, metavar="K", help="lines kept (default: %(default)s)")
    anomalies.add_argument("--seed", type=seed, default=0, help="of the detector (default: %(default)s)")
    anomalies.add_argument(
        "--out", required=True, type=Path, metavar="FILE",
        help="file of this machine, not of the cluster: .parquet, .csv or .jsonl by its ending",
    )  # fmt: skip
    features = actions.add_parser(
        "features",
        help="every distinct line of a day with its features",
        description="Write command_id, platform, command_line, events and the features of each distinct line.",
    )
    _job_arguments(features)
    features.add_argument(
        "--out", required=True, metavar="DIR.parquet",
        help="folder or URL that Spark writes into and the executors reach; must not exist",
    )  # fmt: skip
    package = actions.add_parser(
        "package", help="this package as a zip for --py-files", description="Write this package for Spark's executors."
    )
    package.add_argument("--out", required=True, type=Path, metavar="FILE.zip")
    for one in (anomalies, features, package):
        one.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def _job_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lake", required=True, metavar="DIR",
        help="the lake; a folder that the executors find under the same path, or a URL that Spark opens (hdfs, s3a)",
    )  # fmt: skip
    parser.add_argument("--day", metavar="YYYY-MM-DD", help="the day to look at (default: the lake's last)")
    parser.add_argument(
        "--master", metavar="URL",
        help="e.g. local[2], yarn, k8s://HOST (default: what spark-submit or Spark's settings say, else local[*])",
    )  # fmt: skip
    parser.add_argument(
        "--conf", action="append", default=[], metavar="KEY=VALUE", help="a Spark setting; may be given many times"
    )
    parser.add_argument(
        "--partitions", type=int, metavar="N",
        help="into how many the distinct lines are divided (default: by the cores and the size of the files)",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Do the action and print what was made."""
    if args.action == "package":
        from cmdclf.spark import build_package

        path = build_package(args.out)
        say(f"{path}: {path.stat().st_size:,} bytes; libraries are not in it, see docs/spark.md")
        return 0
    for name in ("top", "partitions"):
        value = getattr(args, name, None)
        if value is not None and value < 1:
            raise CmdclfError(f"--{name} is {value}", remedy="Give a number of at least 1")
    return _anomalies(args) if args.action == "anomalies" else _features(args)


def _conf(given: list[str]) -> dict[str, str]:
    conf = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise CmdclfError(f"--conf {pair!r} is no setting", remedy="Write it as KEY=VALUE")
        conf[key] = value
    return conf


def _anomalies(args: argparse.Namespace) -> int:
    from cmdclf.cli._lines_io import LinesWriter
    from cmdclf.spark import SparkDay, lake_days, spark_session

    piped = str(args.out) == "-"
    with LinesWriter(args.out) as out:
        with spark_session(args.master, _conf(args.conf)) as spark:
            day = chosen_day(args.day, lake_days(spark, args.lake), args.lake)
            from cmdclf.detect import IsolationForestDetector
            from cmdclf.features import FeatureMaker

            work = SparkDay(spark, args.lake, day, args.partitions)
            result = work.anomalies(
                args.top, maker=FeatureMaker(), forest=IsolationForestDetector(random_state=args.seed)
            )
        out.write(candidate_rows(result, day))
    tell_set_aside("cmdclf spark", result.set_aside, None if piped else beside(args.out, ".set-aside.parquet"))
    say(
        f"{day}: {result.events:,} events, {result.distinct:,} distinct lines, {result.scored:,} scored at "
        f"full scale, {result.found.num_rows:,} rows in {args.out}",
        file=sys.stderr if piped else None,
    )
    return 0


def _features(args: argparse.Namespace) -> int:
    from cmdclf.features import FeatureMaker
    from cmdclf.spark import SparkDay, lake_days, spark_session

    with spark_session(args.master, _conf(args.conf)) as spark:
        day = chosen_day(args.day, lake_days(spark, args.lake), args.lake)
        maker = FeatureMaker()
        lines, aside = SparkDay(spark, args.lake, day, args.partitions).features(args.out, maker=maker)
    tell_set_aside("cmdclf spark", aside, None)
    say(f"{day}: {lines:,} distinct lines with {len(maker.feature_names)} features each in {args.out}")
    return 0
