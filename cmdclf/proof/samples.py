"""Each detector on either feature set, on the same sample of each training day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.preprocessing import StandardScaler

from cmdclf.detect import (
    Detector,
    IsolationForestDetector,
    KMeansDistanceDetector,
    PCAReconstructionDetector,
    day_anomalies,
)
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.proof.month import Month
from cmdclf.study.workplace import kept, settings_hash

__all__ = ["sample_anomalies"]


def sample_anomalies(month: Month, what: str) -> pa.Table:
    """scale (`sample`), command_id, detector, rank of each day's anomalies, by three detectors.

    Args:
        month: its training days, and its settings of the reduced scale.
        what: `features` (hand-engineered, standardised, which k-means and PCA need) or `embeddings`.
    """
    w, s = month.w, month.settings
    key = settings_hash(w.data_hash(w.train_days), s.sample, s.reduced_top_k, what, FEATURE_VERSION, w.embedder.name)
    return kept(w.out / "work" / f"sample-{what}-{key}.parquet", lambda: _found(month, what))


def _found(month: Month, what: str) -> pa.Table:
    w, s = month.w, month.settings
    parts = []
    for day in w.train_days:
        sample = w.store.sample(day, s.sample)
        if sample.num_rows < 2:
            continue
        matrix = w.embed(sample) if what == "embeddings" else _features(sample)
        row = {i: n for n, i in enumerate(sample["command_id"].to_pylist())}

        def make(
            batch: pa.RecordBatch, matrix: npt.NDArray[np.floating] = matrix, row: dict[str, int] = row
        ) -> npt.NDArray[np.floating]:
            return matrix[[row[i] for i in batch.column("command_id").to_pylist()]]

        detectors: dict[str, Detector] = {
            "isolation_forest": IsolationForestDetector(random_state=0),
            "kmeans_distance": KMeansDistanceDetector(n_clusters=min(64, max(sample.num_rows // 4, 1)), random_state=0),
            "pca_reconstruction": PCAReconstructionDetector(n_components=0.95),
        }
        parts.append(day_anomalies(sample.to_batches(), detectors, make, s.reduced_top_k, fit_rows=s.sample))
    table = pa.concat_tables(parts)
    return table.append_column("scale", pa.array(["sample"] * table.num_rows))


def _features(sample: pa.Table) -> npt.NDArray[np.float32]:
    """(n, f) float32, each column with mean 0 and variance 1."""
    maker = FeatureMaker().fit(sample.to_batches())
    matrix = np.concatenate([maker.matrix(batch) for batch in sample.to_batches()])
    return np.asarray(StandardScaler().fit_transform(matrix), np.float32)
