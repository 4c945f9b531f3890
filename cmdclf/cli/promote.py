"""`cmdclf promote`: a verified model folder into the place that the service reads, past the gate."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cmdclf.cli._arguments import seed
from cmdclf.cli._messages import say
from cmdclf.errors import CmdclfError, ModelIntegrityError

__all__ = ["REFUSED", "add_arguments", "run"]

#: Exit code of a candidate that is worse: neither done (0) nor a fault (2).
REFUSED = 3
#: With fewer resamples there is next to nothing beyond the ends of a 95 % interval.
_LEAST_RESAMPLES = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("model", type=Path, metavar="CANDIDATE", help="the model folder to promote")
    parser.add_argument(
        "--to", type=Path, metavar="DIR",
        help="where it goes; what stood there is kept as DIR.previous (without it: compare only)",
    )  # fmt: skip
    parser.add_argument(
        "--against", nargs="?", const="", metavar="CURRENT",
        help="refuse CANDIDATE where it is worse than this model folder (without a value: than what stands in DIR)",
    )  # fmt: skip
    parser.add_argument(
        "--test", action="append", default=[], type=Path, metavar="FILE",
        help="incident test: Parquet with command_line, platform, label, perhaps group_id, source, hard; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--time-split", type=Path, metavar="FILE", help="test of the days after training; may hold benign lines only"
    )
    for name, default, what in (
        ("auc", 0.005, "AUC"),
        ("tpr", 0.02, "TPR at FPR 1e-2"),
        ("alerts", 0.0005, "the time split's share of benign lines that alert"),
    ):
        parser.add_argument(
            f"--margin-{name}", type=_margin, default=default, metavar="X",
            help=f"largest loss in {what} that chance may explain (default: %(default)s)",
        )  # fmt: skip
    parser.add_argument(
        "--margin-slices", type=_factor, default=4.0, metavar="TIMES",
        help="how many times larger the margins are for one platform and for hard benign lines (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples of the intervals (default: %(default)s)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the bootstrap (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every comparison as JSON")
    parser.add_argument(
        "--even-if-worse", metavar="REASON", help="promote a refused model nevertheless, and record why"
    )
    parser.epilog = (
        "Exit codes: 0 promoted, or acceptable where --to is not given; 2 a fault; 3 refused, with the reasons. "
        "DIR.promotion.json records each promotion with its comparison. Docs: promotion."
    )


def run(args: argparse.Namespace) -> int:
    """Compare where asked to; then verify, copy, verify again, replace; print what stands there now."""
    _check(args)
    result, seal = _gate(args) if args.against is not None else (None, None)
    refused = result is not None and result["verdict"] == "refused"
    if result is not None:
        if args.json:
            _write(args.json, result)
        if refused and args.even_if_worse is None:
            say(f"refused: {result['candidate']} does not take the place of {result['current']}")
            return REFUSED
        if not refused:
            say(f"acceptable: {result['candidate']} is nowhere worse than {result['current']}")
    if args.to is not None:
        _promote(args, result, seal)
    return 0


def _check(args: argparse.Namespace) -> None:
    tests = "Give --test FILE with labelled lines of incidents"
    needless = [
        option
        for option, value in (
            ("--test", args.test),
            ("--time-split", args.time_split),
            ("--json", args.json),
            ("--even-if-worse", args.even_if_worse),
        )
        if value and args.against is None
    ]
    for wrong, message, remedy in (
        (bool(needless), f"{', '.join(needless)} needs --against", "Say against which model to compare"),
        (
            args.against is None and args.to is None,
            "there is nothing to do",
            "Give --to DIR, --against CURRENT, or both",
        ),
        (args.against is not None and not args.test, "there is no incident test to compare on", tests),
        (args.against == "" and args.to is None, "--against names no model", "Name one, or give --to DIR"),
        (
            args.even_if_worse is not None and not args.even_if_worse.strip(),
            "--even-if-worse gives no reason",
            "Say why: it is recorded",
        ),
        (args.even_if_worse is not None and args.to is None, "--even-if-worse promotes nothing", "Give --to DIR"),
        (
            args.bootstrap < _LEAST_RESAMPLES,
            f"--bootstrap is {args.bootstrap}",
            f"Give a number of at least {_LEAST_RESAMPLES}",
        ),
    ):
        if wrong:
            raise CmdclfError(message, remedy=remedy)
    if args.against == "" and not (args.to / "manifest.json").is_file():
        raise ModelIntegrityError(
            "no model stands here to compare with",
            file=args.to,
            remedy="Name one after --against, or promote the first model without --against",
        )


def _gate(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """(what was found, the candidate's seal); prints the table and the reasons."""
    from cmdclf.classify import Margins, Scorer
    from cmdclf.classify.manifest import SEAL
    from cmdclf.cli._gate import compared, read_gate_tests, shown
    from cmdclf.cli._labelled_tests import warn

    files = read_gate_tests(args.test, args.time_split)
    candidate, current = Scorer.load(args.model), Scorer.load(args.against or args.to)
    seal = (args.model / SEAL).read_text(encoding="ascii")
    standing = _standing(args.to)
    if standing not in (None, current.model):
        warn(args.to, f"{standing} stands there, which is not the model that the candidate is compared with")
    result = compared(
        candidate,
        current,
        files,
        margins=Margins(args.margin_auc, args.margin_tpr, args.margin_alerts, args.margin_slices),
        bootstrap=args.bootstrap,
        seed=args.seed,
    )
    for line in shown(result):
        say(line)
    return result, seal


def _promote(args: argparse.Namespace, result: dict[str, Any] | None, seal: str | None) -> None:
    from cmdclf import __version__
    from cmdclf.classify import promote_recorded, record_file

    refused = result is not None and result["verdict"] == "refused"
    record = {
        "model": _standing(args.model),
        "from": str(args.model),
        "replaced": _standing(args.to),
        "promoted": datetime.now(UTC).isoformat(timespec="seconds"),
        "cmdclf": __version__,
        "gate": "not asked" if result is None else result["verdict"],
        "even_if_worse": args.even_if_worse if refused else None,
        "comparison": result,
    }
    manifest = promote_recorded(args.model, args.to, record, seal=seal)
    if refused:
        say(f"promoted nevertheless: {args.even_if_worse} (recorded in {record_file(args.to)})")
    say(f"{args.to}: {manifest['name']}, created {manifest['created']}, {len(manifest['files'])} files verified")


def _standing(folder: Path | None) -> str | None:
    """The model in a folder as scores name it; None where there is none, or a damaged one."""
    from cmdclf.classify import read_manifest
    from cmdclf.classify.manifest import SEAL

    if folder is None:
        return None
    try:
        name = read_manifest(folder)["name"]
        return f"{name}@{(folder / SEAL).read_text(encoding='ascii')[:8]}"
    except (ModelIntegrityError, OSError, ValueError):
        return None


def _write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all: a full disk must not leave half a result under the name of the last one."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _margin(text: str) -> float:
    return _number(text, 0, 1)


def _factor(text: str) -> float:
    return _number(text, 1, 1000)


def _number(text: str, least: int, most: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most:,}")
    return value
