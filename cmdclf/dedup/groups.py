"""Near-duplicate groups: each line joins a representative, or becomes one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup._kernels import Floats, Positions, frozen
from cmdclf.dedup._large_world import group_large_world
from cmdclf.dedup._small_worlds import group_small_worlds
from cmdclf.dedup._worlds import sort_into_worlds
from cmdclf.dedup.behaviour import behaviour_keys
from cmdclf.dedup.graph import Shelf
from cmdclf.dedup.index import EXACT_LIMIT, NearIndex
from cmdclf.dedup.keys import as_text, in_slices, masked_keys, text_column
from cmdclf.dedup.known import KnownGroups
from cmdclf.features.embed_static import THRESHOLD_COSINE

__all__ = ["GROUPS", "THRESHOLD_COSINE", "near_duplicates"]

#: What `near_duplicates` gives, one row per line.
GROUPS = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("representative_id", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("cosine", pa.float32(), nullable=False),
    ]
)
_LEVELS = ("exact", "masked", "cosine")


def near_duplicates(
    lines: pa.Table,
    embeddings: Floats,
    *,
    threshold: float = THRESHOLD_COSINE,
    known: KnownGroups | None = None,
    behaviours: pa.StringArray | None = None,
    exact_limit: int | None = EXACT_LIMIT,
    shelf: Shelf | None = None,
) -> pa.Table:
    """The representative of each line, in the order of `lines`; see `GROUPS`.

    A group never leaves its world: lines of one platform that do the same (see `behaviour_keys`). Lines are taken in
    ascending command_id, whatever their order in the table. A line that is itself a representative of an earlier day,
    or of this run, is `exact`; one whose masked text equals a representative's is `masked`; else it joins the nearest
    representative with cosine >= `threshold` (`cosine`; ties go to the smallest id), or becomes a representative. Up to
    `exact_limit` representatives per world the nearest is found by exhaustive search, above by usearch, whose finds are
    verified but which may miss a neighbour.

    Args:
        lines: command_id, platform, command_line; a repeated command_id must be the same line.
        embeddings: (n, dim) float32, unit rows, aligned with `lines`.
        threshold: least cosine; `THRESHOLD_COSINE` was chosen for the bundled embedder.
        known: representatives of earlier days; they stay representatives whatever their ids.
        behaviours: (n,) string, aligned with `lines`, instead of `behaviour_keys(lines)`; equal texts for all lines
            group by the cosine alone.
        exact_limit: see `NearIndex`.
        shelf: see `NearIndex`.

    Raises:
        ValueError: embeddings or behaviours don't fit the lines, or the earlier vectors.
    """
    embeddings = frozen(np.ascontiguousarray(embeddings, np.float32))
    if embeddings.ndim != 2 or len(embeddings) != lines.num_rows:
        raise ValueError(f"{lines.num_rows} lines need as many embeddings, got shape {embeddings.shape}")
    dim = embeddings.shape[1]
    known = KnownGroups.empty(dim) if known is None or len(known) == 0 else known
    if known.vectors.shape[1] != dim:
        raise ValueError(f"earlier vectors have dimension {known.vectors.shape[1]}, new ones {dim}")
    keys = in_slices(behaviour_keys, lines) if behaviours is None else as_text(behaviours)
    if len(keys) != lines.num_rows:
        raise ValueError(f"{lines.num_rows} lines need as many behaviours, got {len(keys)}")
    ids = text_column(lines, "command_id")

    def masks(rows: Positions) -> pa.StringArray:
        return masked_keys(lines.take(pa.array(rows)))

    worlds = sort_into_worlds(ids, text_column(lines, "platform"), keys, known, masks)
    found, large = group_small_worlds(worlds, embeddings, frozen(known.vectors), threshold)
    for world in large.tolist():
        index = NearIndex(dim, exact_limit=exact_limit, id_bytes=worlds.ids.shape[1], shelf=shelf)
        group_large_world(worlds, world, ids, known.ids, embeddings, known.vectors, threshold, index, found)
    named = pa.concat_arrays([known.ids.take(pa.array(worlds.known)), ids.take(pa.array(worlds.rows))])
    levels = pa.DictionaryArray.from_arrays(pa.array(found.level[worlds.inverse]), pa.array(_LEVELS))
    columns = [
        ids,
        named.take(pa.array(found.number[worlds.inverse])),
        pc.cast(levels, pa.string()),
        pa.array(found.cosine[worlds.inverse]),
    ]
    return pa.Table.from_arrays(columns, schema=GROUPS)
