"""`cmdclf label`: the ledger's work."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli import (
    _label_audit,
    _label_batch,
    _label_ledger,
    _label_loopback,
    _label_prompts,
    _label_review,
    _label_submit,
)
from cmdclf.cli._label_lines import lines_of, pending_lines, show_report
from cmdclf.cli._label_server import add_prompt, add_second, add_server, openai_judge, show_spent, two_judges
from cmdclf.cli._messages import say

if TYPE_CHECKING:
    from cmdclf.labels import Judge
    from cmdclf.store import Store

__all__ = ["add_arguments", "run"]

#: Each declares actions of its own, whose parser's default `act` does them.
_MODULES = (_label_batch, _label_submit, _label_prompts, _label_loopback, _label_review, _label_ledger, _label_audit)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    status = actions.add_parser("status", help="how many lines have which verdict by whom, and what that cost")
    asks = actions.add_parser("run", help="put lines to a judge; goes on where it stopped, asks no line twice")
    for module in _MODULES:
        module.add_actions(actions)
    for sub in (status, asks):
        sub.add_argument("--store", type=Path, required=True, metavar="FILE", help="the study's store (DuckDB)")

    asks.add_argument("--judge", choices=("openai", "recorded", "truth"), default="openai", help="whom to ask")
    asks.add_argument(
        "--lines",
        type=Path,
        metavar="FILE",
        help="Parquet or JSON lines with command_line and platform; without it the representatives of the store's"
        " anomalies that have no verdict yet",
    )
    asks.add_argument("--limit", type=int, metavar="N", help="ask about the first N of these lines only")
    asks.add_argument("--no-guard", action="store_true", help="let benign verdicts stand whatever the guard says")
    server = asks.add_argument_group("judge openai: any server that speaks OpenAI's protocol")
    add_prompt(server)
    add_server(server)
    add_second(server)
    server.add_argument("--again", action="store_true", help="also lines that are out in a batch file")
    known = asks.add_argument_group("judge recorded")
    known.add_argument("--recorded", type=Path, metavar="FILE", help="Parquet or JSON lines with verdicts")
    known.add_argument("--column", help="the file's column that holds the command lines")
    known.add_argument("--name", help="who gave the verdicts; the file's name without it")
    known.add_argument(
        "--match",
        choices=("exact", "masked"),
        default="exact",
        help="masked: also lines that differ in numbers, ids and the like",
    )
    pool = asks.add_argument_group("judge truth: for studies on labelled pools")
    pool.add_argument("--truth", type=Path, metavar="FILE", help="Parquet with command_line, platform, label")
    pool.add_argument("--noise", type=float, default=0.0, metavar="SHARE", help="share of flipped verdicts (0)")
    pool.add_argument("--seed", type=int, default=0, metavar="N", help="which verdicts are flipped (0)")


def run(args: argparse.Namespace) -> int:
    """Do one action on the ledger."""
    from cmdclf.errors import StoreError
    from cmdclf.store import Store

    if "act" in args:
        return int(args.act(args))
    judge = _judge(args) if args.action == "run" else None
    # Without a file of lines, all that `run` could ask about stands in the store.
    needed = args.action == "status" or args.lines is None
    if needed and not args.store.is_file():
        raise StoreError("there is no such store", file=args.store, remedy="Check the path, or run a study first")
    with Store.open(args.store) as store:
        if judge is not None:
            return _run(store, judge, args)
        return _status(store)


def _status(store: Store) -> int:
    counts = store.verdict_counts().to_pylist()
    if not counts:
        say("The ledger is empty.")
        return 0
    width = max(len("judge"), *(len(row["judge"]) for row in counts))
    say(f"{'judge':<{width}}  {'verdict':<9}  {'vetoed':<6}  {'lines':>9}  {'cost USD':>10}")
    for row in counts:
        vetoed = "yes" if row["vetoed"] else ""
        say(f"{row['judge']:<{width}}  {row['verdict']:<9}  {vetoed:<6}  {row['lines']:>9,}  {row['cost_usd']:>10.4f}")
    lines, cost = sum(row["lines"] for row in counts), sum(row["cost_usd"] for row in counts)
    say(f"{'all':<{width}}  {'':<9}  {'':<6}  {lines:>9,}  {cost:>10.4f}")
    pending = pending_lines(store).num_rows
    say(f"{pending:,} representatives of anomalies have no verdict yet.")
    return 0


def _run(store: Store, judge: Judge, args: argparse.Namespace) -> int:
    from cmdclf.labels import OpenAIJudge, label_lines
    from cmdclf.labels.second_judge import TwoJudges

    lines = pending_lines(store) if args.lines is None else lines_of(args.lines)
    if isinstance(judge, OpenAIJudge):
        lines = _label_batch.not_out(store, lines, judge.model, judge.prompt_sha256, again=args.again)
    if args.limit is not None:
        lines = lines.slice(0, max(args.limit, 0))
    if lines.num_rows == 0:
        say("No line waits for a verdict.")
        return 0
    report = label_lines(store, judge, lines, progress=True, guard=not args.no_guard, again=args.again)
    show_report(report, judge.name)
    for asked in judge.judges if isinstance(judge, TwoJudges) else (judge,):
        if isinstance(asked, OpenAIJudge):
            show_spent(asked)
    return 2 if report.stopped and report.stopped != "cost ceiling reached" else 0


def _judge(args: argparse.Namespace) -> Judge:
    from cmdclf.errors import JudgeError
    from cmdclf.labels import RecordedJudge, TruthJudge

    if args.judge == "recorded":
        if args.recorded is None:
            raise JudgeError("the recorded judge needs a file", remedy="Give --recorded FILE")
        return RecordedJudge(args.recorded, column=args.column, match=args.match, name=args.name)
    if args.judge == "truth":
        if args.truth is None:
            raise JudgeError("the truth judge needs a labelled pool", remedy="Give --truth FILE.parquet")
        return TruthJudge(args.truth, args.noise, args.seed)
    return two_judges(args, openai_judge(args, args.prompt))
