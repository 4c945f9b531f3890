"""`cmdclf prove`: the study with its controls, over rotations of held-out sources, and its document."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from cmdclf.cli._messages import say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "--pool", nargs="+", required=True, type=Path, metavar="FILE", help="labelled Parquet: command_line, platform, "
        "label, source; malicious and benign",
    )  # fmt: skip
    parser.add_argument(
        "--verdicts", nargs="+", type=Path, default=[], metavar="FILE",
        help="recorded verdicts: process_command_line and platform, or command_id; verdict",
    )  # fmt: skip
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="months, arms, results.json, RESULTS.md")
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the document there (default: in --out)")
    parser.add_argument(
        "--quick", action="store_true",
        help="a small proof in minutes: fewer rotations, days, lines to ask about; no arms that know the lexicon",
    )  # fmt: skip
    parser.add_argument("--rotations", type=int, metavar="N", help="parts of the sources held out in turn; default 5")
    parser.add_argument("--train-days", type=int, metavar="N", help="default 28")
    parser.add_argument("--test-days", type=int, metavar="N", help="default 21")
    parser.add_argument("--per-day", type=int, metavar="N", help="events of each day; default 20000")
    parser.add_argument("--budget", type=int, metavar="N", help="lines that each arm may ask about; default 1000")
    parser.add_argument("--seed", type=int, metavar="N")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Run or resume the proof; print where it lies and what it says."""
    from cmdclf.proof import ProofSettings, prove, write_document
    from cmdclf.proof.claims import claims

    settings = ProofSettings(tuple(args.pool), tuple(args.verdicts))
    if args.quick:
        settings = dataclasses.replace(
            settings, rotations=2, train_days=5, test_days=3, per_day=3000, top_k=100, sample=600, reduced_top_k=40,
            budget=150, budgets=(50,), noises=(0.0,), shares=(), varied=0, any_length=False, lexicon_lines=0,
            bootstrap=100,
        )  # fmt: skip
    given = {k: getattr(args, k) for k in ("rotations", "train_days", "test_days", "per_day", "budget", "seed")}
    settings = dataclasses.replace(settings, **{k: v for k, v in given.items() if v is not None})
    results = prove(settings, args.out, progress=not args.quiet)
    parts = ["cmdclf prove --pool", *(p.name for p in args.pool)]
    parts += ["--verdicts", *(p.name for p in args.verdicts)] if args.verdicts else []
    parts += ["--quick"] if args.quick else []
    parts += [f"--{key.replace('_', '-')} {value}" for key, value in given.items() if value is not None]
    command = " ".join([*parts, "--out DIR"])
    path = write_document(results, args.document or args.out / "RESULTS.md", command=command)
    for text in claims(results):
        say("- " + text.replace("**", ""))
    say(f"\n{args.out / 'results.json'}\n{path}")
    return 0
