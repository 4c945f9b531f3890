"""`cmdclf label review`: the lines that a person should look at, as a list, a file, or one by one in the terminal."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._label_ledger import say_aside
from cmdclf.cli._label_lines import lines_of
from cmdclf.cli._messages import printable, say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.labels.session import ReviewSession
    from cmdclf.store import Store

__all__ = ["add_actions"]

_SHOWN = 4000
_KEYS = {"b": "benign", "m": "malicious", "u": "unsure"}
_HELP = "b benign, m malicious, u unsure (a reason may follow), s skip, z take the last one back, q quit"


def add_actions(actions: Any) -> None:
    """Declare the action."""
    parser = actions.add_parser("review", help="the lines that a person should look at, and verdicts on them")
    parser.set_defaults(act=_review)
    parser.add_argument("--store", type=Path, required=True, metavar="FILE", help="the study's store (DuckDB)")
    parser.add_argument("--lines", type=Path, metavar="FILE", help="texts of lines that the store doesn't hold")
    parser.add_argument(
        "--only", action="append", metavar="REASON", help="for instance audit, suspect, vetoed; repeatable"
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="list the first N (20)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the whole queue to a .parquet or .jsonl file")
    parser.add_argument("--take", action="store_true", help="one line after the other, verdicts from the keyboard")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="verdicts that the reviewer wrote into a file")
    parser.add_argument("--reviewer", metavar="NAME", help="who gives the verdicts; needed with --take and --answers")


def _review(args: argparse.Namespace) -> int:
    """List, export, or take verdicts."""
    from cmdclf.errors import CmdclfError, JudgeError, StoreError
    from cmdclf.labels.person import reviewer_name
    from cmdclf.labels.review import REASONS, answer_sheet
    from cmdclf.labels.session import ReviewSession
    from cmdclf.labels.tables import write_table
    from cmdclf.store import Store

    if not args.store.is_file():
        raise StoreError("there is no such store", file=args.store, remedy="Check the path, or run a study first")
    if args.only and (wrong := [reason for reason in args.only if reason not in REASONS]):
        raise JudgeError(f"'{wrong[0]}' is no reason", remedy=f"Reasons are {', '.join(REASONS)}")
    if args.out is not None and args.out.suffix not in (".parquet", ".jsonl", ".ndjson"):
        raise CmdclfError(
            "the output's format can't be told from its name", file=args.out, remedy="End it in .parquet or .jsonl"
        )
    lines = None if args.lines is None else lines_of(args.lines)
    if args.answers is not None:
        return _answers(args, reviewer_name(args.reviewer or ""), lines)
    reviewer = reviewer_name(args.reviewer or "") if args.take else ""
    with Store.open(args.store) as store:
        queue = _queue(store, args, lines)
    if args.out is not None:
        write_table(answer_sheet(queue), args.out)
        say(
            f"{queue.num_rows:,} lines written to {args.out}, unredacted. Fill in 'verdict', then give it as --answers."
        )
    elif args.take:
        return _take(ReviewSession(args.store, queue, reviewer, lines))
    else:
        _list(queue, max(args.limit, 0))
    return 0


def _queue(store: Store, args: argparse.Namespace, lines: pa.Table | None) -> pa.Table:
    from cmdclf.labels.review import review_queue

    return review_queue(store, lines=lines, only=args.only)


def _list(queue: pa.Table, limit: int) -> None:
    if not queue.num_rows:
        say("No line waits for a person.")
        return
    for row in queue.slice(0, limit).to_pylist():
        said = row["verdict"] or "pending"
        why = ", ".join(row["reasons"])
        place = f"{row['command_id'][:12]}  {row['value']:5.2f}  {said:<9}  {row['platform']:<7}"
        say(f"{place}  [{why}; {row['depends']:,} lines]")
        say(f"    {_cut(row['command_line'], 300)}")
    say(
        f"{queue.num_rows:,} lines wait for a person. Judge them with --take --reviewer NAME, or in the notebook"
        " review.py."
    )


def _answers(args: argparse.Namespace, reviewer: str, lines: pa.Table | None) -> int:
    """The verdicts of a file, each as the reviewer's; rows that are none, or about unknown lines, are set aside."""
    from cmdclf.errors import JudgeError
    from cmdclf.labels.ledger_file import RowAside, read_ledger_file
    from cmdclf.labels.person import record_verdict
    from cmdclf.store import Store

    read = read_ledger_file(args.answers, unanswered=True)
    taken = 0
    with Store.open(args.store) as store:
        for row in read.rows.to_pylist():
            try:
                record_verdict(
                    store, row["command_id"], row["verdict"], reviewer, reason=row.get("reason") or "",
                    technique=row.get("technique") or "", lines=lines,
                )  # fmt: skip
                taken += 1
            except JudgeError as error:
                read.aside.append(RowAside(None, "about a line that is not known here", str(error)))
    say(f"{taken:,} verdicts by {reviewer} recorded.")
    say_aside(read, None)
    return 0


def _take(session: ReviewSession) -> int:
    """One line after the other, until the end or `q`."""
    say(_HELP)
    while session.current is not None:
        _show(session)
        word, _, reason = (_asked() or "q").partition(" ")
        if word == "q":
            break
        if word == "s":
            session.skip()
        elif word == "z":
            say("taken back" if session.undo() else "there is nothing to take back")
        elif word in _KEYS:
            row = session.give(_KEYS[word], reason=reason)
            say(f"{row['verdict']}, row {row['seq']}")
        else:
            say(_HELP)
    say(f"{len(session.given):,} verdicts by {session.reviewer} recorded, {session.left:,} lines wait.")
    return 0


def _asked() -> str:
    """What was typed, `?` for an empty line, nothing at the end of the input."""
    print("> ", end="", flush=True)
    answer = sys.stdin.readline()
    return answer.strip() or ("?" if answer else "")


def _show(session: ReviewSession) -> None:
    """The line at hand with all that helps to judge it; every character of it is harmless to the terminal."""
    import pyarrow as pa

    from cmdclf.labels.guard import guard
    from cmdclf.labels.odd import odd_characters
    from cmdclf.lines import decode_layers

    row = session.current or {}
    why = ", ".join(row["reasons"])
    say()
    say(f"[{session.at + 1} of {len(session.rows)}] {row['platform']}, {row['depends']:,} lines depend on it: {why}")
    say(f"  line     {_cut(row['command_line'], _SHOWN)}")
    for name in odd_characters(row["command_line"]):
        say(f"  odd      {name}")
    for layer in decode_layers(row["command_line"], row["platform"]):
        say(f"  decoded  {layer.kind}: {_cut(layer.text, _SHOWN)}")
    if row["parent_command_line"]:
        say(f"  parent   {_cut(row['parent_command_line'], 500)}")
    for reason in guard(pa.Table.from_pylist([row]))["reasons"][0].as_py():
        say(f"  guard    {printable(reason)}")
    if session.blind:
        say("  said     hidden, since this is an audit")
    elif row["verdict"]:
        who = " ".join(printable(row[name]) for name in ("judge", "model") if row[name])
        sure = "" if row["confidence"] is None else f" ({row['confidence']:.2f})"
        say(f"  said     {row['verdict']}{sure} by {who}: {_cut(row['reason'] or '', 500)}")


def _cut(text: str, most: int) -> str:
    """The text on one line, every invisible or steering character written out, bounded."""
    from cmdclf.study.views.folder import visible

    return printable(visible(text, most, one_line=True))
