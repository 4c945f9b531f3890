from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.detect import (
    DETECTED,
    IsolationForestDetector,
    KMeansDistanceDetector,
    PCAReconstructionDetector,
    SmallestIds,
    day_anomalies,
)


def _table(n: int) -> pa.Table:
    lines = [f"backup --job {i % 7} --host srv{i:04d}" for i in range(n - 3)]
    lines += ["powershell -enc " + "QUJD" * 90, "$" * 300, "A" * 500]
    ids = [hashlib.sha256(line.encode()).hexdigest()[:32] for line in lines]
    return pa.table({"command_id": ids, "platform": ["windows"] * n, "command_line": lines})


def _featurise(batch: pa.RecordBatch) -> np.ndarray:
    lines = batch.column("command_line").to_pylist()
    return np.float32([[len(s), s.count(" "), s.count("$"), sum(map(str.isupper, s)), hash_of(s)] for s in lines])


def hash_of(line: str) -> float:
    return int(hashlib.md5(line.encode()).hexdigest()[:4], 16) / 65536


def _detectors():
    return {
        "forest": IsolationForestDetector(n_estimators=30),
        "kmeans": KMeansDistanceDetector(n_clusters=4),
        "pca": PCAReconstructionDetector(n_components=2),
    }


def test_each_detector_gives_its_top_k_with_ranks():
    table = _table(400)
    found = day_anomalies(table.to_batches(), _detectors(), _featurise, 5)
    assert found.schema == DETECTED
    assert found.column("detector").to_pylist() == ["forest"] * 5 + ["kmeans"] * 5 + ["pca"] * 5
    assert found.column("rank").to_pylist() == [1, 2, 3, 4, 5] * 3
    strange = set(table.column("command_id").to_pylist()[-3:])
    forest = found.filter(pa.compute.equal(found.column("detector"), "forest"))
    assert strange <= set(forest.column("command_id").to_pylist())
    scores = forest.column("score").to_pylist()
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("fit_rows", [100_000, 50])
def test_the_result_depends_neither_on_the_order_of_lines_nor_on_the_batches(fit_rows):
    table = _table(400)
    expected = day_anomalies(table.to_batches(), _detectors(), _featurise, 20, fit_rows=fit_rows)
    shuffled = table.take(pa.array(np.random.default_rng(0).permutation(400)))
    for batches in (shuffled.to_batches(max_chunksize=33), shuffled.combine_chunks().to_batches()):
        assert day_anomalies(batches, _detectors(), _featurise, 20, fit_rows=fit_rows) == expected


def test_the_fit_sees_the_lines_with_the_smallest_ids():
    table = _table(400)
    seen = []

    class Recorder:
        def fit(self, X, y=None):
            seen.append(X)
            return self

        def score_samples(self, X):
            return X[:, 0].astype(np.float64)

    day_anomalies(table.to_batches(max_chunksize=10), {"r": Recorder()}, _featurise, 1, fit_rows=30)
    smallest = table.sort_by("command_id").slice(0, 30).combine_chunks().to_batches()[0]
    np.testing.assert_array_equal(seen[0], _featurise(smallest))


def test_a_day_without_lines_has_no_anomalies():
    empty = _table(3).slice(0, 0)
    assert day_anomalies([], _detectors(), _featurise, 5) == DETECTED.empty_table()
    assert (
        day_anomalies(
            [empty.to_batches() or pa.RecordBatch.from_pylist([], schema=empty.schema)][:0], {}, _featurise, 5
        ).num_rows
        == 0
    )
    assert (
        day_anomalies([pa.RecordBatch.from_pylist([], schema=empty.schema)], _detectors(), _featurise, 5).num_rows == 0
    )


def test_fewer_lines_than_k_are_all_ranked():
    found = day_anomalies(_table(10).to_batches(), {"pca": PCAReconstructionDetector(n_components=1)}, _featurise, 99)
    assert found.column("rank").to_pylist() == list(range(1, 11))


def test_progress_is_told_of_every_row():
    told = []
    day_anomalies(_table(100).to_batches(max_chunksize=30), {}, _featurise, 5, advance=told.append)
    assert told == [30, 30, 30, 10]


def test_a_generator_and_a_wrong_number_of_rows_are_refused():
    table = _table(20)
    with pytest.raises(ValueError, match="twice"):
        day_anomalies(iter(table.to_batches()), _detectors(), _featurise, 5)
    with pytest.raises(ValueError, match=r"shape \(3, 2\) for 20 lines"):
        day_anomalies(table.to_batches(), _detectors(), lambda batch: np.zeros((3, 2)), 5)


def test_the_smallest_ids_are_kept_whatever_the_order_and_up_to_a_bound_of_text():
    table = _table(400)
    ordered = table.sort_by("command_id")
    length = np.array([len(line) for line in ordered.column("command_line").to_pylist()])
    # Those with less than 3000 characters before them.
    fitting = ordered.slice(0, int((np.cumsum(length) - length < 3000).sum()))
    assert 20 < fitting.num_rows < 150
    for seed, rows, size in ((0, 400, 7), (1, 200, 40), (2, 150, 400)):
        shuffled = table.take(pa.array(np.random.default_rng(seed).permutation(400)))
        smallest = SmallestIds(rows, text_bytes=3000)
        for batch in shuffled.to_batches(max_chunksize=size):
            smallest.push(batch)
        assert smallest.table().equals(fitting.combine_chunks())
