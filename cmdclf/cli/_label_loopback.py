"""`cmdclf label serve-loopback`: a server on this machine that speaks the API, for trying without a key."""

from __future__ import annotations

import argparse
from typing import Any

from cmdclf.cli._messages import say

__all__ = ["add_actions"]


def add_actions(actions: Any) -> None:
    """Declare the action."""
    serves = actions.add_parser(
        "serve-loopback", help="a server on this machine that speaks the API; its answers are rules, no language model",
        description="Serves chat completions, responses, files and batches on 127.0.0.1. The model is called"
        " loopback-rules: the bundled rules answer, no language model. Ends with Ctrl-C.",
    )  # fmt: skip
    serves.set_defaults(act=_serve)
    serves.add_argument("--port", type=int, default=0, metavar="N", help="the port; 0 takes a free one (0)")
    serves.add_argument(
        "--fail", action="append", default=[], metavar="MODE[:every=N,share=P,after=N,times=N,seed=N]",
        help="something that goes wrong, repeatable: 429, 500, slow, truncated, cut-off, refusal, wrong-label, html,"
        " quota, drop, cut-file",
    )  # fmt: skip
    serves.add_argument("--slow", type=float, default=5.0, metavar="S", help="seconds that a slow answer takes (5)")


def _serve(args: argparse.Namespace) -> int:
    from cmdclf.labels.loopback import RULES_MODEL, Failure, Loopback

    failures = [Failure.parse(text) for text in args.fail]
    server = Loopback(port=args.port, failures=failures, slow_s=args.slow, keep=0)
    say(f"serving {server.url} until Ctrl-C; rules answer here, no language model")
    say(f"try: cmdclf label run --store S --lines FILE --base-url {server.url} --model {RULES_MODEL}")
    try:
        import sys

        sys.stdout.flush()
        server.serve()
    except KeyboardInterrupt:
        say(f"{server.count:,} requests were answered")
    return 0
