"""`cmdclf dedup`: rows plus their near-duplicate group."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from cmdclf.cli._lines_io import (
    add_io_arguments,
    command_lines,
    open_lines,
    open_writer,
    platforms,
    with_columns,
)
from cmdclf.cli._messages import say
from cmdclf.cli.embed import EMBEDDER_HELP
from cmdclf.errors import CmdclfError

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.dedup import RepresentativeIndex
    from cmdclf.features.embedders import Embedder

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_io_arguments(parser)
    parser.add_argument(
        "--threshold", type=float, metavar="COSINE", help="least cosine of near-duplicates (default: the model's own)"
    )
    parser.add_argument("--embedder", default="bundled", metavar="NAME or DIR", help=EMBEDDER_HELP)
    parser.add_argument(
        "--index",
        metavar="DIR",
        help="remember the representatives in this folder, and have rows join the groups of earlier files",
    )
    parser.add_argument("--rebuild", action="store_true", help="start the index anew, with this file's rows alone")
    parser.add_argument(
        "--calibrate",
        nargs="?",
        const="bundled",
        metavar="PAIRS",
        help="group nothing: tell which cosine this embedder needs, from labelled pairs (Parquet or JSON lines with "
        "platform, a, b, same; default: the bundled ones)",
    )
    parser.add_argument(
        "--most-wrong", type=float, default=0.02, metavar="SHARE",
        help="with --calibrate: the share of pairs that differ which may share a verdict (default: %(default)s)",
    )  # fmt: skip
    parser.epilog = (
        "Lines of one group are of one platform, do the same, and are near each other. group is the command_id of the "
        "group's representative; representative is true for one row of each group, with --index only of groups that no "
        "earlier file had. The rows are held in memory, since a group is known only when all of them are."
    )


def run(args: argparse.Namespace) -> int:
    """Write every row with `group` and `representative`; a row without a command line belongs to no group."""
    import numpy as np
    import pyarrow as pa

    from cmdclf.features.embedders import load_embedder

    if args.calibrate:
        from cmdclf.cli import _dedup_calibrate

        return _dedup_calibrate.run(args)
    if args.rebuild and not args.index:
        raise CmdclfError("--rebuild starts an index anew, and none is named", remedy="Name it with --index DIR")
    embedder = load_embedder(args.embedder)
    threshold = _threshold(args.threshold, embedder)
    with _index(args, embedder) as index:
        lines = open_lines(args.file, format=args.format)
        batches = list(lines)
        texts = pa.concat_arrays([command_lines(batch) for batch in batches])
        platform = pa.concat_arrays([platforms(b, args.platform) for b in batches])
        earlier = len(index.known) if index else 0
        group, ids, new = _groups(texts, platform, embedder, threshold, index)
        leads = np.zeros(len(texts), bool)
        at = np.flatnonzero(np.asarray(new))
        _, first = np.unique(np.asarray(ids, dtype=object)[at], return_index=True)
        leads[at[first]] = True
        start = 0
        with open_writer(args, lines, text_columns=("group", "representative", "command_line")) as out:
            for batch in batches:
                rows = slice(start, start + batch.num_rows)
                out.write(with_columns(batch, group=group[rows], representative=pa.array(leads[rows])))
                start += batch.num_rows
        if index:
            # Last: a run that is cut off before has said nothing, and the same command gives the same rows.
            index.save()
    kind = f"new groups beside {earlier:,} known ones" if args.index else "groups"
    say(f"{len(texts):,} rows, {int(leads.sum()):,} {kind} at cosine >= {threshold:g}", file=sys.stderr)
    return 0


def _index(args: argparse.Namespace, embedder: Embedder) -> AbstractContextManager[RepresentativeIndex | None]:
    from cmdclf.dedup import RepresentativeIndex

    if not args.index:
        return nullcontext()
    index = RepresentativeIndex.open(args.index, embedder=embedder.name, dim=embedder.dim, anew=args.rebuild)
    if index.notice:
        say(f"{args.index}: {index.notice}", file=sys.stderr)
    return index


def _groups(
    texts: pa.StringArray,
    platform: pa.StringArray,
    embedder: Embedder,
    threshold: float,
    index: RepresentativeIndex | None,
) -> tuple[pa.StringArray, pa.StringArray, pa.BooleanArray]:
    """The representative's and the row's own command_id, null without a command line, and whether it is a new one."""
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
    vectors = embedder.embed(texts.take(at))
    if index is None:
        found, known = near_duplicates(distinct, vectors, threshold=threshold), pa.array([], pa.string())
    else:
        known = index.known.ids
        found = index.group(distinct, vectors, threshold=threshold)
    own = pc.equal(found["representative_id"], found["command_id"])
    new = pc.and_(own, pc.invert(pc.is_in(found["command_id"], value_set=known))).combine_chunks()
    group = found["representative_id"].combine_chunks()
    places = np.cumsum(present.to_numpy(zero_copy_only=False)) - 1
    back = pa.array(places, mask=~present.to_numpy(zero_copy_only=False))
    of_row = pa.array(inverse)
    return group.take(of_row).take(back), ids.take(back), pc.fill_null(new.take(of_row).take(back), False)


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
