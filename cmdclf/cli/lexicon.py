"""`cmdclf lexicon check` and `cmdclf lexicon stats`."""

from __future__ import annotations

import argparse
from collections import Counter

from cmdclf.cli._messages import say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument(
        "action", choices=("check", "stats"), help="check: faults of the templates; stats: how many of what"
    )
    parser.add_argument("--dir", metavar="DIR", help="folder with *.toml files (default: the bundled lexicon)")


def run(args: argparse.Namespace) -> int:
    """Print faults or counts; 2 where there are faults."""
    from cmdclf.lexicon import Lexicon

    lexicon = Lexicon.load(args.dir)
    if args.action == "check":
        faults = lexicon.check()
        for fault in faults:
            say(fault)
        say(f"{len(lexicon)} templates, {len(faults)} faults")
        return 2 if faults else 0
    labels = ("benign", "malicious")
    rows: list[tuple[str, str, Counter[str]]] = []
    for title in ("platform", "role", "tool"):
        values = Counter(getattr(t, title) or "-" for t in lexicon)
        for value, _ in sorted(values.items(), key=lambda item: (-item[1], item[0])):
            rows.append((title, value, Counter(t.label for t in lexicon if (getattr(t, title) or "-") == value)))
    say(f"{len(lexicon)} templates")
    for label in labels:
        mine = [t for t in lexicon if t.label == label]
        recurring, hard = sum(t.weight > 0 for t in mine), sum(t.hard for t in mine)
        payload, twin = sum(bool(t.payload) for t in mine), sum(bool(t.twin) for t in mine)
        say(f"{label}: {len(mine)}; recurring {recurring}, hard {hard}, with a payload {payload}, with a twin {twin}")
    last = ""
    for title, value, count in rows:
        if title != last:
            say(f"\n{title:<28}{'benign':>8}{'malicious':>11}")
            last = title
        say(f"{value:<28}{count['benign']:>8}{count['malicious']:>11}")
    return 0
