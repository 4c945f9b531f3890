"""`cmdclf doctor`: what works in this installation, and what to do about the rest."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cmdclf.cli._messages import os_fault, printable, say

Check = tuple[str, Callable[[], str]]
_EXTRAS = {
    "st": "sentence_transformers",
    "service": "bentoml",
    "notebooks": "marimo",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `cmdclf doctor`."""
    parser.add_argument("--model", metavar="DIR", help="model folder to verify")
    parser.add_argument("--store", metavar="FILE", help="study.duckdb to open")
    parser.add_argument("--base-url", metavar="URL", help="OpenAI-compatible server to ask for its models")
    parser.add_argument("--llm", metavar="MODEL", help="model that the server should offer")


def run(args: argparse.Namespace) -> int:
    """Run each check, print a line for it; exit code 2 when one fails."""
    from cmdclf.errors import CmdclfError

    failed = 0
    for name, check in _checks(args):
        try:
            say(f"ok    {name}: {printable(check())}")
        except CmdclfError as error:
            failed += 1
            say(f"FAIL  {name}: {printable(str(error))}")
        except OSError as error:
            failed += 1
            say(f"FAIL  {name}: {os_fault(error)}")
    return 2 if failed else 0


def _checks(args: argparse.Namespace) -> Iterator[Check]:
    yield "python", lambda: sys.version.split()[0]
    yield "packages", _packages
    yield "extras", _extras
    yield "rules", _rules
    yield "embedder", _embedder
    if args.model:
        yield "model", lambda: _model(Path(args.model))
    if args.store:
        yield "store", lambda: _store(Path(args.store))
    if args.base_url or args.llm:
        yield "LLM", lambda: _llm(args.llm, args.base_url)


def _packages() -> str:
    from importlib.metadata import PackageNotFoundError, requires, version

    from cmdclf.errors import CmdclfError

    names = [r.split(";")[0] for r in requires("cmdclf") or [] if "extra ==" not in r]
    bare = [n.split(">")[0].split("<")[0].split("=")[0].split("!")[0].strip() for n in names]
    try:
        return ", ".join(f"{n} {version(n)}" for n in sorted(bare))
    except PackageNotFoundError as error:
        raise CmdclfError(f"{error.name} is not installed", remedy="Install cmdclf again, with its packages") from error


def _extras() -> str:
    from importlib.util import find_spec

    return ", ".join(f"{extra} {'yes' if find_spec(module) else 'no'}" for extra, module in _EXTRAS.items())


def _rules() -> str:
    from cmdclf.rules import RuleSet

    return ", ".join(f"{name} {len(RuleSet.bundled(name).ids)}" for name in ("baseline", "behaviours", "injection"))


def _embedder() -> str:
    from cmdclf.features import load_embedder

    embedder = load_embedder()
    return f"{embedder.name}, {embedder.dim} dimensions"


def _model(folder: Path) -> str:
    from cmdclf.classify import Scorer

    scorer = Scorer.load(folder)
    return f"{scorer.model}, files, feature version and rules verified"


def _store(file: Path) -> str:
    from cmdclf.errors import StoreError
    from cmdclf.store import Store

    if not file.exists():
        raise StoreError("the store does not exist", file=file, remedy="Give the study.duckdb of a study's folder")
    with Store.open(file) as store:
        return f"{len(store.days())} days, {store.stages().num_rows} finished stages"


def _llm(model: str | None, base_url: str | None) -> str:
    from cmdclf.labels import OpenAIJudge

    return OpenAIJudge(model, base_url=base_url).preflight()
