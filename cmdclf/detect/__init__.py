"""Three detectors in scikit-learn style, and the bounded top-k that keeps a day's most anomalous lines."""

from __future__ import annotations

from cmdclf.detect.day import DETECTED, Detector, day_anomalies
from cmdclf.detect.forest import IsolationForestDetector
from cmdclf.detect.kmeans import KMeansDistanceDetector
from cmdclf.detect.pca import PCAReconstructionDetector
from cmdclf.detect.published import SCALES, published_detectors
from cmdclf.detect.topk import RANKED, TopK

__all__ = [
    "DETECTED",
    "RANKED",
    "SCALES",
    "Detector",
    "IsolationForestDetector",
    "KMeansDistanceDetector",
    "PCAReconstructionDetector",
    "TopK",
    "day_anomalies",
    "published_detectors",
]
