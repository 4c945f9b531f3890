"""The command line: one thin module per verb, imported only when its verb is used."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from cmdclf import __version__
from cmdclf.errors import CmdclfError

__all__ = ["VERBS", "main"]

#: verb -> (module, help). The help stands here so that `cmdclf --help` imports no verb.
VERBS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "the whole job on the bundled month: arms table, results.json, report.html, model/"),
    "ingest": ("ingest", "any supported log -> lake"),
    "replay": ("replay", "labelled pools -> believable daily telemetry, truth kept aside"),
    "run": ("run", "a study from its study.toml; goes on where it stopped"),
    "label": ("label", "the ledger's work: status, run, import, export"),
    "score": ("score", "score command lines from a file or a pipe"),
    "anomalies": ("anomalies", "one day's candidates"),
    "embed": ("embed", "rows plus their embedding"),
    "dedup": ("dedup", "rows plus their near-duplicate group"),
    "decode": ("decode", "decoded layers of command lines"),
    "redact": ("redact", "command lines with secrets replaced by typed placeholders"),
    "guard": ("guard", "prompt injection and vetoes, line by line"),
    "train": ("train", "single stage: fit one arm of a study"),
    "evaluate": ("evaluate", "single stage: a model folder against labelled test files"),
    "export": ("export", "single stage: an arm of a study as a model folder"),
    "promote": ("promote", "put a verified model folder in the place that the service reads"),
    "rules": ("rules", "the regex rules: check, run"),
    "lexicon": ("lexicon", "the bundled lexicon: check, statistics"),
    "serve": ("serve", "the BentoML service"),
    "doctor": ("doctor", "checks versions, model integrity, store and LLM endpoint"),
}


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cmdclf",
        description="Finds rare, complex, benign command lines, has them labelled, trains a better classifier on them.",
        epilog="'cmdclf VERB --help' explains a verb. Exit codes: 0 done, 2 a fault that the message explains.",
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
    """Run one verb and return the exit code: 0 done, 2 a user's fault, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = next((a for a in arguments if a in VERBS), None)
    args = _parser(chosen).parse_args(arguments)
    module = importlib.import_module(f"cmdclf.cli.{VERBS[args.verb][0]}")
    try:
        return int(module.run(args))
    except CmdclfError as error:
        if args.debug:
            raise
        print(f"cmdclf {args.verb}: {_printable(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); point stdout elsewhere so that the exit flush stays quiet.
        sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: SIM115
        return 0
    except KeyboardInterrupt:
        print(
            f"cmdclf {args.verb}: interrupted; what was finished is kept, the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    except OSError as error:
        if args.debug:
            raise
        name = f"{error.filename}: " if error.filename else ""
        print(f"cmdclf {args.verb}: {_printable(name)}{error.strerror or error}. {_remedy(error)}", file=sys.stderr)
        return 2


def _remedy(error: OSError) -> str:
    import errno

    remedies = {
        errno.ENOSPC: "The disk is full: free some space and run the same command again, finished work is kept",
        errno.ENOENT: "Check the path",
        errno.EACCES: "Check the permissions of the path",
        errno.EISDIR: "A file is needed here, not a folder",
    }
    return remedies.get(error.errno or 0, "Run it again with --debug for the traceback")


def _printable(text: str) -> str:
    """Text with control characters escaped: file content may end up in a message, and terminals obey escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
