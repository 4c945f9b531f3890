"""The promotion gate's rule, on scores made up for each case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.classify import GateTest, Margins, Scored, auc, compare, refusals, tpr_at_fpr


def gate_test(benign=1200, malicious=200, *, name="incident", late=False, seed=0):
    """Every row its own group; two platforms; every tenth benign line is hard."""
    n = benign + malicious
    labels = np.r_[np.zeros(benign, np.int8), np.ones(malicious, np.int8)]
    platforms = np.array(["linux", "windows"], object)[np.arange(n) % 2]
    return GateTest(name, labels, np.arange(n), platforms, (np.arange(n) % 10 == 0) & (labels == 0), late)


def scored(test, shift=2.0, seed=0, malicious_from=0.9):
    """Scores of a model that ranks the better the larger `shift` is."""
    raw = np.random.default_rng(seed).normal(size=len(test.labels)) + shift * test.labels
    return Scored(1 / (1 + np.exp(-raw)), malicious_from)


def by_place(comparisons):
    return {(c.rows, c.measure): c for c in comparisons}


def test_the_figures_are_those_of_the_test_and_every_slice_is_compared():
    test = gate_test(2400, 300)
    current, candidate = scored(test, 2.0), scored(test, 2.5, seed=1)
    found = by_place(compare(test, current, candidate, n=100))
    assert set(found) == {
        ("all", "AUC"), ("all", "TPR at FPR 0.01"), ("all", "detected at own threshold"), ("linux", "AUC"),
        ("linux", "TPR at FPR 0.01"), ("windows", "AUC"), ("windows", "TPR at FPR 0.01"), ("hard benign", "AUC"),
        ("hard benign", "TPR at FPR 0.01"),
    }  # fmt: skip
    rows = test.platforms == "linux"
    one = found["linux", "TPR at FPR 0.01"]
    assert (one.benign, one.malicious) == (1200, 150)
    assert one.current == pytest.approx(tpr_at_fpr(test.labels[rows], current.scores[rows], 0.01))
    whole = found["all", "AUC"]
    assert whole.candidate == pytest.approx(auc(test.labels, candidate.scores))
    assert whole.difference == pytest.approx(whole.candidate - whole.current)
    assert whole.ci95[0] <= whole.difference <= whole.ci95[1]
    hard = test.hard | (test.labels == 1)
    assert found["hard benign", "AUC"].current == pytest.approx(auc(test.labels[hard], current.scores[hard]))
    assert (found["hard benign", "AUC"].benign, found["hard benign", "AUC"].malicious) == (240, 300)


def test_a_clear_loss_is_worse_and_a_clear_gain_is_better():
    test = gate_test()
    weak, strong = scored(test, 1.0), scored(test, 4.0, seed=1)
    lost = compare(test, strong, weak, n=100)
    assert by_place(lost)["all", "AUC"].verdict == "worse"
    reasons = refusals(lost, ["incident"])
    assert reasons[0].startswith("incident, AUC: 0.99")
    assert "whole interval lies on the worse side of 0 and the margin is 0.005" in reasons[0]
    won = compare(test, weak, strong, n=100)
    assert by_place(won)["all", "AUC"].verdict == "better"
    assert not refusals(won, ["incident"])


def test_a_loss_that_chance_explains_is_refused_beyond_the_margin_only():
    test = gate_test(1000, 40)
    current, candidate = scored(test, 2.0), scored(test, 2.0, seed=5)
    if auc(test.labels, current.scores) < auc(test.labels, candidate.scores):
        current, candidate = candidate, current
    tight = by_place(compare(test, current, candidate, margins=Margins(auc=1e-6), n=200))["all", "AUC"]
    assert tight.ci95[1] > 0 > tight.difference
    assert tight.verdict == "worse"
    assert tight.why.endswith("the margin is 1e-06")
    wide = by_place(compare(test, current, candidate, margins=Margins(auc=0.5), n=200))["all", "AUC"]
    assert wide.verdict == "no worse"


def test_a_loss_on_one_platform_or_on_hard_benign_lines_alone_is_found():
    test = gate_test(4000, 400)
    current = scored(test, 4.0)
    mac = current.scores.copy()
    rows = test.platforms == "windows"
    mac[rows] = np.random.default_rng(2).permutation(mac[rows])
    reasons = refusals(compare(test, current, replace(current, scores=mac), n=100), ["incident"])
    assert any(r.startswith("incident, windows, AUC") for r in reasons)
    assert not any("linux" in r for r in reasons)
    hard = np.where(test.hard, 0.99, current.scores)
    found = by_place(compare(test, current, replace(current, scores=hard), margins=Margins(1, 1, 1), n=100))
    assert found["hard benign", "AUC"].verdict == "worse"
    assert found["linux", "AUC"].verdict == "worse"
    assert found["hard benign", "TPR at FPR 0.01"].verdict == "too few rows"


def test_margins_of_slices_are_wider():
    test = gate_test(2400, 300)
    found = compare(test, scored(test), scored(test, seed=1), margins=Margins(0.004, 0.03, slices=2), n=100)
    assert {(c.rows == "all", c.measure): c.margin for c in found if c.margin} == {
        (True, "AUC"): 0.004, (False, "AUC"): 0.008, (True, "TPR at FPR 0.01"): 0.03, (False, "TPR at FPR 0.01"): 0.06,
    }  # fmt: skip


def test_what_is_too_small_is_shown_and_not_judged():
    test = gate_test(500, 19)
    strong, weak = scored(test, 5.0), scored(test, 0.0, seed=1)
    found = compare(test, strong, weak, n=100)
    assert {c.verdict for c in found} == {"too few rows", "not judged"}
    whole = by_place(found)["all", "AUC"]
    assert (whole.why, whole.ci95) == ("needs at least 20 groups of malicious lines, has 19", None)
    assert whole.difference < 0
    assert refusals(found, ["incident"]) == [f"no incident test is large enough to judge by (incident {whole.why})"]
    enough = by_place(compare(gate_test(999, 20), *[scored(gate_test(999, 20))] * 2, n=100))
    assert enough["all", "AUC"].verdict == "no worse"
    assert enough["all", "TPR at FPR 0.01"].why == "needs at least 1,000 benign rows, has 999"


def test_many_rows_of_few_groups_are_too_few():
    test = gate_test()
    test = replace(test, groups=test.groups % 15)
    assert by_place(compare(test, scored(test), scored(test), n=100))["all", "AUC"].verdict == "too few rows"


def test_one_large_incident_test_is_enough_and_a_time_split_is_none():
    small, large, late = gate_test(30, 5, name="small"), gate_test(name="large"), gate_test(name="late", late=True)
    found = [c for t in (small, large, late) for c in compare(t, scored(t), scored(t), n=100)]
    assert not refusals(found, ["small", "large"])
    assert len(refusals([c for c in found if c.test != "large"], ["small"])) == 1


def test_the_time_split_judges_false_alerts_at_each_models_own_threshold():
    test = gate_test(4000, 100, late=True)
    current = scored(test, 3.0, malicious_from=0.95)
    eager = replace(current, malicious_from=0.9)
    found = by_place(compare(test, current, eager, n=100))
    assert set(found) == {("all", "AUC"), ("all", "false alerts at own threshold")}
    alerts = found["all", "false alerts at own threshold"]
    assert alerts.verdict == "worse"
    assert alerts.candidate == pytest.approx((current.scores[:4000] >= 0.9).mean())
    assert (alerts.benign, alerts.malicious) == (4000, 0)
    assert found["all", "AUC"].verdict == "no worse"
    assert by_place(compare(test, eager, current, n=100))["all", "false alerts at own threshold"].verdict == "better"


def test_a_time_split_of_benign_lines_judges_false_alerts_alone():
    test = gate_test(1000, 0, late=True)
    found = by_place(compare(test, scored(test), scored(test), n=100))
    assert found["all", "AUC"].verdict == "too few rows"
    assert found["all", "AUC"].current is None
    assert found["all", "false alerts at own threshold"].verdict == "no worse"


def test_false_alerts_need_ten_behind_the_rate_that_a_threshold_aims_at_or_a_higher_one_that_is_found():
    def verdict(count, alerts):
        test = gate_test(count, 0, late=True)
        quiet = Scored(np.zeros(count), 0.5, 0.001)
        loud = replace(quiet, scores=(np.arange(count) < alerts).astype(float))
        return by_place(compare(test, quiet, loud, n=100))["all", "false alerts at own threshold"].verdict

    assert verdict(9_999, 0) == "too few rows"
    assert verdict(10_000, 0) == "no worse"
    assert verdict(200, 9) == "too few rows"
    assert verdict(200, 60) == "worse"


@st.composite
def small_tests(draw):
    n = draw(st.integers(45, 90))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    labels = (np.arange(n) % 2).astype(np.int8)
    platforms = np.array(["linux", "macos"], object)[rng.integers(0, 2, n)]
    test = GateTest("t", labels, rng.integers(0, 60, n), platforms, rng.random(n) < 0.3, draw(st.booleans()))
    levels = draw(st.sampled_from([2, 5, 1000]))
    first, second = (Scored(rng.integers(0, levels, n) / levels, draw(st.sampled_from([0.3, 0.7]))) for _ in range(2))
    return test, first, second


@settings(max_examples=25, deadline=None)
@given(small_tests())
def test_a_model_is_never_worse_nor_better_than_itself(case):
    test, model, _ = case
    for c in compare(test, model, model, margins=Margins(0, 0, 0), n=100):
        assert c.verdict in ("no worse", "too few rows", "not judged")
        assert c.difference in (0, None)


@settings(max_examples=25, deadline=None)
@given(small_tests())
def test_changing_sides_turns_every_sign_and_no_count(case):
    test, first, second = case
    for there, back in zip(compare(test, first, second, n=100), compare(test, second, first, n=100), strict=True):
        assert (there.rows, there.measure, there.benign, there.malicious) == (
            back.rows, back.measure, back.benign, back.malicious,
        )  # fmt: skip
        assert (there.current, there.candidate) == (back.candidate, back.current)
        if there.ci95 is not None:
            assert there.difference == pytest.approx(-back.difference)
            assert there.ci95 == pytest.approx((-back.ci95[1], -back.ci95[0]), abs=1e-12)
            assert (there.verdict == "better") <= (back.verdict == "worse")
