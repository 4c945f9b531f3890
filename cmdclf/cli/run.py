"""`cmdclf run`: a study from its study.toml."""

from __future__ import annotations

import argparse
from pathlib import Path

from cmdclf.cli._messages import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `cmdclf run`."""
    parser.add_argument("study", metavar="STUDY.toml", help="the study; paths in it are relative to it")
    parser.add_argument("--out", metavar="DIR", help="store, models and results (default: STUDY-out beside the file)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Run or resume the study and print the arms table."""
    from cmdclf.study import load_study, run_study
    from cmdclf.study.report import arms_table, headline

    config = load_study(args.study)
    out = Path(args.out) if args.out else config.file.with_name(f"{config.file.stem}-out")
    results = run_study(config, out, progress=not args.quiet)
    say(arms_table(results))
    say()
    say(headline(results))
    say(f"\n{out / 'results.json'}\n{out / 'report.html'}\n{out / 'model'}")
    return 0
