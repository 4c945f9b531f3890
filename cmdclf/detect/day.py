"""One day's anomalies: fit on a deterministic sample, then score the day in a stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.detect.topk import TopK

__all__ = [
    "DETECTED",
    "FIT_ROWS",
    "Detector",
    "Scores",
    "SmallestIds",
    "day_anomalies",
    "detector_scores",
    "top_scores",
]

DETECTED = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("detector", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
    ]
)

#: Lines that detectors are fitted on, unless told otherwise, and the most text that these may have.
FIT_ROWS = 100_000
FIT_BYTES = 256 << 20

#: A batch of lines in; for each detector (n,) float64 scores out.
Scores = Callable[[pa.RecordBatch], Mapping[str, npt.NDArray[np.float64]]]


class Detector(Protocol):
    """Whatever learns what is ordinary from a matrix and says how far a row is from it."""

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Learn from (n, f) rows."""
        ...

    def score_samples(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n,) float64, higher = more anomalous."""
        ...


class SmallestIds:
    """Keeps the rows with the smallest command_ids out of any number of batches.

    A command_id is a hash, so this is a uniform sample of distinct lines, the same whatever their order and however
    they are cut into batches. Memory: twice the rows kept, and one batch.

    Args:
        rows: how many are kept.
        text_bytes: in the order of their ids, no line is kept once those before it have so many bytes of text: a day
            of monstrous lines must not fill the memory.
    """

    def __init__(self, rows: int, text_bytes: int = FIT_BYTES) -> None:
        self.rows = rows
        self.text_bytes = text_bytes
        self._held: pa.Table | None = None
        self._limit: pa.Scalar | None = None
        self._lock = threading.Lock()

    def push(self, batch: pa.RecordBatch) -> None:
        """Take a batch; each line may come once only."""
        fresh = pa.Table.from_batches([batch])
        if self._limit is not None:
            fresh = fresh.filter(pc.less(fresh.column("command_id"), self._limit))
        with self._lock:
            if self._held is None:
                self._held = fresh
            elif fresh.num_rows:
                self._held = pa.concat_tables([self._held, fresh])
            if self._held.num_rows > 2 * self.rows or self._held.nbytes > 3 * self.text_bytes:
                self._prune()

    def _prune(self) -> None:
        if self._held is None:
            return
        order = pc.sort_indices(self._held, sort_keys=[("command_id", "ascending")])
        lines = self._held.take(order.slice(0, self.rows))
        if "command_line" in lines.column_names and lines.num_rows:
            length = pc.fill_null(pc.binary_length(lines.column("command_line")), 0).to_numpy().astype(np.int64)
            # What the lines before it have decides: then a part of the stream never drops what the whole would keep.
            before = np.cumsum(length) - length
            lines = lines.slice(0, int(np.searchsorted(before, self.text_bytes)))
        self._held = lines.combine_chunks()
        if lines.num_rows and lines.num_rows < len(order):
            self._limit = self._held.column("command_id")[-1]

    def table(self) -> pa.Table:
        """The rows kept, in the order of their command_ids."""
        self._prune()
        return pa.table({"command_id": pa.array([], pa.string())}) if self._held is None else self._held


def top_scores(
    lines: Iterable[pa.RecordBatch],
    score: Scores,
    detectors: Sequence[str],
    top_k: int,
    *,
    advance: Callable[[int], object] | None = None,
) -> pa.Table:
    """DETECTED: the `top_k` highest scores of each detector, by detector (in the order given) and rank.

    Args:
        lines: batches with `command_id` and what `score` needs.
        score: gives the scores of every detector named.
        detectors: their names.
        top_k: lines kept per detector.
        advance: called with the number of rows of each scored batch, for a progress display.
    """
    tops = {name: TopK(top_k) for name in detectors}
    for batch in lines:
        if batch.num_rows:
            scores = score(batch)
            for name, top in tops.items():
                top.push(batch.column("command_id"), scores[name])
        if advance is not None:
            advance(batch.num_rows)
    return ranked(tops)


def ranked(tops: Mapping[str, TopK]) -> pa.Table:
    """DETECTED of what each detector's TopK holds."""
    return pa.concat_tables([_named(name, top.table()) for name, top in tops.items()] or [DETECTED.empty_table()])


def detector_scores(
    detectors: Mapping[str, Detector], featurise: Callable[[pa.RecordBatch], npt.NDArray[np.floating]]
) -> Scores:
    """The scores of several fitted detectors on one matrix, made batch by batch."""

    def score(batch: pa.RecordBatch) -> dict[str, npt.NDArray[np.float64]]:
        rows = _matrix(featurise, batch)
        return {name: detector.score_samples(rows) for name, detector in detectors.items()}

    return score


def day_anomalies(
    lines: Iterable[pa.RecordBatch],
    detectors: Mapping[str, Detector],
    featurise: Callable[[pa.RecordBatch], npt.NDArray[np.floating]],
    top_k: int,
    *,
    fit_rows: int = FIT_ROWS,
    advance: Callable[[int], object] | None = None,
) -> pa.Table:
    """DETECTED: for each detector the `top_k` lines with the highest scores, by detector (in the order given) and rank.

    Two passes. The first keeps the `fit_rows` lines with the smallest command_ids and fits the detectors on them. The
    second scores batch by batch. Memory: the sample's lines and matrix, one batch with its matrix, and the top-k.

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
    smallest = SmallestIds(fit_rows)
    for batch in lines:
        smallest.push(batch)
    sample = smallest.table()
    if sample.num_rows == 0:
        return DETECTED.empty_table()
    fit_detectors(detectors, featurise, sample)
    return top_scores(lines, detector_scores(detectors, featurise), list(detectors), top_k, advance=advance)


def fit_detectors(
    detectors: Mapping[str, Detector],
    featurise: Callable[[pa.RecordBatch], npt.NDArray[np.floating]],
    sample: pa.Table,
) -> None:
    """Fit every detector on the matrix of the sample's lines, which has at least one."""
    matrix = np.concatenate([_matrix(featurise, batch) for batch in sample.to_batches(max_chunksize=65_536)])
    for detector in detectors.values():
        detector.fit(matrix)


def _matrix(
    featurise: Callable[[pa.RecordBatch], npt.NDArray[np.floating]], batch: pa.RecordBatch
) -> npt.NDArray[np.floating]:
    rows = featurise(batch)
    if rows.ndim != 2 or len(rows) != batch.num_rows:
        raise ValueError(f"featurise gave an array of shape {rows.shape} for {batch.num_rows} lines")
    return rows


def _named(name: str, top: pa.Table) -> pa.Table:
    return pa.table(
        [top.column("command_id"), pa.repeat(pa.scalar(name), top.num_rows), top.column("score"), top.column("rank")],
        schema=DETECTED,
    )
