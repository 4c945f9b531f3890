from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError

from cmdclf.detect import IsolationForestDetector


def test_scores_are_scikit_learns_with_the_sign_turned():
    rows = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    scores = IsolationForestDetector(n_estimators=30, random_state=4).fit(rows).score_samples(rows)
    seed = np.random.RandomState(4).randint(np.iinfo(np.int32).max)
    reference = IsolationForest(n_estimators=30, max_samples=256, random_state=seed).fit(rows)
    np.testing.assert_allclose(scores, -reference.score_samples(rows), rtol=0, atol=1e-12)


def test_no_more_rows_than_the_sample_are_used():
    rows = np.random.default_rng(0).normal(size=(500, 3))
    rows[0] = 1e9
    detector = IsolationForestDetector(n_estimators=5, sample_rows=40, random_state=1).fit(rows)
    assert detector.forest_.max_samples == 40
    assert 0 < detector.score_samples(rows).max() <= 1


def test_a_detector_of_arrays_scores_the_same_bits_and_is_configured_alike():
    rows = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32)
    fitted = IsolationForestDetector(n_estimators=20, max_samples=50).fit(rows)
    again = IsolationForestDetector.from_arrays(fitted.arrays())
    np.testing.assert_array_equal(again.score_samples(rows), fitted.score_samples(rows))
    assert again.get_params() == fitted.get_params()
    assert again.n_features_in_ == 3


def test_there_are_no_arrays_before_the_fit():
    with pytest.raises(NotFittedError):
        IsolationForestDetector().arrays()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(bad):
    rows = np.random.default_rng(0).normal(size=(50, 3))
    detector = IsolationForestDetector(n_estimators=3).fit(rows)
    rows[7, 1] = bad
    with pytest.raises(ValueError, match="NaN"):
        detector.score_samples(rows)
