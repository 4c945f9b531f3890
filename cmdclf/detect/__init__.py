"""Three detectors in scikit-learn style, and the bounded top-k that keeps a day's most anomalous lines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmdclf.detect.day import DETECTED, FIT_ROWS, Detector, SmallestIds, day_anomalies, top_scores
    from cmdclf.detect.daymodel import FOREST, DayModel, EmptyDayError
    from cmdclf.detect.daystream import DayFound, StreamedDay
    from cmdclf.detect.flatforest import FlatForest
    from cmdclf.detect.forest import IsolationForestDetector
    from cmdclf.detect.kmeans import KMeansDistanceDetector
    from cmdclf.detect.pca import PCAReconstructionDetector
    from cmdclf.detect.published import SCALES, published_detectors
    from cmdclf.detect.topk import RANKED, TopK
    from cmdclf.detect.workfolder import WorkFolder

__all__ = [
    "DETECTED",
    "FIT_ROWS",
    "FOREST",
    "RANKED",
    "SCALES",
    "DayFound",
    "DayModel",
    "Detector",
    "EmptyDayError",
    "FlatForest",
    "IsolationForestDetector",
    "KMeansDistanceDetector",
    "PCAReconstructionDetector",
    "SmallestIds",
    "StreamedDay",
    "TopK",
    "WorkFolder",
    "day_anomalies",
    "published_detectors",
    "top_scores",
]

_HOME = {
    "DETECTED": "cmdclf.detect.day",
    "FIT_ROWS": "cmdclf.detect.day",
    "FOREST": "cmdclf.detect.daymodel",
    "RANKED": "cmdclf.detect.topk",
    "SCALES": "cmdclf.detect.published",
    "DayFound": "cmdclf.detect.daystream",
    "DayModel": "cmdclf.detect.daymodel",
    "Detector": "cmdclf.detect.day",
    "EmptyDayError": "cmdclf.detect.daymodel",
    "FlatForest": "cmdclf.detect.flatforest",
    "IsolationForestDetector": "cmdclf.detect.forest",
    "KMeansDistanceDetector": "cmdclf.detect.kmeans",
    "PCAReconstructionDetector": "cmdclf.detect.pca",
    "SmallestIds": "cmdclf.detect.day",
    "StreamedDay": "cmdclf.detect.daystream",
    "TopK": "cmdclf.detect.topk",
    "WorkFolder": "cmdclf.detect.workfolder",
    "day_anomalies": "cmdclf.detect.day",
    "published_detectors": "cmdclf.detect.published",
    "top_scores": "cmdclf.detect.day",
}


def __getattr__(name: str) -> Any:
    """Names are looked up at use, so that who only scores a day doesn't load scikit-learn."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
