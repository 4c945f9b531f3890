"""`cmdclf rules check`, `cmdclf rules import-sigma` and `cmdclf rules run`."""

from __future__ import annotations

import argparse

from cmdclf.cli import _rules_sigma
from cmdclf.cli._lines_io import add_io_arguments
from cmdclf.cli._messages import say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="whether rule files are sound: examples, literals, ids, categories")
    check.add_argument(
        "files", nargs="*", metavar="FILE", help="rule files or names of bundled sets (default: all bundled sets)"
    )
    match = actions.add_parser("run", help="rows plus the ids of the rules that match them, in the column rules")
    add_io_arguments(match)
    match.add_argument(
        "--rules", default="baseline", metavar="NAME", help="a bundled set or a rule file (default: baseline)"
    )
    sigma = actions.add_parser("import-sigma", help="Sigma's process-creation rules as a rule file")
    _rules_sigma.add_arguments(sigma)
    for action in (check, match, sigma):
        action.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Check, import or match; 2 where a rule file has problems."""
    if args.action == "import-sigma":
        return _rules_sigma.run(args)
    return _check(args.files) if args.action == "check" else _match(args)


def _check(files: list[str]) -> int:
    from cmdclf.errors import RuleError
    from cmdclf.rules import RuleSet

    faulty = False
    for name in files or RuleSet.bundled_names():
        try:
            rules = RuleSet.load(name)
        except RuleError as error:
            # One bad file must not hide the others' problems.
            say(f"{name}: can't be loaded\n  {error}")
            faulty = True
            continue
        problems = rules.check()
        faulty = faulty or bool(problems)
        say(f"{name}: {len(rules)} rules, {len(problems)} problems")
        for problem in problems:
            say(f"  {problem}")
    return 2 if faulty else 0


def _match(args: argparse.Namespace) -> int:
    from cmdclf.cli._lines_io import command_lines, fields, open_lines, open_writer, platforms, with_columns
    from cmdclf.rules import RuleSet
    from cmdclf.rules.condition import FIELDS

    rules = RuleSet.load(args.rules)
    lines = open_lines(args.file, format=args.format)
    with open_writer(args, lines, text_columns=("rules", "command_line")) as out:
        for batch in lines:
            known = fields(batch, tuple(FIELDS)[1:])
            matched = rules.names(command_lines(batch), platforms(batch, args.platform), known)
            out.write(with_columns(batch, rules=matched))
    return 0
