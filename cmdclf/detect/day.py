"""One day's anomalies: fit on a deterministic sample, then score the day in a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.detect.topk import TopK

__all__ = ["DETECTED", "Detector", "day_anomalies"]

DETECTED = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("detector", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
    ]
)


class Detector(Protocol):
    """Whatever learns what is ordinary from a matrix and says how far a row is from it."""

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Learn from (n, f) rows."""
        ...

    def score_samples(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n,) float64, higher = more anomalous."""
        ...


def day_anomalies(
    lines: Iterable[pa.RecordBatch],
    detectors: Mapping[str, Detector],
    featurise: Callable[[pa.RecordBatch], npt.NDArray[np.floating]],
    top_k: int,
    *,
    fit_rows: int = 100_000,
    advance: Callable[[int], object] | None = None,
) -> pa.Table:
    """DETECTED: for each detector the `top_k` lines with the highest scores, by detector (in the order given) and rank.

    Two passes. The first keeps the `fit_rows` lines with the smallest command_ids and fits the detectors on them: a
    command_id is a hash, so this is a uniform sample of the distinct lines, the same whatever their order. The second
    scores batch by batch. Memory: the sample's lines and matrix, one batch with its matrix, and the top-k.

    Args:
        lines: batches with `command_id` and what `featurise` needs, each line once. Iterated twice: a list, a table's
            batches or `Store.lines(...)`, not a generator.
        detectors: name -> detector; they are fitted here.
        featurise: LINES batch -> (n, f) matrix.
        top_k: lines kept per detector.
        fit_rows: size of the sample.
        advance: called with the number of rows of each scored batch, for a progress display.

    Raises:
        ValueError: `lines` can be read only once, or `featurise` returns another number of rows than it was given.
    """
    if isinstance(lines, Iterator):
        raise ValueError(
            "day_anomalies reads the lines twice: give a list of batches or Store.lines(...), not a generator"
        )
    sample = _smallest(lines, fit_rows)
    if sample.num_rows == 0:
        return DETECTED.empty_table()
    matrix = _matrix(featurise, sample.combine_chunks().to_batches()[0])
    for detector in detectors.values():
        detector.fit(matrix)
    del matrix, sample
    tops = {name: TopK(top_k) for name in detectors}
    for batch in lines:
        if batch.num_rows:
            rows = _matrix(featurise, batch)
            for name, detector in detectors.items():
                tops[name].push(batch.column("command_id"), detector.score_samples(rows))
        if advance is not None:
            advance(batch.num_rows)
    return pa.concat_tables([_named(name, top.table()) for name, top in tops.items()] or [DETECTED.empty_table()])


def _matrix(
    featurise: Callable[[pa.RecordBatch], npt.NDArray[np.floating]], batch: pa.RecordBatch
) -> npt.NDArray[np.floating]:
    rows = featurise(batch)
    if rows.ndim != 2 or len(rows) != batch.num_rows:
        raise ValueError(f"featurise gave an array of shape {rows.shape} for {batch.num_rows} lines")
    return rows


def _smallest(lines: Iterable[pa.RecordBatch], n: int) -> pa.Table:
    """The n rows with the smallest command_ids, ordered by them."""
    held: pa.Table | None = None
    limit: pa.Scalar | None = None
    for batch in lines:
        fresh = pa.Table.from_batches([batch])
        if limit is not None:
            fresh = fresh.filter(pc.less(fresh.column("command_id"), limit))
        held = fresh if held is None else pa.concat_tables([held, fresh])
        if held.num_rows > 2 * n:
            held = held.sort_by("command_id").slice(0, n).combine_chunks()
            limit = held.column("command_id")[-1]
    if held is None:
        return pa.table({"command_id": pa.array([], pa.string())})
    return held.sort_by("command_id").slice(0, n)


def _named(name: str, top: pa.Table) -> pa.Table:
    return pa.table(
        [top.column("command_id"), pa.repeat(pa.scalar(name), top.num_rows), top.column("score"), top.column("rank")],
        schema=DETECTED,
    )
