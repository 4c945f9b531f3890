"""`cmdclf label export-batch` and `import-batch`: labels by files, also where no network reaches."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._label_lines import lines_of, opened_store, pending_lines, show_report
from cmdclf.cli._label_server import add_model, add_prices, add_prompt
from cmdclf.cli._messages import say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.labels.batch import BatchJudge
    from cmdclf.store import Store

__all__ = ["add_actions", "not_out"]


def add_actions(actions: Any) -> None:
    """Declare the two actions."""
    puts = actions.add_parser("export-batch", help="lines without a verdict as batch files, ready for a provider")
    gets = actions.add_parser("import-batch", help="result and error files of a batch into the ledger")
    puts.set_defaults(act=_export)
    gets.set_defaults(act=_take_in)
    for sub in (puts, gets):
        sub.add_argument("--store", type=Path, required=True, metavar="FILE", help="the study's store (DuckDB)")
        sub.add_argument(
            "--lines", type=Path, metavar="FILE", help="Parquet or JSON lines with command_line and platform; without"
            " it the store's own lines",
        )  # fmt: skip
        add_prompt(sub)
        add_model(sub)
    puts.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the parts")
    puts.add_argument("--limit", type=int, metavar="N", help="the first N of these lines only")
    puts.add_argument("--part-lines", type=int, default=50_000, metavar="N", help="most requests per file (50000)")
    puts.add_argument(
        "--part-mb", type=float, default=190.0, metavar="MB", help="most megabytes per file (190; providers take 200)"
    )
    puts.add_argument(
        "--form", choices=("json_schema", "json_object", "text"), default="json_schema",
        help="how the answer's form is asked for, for servers that don't know a schema",
    )  # fmt: skip
    puts.add_argument("--max-tokens", type=int, default=4000, metavar="N", help="bound for one answer (4000)")
    puts.add_argument("--again", action="store_true", help="also lines that are out in another batch already")
    gets.add_argument("files", type=Path, nargs="+", metavar="FILE", help="result and error files, in any order")
    add_prices(gets)
    gets.add_argument("--no-guard", action="store_true", help="let benign verdicts stand whatever the guard says")
    gets.add_argument(
        "--unasked", action="store_true", help="also answers about known lines that no batch of this store asked about"
    )
    gets.add_argument(
        "--rejects", type=Path, metavar="FILE", help="where rows go that were not taken (FIRST-FILE.rejects.jsonl)"
    )


def not_out(
    store: Store, lines: pa.Table, model: str, prompt_sha256: str, *, again: bool, but_batch: str = ""
) -> pa.Table:
    """The lines without those that are out in a batch under this model and prompt; says how many those are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from cmdclf.labels.asked import AskedLines

    journal = AskedLines.of(store)
    out = {} if again else journal.out(model=model, prompt_sha256=prompt_sha256, but_batch=but_batch)
    if journal.damaged:
        say(f"cmdclf label: {journal.path}: {journal.damaged:,} rows can't be read", file=sys.stderr)
    if not out:
        return lines
    waits = pc.is_in(lines["command_id"], value_set=pa.array(list(out), pa.string()))
    if count := pc.sum(waits).as_py() or 0:
        where = ", ".join(sorted(set(out.values()))[:3])
        say(f"{count:,} lines are out in a batch ({where}) and not asked about again; --again asks nevertheless.")
    return lines.filter(pc.invert(waits))


def _export(args: argparse.Namespace) -> int:
    """Write the lines that neither this model under this prompt nor, without --lines, anyone has answered."""
    import pyarrow.compute as pc

    from cmdclf.labels.asked import AskedLines
    from cmdclf.labels.batch import BatchJudge
    from cmdclf.labels.batch_export import write_batch
    from cmdclf.labels.labeller import judge_verdicts
    from cmdclf.labels.openai_judge import chosen_model
    from cmdclf.labels.prompt import Prompt
    from cmdclf.labels.requests import requests_for

    prompt, model, batch = Prompt(args.prompt), chosen_model(args.model), str(args.out.resolve())
    with opened_store(args.store, needed=args.lines is None) as store:
        lines = pending_lines(store) if args.lines is None else lines_of(args.lines)
        answered = judge_verdicts(store, BatchJudge([], model, prompt), None)["command_id"].combine_chunks()
        todo = lines.filter(pc.invert(pc.is_in(lines["command_id"], value_set=answered)))
        todo = not_out(store, todo, model, prompt.sha256, again=args.again, but_batch=batch)
        if args.limit is not None:
            todo = todo.slice(0, max(args.limit, 0))
        if todo.num_rows == 0:
            say("No line waits for a verdict.")
            return 0
        ids = pc.unique(todo["command_id"]).to_pylist()

        def chunks() -> Any:
            seen: set[str] = set()
            for start in range(0, todo.num_rows, 1024):
                for request in requests_for(todo.slice(start, 1024)):
                    if request.command_id not in seen:
                        seen.add(request.command_id)
                        yield request
            # Before the manifest makes the export complete: a line that may be answered must be known to be out.
            AskedLines.of(store).add(ids, batch=batch, model=model, prompt_sha256=prompt.sha256)

        made = write_batch(
            chunks(), args.out, prompt, model, api=args.api, form=args.form, effort=args.effort,
            max_completion_tokens=args.max_tokens, part_lines=args.part_lines,
            part_bytes=round(args.part_mb * 1_000_000),
        )  # fmt: skip
    say(f"{made.requests:,} requests in {len(made.files)} files under {args.out}; secrets are redacted")
    say(f"Have them answered, then: cmdclf label import-batch --store {args.store} --model {model} RESULTS.jsonl")
    return 0


def _take_in(args: argparse.Namespace) -> int:
    """Put the results into the ledger, guarded as any judge's; what was not taken goes to the file of rejects."""
    from cmdclf.labels._rejects import Rejects
    from cmdclf.labels.batch import BatchJudge
    from cmdclf.labels.openai_judge import chosen_model
    from cmdclf.labels.prompt import Prompt

    model, prompt = chosen_model(args.model), Prompt(args.prompt)
    rejects = Rejects(args.rejects or args.files[0].with_name(args.files[0].name + ".rejects.jsonl"))
    with opened_store(args.store, needed=args.lines is None) as store:
        try:
            judge = BatchJudge(
                args.files, model, prompt, args.effort, usd_per_million_in=args.price_in,
                usd_per_million_out=args.price_out, rejects=rejects,
            )  # fmt: skip
            _label(store, judge, args)
        finally:
            rejects.close()
    if judge.repeated:
        say(f"{judge.repeated:,} rows repeated an answer")
    for reason, count in rejects.counts.most_common():
        say(f"  {count:,} x not taken: {reason}", file=sys.stderr)
    if len(rejects):
        say(f"  they are in {rejects.path}", file=sys.stderr)
    return 0


def _label(store: Store, judge: BatchJudge, args: argparse.Namespace) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    from cmdclf.labels import label_lines
    from cmdclf.labels.asked import AskedLines
    from cmdclf.labels.labeller import judge_verdicts

    journal = AskedLines.of(store)
    asked = None if args.unasked else journal.ever(prompt_sha256=judge.prompt_sha256)
    if asked is not None:
        judge.refuse_unknown(asked, "about a line that was never asked (--unasked takes it)")
    ids = pa.array(judge.command_ids, pa.string())
    lines = store.known_lines(ids) if args.lines is None else lines_of(args.lines)
    lines = lines.filter(pc.is_in(lines["command_id"], value_set=ids))
    judge.refuse_unknown(lines["command_id"].to_pylist())
    known = judge_verdicts(store, judge, ids)
    # A veto only ever turns benign into unsure.
    given = pc.if_else(pc.is_valid(known["vetoed_by"]), "benign", known["verdict"])
    judge.refuse_contradictions(dict(zip(known["command_id"].to_pylist(), given.to_pylist(), strict=True)))
    lines = lines.filter(pc.is_in(lines["command_id"], value_set=pa.array(judge.command_ids, pa.string())))
    if lines.num_rows:
        report = label_lines(store, judge, lines, progress=True, guard=not args.no_guard)
        show_report(report, f"{judge.name} ({judge.model})")
    else:
        say("No result is about a line that is known here.")
    journal.back([*judge.command_ids, *sorted(judge.failed)], prompt_sha256=judge.prompt_sha256)
