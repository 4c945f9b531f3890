"""`cmdclf export`: an arm of a finished study as a model folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from cmdclf.cli._messages import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `cmdclf export`."""
    parser.add_argument("study_out", metavar="STUDY_OUT", help="the folder that 'cmdclf run' wrote")
    parser.add_argument("--arm", required=True, metavar="NAME", help="for example ab+mined")
    parser.add_argument("--seed", type=int, metavar="N", help="which seed's model (default: the study's first)")
    parser.add_argument("--to", required=True, metavar="DIR", help="where the model folder goes; must not exist yet")


def run(args: argparse.Namespace) -> int:
    """Verify the arm's model and copy it."""
    from cmdclf.classify import promote_model
    from cmdclf.errors import StudyError

    arms = Path(args.study_out) / "arms"
    have = sorted(p.name for p in arms.glob("*-seed*") if (p / "model").is_dir()) if arms.is_dir() else []
    wanted = [
        n for n in have if n.rpartition("-seed")[0] == args.arm and args.seed in (None, int(n.rpartition("-seed")[2]))
    ]
    if not wanted:
        raise StudyError(
            f"there is no model of the arm '{args.arm}'",
            file=args.study_out,
            remedy=f"Exported arms: {', '.join(have) or 'none; run the study first'}",
        )
    target = Path(args.to)
    if target.exists():
        raise StudyError("the target exists already", file=target, remedy="Name a new folder, or use 'cmdclf promote'")
    source = arms / min(wanted, key=lambda n: int(n.rpartition("-seed")[2])) / "model"
    promote_model(source, target)
    say(str(target))
    return 0
