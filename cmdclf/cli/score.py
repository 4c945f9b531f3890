"""`cmdclf score`: every row of the input with score, verdict and model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from cmdclf.cli._lines_io import add_io_arguments, command_lines, open_lines, open_writer, platforms, with_columns

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_io_arguments(parser)
    parser.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="model folder (default: $CMDCLF_MODEL, else ./model, else the bundled)",
    )
    parser.add_argument("--explain", action="store_true", help="add why each score is what it is (docs/explain.md)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of onnxruntime (default: its choice)")
    parser.epilog = (
        "Same rows, same order, all columns, plus score (0..1, the probability of malicious at even odds), verdict "
        "(malicious: above the model's threshold for one false alert in 1,000 benign lines; unsure: above that for one "
        "in 100; else benign) and model. The input is streamed. With --explain a terminal gets text for people; "
        "--out-format jsonl gives the rows."
    )


def run(args: argparse.Namespace) -> int:
    """Write every row with `score`, `verdict`, `model`, and the columns of EXPLAINED where asked for."""
    import pyarrow as pa

    from cmdclf.classify import Scorer, default_model_dir
    from cmdclf.errors import CmdclfError

    if args.threads is not None and args.threads < 1:
        raise CmdclfError(f"--threads is {args.threads}", remedy="Give a number of at least 1")
    scorer = Scorer.load(args.model or default_model_dir(), threads=args.threads)
    lines = open_lines(args.file, format=args.format)
    shown: tuple[str, ...] = ("score", "verdict", "command_line")
    text_row = None
    if args.explain:
        from cmdclf.classify.explain import EXPLAINED
        from cmdclf.cli._explain_text import explained_text

        shown, text_row = (*shown, *EXPLAINED.names), explained_text
        if args.out == "-" and args.out_format is None and sys.stdout is not None and sys.stdout.isatty():
            args.out_format = "text"
    with open_writer(args, lines, text_columns=shown, text_row=text_row) as out:
        for batch in lines:
            text = pa.record_batch(
                [command_lines(batch), platforms(batch, args.platform)], names=["command_line", "platform"]
            )
            scored = scorer.score(text)
            columns = {name: scored.column(name) for name in scored.schema.names}
            if args.explain:
                explained = scorer.explain(text)
                columns |= {name: explained.column(name) for name in explained.schema.names}
            out.write(with_columns(batch, **columns))
    return 0
