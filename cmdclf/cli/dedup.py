"""`cmdclf dedup`: rows plus their near-duplicate group."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from cmdclf.cli._lines_io import (
    add_io_arguments,
    command_lines,
    open_lines,
    open_writer,
    platforms,
    with_columns,
)
from cmdclf.cli.embed import EMBEDDER_HELP
from cmdclf.errors import CmdclfError

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.features.embedders import Embedder

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_io_arguments(parser)
    parser.add_argument(
        "--threshold", type=float, metavar="COSINE", help="least cosine of near-duplicates (default: the model's own)"
    )
    parser.add_argument("--embedder", default="bundled", metavar="NAME or DIR", help=EMBEDDER_HELP)
    parser.epilog = (
        "group is the command_id of the group's representative; representative is true for one row of each group. The "
        "rows are held in memory, since a group is known only when all of them are."
    )


def run(args: argparse.Namespace) -> int:
    """Write every row with `group` and `representative`; a row without a command line belongs to no group."""
    import sys

    import numpy as np
    import pyarrow as pa

    from cmdclf.features.embedders import load_embedder

    embedder = load_embedder(args.embedder)
    threshold = _threshold(args.threshold, embedder)
    lines = open_lines(args.file, format=args.format)
    batches = list(lines)
    texts = pa.concat_arrays([command_lines(batch) for batch in batches])
    group, ids = _groups(texts, pa.concat_arrays([platforms(b, args.platform) for b in batches]), embedder, threshold)
    leads = np.zeros(len(texts), bool)
    at = np.flatnonzero(np.asarray(group, dtype=object) == np.asarray(ids, dtype=object))
    at = at[np.asarray(texts.is_valid())[at]]
    _, first = np.unique(np.asarray(ids, dtype=object)[at], return_index=True)
    leads[at[first]] = True
    start = 0
    with open_writer(args, lines, text_columns=("group", "representative", "command_line")) as out:
        for batch in batches:
            rows = slice(start, start + batch.num_rows)
            out.write(with_columns(batch, group=group[rows], representative=pa.array(leads[rows])))
            start += batch.num_rows
    sys.stderr.write(f"{len(texts):,} rows, {int(leads.sum()):,} groups at cosine >= {threshold:g}\n")
    return 0


def _groups(
    texts: pa.StringArray, platform: pa.StringArray, embedder: Embedder, threshold: float
) -> tuple[pa.StringArray, pa.StringArray]:
    """The representative's and the row's own command_id, null where there is no command line."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from cmdclf.dedup import near_duplicates
    from cmdclf.telemetry import command_ids

    present = texts.is_valid()
    rows = pc.indices_nonzero(present)
    texts, platform = texts.take(rows), platform.take(rows)
    ids = command_ids(platform, texts)
    # Distinct lines only: telemetry repeats itself, and a repetition needs no vector of its own.
    _, first, inverse = np.unique(np.asarray(ids, dtype=object), return_index=True, return_inverse=True)
    at = pa.array(first)
    distinct = pa.table({"command_id": ids.take(at), "platform": platform.take(at), "command_line": texts.take(at)})
    found = near_duplicates(distinct, embedder.embed(texts.take(at)), threshold=threshold)
    group = found["representative_id"].combine_chunks().take(pa.array(inverse))
    places = np.cumsum(present.to_numpy(zero_copy_only=False)) - 1
    back = pa.array(places, mask=~present.to_numpy(zero_copy_only=False))
    return group.take(back), ids.take(back)


def _threshold(asked: float | None, embedder: Embedder) -> float:
    if asked is not None:
        if not 0 < asked <= 1:
            raise CmdclfError(f"--threshold {asked:g} is no cosine", remedy="Give a number above 0 and up to 1")
        return asked
    own = getattr(embedder, "manifest", {}).get("threshold_cosine")
    if own is None:
        raise CmdclfError(
            f"the embedder {embedder.name} brings no threshold of its own",
            remedy="Give one with --threshold; it depends on the model, look at a few pairs first",
        )
    return float(own)
