from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from cmdclf.classify import Classifier
from cmdclf.classify.model import threshold_for


@parametrize_with_checks([Classifier(max_iter=3, min_samples_leaf=5)])
def test_the_classifier_keeps_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


def overlapping(n=3000, share=0.5, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < share).astype(int)
    return (rng.normal(size=(n, 5)) + y[:, None] * 0.7).astype(np.float32), y


def test_of_lines_scored_at_p_about_a_share_p_is_malicious_at_even_odds():
    X, y = overlapping(4000)
    model = Classifier(max_iter=60).fit(X, y)
    fresh, truth = overlapping(20_000, seed=1)
    p = model.predict_proba(fresh)[:, 1]
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = (p >= low) & (p < low + 0.2)
        assert truth[inside].mean() == pytest.approx(p[inside].mean(), abs=0.08)


def test_the_probability_does_not_depend_on_the_share_of_malicious_rows():
    means = []
    for share in (0.5, 0.05):
        X, y = overlapping(6000, share)
        fresh, truth = overlapping(4000, seed=2)
        p = Classifier(max_iter=30).fit(X, y).predict_proba(fresh)[:, 1]
        means.append(p[truth == 1].mean())
    assert means[0] == pytest.approx(means[1], abs=0.1)


def test_a_threshold_keeps_its_false_positive_rate_on_unseen_benign_rows():
    X, y = overlapping(6000, 0.3)
    model = Classifier(max_iter=30).fit(X, y)
    fresh, truth = overlapping(20_000, seed=3)
    alerts = model.predict_proba(fresh[truth == 0])[:, 1] >= model.thresholds_[0.01]
    assert 0.003 < alerts.mean() < 0.03


def test_thresholds_that_the_benign_rows_cannot_resolve_are_none_with_a_note():
    X, y = overlapping(6000, 0.3)
    model = Classifier(max_iter=5).fit(X, y)
    assert model.thresholds_[0.01] is not None
    assert model.thresholds_[0.001] is None
    assert "10,000 benign rows" in model.threshold_notes_[0.001]
    model.set_thresholds(np.linspace(0, 1, 20_000))
    assert model.thresholds_[0.001] == pytest.approx(0.999, abs=1e-3)


@given(st.integers(0, 10**6), st.integers(2, 3000), st.sampled_from([0.01, 0.02, 0.3]))
def test_at_most_the_stated_share_of_benign_scores_reaches_a_threshold(seed, levels, fpr):
    scores = np.random.default_rng(seed).integers(0, levels, 1100) / levels
    threshold = threshold_for(scores, fpr)
    assert (scores >= threshold).mean() <= fpr
    below = scores[scores < threshold]
    assert len(below)
    # The next lower score as a threshold would already be too low.
    assert (scores >= below.max()).mean() > fpr


def test_rows_of_one_group_never_calibrate_trees_that_saw_them():
    # Each group is one point with a random label: only a split inside groups could predict it.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(120), 20)
    X = rng.normal(size=(120, 3))[groups].astype(np.float32)
    y = rng.integers(0, 2, 120)[groups]
    grouped = Classifier(max_iter=30, min_samples_leaf=5).fit(X, y, groups=groups)
    split = Classifier(max_iter=30, min_samples_leaf=5).fit(X, y, groups=np.arange(len(y)))
    assert grouped.slope_ < 0.3 < split.slope_


def test_a_weight_of_three_is_the_same_as_three_copies():
    X, y = overlapping(600)
    weight = np.where(np.arange(600) % 5 == 0, 3.0, 1.0)
    copies = np.repeat(np.arange(600), weight.astype(int))
    weighted = Classifier(max_iter=10).fit(X, y, sample_weight=weight)
    repeated = Classifier(max_iter=10).fit(X[copies], y[copies])
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=1e-6)


def test_without_calibration_there_are_no_thresholds_and_the_ranking_is_the_same():
    X, y = overlapping(800)
    plain, calibrated = (Classifier(max_iter=10, folds=folds).fit(X, y) for folds in (0, 2))
    assert set(plain.thresholds_.values()) == {None}
    assert (np.argsort(plain.decision_function(X)) == np.argsort(calibrated.decision_function(X))).all()


@pytest.mark.parametrize(
    ("X", "y", "more", "message"),
    [
        ([[0.0], [1.0]], [1, 1], {}, "one class"),
        ([[0.0], [1.0], [2.0]], [0, 1, 2], {}, "binary"),
        ([[0.0], [1.0]], [0, 1], {"sample_weight": [-1, 1]}, "negative"),
        ([[0.0], [1.0]], [0, 1], {"sample_weight": [0, 1]}, "weight"),
        ([[0.0], [1.0]], [0, 1], {"groups": ["a"]}, "groups"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_a_reason(X, y, more, message):
    with pytest.raises(ValueError, match=message):
        Classifier().fit(X, y, **more)
