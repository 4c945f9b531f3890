"""The command line: one thin module per verb, imported only when its verb is used."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from cmdclf import __version__
from cmdclf.cli._messages import os_fault, printable
from cmdclf.errors import CmdclfError

__all__ = ["VERBS", "main"]

#: verb -> (module, help). The help stands here so that `cmdclf --help` imports no verb.
VERBS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "the whole job on the bundled month: arms table, results.json, report.html, model/"),
    "ingest": ("ingest", "any supported log -> lake"),
    "replay": ("replay", "labelled pools -> believable daily telemetry, truth kept aside"),
    "run": ("run", "a study from its study.toml; goes on where it stopped"),
    "prove": ("prove", "the method's proof on labelled pools: arms, controls, judges that err, RESULTS.md"),
    "label": ("label", "the ledger's work: status, run, import, export, batch files, audit"),
    "score": ("score", "score command lines from a file or a pipe"),
    "anomalies": ("anomalies", "one day's candidates"),
    "embed": ("embed", "rows plus their embedding"),
    "embedder": ("embedder", "embedding models: check, seal, export, compare"),
    "dedup": ("dedup", "rows plus their near-duplicate group"),
    "decode": ("decode", "decoded layers of command lines"),
    "redact": ("redact", "command lines with secrets replaced by typed placeholders"),
    "guard": ("guard", "prompt injection and vetoes, line by line"),
    "train": ("train", "single stage: fit one arm of a study"),
    "evaluate": ("evaluate", "single stage: a model folder against labelled test files"),
    "export": ("export", "single stage: an arm of a study as a model folder"),
    "promote": ("promote", "put a verified model folder in the place that the service reads, unless it is worse"),
    "rules": ("rules", "the regex rules: check, import-sigma, run"),
    "lexicon": ("lexicon", "the bundled lexicon: check, statistics, slots"),
    "spark": ("spark", "full scale on a Spark cluster: anomalies, features, package"),
    "serve": ("serve", "the BentoML service"),
    "doctor": ("doctor", "checks versions, model integrity, store and LLM endpoint"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # Arguments may be file names that a shell's `*` put there, and argparse repeats them as they are.
        super().error(printable(message))

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        _flush()
        super().exit(status, message)


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="cmdclf",
        description="Finds rare, complex, benign command lines, has them labelled, trains a better classifier on them.",
        epilog="'cmdclf VERB --help' explains a verb. Exit codes: 0 done, 2 a fault that the message explains, "
        "3 refused by the promotion gate.",
    )
    parser.add_argument("--version", action="version", version=f"cmdclf {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, (module, text) in VERBS.items():
        sub = verbs.add_parser(verb, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if verb == chosen:
            importlib.import_module(f"cmdclf.cli.{module}").add_arguments(sub)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 2 a user's fault, 3 refused, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((a for a in arguments if a in VERBS), None)
    name, debug = f"cmdclf {chosen or ''}".strip(), "--debug" in arguments
    try:
        args = _parser(chosen).parse_args(arguments)
        code = int(importlib.import_module(f"cmdclf.cli.{VERBS[args.verb][0]}").run(args))
        _flush()
        return code
    except CmdclfError as error:
        if debug:
            raise
        print(f"{name}: {printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is wrong.
        _let_go()
        return 0
    except KeyboardInterrupt:
        print(f"{name}: interrupted; what was finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except OSError as error:
        if debug:
            raise
        print(f"{name}: {os_fault(error)}", file=sys.stderr)
        _let_go()
        return 2


def _flush() -> None:
    """Meet a full disk or a closed pipe here: at exit Python would only complain about it."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _let_go() -> None:
    """Point standard output elsewhere if it takes nothing any more, so that the flush at exit stays quiet."""
    try:
        _flush()
    except OSError:
        sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115
