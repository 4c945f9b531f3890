"""Which detectors run at which scale, as published, with the names under which their anomalies are kept."""

from __future__ import annotations

from typing import Literal

from cmdclf.detect.day import Detector
from cmdclf.detect.forest import IsolationForestDetector
from cmdclf.detect.kmeans import KMeansDistanceDetector
from cmdclf.detect.pca import PCAReconstructionDetector

__all__ = ["SCALES", "Scale", "published_detectors"]

Scale = Literal["full", "reduced"]

#: scale -> names of its detectors.
SCALES: dict[Scale, tuple[str, ...]] = {
    "full": ("isolation_forest",),
    "reduced": ("kmeans_distance", "pca_reconstruction"),
}


def published_detectors(scale: Scale, *, random_state: int = 0) -> dict[str, Detector]:
    """Name -> unfitted detector with its default settings.

    Full scale: isolation forest on hand-engineered features. Reduced scale: k-means distance and PCA reconstruction
    error on embeddings.
    """
    if scale == "full":
        return {"isolation_forest": IsolationForestDetector(random_state=random_state)}
    return {
        "kmeans_distance": KMeansDistanceDetector(random_state=random_state),
        "pca_reconstruction": PCAReconstructionDetector(random_state=random_state),
    }
