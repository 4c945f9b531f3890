"""Exact bounds and agreement."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from cmdclf.errors import JudgeError
from cmdclf.labels.audit import agreement, exact_interval, lower_bound, sample_size
from cmdclf.labels.audit_sample import audit_results, draw_sample
from cmdclf.labels.kappa import cohen_kappa, judge_pairs
from cmdclf.labels.person import record_verdict, withdraw_verdict
from cmdclf.labels.verdict import Verdict, verdicts_table
from cmdclf.store import Store


def test_known_sample_sizes():
    assert sample_size(0.995) == 598
    assert sample_size(0.99) == 299
    with pytest.raises(ValueError, match="between 0 and 1"):
        sample_size(1.0)


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_its_ends_have_the_tails_that_define_them(counts):
    k, n = counts
    low, high = exact_interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    if k:
        assert binom.sf(k - 1, n, low) == pytest.approx(0.025, abs=1e-6)
    if k < n:
        assert binom.cdf(k, n, high) == pytest.approx(0.025, abs=1e-6)


def test_no_trial_says_nothing():
    assert exact_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ValueError, match="impossible"):
        exact_interval(2, 1)


def test_kappa_of_same_chance_and_opposite():
    a = pa.array(["benign", "benign", "malicious", "malicious"])
    assert cohen_kappa(a, a) == 1.0
    assert cohen_kappa(a, pa.array(["benign", "malicious", "benign", "malicious"])) == 0.0
    assert cohen_kappa(a, pa.array(["malicious", "malicious", "benign", "benign"])) == -1.0
    assert math.isnan(cohen_kappa(a, a.slice(0, 2)))


def test_agreement_counts_what_both_know():
    said = ["benign", "benign", "unsure", "malicious", "benign"]
    true = ["malicious", "benign", "malicious", "benign", "benign"]
    verdicts = pa.table({"command_id": list("abcdx"), "verdict": said})
    truth = pa.table({"command_id": list("dcbay"), "label": true})
    found = agreement(verdicts, truth)
    assert found.lines == 4
    assert found.confusion["benign", "benign"] == 1
    assert found.confusion["malicious", "benign"] == 1
    assert found.confusion["benign", "unsure"] == 1
    assert found.confusion["malicious", "malicious"] == 1
    assert found.precision == 0.5
    assert found.interval == exact_interval(1, 2)


@given(st.integers(1, 400), st.integers(0, 5), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_lower_bound_is_where_the_binomial_has_the_tail_that_defines_it(n, errors, confidence):
    errors = min(errors, n - 1)
    low = lower_bound(n - errors, n, confidence)
    assert binom.sf(n - errors - 1, n, low) == pytest.approx(1 - confidence, abs=1e-6)
    assert low >= exact_interval(n - errors, n, confidence)[0]


@given(st.floats(0.5, 0.999), st.integers(0, 6))
def test_the_sample_size_is_the_smallest_that_shows_the_bound(bound, errors):
    n = sample_size(bound, errors=errors)
    assert lower_bound(n - errors, n) >= bound - 1e-9
    assert n - 1 <= errors or lower_bound(n - 1 - errors, n - 1) < bound + 1e-9


def test_598_clean_audits_show_the_bound_and_597_do_not():
    assert lower_bound(598, 598) >= 0.995 > lower_bound(597, 597)
    assert sample_size(0.995, errors=1) == 947


# ---------------------------------------------------------------------- samples and judges


def _say(store, verdict, ids, judge="llm", **more):
    store.append_verdicts(verdicts_table([Verdict(i, verdict, 0.9, judge, text_sha256="0" * 64, **more) for i in ids]))


def _ids(first, last):
    return [f"{i:032x}" for i in range(first, last)]


def test_a_sample_is_drawn_from_benign_verdicts_alone_and_grows_from_its_beginning(store):
    _say(store, "benign", _ids(0, 40))
    _say(store, "malicious", _ids(40, 60))
    _say(store, "unsure", _ids(60, 70), vetoed_by="rule:x")
    _say(store, "malicious", _ids(0, 5))  # the judge itself thought again
    small = draw_sample(store, 10)["command_id"].to_pylist()
    large = draw_sample(store, 20)["command_id"].to_pylist()
    assert large[:10] == small
    assert set(large) <= set(_ids(5, 40))
    assert draw_sample(store, 10, seed=1)["command_id"].to_pylist() != small
    assert draw_sample(store, 1000).num_rows == 35
    assert store.marks("audit")["batch"].to_pylist() == ["seed=0"] * 35 + ["seed=1"] * 10
    with pytest.raises(JudgeError, match="positive"):
        draw_sample(store, 0)
    with pytest.raises(JudgeError, match="no benign verdict"):
        draw_sample(store, 5, judge="nobody")


def test_every_verdict_is_as_likely_to_be_drawn():
    with Store.open(":memory:") as store:
        _say(store, "benign", _ids(0, 50))
        drawn = [i for seed in range(60) for i in draw_sample(store, 10, seed=seed)["command_id"].to_pylist()]
    counts = [drawn.count(i) for i in _ids(0, 50)]
    assert sum((n - 12) ** 2 / 12 for n in counts) < 49 + 4 * math.sqrt(2 * 49)  # chi-square, four deviations


def test_people_decide_what_was_right_in_the_sample(store):
    _say(store, "benign", _ids(0, 30))
    drawn = draw_sample(store, 20)["command_id"].to_pylist()
    for command_id, verdict in zip(drawn, ["benign"] * 12 + ["malicious", "unsure", "benign"], strict=False):
        record_verdict(store, command_id, verdict, "Ada")
    withdraw_verdict(store, drawn[14], "Ada")
    others = [i for i in _ids(0, 30) if i not in drawn]
    record_verdict(store, others[0], "malicious", "Ada")  # not drawn, so it says nothing about the sample
    (found,) = audit_results(store)
    assert (found.drawn, found.audited, found.right, found.malicious, found.unsure) == (20, 14, 12, 1, 1)
    assert found.interval == exact_interval(12, 14)
    assert found.low == lower_bound(12, 14)
    assert found.missing(0.9) == sample_size(0.9, errors=2) - 14
    again = draw_sample(store, 20)["command_id"].to_pylist()
    assert again == drawn  # what people said changes no draw


def test_judges_are_compared_on_common_lines_by_their_own_words(store):
    _say(store, "benign", _ids(0, 6), model="m1")
    _say(store, "malicious", _ids(6, 10), model="m1")
    _say(store, "benign", _ids(0, 5), model="m2")
    _say(store, "unsure", _ids(5, 6), model="m2", vetoed_by="rule:x")  # it said benign
    _say(store, "malicious", _ids(6, 9), model="m2")
    _say(store, "benign", _ids(9, 12), model="m2")
    record_verdict(store, _ids(0, 1)[0], "malicious", "Ada")
    first, *others = judge_pairs(store.verdicts_by_judge())
    assert (first.first, first.second, first.lines, first.agreed, first.opposite) == ("llm m1", "llm m2", 10, 9, 1)
    assert first.kappa == pytest.approx((0.9 - 0.54) / 0.46)
    assert [(p.second, p.lines, p.agreed) for p in others] == [("person Ada", 1, 0)] * 2
    assert math.isnan(others[0].kappa) or others[0].kappa == 0
    assert len(judge_pairs(store.verdicts_by_judge(), people=False)) == 1


def test_prompts_of_one_model_are_judges_of_their_own(store):
    for prompt in ("a" * 64, "b" * 64):
        _say(store, "benign", _ids(0, 2), model="m", prompt_sha256=prompt)
    (pair,) = judge_pairs(store.verdicts_by_judge())
    assert (pair.first, pair.second) == ("llm m (prompt aaaaaaaa)", "llm m (prompt bbbbbbbb)")
    assert pair.record()["kappa"] is None
