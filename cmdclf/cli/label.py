"""`cmdclf label`: the ledger's work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli import _label_audit, _label_batch, _label_ledger, _label_review
from cmdclf.cli._messages import say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.labels import Judge, LabelReport
    from cmdclf.store import Store

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    status = actions.add_parser("status", help="how many lines have which verdict by whom, and what that cost")
    asks = actions.add_parser("run", help="put lines to a judge; goes on where it stopped, asks no line twice")
    takes = actions.add_parser("import", help="recorded verdicts into the ledger")
    gives = actions.add_parser("export", help="the latest verdict of each line to a file")
    puts = actions.add_parser("export-batch", help="lines without a verdict as batch files, ready for a provider")
    gets = actions.add_parser("import-batch", help="result and error files of a batch into the ledger")
    audits = actions.add_parser("audit", help="how far verdicts can be trusted: against the truth, with exact bounds")
    _label_audit.add_arguments(audits)
    _label_review.add_actions(actions)
    _label_ledger.add_actions(actions)
    for sub in (status, asks, takes, gives, puts, gets):
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
    server.add_argument("--model", help="which model; required")
    server.add_argument("--base-url", metavar="URL", help="for instance http://127.0.0.1:8000/v1; OpenAI's without it")
    server.add_argument("--effort", help="reasoning effort, for models that know it")
    server.add_argument("--prompt", type=Path, metavar="FILE", help="other instructions than the bundled ones")
    server.add_argument("--budget", type=float, metavar="USD", help="the most that this run may cost; needs the prices")
    server.add_argument("--price-in", type=float, default=0.0, metavar="USD", help="per million prompt tokens")
    server.add_argument("--price-out", type=float, default=0.0, metavar="USD", help="per million completion tokens")
    server.add_argument("--concurrency", type=int, default=8, metavar="N", help="requests at the same time (8)")
    server.add_argument("--retries", type=int, default=5, metavar="N", help="further attempts per line (5)")
    server.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds for one attempt (120)")
    known = asks.add_argument_group("judge recorded")
    known.add_argument("--recorded", type=Path, metavar="FILE", help="Parquet or JSON lines with verdicts")
    for group in (known, takes):
        group.add_argument("--column", help="the file's column that holds the command lines")
        group.add_argument("--name", help="who gave the verdicts; the file's name without it")
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

    _label_ledger.add_arguments(takes, gives)
    _label_batch.add_arguments(puts, gets)


def run(args: argparse.Namespace) -> int:
    """Do one action on the ledger."""
    from cmdclf.errors import StoreError
    from cmdclf.store import Store

    if args.action == "audit":
        return _label_audit.run(args, _lines)
    if args.action == "review":
        return _label_review.run(args, _lines)
    if args.action in _label_ledger.ACTIONS:
        return _label_ledger.run(args, _show)
    judge = _judge(args) if args.action == "run" else None
    # Without a file of lines, all that `run` could ask about stands in the store.
    needed = args.action == "status" or ("lines" in args and args.lines is None)
    if needed and not args.store.is_file():
        raise StoreError("there is no such store", file=args.store, remedy="Check the path, or run a study first")
    with Store.open(args.store) as store:
        if judge is not None:
            return _run(store, judge, args)
        if args.action == "export-batch":
            lines = _pending(store) if args.lines is None else _lines(args.lines)
            return _label_batch.export(store, lines, args)
        if args.action == "import-batch":
            return _label_batch.take_in(
                store, None if args.lines is None else _lines(args.lines), Store.known_lines, _show, args
            )
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
    pending = _pending(store).num_rows
    say(f"{pending:,} representatives of anomalies have no verdict yet.")
    return 0


def _run(store: Store, judge: Judge, args: argparse.Namespace) -> int:
    from cmdclf.labels import label_lines

    lines = _pending(store) if args.lines is None else _lines(args.lines)
    if args.limit is not None:
        lines = lines.slice(0, max(args.limit, 0))
    if lines.num_rows == 0:
        say("No line waits for a verdict.")
        return 0
    report = label_lines(store, judge, lines, progress=True, guard=not args.no_guard)
    _show(report, judge.name)
    return 2 if report.stopped and report.stopped != "cost ceiling reached" else 0


def _judge(args: argparse.Namespace) -> Judge:
    from cmdclf.errors import JudgeError
    from cmdclf.labels import OpenAIJudge, RecordedJudge, TruthJudge
    from cmdclf.labels.prompt import Prompt

    if args.judge == "recorded":
        if args.recorded is None:
            raise JudgeError("the recorded judge needs a file", remedy="Give --recorded FILE")
        return RecordedJudge(args.recorded, column=args.column, match=args.match, name=args.name)
    if args.judge == "truth":
        if args.truth is None:
            raise JudgeError("the truth judge needs a labelled pool", remedy="Give --truth FILE.parquet")
        return TruthJudge(args.truth, args.noise, args.seed)
    return OpenAIJudge(
        args.model,
        base_url=args.base_url,
        effort=args.effort,
        prompt=Prompt(args.prompt),
        budget_usd=args.budget,
        usd_per_million_in=args.price_in,
        usd_per_million_out=args.price_out,
        concurrency=args.concurrency,
        max_retries=args.retries,
        timeout_s=args.timeout,
    )


def _lines(path: Path) -> pa.Table:
    """The lines of a file as `label_lines` takes them."""
    from cmdclf.labels.tables import read_table, text_column, with_command_id

    table, file = read_table(path)
    text = text_column(table, None, file)
    if text is not None and "command_id" in table.column_names:
        table = table.drop_columns("command_id")  # the text decides who a line is
    table = with_command_id(table, text, file)
    columns = {"command_id": table["command_id"], "platform": table["platform"], "command_line": table[text]}
    if "parent_command_line" in table.column_names:
        columns["parent_command_line"] = table["parent_command_line"]
    import pyarrow as pa

    return pa.table(columns)


def _pending(store: Store) -> pa.Table:
    """LINES: representatives of all anomalies in the store that nobody has given a verdict on."""
    import pyarrow.compute as pc

    from cmdclf.labels.review import representatives

    ids = representatives(store)
    answered = store.verdicts(ids)["command_id"].combine_chunks()
    return store.lines_by_id(ids.filter(pc.invert(pc.is_in(ids, answered))))


def _show(report: LabelReport, judge: str) -> None:
    say(
        f"{judge}: {report.asked:,} lines, {report.answered:,} answered ({report.new:,} now),"
        f" {report.pending:,} pending;"
        f" {report.benign:,} benign, {report.malicious:,} malicious, {report.unsure:,} unsure"
        f" ({report.vetoed:,} vetoed); {report.cost_usd:.4f} USD"
    )
    for note, count in report.notes.items():
        say(f"  {count:,} x {note}")
    if report.stopped:
        say(f"cmdclf label: stopped early: {report.stopped}; what was answered is kept", file=sys.stderr)
