"""`cmdclf rules import-sigma`: what was converted, and what was set aside by which reason."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from cmdclf.cli._messages import say

if TYPE_CHECKING:
    from cmdclf.rules.sigma import SigmaImport

__all__ = ["add_arguments", "run"]

LEVELS = ("informational", "low", "medium", "high", "critical")
#: What a command line alone says, and what a process event of ours says.
_LINE = ("command_line", "image")
_EVENT = (*_LINE, "parent_image", "parent_command_line", "user")
_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the action's arguments."""
    parser.add_argument("folder", metavar="DIR", help="a folder of Sigma rules (*.yml), or one such file")
    parser.add_argument("--out", default="sigma.toml", metavar="FILE", help="the rule file (default: sigma.toml)")
    parser.add_argument(
        "--level", choices=LEVELS, default=LEVELS[0], help="leave out rules below this level (default: take all)"
    )
    parser.add_argument("--all", action="store_true", help=f"name every file set aside, not {_SHOWN} a reason")


def run(args: argparse.Namespace) -> int:
    """Convert, write, report."""
    from cmdclf.errors import RuleError
    from cmdclf.rules.sigma import BELOW_LEVEL, OTHER_SOURCE, import_sigma
    from cmdclf.rules.sigma_file import write_rules

    if not args.out.endswith(".toml"):
        raise RuleError("a rule file's name ends in .toml", remedy="Give --out FILE.toml", file=args.out)
    found = import_sigma(args.folder, level=args.level)
    quiet = () if args.all else (OTHER_SOURCE, BELOW_LEVEL)
    if not found.rules:
        _set_aside(found, args.all, quiet)
        raise RuleError(
            "no process-creation rule could be converted",
            remedy="Give a folder of Sigma rules whose logsource is of category process_creation",
            file=args.folder,
        )
    write_rules(args.out, found.rules, found.origin)
    total, below = found.process_creation, found.reasons.get(BELOW_LEVEL, 0)
    share = 100 * (total - found.failed) / total
    converted = f"{total - found.failed:,} can be converted ({share:.1f} %)"
    say(f"{found.files:,} files, {total:,} process-creation rules: {converted}")
    say(f"{args.out}: {len(found.rules):,} rules ({_counted(found)})" + (f"; {below:,} below --level" if below else ""))
    _fields(found)
    _set_aside(found, args.all, quiet)
    say(f"Use them: cmdclf rules run FILE --rules {args.out}")
    return 0


def _counted(found: SigmaImport) -> str:
    levels = Counter(rule.level for rule in found.rules)
    return ", ".join(f"{levels[level]:,} {level}" for level in LEVELS if levels[level])


def _fields(found: SigmaImport) -> None:
    from cmdclf.rules.sigma import can_hold

    conditions = [rule.match for rule in found.rules if rule.match is not None]
    alone = sum(can_hold(condition, _LINE) for condition in conditions)
    event = sum(can_hold(condition, _EVENT) for condition in conditions)
    say(
        f"{alone:,} can match a command line alone, {event - alone:,} more with its parent and user; "
        f"{len(conditions) - event:,} ask for other fields (columns such as original_file_name, hashes)"
    )


def _set_aside(found: SigmaImport, everything: bool, quiet: tuple[str, ...]) -> None:
    if found.set_aside:
        say(f"Set aside: {len(found.set_aside):,}")
    for kind, count in found.reasons.items():
        say(f"  {kind}: {count:,}")
        if kind in quiet:
            continue
        some = [one for one in found.set_aside if one.kind == kind]
        for one in some if everything else some[:_SHOWN]:
            say(f"    {one.file}: {one.message.rstrip('. ')}. {one.remedy}")
        if count > _SHOWN and not everything:
            say(f"    ... {count - _SHOWN:,} more: add --all")
