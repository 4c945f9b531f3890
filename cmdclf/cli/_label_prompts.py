"""`cmdclf label prompts` and `compare-prompts`: which versions there are, and which one judges better."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._label_server import add_server, openai_judge, show_spent
from cmdclf.cli._messages import say

if TYPE_CHECKING:
    from cmdclf.labels.compare import Comparison

__all__ = ["add_actions"]


def add_actions(actions: Any) -> None:
    """Declare the two actions."""
    lists = actions.add_parser("prompts", help="the bundled prompts with their hashes, or the check of one file")
    lists.add_argument("--check", type=Path, metavar="FILE", help="say what this prompt lacks; exit code 2 if anything")
    lists.set_defaults(act=_list)
    compares = actions.add_parser("compare-prompts", help="prompts side by side on lines whose labels are known")
    compares.set_defaults(act=_compare)
    compares.add_argument(
        "--truth", type=Path, required=True, metavar="FILE", help="Parquet or JSON lines: platform, command_line, label"
    )
    compares.add_argument(
        "--prompt", type=Path, action="append", required=True, metavar="FILE",
        help="a file, or a version that 'label prompts' lists; give it for each prompt",
    )  # fmt: skip
    compares.add_argument("--sample", type=int, metavar="N", help="so many of the labelled lines only")
    compares.add_argument("--seed", type=int, default=0, metavar="N", help="which lines are drawn (0)")
    compares.add_argument(
        "--cache", type=Path, default=Path("compared-prompts.duckdb"), metavar="FILE",
        help="keeps the verdicts, so that a second comparison pays nothing (compared-prompts.duckdb)",
    )  # fmt: skip
    compares.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    add_server(compares.add_argument_group("server"))


def _list(args: argparse.Namespace) -> int:
    from cmdclf.labels.prompt import DEFAULT_PROMPT, Prompt
    from cmdclf.labels.prompt_versions import bundled_prompts, missing_parts

    if args.check is not None:
        prompt = Prompt(args.check)
        missing = missing_parts(prompt.system)
        say(f"{prompt.path.name}  {prompt.sha256}")
        for part in missing:
            say(f"  lacks {part}")
        return 2 if missing else 0
    for name in bundled_prompts():
        prompt = Prompt(name)
        say(f"{name}  {prompt.sha256}  {'default' if name == DEFAULT_PROMPT else ''}".rstrip())
    return 0


def _compare(args: argparse.Namespace) -> int:
    from cmdclf.errors import JudgeError
    from cmdclf.labels.compare import compare_judges, labelled_sample
    from cmdclf.labels.tables import read_table
    from cmdclf.store import Store

    truth, file = read_table(args.truth)
    try:
        lines = labelled_sample(truth, args.sample, args.seed)
    except JudgeError as error:
        raise JudgeError(error.message, file=error.file or file, row=error.row, remedy=error.remedy) from None
    judges = {}
    for path in args.prompt:
        judge = openai_judge(args, path)
        judges[path.name if path.name not in judges else str(path)] = judge
    if len({judge.prompt_sha256 for judge in judges.values()}) < len(args.prompt):
        raise JudgeError("a prompt is named twice", remedy="Name each version once")
    with Store.open(args.cache) as store:
        if store.days():
            raise JudgeError(
                "this is a study's store: verdicts on lines with known labels don't belong there",
                file=args.cache,
                remedy="Give --cache another file",
            )
        found = compare_judges(store, judges, lines, progress=True)
    say(f"{lines.num_rows:,} labelled lines, model {next(iter(judges.values())).model}")
    _show(found)
    for judge in judges.values():
        show_spent(judge)
    if args.json:
        args.json.write_text(json.dumps(found.record(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    if found.stopped:
        say(f"cmdclf label: stopped early: {found.stopped}; the same command goes on from there")
        return 2
    return 0


def _show(found: Comparison) -> None:
    for result in found.prompts:
        say(f"\n{result.name} ({result.prompt_sha256[:12]}): {result.answered:,} answered")
        say(f"  {'label':<10}{'benign':>9}{'malicious':>11}{'unsure':>9}")
        for label in ("benign", "malicious"):
            row = [result.confusion[label, verdict] for verdict in ("benign", "malicious", "unsure")]
            say(f"  {label:<10}{row[0]:>9,}{row[1]:>11,}{row[2]:>9,}")
        for name, (share, low, high) in (
            ("benign precision", result.benign_precision),
            ("malicious recall", result.malicious_recall),
        ):
            say(f"  {name} {share:.4f} (exact 95 % interval {low:.4f} to {high:.4f})")
        say(
            f"  unsure {result.unsure:.1%}; {result.cost_usd:.4f} USD, {result.prompt_tokens:,} prompt tokens,"
            f" {result.completion_tokens:,} completion tokens"
        )
    for pair in found.differences:
        say(
            f"\n{pair.first} / {pair.second} on {pair.lines:,} lines: right alone {pair.only_first:,} /"
            f" {pair.only_second:,}, McNemar exact p = {pair.p:.4g}, kappa {pair.kappa:.4f}"
        )
