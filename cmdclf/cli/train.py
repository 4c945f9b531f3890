"""`cmdclf train`: one arm of a study, fitted, tested and exported, without the others."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from cmdclf.cli._messages import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `cmdclf train`."""
    parser.add_argument("study", metavar="STUDY.toml", help="the study that describes data, labels and model")
    parser.add_argument("--arm", required=True, metavar="NAME", help="for example ab, ab+mined, rb+full")
    parser.add_argument("--out", metavar="DIR", help="store and model (default: STUDY-out beside the file)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Run the study for this arm alone; labels and anomalies in the folder's store are used again."""
    from cmdclf.errors import StudyError
    from cmdclf.study import load_study, run_study
    from cmdclf.study.config import ARMS, BASELINES
    from cmdclf.study.report import arms_table

    baseline, _, arm = args.arm.partition("+")
    arm = arm or "base"
    if baseline not in BASELINES or arm not in ARMS:
        raise StudyError(
            f"there is no arm '{args.arm}'",
            remedy=f"Write a baseline ({', '.join(BASELINES)}), or baseline+arm with one of {', '.join(ARMS[1:])}",
        )
    config = load_study(args.study)
    one = dataclasses.replace(
        config,
        baselines=tuple(b for b in BASELINES if b == baseline),
        arms=tuple(a for a in ARMS if a == arm),
        model=dataclasses.replace(config.model, export=args.arm),
    )
    out = Path(args.out) if args.out else config.file.with_name(f"{config.file.stem}-out")
    part = f"train/{args.arm}"
    results = run_study(one, out, progress=not args.quiet, part=part)
    say(arms_table(results))
    say(f"\n{out / part / 'model'}")
    return 0
