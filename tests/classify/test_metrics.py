from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from cmdclf.classify import (
    auc,
    bootstrap_auc,
    evaluate,
    fpr_at_tpr,
    paired_auc_difference,
    roc_points,
    tpr_at_fpr,
)

# Few distinct scores, so that ties are the rule.
scored = st.lists(
    st.tuples(st.integers(0, 1), st.one_of(st.integers(-3, 3).map(float), st.floats(-1e6, 1e6))),
    min_size=2,
    max_size=60,
).filter(lambda rows: len({y for y, _ in rows}) == 2)


def columns(rows):
    return np.array([y for y, _ in rows]), np.array([s for _, s in rows])


@given(scored)
def test_auc_equals_that_of_scikit_learn_with_ties(rows):
    y, s = columns(rows)
    assert auc(y, s) == pytest.approx(roc_auc_score(y, s), abs=1e-12)


@given(scored)
def test_auc_depends_on_the_order_of_the_scores_only(rows):
    y, s = columns(rows)
    ranks = np.unique(s, return_inverse=True)[1]
    assert auc(y, ranks**3 - 7.0) == pytest.approx(auc(y, s), abs=1e-12)
    assert auc(y, -s) == pytest.approx(1 - auc(y, s), abs=1e-12)


@settings(max_examples=40)
@given(scored, st.integers(0, 5), st.booleans())
def test_the_bootstrap_interval_holds_the_point_estimate(rows, seed, grouped):
    y, s = columns(rows)
    groups = np.arange(len(y)) // 3 if grouped else None
    lo, hi = bootstrap_auc(y, s, n=50, seed=seed, groups=groups)
    assert 0 <= lo <= auc(y, s) <= hi <= 1
    assert (lo, hi) == bootstrap_auc(y, s, n=50, seed=seed, groups=groups)


def test_the_bootstrap_agrees_with_resampling_by_hand():
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [300, 60])
    s = rng.normal(size=360) + y
    by_hand = []
    for _ in range(400):
        rows = np.concatenate([rng.choice(np.flatnonzero(y == c), size=(y == c).sum()) for c in (0, 1)])
        by_hand.append(roc_auc_score(y[rows], s[rows]))
    assert bootstrap_auc(y, s, n=2000) == pytest.approx(tuple(np.percentile(by_hand, (2.5, 97.5))), abs=0.012)


def test_copies_of_a_row_make_the_interval_narrower_by_rows_but_not_by_groups():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 200)
    s = rng.normal(size=200) + y
    once = np.subtract(*bootstrap_auc(y, s, groups=np.arange(200)))
    copies, group = np.repeat(np.arange(200), 20), np.repeat(np.arange(200), 20)
    by_rows = np.subtract(*bootstrap_auc(y[copies], s[copies], n=300))
    by_groups = np.subtract(*bootstrap_auc(y[copies], s[copies], n=300, groups=group))
    assert abs(by_rows) < 0.4 * abs(once)
    assert abs(by_groups) == pytest.approx(abs(once), rel=0.2)


def test_a_paired_difference_is_narrower_than_the_intervals_of_its_parts():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, 400)
    a = rng.normal(size=400) + y
    b = a + rng.normal(scale=0.05, size=400)
    difference, lo, hi = paired_auc_difference(y, a, b, n=400)
    assert difference == pytest.approx(auc(y, a) - auc(y, b))
    assert lo <= difference <= hi
    assert hi - lo < 0.3 * -np.subtract(*bootstrap_auc(y, a, n=400))
    assert paired_auc_difference(y, a, a, n=50) == (0.0, 0.0, 0.0)


@given(scored, st.floats(0, 1))
def test_tpr_at_fpr_and_fpr_at_tpr_are_those_of_the_roc_curve(rows, rate):
    y, s = columns(rows)
    fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
    assert tpr_at_fpr(y, s, rate) == pytest.approx(tpr[fpr <= rate + 1e-9].max())
    assert fpr_at_tpr(y, s, rate) == pytest.approx(fpr[tpr >= rate - 1e-9].min())


@given(scored, st.integers(2, 20))
def test_thinned_roc_points_lie_on_the_curve_and_keep_its_ends(rows, most):
    y, s = columns(rows)
    points = roc_points(y, s, max_points=most)
    fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
    curve = {(round(a, 9), round(b, 9)) for a, b in zip(fpr, tpr, strict=True)}
    assert set(zip(points["fpr"], points["tpr"], strict=True)) <= curve
    assert len(points["fpr"]) <= most + 1
    assert points["fpr"] == sorted(points["fpr"])
    assert points["fpr"][0] == 0
    assert (points["fpr"][-1], points["tpr"][-1]) == (1, 1)


def test_a_rate_that_the_benign_rows_cannot_resolve_is_marked_with_a_reason():
    rng = np.random.default_rng(4)
    y = np.repeat([0, 1], [5000, 100])
    result = evaluate(y, rng.normal(size=5100) + 2 * y, n_bootstrap=20)
    assert result["tpr_at_fpr"]["0.01"] > 0.2
    assert 0 <= result["tpr_at_fpr"]["0.001"] <= result["tpr_at_fpr"]["0.01"]
    assert result["unresolved"] == {"0.001": "needs at least 10,000 benign rows, has 5,000"}


def test_a_source_of_one_class_is_ranked_against_the_other_class_of_the_whole_test():
    y = np.array([0, 0, 0, 0, 1, 1])
    s = np.array([0.1, 0.2, 0.8, 0.3, 0.9, 0.5])
    result = evaluate(y, s, sources=["a", "a", "b", "a", "x", "x"], platforms=["linux"] * 6, n_bootstrap=20)
    assert result["by_source"]["a"]["auc"] == 1.0
    assert result["by_source"]["b"] == {
        "n_benign": 1,
        "n_malicious": 0,
        "auc": 0.5,
        "auc_against": "all_malicious",
        "false_alert_rate": 0.0,
        "detection_rate": None,
    }
    assert result["by_source"]["x"]["auc_against"] == "all_benign"
    assert result["by_source"]["x"]["detection_rate"] == 0.5
    assert result["by_platform"]["linux"]["auc_against"] == "own"


def test_a_test_without_malicious_rows_has_no_auc_rather_than_a_made_up_one():
    result = evaluate([0, 0], [0.1, 0.2], sources=["a", "a"], n_bootstrap=20)
    assert result["auc"] is None
    assert result["auc_ci95"] == [None, None]
    assert result["roc"] == {"fpr": [], "tpr": []}


@pytest.mark.parametrize(
    ("y", "s"), [([0, 1], [0.1]), ([0, 2], [0.1, 0.2]), ([0, 1], [0.1, float("nan")])], ids=["length", "label", "nan"]
)
def test_wrong_lengths_labels_and_nan_are_refused(y, s):
    with pytest.raises(ValueError, match=r"labels|NaN"):
        auc(y, s)
