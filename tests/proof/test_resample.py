"""Intervals of many arms on one test."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.classify import auc
from cmdclf.classify.metrics import tpr_at_fpr
from cmdclf.proof.resample import Resamples, interval

rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 4), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.5, 1.0, -3.0])),
    min_size=1, max_size=40,
)  # fmt: skip


def _same(a, b):
    return (np.isnan(a) and np.isnan(b)) or a == pytest.approx(b, abs=1e-12)


@given(rows, st.sampled_from([0.0, 0.01, 0.2, 0.5, 1.0]), st.integers(0, 5))
def test_every_draw_is_the_usual_figure_of_the_lines_that_it_holds(lines, fpr, seed):
    labels, groups, scores = (np.array(c) for c in zip(*lines, strict=True))
    sample = Resamples(labels, groups, 4, seed)
    areas, rates = sample.auc_and_tpr(scores, fpr)
    assert areas.shape == rates.shape == (5,)
    for draw, times in enumerate([np.ones(len(labels), int), *sample.times]):
        held = np.repeat(np.arange(len(labels)), times)
        assert _same(areas[draw], auc(labels[held], scores[held]))
        assert _same(rates[draw], tpr_at_fpr(labels[held], scores[held], fpr))


@given(rows, st.integers(0, 3))
def test_groups_are_drawn_whole_and_as_many_as_there_are(lines, seed):
    labels, groups, _ = (np.array(c) for c in zip(*lines, strict=True))
    times = Resamples(labels, groups, 6, seed).times
    for draw in times:
        by_group = [set(draw[groups == g]) for g in np.unique(groups)]
        assert all(len(counts) == 1 for counts in by_group)
        assert sum(next(iter(counts)) for counts in by_group) == len(by_group)


def test_some_rows_alone_count_as_if_the_others_were_not_there():
    labels, scores = np.array([1, 0, 1, 0, 0]), np.array([0.9, 0.95, 0.3, 0.2, 0.3])
    keep = np.array([True, False, True, True, True])
    areas, rates = Resamples(labels, np.arange(5), 3, 0).auc_and_tpr(scores, 0.1, keep)
    assert areas[0] == pytest.approx(auc(labels[keep], scores[keep]))
    assert rates[0] == pytest.approx(tpr_at_fpr(labels[keep], scores[keep], 0.1))
    none = Resamples(labels, np.arange(5), 3, 0).auc_and_tpr(scores, 0.1, np.zeros(5, bool))
    assert np.isnan(none).all()
    assert np.shape(none) == (2, 4)


def test_a_draw_of_one_class_is_no_number_and_does_not_widen_the_interval():
    labels = np.array([1, 0])
    areas, _ = Resamples(labels, np.array([0, 1]), 50, 0).auc_and_tpr(np.array([0.9, 0.1]), 0.01)
    assert np.isnan(areas[1:]).any()
    assert not np.isnan(areas[1:]).all()
    assert interval(areas[1:], areas[0]) == (1.0, 1.0)


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=30), st.floats(0, 1))
def test_an_interval_holds_its_estimate(draws, point):
    low, high = interval(np.array(draws), point)
    if all(np.isnan(d) for d in draws):
        assert np.isnan(low)
        assert np.isnan(high)
    else:
        assert low <= point <= high


def test_an_interval_of_many_draws_leaves_out_a_fortieth_on_either_side():
    assert interval(np.arange(1001) / 1000, 0.5) == pytest.approx((0.025, 0.975))
    assert np.isnan(interval(np.arange(5.0), float("nan"))).all()


def test_the_same_seed_draws_the_same_and_another_seed_others():
    labels, groups = np.array([1, 0] * 10), np.arange(20)
    first, again, other = (Resamples(labels, groups, 8, seed).times for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()
