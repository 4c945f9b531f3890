from __future__ import annotations

import numpy as np
from sklearn.ensemble import IsolationForest

from cmdclf.detect import IsolationForestDetector


def test_scores_are_scikit_learns_with_the_sign_turned():
    rows = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    detector = IsolationForestDetector(n_estimators=30, random_state=4).fit(rows)
    scores = detector.score_samples(rows)
    np.testing.assert_array_equal(scores, -detector.forest_.score_samples(rows))
    reference = IsolationForest(n_estimators=30, max_samples=256, random_state=detector.forest_.random_state).fit(rows)
    np.testing.assert_array_equal(scores, -reference.score_samples(rows))


def test_no_more_rows_than_the_sample_are_used():
    rows = np.random.default_rng(0).normal(size=(500, 3))
    rows[0] = 1e9
    detector = IsolationForestDetector(n_estimators=5, sample_rows=40, random_state=1).fit(rows)
    assert detector.forest_.max_samples_ == 40
    assert 0 < detector.score_samples(rows).max() <= 1


def test_threads_do_not_change_the_scores():
    rows = np.random.default_rng(0).normal(size=(500, 3))
    one, two = (IsolationForestDetector(n_estimators=20, n_jobs=n).fit(rows).score_samples(rows) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
