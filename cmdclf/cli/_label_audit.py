"""`cmdclf label audit`: samples and what people found of them, agreement of judges and with the truth, suspects."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli import _label_suspects
from cmdclf.cli._label_lines import lines_of
from cmdclf.cli._messages import printable, say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.labels.audit_sample import AuditResult
    from cmdclf.labels.kappa import JudgePair
    from cmdclf.store import Store

__all__ = ["add_actions"]


def add_actions(actions: Any) -> None:
    """Declare the action."""
    parser = actions.add_parser("audit", help="how far verdicts can be trusted: against the truth, with exact bounds")
    parser.set_defaults(act=_audit)
    parser.add_argument("--store", type=Path, metavar="FILE", help="the study's store (DuckDB)")
    parser.add_argument("--bound", type=float, default=0.995, metavar="P", help="wanted precision of benign (0.995)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument(
        "--sample", type=int, nargs="?", const=0, metavar="N", help="draw N benign verdicts for people to audit"
        " (without N as many as the bound needs); they come first in 'cmdclf label review'",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sample, or of the suspects' folds (0)")
    parser.add_argument("--judge", metavar="NAME", help="draw from this judge's verdicts only")
    parser.add_argument("--lines", type=Path, metavar="FILE", help="texts of lines that the store doesn't hold")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the sample or the suspects to .parquet or .jsonl")
    parser.add_argument("--truth", type=Path, metavar="FILE", help="compare with Parquet of command_id and label")
    parser.add_argument("--recorded", type=Path, metavar="FILE", help="verdicts in a file instead of the store's")
    _label_suspects.add_arguments(parser)


def _audit(args: argparse.Namespace) -> int:
    """Print the audit's figures; with `--json` write them too."""
    from cmdclf.errors import CmdclfError, JudgeError
    from cmdclf.labels.audit import sample_size
    from cmdclf.store import Store

    if not 0 < args.bound < 1:
        raise JudgeError(f"--bound {args.bound} is no share", remedy="Give a number between 0 and 1")
    if args.sample is not None and args.suspects:
        raise JudgeError("a sample and suspects are two steps", remedy="Give --sample or --suspects, not both")
    if args.out is not None and args.out.suffix not in (".parquet", ".jsonl", ".ndjson"):
        raise CmdclfError(
            "the output's format can't be told from its name", file=args.out, remedy="End it in .parquet or .jsonl"
        )
    needed = sample_size(args.bound)
    say(f"{needed:,} audited verdicts, all right, show at 95 % confidence that {args.bound:.1%} are.")
    found: dict[str, Any] = {"bound": args.bound, "needed": needed}
    if args.truth is not None:
        found |= _truth(args)
    if args.store is None and (args.sample is not None or args.suspects):
        raise JudgeError("no store is named", remedy="Give --store FILE")
    if args.store is not None:
        if not args.store.is_file():
            raise JudgeError("no verdicts are named", remedy="Give --store FILE or --recorded FILE", file=args.store)
        lines = None if args.lines is None else lines_of(args.lines)
        with Store.open(args.store) as store:
            if args.sample is not None:
                found["sample"] = _sample(store, args, needed, lines)
            if args.suspects:
                found["suspects"] = _label_suspects.mark(store, args, lines)
            found |= _figures(store, args.bound)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def _figures(store: Store, bound: float) -> dict[str, Any]:
    """What people found of the samples, and which judges agree."""
    from cmdclf.labels.audit_sample import audit_results
    from cmdclf.labels.kappa import judge_pairs

    results, pairs = audit_results(store), judge_pairs(store.verdicts_by_judge())
    for result in results:
        _say_result(result, bound)
    _say_pairs(pairs)
    return {"audits": [one.record() for one in results], "agreement": [pair.record() for pair in pairs]}


def _say_result(result: AuditResult, bound: float) -> None:
    say(f"sample {printable(result.batch)}: {result.audited:,} of {result.drawn:,} lines audited")
    if not result.audited:
        return
    low, high = result.interval
    say(
        f"  {result.right:,} are right, {result.malicious:,} malicious, {result.unsure:,} unsure:"
        f" precision {result.precision:.4f} (exact 95 % interval {low:.4f} to {high:.4f})"
    )
    missing = result.missing(bound)
    so = "the bound is shown" if not missing else f"{bound:.1%} takes {missing:,} more, all right"
    say(f"  with 95 % confidence at least {result.low:.4f} are right; {so}")


def _say_pairs(pairs: list[JudgePair]) -> None:
    if not pairs:
        return
    names = [f"{printable(p.first)} / {printable(p.second)}" for p in pairs]
    width = max(len("judges, by their own words"), *map(len, names))
    say(f"{'judges, by their own words':<{width}}  {'lines':>7}  {'agreed':>7}  {'kappa':>6}  {'opposite':>8}")
    for name, pair in zip(names, pairs, strict=True):
        kappa = "-" if math.isnan(pair.kappa) else f"{pair.kappa:.3f}"
        say(f"{name:<{width}}  {pair.lines:>7,}  {pair.agreed:>7,}  {kappa:>6}  {pair.opposite:>8,}")


def _sample(store: Store, args: argparse.Namespace, needed: int, lines: pa.Table | None) -> dict[str, Any]:
    from cmdclf.labels.audit_sample import draw_sample
    from cmdclf.labels.review import AUDIT, answer_sheet, review_queue
    from cmdclf.labels.tables import write_table

    size = args.sample or needed
    drawn = draw_sample(store, size, args.seed, args.judge)
    waiting = review_queue(store, lines=lines, only=[AUDIT])
    say(
        f"{drawn.num_rows:,} benign verdicts drawn with seed {args.seed};"
        f" {waiting.num_rows:,} of the lines wait for a person."
    )
    if drawn.num_rows < size:
        say(f"  there are no more; {size:,} were asked for")
    if args.out is not None:
        write_table(answer_sheet(waiting), args.out)
        say(f"  they are in {args.out}, unredacted; fill in 'verdict', then: cmdclf label review --answers {args.out}")
    return {"drawn": drawn.num_rows, "seed": args.seed, "waiting": waiting.num_rows}


def _truth(args: argparse.Namespace) -> dict[str, Any]:
    """Verdicts beside the truth."""
    from cmdclf.errors import JudgeError
    from cmdclf.labels.audit import agreement
    from cmdclf.labels.tables import read_table

    truth, file = read_table(args.truth)
    if missing := [name for name in ("command_id", "label") if name not in truth.column_names]:
        raise JudgeError(
            f"the column '{missing[0]}' is missing", file=file, remedy="The truth has command_id and label"
        )
    found = agreement(_verdicts(args), truth)
    width = 12
    say(f"{'truth':<{width}}{'benign':>10}{'malicious':>11}{'unsure':>9}")
    for label in ("benign", "malicious"):
        counts = [found.confusion[label, verdict] for verdict in ("benign", "malicious", "unsure")]
        say(f"{label:<{width}}{counts[0]:>10,}{counts[1]:>11,}{counts[2]:>9,}")
    low, high = found.interval
    say(
        f"{found.lines:,} lines compared; of {found.benign_said:,} benign verdicts {found.benign_right:,} are right:"
        f" {found.precision:.4f} (exact 95 % interval {low:.4f} to {high:.4f})"
    )
    return found.record()


def _verdicts(args: argparse.Namespace) -> pa.Table:
    """`command_id` and `verdict` of the file or of the store's standing verdicts."""
    from cmdclf.errors import JudgeError
    from cmdclf.labels import standing_verdicts
    from cmdclf.labels.tables import read_table
    from cmdclf.store import Store

    if args.recorded is not None:
        table, file = read_table(args.recorded)
        if missing := [name for name in ("command_id", "verdict") if name not in table.column_names]:
            raise JudgeError(f"the column '{missing[0]}' is missing", file=file)
        return table
    if args.store is None or not args.store.is_file():
        raise JudgeError("no verdicts are named", remedy="Give --store FILE or --recorded FILE", file=args.store)
    with Store.open(args.store) as store:
        return standing_verdicts(store)
