"""Near-duplicate groups: each line joins a representative, or becomes one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup.index import (
    EXACT_LIMIT,
    Floats,
    IdBytes,
    NearIndex,
    Positions,
    compiled,
    cosine_of,
    encode_ids,
    precedes,
)
from cmdclf.features.embed_static import THRESHOLD_COSINE
from cmdclf.lines import mask

__all__ = ["GROUPS", "THRESHOLD_COSINE", "KnownGroups", "near_duplicates"]

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
_BLOCK = 256


def masked_keys(lines: pa.Table) -> pa.StringArray:
    """What two lines share on the level `masked`: the platform and the masked text."""
    masks = mask(_column(lines, "command_line"))
    return pc.binary_join_element_wise(_column(lines, "platform"), masks, "\x1f")


def _column(lines: pa.Table, name: str) -> pa.StringArray:
    column = lines.column(name)
    return pc.fill_null(
        (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string()), ""
    )


@dataclass(frozen=True, slots=True)
class KnownGroups:
    """The representatives of earlier days.

    Attributes:
        ids: their command_ids.
        platforms: their platforms.
        masks: their masked keys.
        vectors: (n, dim) float32, unit rows.
    """

    ids: pa.StringArray
    platforms: pa.StringArray
    masks: pa.StringArray
    vectors: Floats

    @classmethod
    def from_lines(cls, lines: pa.Table, embeddings: Floats) -> KnownGroups:
        """All of these lines as representatives; `lines` holds command_id, platform, command_line."""
        ids, platforms = _column(lines, "command_id"), _column(lines, "platform")
        return cls(ids, platforms, masked_keys(lines), np.ascontiguousarray(embeddings, np.float32))

    def extended(self, lines: pa.Table, embeddings: Floats, groups: pa.Table) -> KnownGroups:
        """These and the new representatives of `groups = near_duplicates(lines, embeddings, known=self)`."""
        new = pc.and_(
            pc.equal(groups["command_id"], groups["representative_id"]),
            pc.invert(pc.is_in(groups["command_id"], value_set=self.ids)),
        ).combine_chunks()
        rows = np.flatnonzero(new.to_numpy(zero_copy_only=False))
        _, first = np.unique(
            np.asarray(_column(lines, "command_id").take(pa.array(rows)), dtype=object), return_index=True
        )
        rows = rows[first]
        fresh = KnownGroups.from_lines(lines.take(pa.array(rows)), np.asarray(embeddings)[rows])
        return KnownGroups(
            pa.concat_arrays([self.ids, fresh.ids]),
            pa.concat_arrays([self.platforms, fresh.platforms]),
            pa.concat_arrays([self.masks, fresh.masks]),
            np.concatenate([self.vectors.reshape(-1, fresh.vectors.shape[1]), fresh.vectors]),
        )


@compiled
def _assign(
    ids: IdBytes,
    vectors: Floats,
    codes: Positions,
    known_at: Positions,
    near_at: Positions,
    near_cosine: Floats,
    base: int,
    known_ids: IdBytes,
    known_vectors: Floats,
    rep_of_code: Positions,
    threshold: float,
    at: Positions,
    level: npt.NDArray[np.int8],
    cosine: Floats,
) -> Positions:
    """One block in the order of its ids; a new representative gets the next number from `base`. Gives their rows."""
    fresh = np.empty(len(ids), np.int64)
    count = 0
    for i in range(len(ids)):
        if known_at[i] >= 0:
            at[i], level[i], cosine[i] = known_at[i], 0, 1.0
            continue
        masked = rep_of_code[codes[i]]
        if masked >= 0:
            other = known_vectors[masked] if masked < base else vectors[fresh[masked - base]]
            at[i], level[i], cosine[i] = masked, 1, cosine_of(vectors[i], other)
            continue
        best, value = near_at[i], near_cosine[i]
        for k in range(count):
            j = fresh[k]
            c = cosine_of(vectors[i], vectors[j])
            # Among the new ones ids rise, so only an earlier day's id can lose a tie to a new one.
            if best < 0 or c > value or (c == value and best < base and precedes(ids[j], known_ids[best])):
                best, value = base + k, c
        if best >= 0 and value >= threshold:
            at[i], level[i], cosine[i] = best, 2, value
        else:
            fresh[count] = i
            at[i], level[i], cosine[i] = base + count, 0, 1.0
            rep_of_code[codes[i]] = base + count
            count += 1
    return fresh[:count]


def near_duplicates(
    lines: pa.Table,
    embeddings: Floats,
    *,
    threshold: float = THRESHOLD_COSINE,
    known: KnownGroups | None = None,
    exact_limit: int | None = EXACT_LIMIT,
) -> pa.Table:
    """The representative of each line, in the order of `lines`; see `GROUPS`.

    Lines are taken in ascending command_id, whatever their order in the table. A line that is itself a representative
    of an earlier day, or of this run, is `exact`; one whose masked text equals a representative's is `masked`; else it
    joins the nearest representative with cosine >= `threshold` (`cosine`; ties go to the smallest id), or becomes a
    representative. Groups never cross platforms. Up to `exact_limit` representatives per platform the nearest is found
    by exhaustive search, above by usearch, whose finds are verified but which may miss a neighbour.

    Args:
        lines: command_id, platform, command_line; a repeated command_id must be the same line.
        embeddings: (n, dim) float32, unit rows, aligned with `lines`.
        threshold: least cosine; `THRESHOLD_COSINE` was chosen for the bundled embedder.
        known: representatives of earlier days, which take precedence over new ones.
        exact_limit: see `NearIndex`.

    Raises:
        ValueError: embeddings don't fit the lines, or the earlier vectors.
    """
    embeddings = np.ascontiguousarray(embeddings, np.float32)
    if embeddings.ndim != 2 or len(embeddings) != lines.num_rows:
        raise ValueError(f"{lines.num_rows} lines need as many embeddings, got shape {embeddings.shape}")
    if known is not None and len(known.ids) and known.vectors.shape[1] != embeddings.shape[1]:
        raise ValueError(f"earlier vectors have dimension {known.vectors.shape[1]}, new ones {embeddings.shape[1]}")
    ids = _column(lines, "command_id")
    platforms, keys = np.asarray(_column(lines, "platform"), dtype=object), masked_keys(lines)
    _, first, inverse = np.unique(np.asarray(ids, dtype=object), return_index=True, return_inverse=True)
    representative = np.empty(len(first), object)
    level, cosine = np.zeros(len(first), np.int8), np.ones(len(first), np.float32)
    # `first` runs over distinct ids in ascending order; each platform is a world of its own.
    for platform in sorted(set(platforms[first])):
        rows = np.flatnonzero(platforms[first] == platform)
        at = first[rows]
        earlier = None if known is None else _of_platform(known, platform)
        found = _one_platform(
            ids.take(pa.array(at)), keys.take(pa.array(at)), embeddings[at], threshold, earlier, exact_limit
        )
        representative[rows], level[rows], cosine[rows] = found
    columns = [
        ids,
        pa.array(representative[inverse], pa.string()),
        pa.array(np.array(_LEVELS, object)[level[inverse]], pa.string()),
        pa.array(cosine[inverse], pa.float32()),
    ]
    return pa.Table.from_arrays(columns, schema=GROUPS)


def _of_platform(known: KnownGroups, platform: str) -> KnownGroups:
    rows = np.flatnonzero(np.asarray(known.platforms, dtype=object) == platform)
    # In ascending id, so that an answer doesn't depend on the order in which earlier days were put together.
    rows = rows[np.argsort(np.asarray(known.ids, dtype=object)[rows], kind="stable")]
    at = pa.array(rows)
    return KnownGroups(known.ids.take(at), known.platforms.take(at), known.masks.take(at), known.vectors[rows])


def _one_platform(
    ids: pa.StringArray,
    keys: pa.StringArray,
    vectors: Floats,
    threshold: float,
    known: KnownGroups | None,
    limit: int | None,
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int8], Floats]:
    index = NearIndex(vectors.shape[1], exact_limit=limit, id_bytes=_width(ids, known))
    names: list[str] = []
    codes = keys.dictionary_encode()
    rep_of_code = np.full(len(codes.dictionary), -1, np.int64)
    known_at = np.full(len(ids), -1, np.int64)
    if known is not None and len(known.ids):
        index.add(known.ids, known.vectors)
        names = known.ids.to_pylist()
        # Backwards, so that the smallest id of a mask remains.
        code_of = pc.fill_null(pc.index_in(known.masks, value_set=codes.dictionary), -1).to_numpy(zero_copy_only=False)
        for position in range(len(names) - 1, -1, -1):
            if code_of[position] >= 0:
                rep_of_code[code_of[position]] = position
        known_at = (
            pc.fill_null(pc.index_in(ids, value_set=known.ids), -1).to_numpy(zero_copy_only=False).astype(np.int64)
        )
    code = codes.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    id_bytes = encode_ids(ids, index.id_bytes.shape[1])
    at, level, cosine = np.empty(len(ids), np.int64), np.zeros(len(ids), np.int8), np.ones(len(ids), np.float32)
    for start in range(0, len(ids), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(ids)))
        near = index.nearest(vectors[rows])
        fresh = _assign(
            id_bytes[rows], vectors[rows], code[rows], known_at[rows],
            near.position, near.cosine, len(index), index.id_bytes, index.vectors, rep_of_code,
            threshold, at[rows], level[rows], cosine[rows],
        )  # fmt: skip
        chosen = ids.take(pa.array(fresh + start))
        index.add(chosen, vectors[rows][fresh])
        names.extend(chosen.to_pylist())
    return np.array(names, object)[at] if names else np.empty(0, object), level, cosine


def _width(ids: pa.StringArray, known: KnownGroups | None) -> int:
    widest = [
        pc.max(pc.binary_length(a)).as_py() or 0 for a in (ids, known.ids if known is not None else ids) if len(a)
    ]
    return max(32, *widest) if widest else 32
