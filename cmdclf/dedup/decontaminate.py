"""Tests without near-duplicates of what was trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup._kernels import Floats
from cmdclf.dedup.index import EXACT_LIMIT, NearIndex
from cmdclf.lines import mask

__all__ = ["TWIN_COSINE", "remove_near"]

#: Higher than what joins lines of one group, since no comparison of behaviours stands beside it here: at 0.85, 92 % of
#: labelled pairs that differ in volatile parts alone are caught (`benchmarks/pairs/near.jsonl`).
TWIN_COSINE = 0.85

#: Multiplications that the exhaustive search may cost (about a minute on two cores); beyond, usearch looks.
_EXHAUSTIVE = 2_000_000_000_000


def remove_near(
    test_lines: pa.Table,
    test_embeddings: Floats,
    train_lines: pa.Table,
    train_embeddings: Floats,
    threshold: float = TWIN_COSINE,
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Which test lines are no near-duplicates of a training line, and how many were, by the first level to catch them.

    Stricter than grouping: platforms are not compared, since the same text on two platforms is no fresh test either.

    Args:
        test_lines: with `command_line`.
        test_embeddings: (n, dim) float32, unit rows, aligned.
        train_lines: with `command_line`.
        train_embeddings: (m, dim) float32, unit rows, aligned.
        threshold: least cosine of a near-duplicate.

    Returns:
        keep (n,) bool, and counts by `exact`, `masked`, `cosine`, which add up to the removed.
    """
    if len(test_embeddings) != test_lines.num_rows or len(train_embeddings) != train_lines.num_rows:
        raise ValueError("lines and embeddings differ in number")
    test, train = _texts(test_lines), _texts(train_lines)
    exact = _is_in(test, train)
    masked = ~exact & _is_in(mask(test), mask(train))
    near = np.zeros(len(test), bool)
    rest = np.flatnonzero(~exact & ~masked)
    if len(rest) and len(train):
        vectors = np.unique(np.ascontiguousarray(train_embeddings, np.float32), axis=0)
        costly = len(rest) * vectors.size > _EXHAUSTIVE
        index = NearIndex(vectors.shape[1], exact_limit=EXACT_LIMIT if costly else None)
        index.add([f"{i:032d}" for i in range(len(vectors))], vectors)
        near[rest] = index.nearest(np.asarray(test_embeddings)[rest]).cosine >= threshold
    counts = {"exact": int(exact.sum()), "masked": int(masked.sum()), "cosine": int(near.sum())}
    return ~(exact | masked | near), counts


def _texts(lines: pa.Table) -> pa.StringArray:
    column = lines.column("command_line")
    return pc.fill_null(
        (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string()), ""
    )


def _is_in(values: pa.StringArray, known: pa.StringArray) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_in(values, value_set=known).to_numpy(zero_copy_only=False)
    return found
