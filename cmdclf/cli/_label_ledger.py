"""`cmdclf label import`, `export`, `history`, `supersede` and `costs`: the ledger itself."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._label_lines import show_report
from cmdclf.cli._messages import printable, say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.labels import RecordedJudge
    from cmdclf.labels.ledger_file import LedgerFile
    from cmdclf.store import Store

__all__ = ["add_actions", "say_aside"]

_FORMATS = (".parquet", ".jsonl", ".ndjson")


def add_actions(actions: Any) -> None:
    """Declare the actions on the ledger, on single verdicts and on what they cost."""
    takes = actions.add_parser("import", help="recorded verdicts into the ledger")
    gives = actions.add_parser("export", help="what stands on each line, or the whole history, to a file")
    tells = actions.add_parser("history", help="all that was ever said of one command line")
    overrides = actions.add_parser("supersede", help="a person overrides the verdict that stands on a line")
    costs = actions.add_parser("costs", help="tokens and money by day and model")
    for sub in (takes, gives, tells, overrides, costs):
        sub.set_defaults(act=_act)
        sub.add_argument("--store", type=Path, required=True, metavar="FILE", help="the study's store (DuckDB)")
    for sub in (tells, overrides):
        sub.add_argument("id", metavar="ID", help="command_id, or its beginning (6 characters or more)")
    for sub in (tells, costs):
        sub.add_argument("--json", type=Path, metavar="FILE", help="write it here too")
    overrides.add_argument("--verdict", required=True, choices=("benign", "malicious", "unsure"), help="what it is")
    overrides.add_argument("--reason", required=True, help="why; kept in the ledger")
    overrides.add_argument("--reviewer", required=True, metavar="NAME", help="who says so; kept in the ledger")
    overrides.add_argument("--technique", default="", metavar="ID", help="ATT&CK technique")
    takes.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="Parquet or JSON lines: verdict, confidence or p_malicious, and command_line with platform, or command_id",
    )
    takes.add_argument("--column", help="the file's column that holds the command lines")
    takes.add_argument("--name", help="who gave the verdicts; the file's name without it")
    takes.add_argument("--rejects", type=Path, metavar="FILE", help="where damaged rows go (FILE.rejects.jsonl)")
    takes.add_argument(
        "--history", action="store_true", help="FILE is an export with its history: take every row as it is, with its"
        " judge, reviewer and time. Only from a ledger that you trust: people's verdicts in it outrank judges'",
    )  # fmt: skip
    gives.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet or .jsonl")
    gives.add_argument("--history", action="store_true", help="every row ever written, not only what stands")


def _act(args: argparse.Namespace) -> int:
    """Do one action on the ledger."""
    from cmdclf.errors import CmdclfError, StoreError
    from cmdclf.store import Store

    if args.action == "export" and args.out.suffix not in _FORMATS:
        raise CmdclfError(
            "the output's format can't be told from its name", file=args.out, remedy="End it in .parquet or .jsonl"
        )
    if args.action != "import" and not args.store.is_file():
        raise StoreError("there is no such store", file=args.store, remedy="Check the path, or run a study first")
    with Store.open(args.store) as store:
        if args.action == "import":
            return _import(store, args)
        return {"export": _export, "history": _history, "supersede": _supersede, "costs": _costs}[args.action](
            store, args
        )


def _import(store: Store, args: argparse.Namespace) -> int:
    from cmdclf.labels import RecordedJudge, label_lines
    from cmdclf.labels.ledger_file import read_ledger_file, unknown_rows

    read = read_ledger_file(args.file, args.column)
    if args.history:
        rows = unknown_rows(read.ledger_rows(), store.verdict_batches())
        store.append_verdicts(rows)
        say(f"{rows.num_rows:,} rows added, {read.rows.num_rows - rows.num_rows:,} were in the ledger already.")
    else:
        judge = RecordedJudge(read.standing(), column=args.column, name=args.name or args.file.stem)
        lines, unknown = _recorded_lines(store, judge)
        show_report(label_lines(store, judge, lines, progress=True), judge.name)
        if unknown:
            say(f"{unknown:,} verdicts left out: the file has no text for them and the store doesn't know them.")
    say_aside(read, args.rejects)
    return 0


def say_aside(read: LedgerFile, rejects: Path | None) -> None:
    """Say which rows of a file were set aside, and write them to a file."""
    if not read.aside:
        return
    path = rejects or read.path.with_name(read.path.name + ".rejects.jsonl")
    with path.open("w", encoding="utf-8") as handle:
        for one in read.aside:
            handle.write(json.dumps(one.record(read.path.name), ensure_ascii=True) + "\n")
    for reason, count in read.reasons().items():
        rows = [str(one.row) for one in read.aside if one.reason == reason and one.row][:5]
        say(
            f"  {count:,} x set aside: {reason} (row {', '.join(rows)}{' ...' if count > len(rows) else ''})",
            file=sys.stderr,
        )
    say(f"  they are in {path}", file=sys.stderr)


def _recorded_lines(store: Store, judge: RecordedJudge) -> tuple[pa.Table, int]:
    """The lines that recorded verdicts are about, from the file or the store, and how many neither knows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    stated = judge.lines
    missing = judge.command_ids
    missing = missing.filter(pc.invert(pc.is_in(missing, stated["command_id"].combine_chunks())))
    if not len(missing):
        return stated, 0
    known = store.known_lines(missing).select(["command_id", "platform", "command_line"])
    return pa.concat_tables([stated, known.cast(stated.schema)]), len(missing) - known.num_rows


def _export(store: Store, args: argparse.Namespace) -> int:
    from cmdclf.labels import standing_verdicts

    batches = store.verdict_batches() if args.history else iter(standing_verdicts(store).to_batches(10_000))
    rows = with_text = 0

    def counted() -> Iterator[pa.Table]:
        nonlocal rows, with_text
        for batch in batches:
            table = _with_text(store, batch)
            rows, with_text = rows + table.num_rows, with_text + table.num_rows - table["command_line"].null_count
            yield table

    _write(counted(), args.out)
    what = "rows" if args.history else "verdicts"
    say(f"{rows:,} {what} written to {args.out}, {with_text:,} of them with their command line.")
    return 0


def _with_text(store: Store, batch: pa.RecordBatch) -> pa.Table:
    """The verdicts with platform and command_line, null where the store doesn't know the line."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.Table.from_batches([batch])
    lines = store.known_lines(table["command_id"]).combine_chunks()
    where = pc.index_in(table["command_id"].combine_chunks(), value_set=lines["command_id"].combine_chunks())
    for place, name in ((2, "platform"), (3, "command_line")):
        table = table.add_column(place, name, pc.take(lines[name], where))
    return table


def _write(tables: Iterator[pa.Table], path: Path) -> None:
    """Write the tables behind each other as Parquet or JSON lines; whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from cmdclf.store import VERDICTS

    schema = pa.schema(
        [*list(VERDICTS)[:2], ("platform", pa.string()), ("command_line", pa.string()), *list(VERDICTS)[2:]]
    )
    part = path.with_name(path.name + ".part")
    try:
        if path.suffix == ".parquet":
            with pq.ParquetWriter(part, schema) as writer:
                for table in tables:
                    writer.write_table(table.cast(schema))
        else:
            with part.open("w", encoding="utf-8") as handle:
                for table in tables:
                    for row in table.to_pylist():
                        handle.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _history(store: Store, args: argparse.Namespace) -> int:
    from cmdclf.labels import standing_verdicts
    from cmdclf.labels.person import full_id

    command_id = full_id(store, args.id)
    rows = store.verdict_history(command_id).to_pylist()
    stands = standing_verdicts(store, [command_id])["seq"][0].as_py()
    line = store.known_lines(_ids(command_id)).to_pylist()
    say(f"{command_id}: {line[0]['platform']}  {printable(line[0]['command_line'])[:2000]}" if line else command_id)
    for row in rows:
        who = " ".join(printable(row[name]) for name in ("judge", "model", "reviewer") if row[name])
        sure = "" if row["confidence"] is None else f" ({row['confidence']:.2f})"
        mark = "  <- stands" if row["seq"] == stands else ""
        say(f"#{row['seq']}  {row['judged_at']:%Y-%m-%d %H:%M:%S}  {row['verdict']}{sure}  {who}{mark}")
        for name in ("supersedes", "vetoed_by", "technique", "reason", "note", "cost_usd"):
            if row[name]:
                say(f"    {name}: {printable(str(row[name]))}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, default=str) + "\n", encoding="utf-8")
    return 0


def _supersede(store: Store, args: argparse.Namespace) -> int:
    from cmdclf.errors import JudgeError
    from cmdclf.labels.person import full_id, record_verdict

    if not args.reason.strip():
        raise JudgeError("a verdict is overridden for a reason", remedy="Give --reason TEXT")
    command_id = full_id(store, args.id)
    rows = record_verdict(
        store, command_id, args.verdict, args.reviewer, reason=args.reason, technique=args.technique
    ).to_pylist()
    row = rows[-1]
    say(f"{command_id}: {row['verdict']} by {row['reviewer']}, row {row['seq']}, supersedes row {row['supersedes']}.")
    if row["note"]:
        say(f"  {printable(row['note'])}")
    return 0


def _costs(store: Store, args: argparse.Namespace) -> int:
    rows = store.verdict_costs().to_pylist()
    if not rows:
        say("The ledger is empty.")
        return 0
    names = [printable(f"{row['judge']} {row['model']}".strip()) for row in rows]
    width = max(len("judge and model"), *map(len, names))
    head = f"{'verdicts':>9}  {'tokens in':>12}  {'tokens out':>12}  {'USD':>10}  {'s each':>7}"
    say(f"{'day (UTC)':<10}  {'judge and model':<{width}}  {head}")
    for name, row in zip(names, rows, strict=True):
        say(_cost_row(str(row["day"]), f"{name:<{width}}", row) + f"  {row['latency_s']:>7.2f}")
    total = {
        key: sum(row[key] for row in rows) for key in ("verdicts", "prompt_tokens", "completion_tokens", "cost_usd")
    }
    say(_cost_row("all", " " * width, total))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1, default=str) + "\n", encoding="utf-8")
    return 0


def _cost_row(day: str, name: str, row: dict[str, Any]) -> str:
    return (
        f"{day:<10}  {name}  {row['verdicts']:>9,}  {row['prompt_tokens']:>12,}  {row['completion_tokens']:>12,}"
        f"  {row['cost_usd']:>10.4f}"
    )


def _ids(command_id: str) -> pa.Array:
    import pyarrow as pa

    return pa.array([command_id], pa.string())
