from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmdclf.detect import IsolationForestDetector, KMeansDistanceDetector, PCAReconstructionDetector

ALL = [
    IsolationForestDetector(n_estimators=50),
    KMeansDistanceDetector(n_clusters=8),
    PCAReconstructionDetector(n_components=0.9),
]


@parametrize_with_checks(ALL)
def test_detectors_keep_scikit_learns_contract(estimator, check):
    check(estimator)


def _unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def crowd():
    """Three clusters of unit vectors in 4 dimensions, 400 rows each."""
    random = np.random.default_rng(1)
    return _unit(np.concatenate([random.normal(np.eye(4)[c] * 10, 1, (400, 4)) for c in range(3)]))


@pytest.fixture(scope="module")
def strange():
    random = np.random.default_rng(2)
    return _unit(random.normal(np.eye(4)[3] * 10, 1, (5, 4)))


@pytest.mark.parametrize("detector", ALL, ids=lambda d: type(d).__name__)
class TestEveryDetector:
    def test_strange_rows_score_above_all_but_few_of_the_crowd(self, detector, crowd, strange):
        fitted = clone(detector).fit(crowd)
        assert fitted.score_samples(strange).min() > np.quantile(fitted.score_samples(crowd), 0.99)

    def test_scores_are_finite_float64_one_per_row(self, detector, crowd):
        scores = clone(detector).fit(crowd).score_samples(crowd[:7])
        assert scores.dtype == np.float64
        assert scores.shape == (7,)
        assert np.isfinite(scores).all()

    def test_the_same_seed_gives_the_same_scores(self, detector, crowd):
        first, second = (clone(detector).fit(crowd).score_samples(crowd) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_a_row_scores_the_same_alone_and_in_any_batch(self, detector, crowd):
        fitted = clone(detector).fit(crowd)
        whole = fitted.score_samples(crowd)
        np.testing.assert_array_equal(
            whole, np.concatenate([fitted.score_samples(part) for part in np.array_split(crowd, 37)])
        )
        np.testing.assert_array_equal(whole[:20], [fitted.score_samples(crowd[i : i + 1])[0] for i in range(20)])

    def test_float32_is_not_modified_and_scores_as_float64_does(self, detector, crowd):
        before = crowd.copy()
        fitted = clone(detector).fit(crowd)
        scores = fitted.score_samples(crowd)
        np.testing.assert_array_equal(before, crowd)
        np.testing.assert_allclose(scores, fitted.score_samples(crowd.astype(np.float64)), atol=1e-6)

    def test_rows_that_are_all_equal_can_be_fitted(self, detector):
        same = np.ones((30, 4), dtype=np.float32)
        scores = clone(detector).fit(same).score_samples(same)
        assert np.isfinite(scores).all()
        assert len(set(scores)) == 1
