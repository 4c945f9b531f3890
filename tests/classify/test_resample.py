from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.classify import auc, resample, tpr_at_fpr
from cmdclf.classify.resample import Ranking, Resamples, interval


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40), st.sampled_from([0.01, 0.1, 0.5])
)
def test_a_resample_has_the_figures_of_its_rows_written_out(rows, fpr):
    labels = np.array([bad for bad, _ in rows], np.int8)
    scores = np.array([score for _, score in rows], float)
    times = np.random.default_rng(len(rows)).integers(0, 3, (5, len(rows))).astype(np.int32)
    areas, rates = Ranking(labels, scores).auc_and_tpr(times, fpr)
    for drawn, area, rate in zip(times, areas, rates, strict=True):
        y, s = np.repeat(labels, drawn), np.repeat(scores, drawn)
        np.testing.assert_allclose([area, rate], [auc(y, s), tpr_at_fpr(y, s, fpr)], atol=1e-12)


def test_rows_can_be_left_out_and_none_left_gives_no_figure():
    labels, scores = np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.9, 0.3])
    sample = Resamples(labels, np.arange(4), 3, 0)
    kept = np.array([True, True, False, True])
    assert sample.auc_and_tpr(scores, 0.01, kept)[0][0] == 1
    assert np.isnan(sample.auc_and_tpr(scores, 0.01, np.zeros(4, bool))[0]).all()


def test_groups_are_drawn_whole_and_blocks_of_any_size_hold_the_same_draws(monkeypatch):
    labels, groups = np.array([0, 1, 0, 1, 0]), np.array(["a", "b", "a", "c", "c"])
    whole = Resamples(labels, groups, 50, 3).times
    assert whole.shape == (51, 5)
    assert (whole[0] == 1).all()
    assert (whole[:, 0] == whole[:, 2]).all()
    assert (whole[:, [0, 1, 3]].sum(axis=1) == 3).all()
    monkeypatch.setattr(resample, "_BLOCK", 35)
    blocks = list(Resamples(labels, groups, 50, 3).blocks())
    assert max(len(block) for block in blocks) == 7
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_an_interval_holds_its_point_and_needs_draws():
    assert interval(np.array([0.0, 1.0, np.nan]), 2.0)[1] == 2.0
    assert interval(np.arange(1001.0), 500.0) == pytest.approx((25, 975))
    assert np.isnan(interval(np.array([np.nan]), 0.5)).all()
