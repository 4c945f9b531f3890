"""`cmdclf label batch-submit` and `batch-fetch`: an exported batch by the provider's files and batches API."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from cmdclf.cli._messages import say

__all__ = ["add_actions"]


def add_actions(actions: Any) -> None:
    """Declare the two actions."""
    sends = actions.add_parser("batch-submit", help="an exported batch to a provider, each part once")
    asks = actions.add_parser("batch-fetch", help="what became of a submitted batch; fetches its results")
    sends.set_defaults(act=_submit)
    asks.set_defaults(act=_fetch)
    for sub in (sends, asks):
        sub.add_argument("folder", type=Path, metavar="DIR", help="the folder that export-batch wrote")
        sub.add_argument("--base-url", metavar="URL", help="the server; OpenAI's without it")
        sub.add_argument("--timeout", type=float, default=600.0, metavar="S", help="seconds for one attempt (600)")


def _client(args: argparse.Namespace) -> Any:
    from cmdclf.labels import OpenAIJudge

    return OpenAIJudge("any", base_url=args.base_url, timeout_s=args.timeout).files_client()


def _submit(args: argparse.Namespace) -> int:
    from cmdclf.labels.provider_batches import submit_batch

    for found in submit_batch(args.folder, _client(args)):
        say(f"{found.part}: {found.batch_id}{'' if found.new else ' (submitted before)'}")
    say(f"Then: cmdclf label batch-fetch {args.folder}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    from cmdclf.labels.batch_export import MANIFEST
    from cmdclf.labels.provider_batches import fetch_batch

    files = []
    for found in fetch_batch(args.folder, _client(args)):
        say(f"{found.part}: {found.status}; {found.done:,} of {found.total:,} done, {found.failed:,} failed")
        files += [str(path) for path in found.files]
    if files:
        model = json.loads((args.folder / MANIFEST).read_text(encoding="utf-8")).get("model")
        say(f"Then: cmdclf label import-batch --store STORE --model {model} {' '.join(files)}")
    return 0
