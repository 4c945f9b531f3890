"""`cmdclf label export-batch` and `import-batch`: labels by files, also where no network reaches."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli._messages import say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.labels import LabelReport
    from cmdclf.store import Store

__all__ = ["add_arguments", "export", "take_in"]


def add_arguments(puts: argparse.ArgumentParser, gets: argparse.ArgumentParser) -> None:
    """Declare the two actions' arguments."""
    for sub in (puts, gets):
        sub.add_argument(
            "--lines", type=Path, metavar="FILE", help="Parquet or JSON lines with command_line and platform; without"
            " it the store's own lines",
        )  # fmt: skip
        sub.add_argument("--prompt", type=Path, metavar="FILE", help="other instructions than the bundled ones")
        sub.add_argument("--effort", default="", help="reasoning effort, for models that know it")
        sub.add_argument("--model", required=True, help="which model is to answer, or has answered")
    puts.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder for the parts")
    puts.add_argument("--limit", type=int, metavar="N", help="the first N of these lines only")
    puts.add_argument("--part-lines", type=int, default=50_000, metavar="N", help="requests per file (50000)")
    gets.add_argument("files", type=Path, nargs="+", metavar="FILE", help="result and error files, in any order")
    gets.add_argument("--price-in", type=float, default=0.0, metavar="USD", help="per million prompt tokens")
    gets.add_argument("--price-out", type=float, default=0.0, metavar="USD", help="per million completion tokens")
    gets.add_argument("--no-guard", action="store_true", help="let benign verdicts stand whatever the guard says")
    gets.add_argument(
        "--rejects", type=Path, metavar="FILE", help="where rows go that were not taken (FIRST-FILE.rejects.jsonl)"
    )


def export(store: Store, lines: pa.Table, args: argparse.Namespace) -> int:
    """Write the lines that neither this model under this prompt nor, without --lines, anyone has answered."""
    import pyarrow.compute as pc

    from cmdclf.labels.batch import BATCH, write_batch
    from cmdclf.labels.prompt import Prompt
    from cmdclf.labels.requests import requests_for

    prompt = Prompt(args.prompt)
    answered = store.verdicts(judge=BATCH, model=args.model, prompt_sha256=prompt.sha256)["command_id"]
    known = pc.is_in(lines["command_id"], value_set=answered.combine_chunks())
    todo = lines.filter(pc.invert(known))
    if args.limit is not None:
        todo = todo.slice(0, max(args.limit, 0))
    if todo.num_rows == 0:
        say("No line waits for a verdict.")
        return 0
    chunks = (todo.slice(start, 1024) for start in range(0, todo.num_rows, 1024))
    requests = (request for chunk in chunks for request in requests_for(chunk))
    made = write_batch(
        requests, args.out, prompt, args.model, effort=args.effort, part_lines=args.part_lines
    )  # fmt: skip
    say(f"{made.requests:,} requests in {len(made.files)} files under {args.out}; secrets are redacted")
    say(f"Have them answered, then: cmdclf label import-batch --store {args.store} --model {args.model} RESULTS.jsonl")
    return 0


def take_in(
    store: Store,
    lines: pa.Table | None,
    known: Callable[[Store, pa.Array], pa.Table],
    show: Callable[[LabelReport, str], None],
    args: argparse.Namespace,
) -> int:
    """Put the results into the ledger, guarded as any judge's; what was not taken goes to the file of rejects."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from cmdclf.labels import label_lines
    from cmdclf.labels.batch import BatchJudge
    from cmdclf.labels.prompt import Prompt

    judge = BatchJudge(
        args.files, args.model, Prompt(args.prompt), args.effort,
        usd_per_million_in=args.price_in, usd_per_million_out=args.price_out,
    )  # fmt: skip
    ids = pa.array(judge.command_ids, pa.string())
    lines = known(store, ids) if lines is None else lines.filter(pc.is_in(lines["command_id"], value_set=ids))
    judge.refuse_unknown(lines["command_id"].to_pylist())
    if lines.num_rows:
        show(label_lines(store, judge, lines, progress=True, guard=not args.no_guard), f"{judge.name} ({judge.model})")
    else:
        say("No result is about a line that is known here.")
    if judge.repeated:
        say(f"{judge.repeated:,} rows repeated an answer")
    if judge.rejects:
        path = args.rejects or args.files[0].with_name(args.files[0].name + ".rejects.jsonl")
        with path.open("w", encoding="utf-8") as handle:
            for reject in judge.rejects:
                row = {"file": reject.file, "row": reject.row, "reason": reject.reason, "text": reject.text}
                handle.write(json.dumps(row, ensure_ascii=True) + "\n")
        for reason, count in judge.reasons().items():
            say(f"  {count:,} x not taken: {reason}", file=sys.stderr)
        say(f"  they are in {path}", file=sys.stderr)
    return 0
