"""`cmdclf embed`: rows plus their embedding."""

from __future__ import annotations

import argparse

from cmdclf.cli._lines_io import add_io_arguments, command_lines, open_lines, open_writer, with_columns

__all__ = ["EMBEDDER_HELP", "add_arguments", "run"]

EMBEDDER_HELP = (
    "bundled, a model folder (ours, or model.onnx with tokenizer.json), or st:NAME for sentence-transformers "
    "(default: %(default)s)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_io_arguments(parser)
    parser.add_argument("--embedder", default="bundled", metavar="NAME or DIR", help=EMBEDDER_HELP)
    parser.epilog = "The column embedding holds a list of float32 with length 1: a dot product is a cosine similarity."


def run(args: argparse.Namespace) -> int:
    """Write every row with `embedding`; a row without a command line gets zeros."""
    import numpy as np
    import pyarrow as pa

    from cmdclf.features.embedders import load_embedder
    from cmdclf.progress import Progress

    embedder = load_embedder(args.embedder)
    lines = open_lines(args.file, format=args.format)
    with open_writer(args, lines, text_columns=("embedding", "command_line")) as out, Progress("embed") as progress:
        for batch in lines:
            vectors = embedder.embed(command_lines(batch))
            ends = np.arange(0, vectors.size + 1, embedder.dim, dtype=np.int32)
            column = pa.ListArray.from_arrays(pa.array(ends), pa.array(vectors.ravel()))
            out.write(with_columns(batch, embedding=column))
            progress.update(batch.num_rows)
    return 0
