"""`cmdclf promote`: a verified model folder into the place that the service reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from cmdclf.cli._messages import say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("model", type=Path, metavar="MODEL_DIR", help="the model folder to promote")
    parser.add_argument(
        "--to", required=True, type=Path, metavar="DIR", help="where it goes; what stood there is kept as DIR.previous"
    )


def run(args: argparse.Namespace) -> int:
    """Verify, copy, verify again, replace; print what stands there now."""
    from cmdclf.classify import promote_model

    manifest = promote_model(args.model, args.to)
    say(f"{args.to}: {manifest['name']}, created {manifest['created']}, {len(manifest['files'])} files verified")
    return 0
