"""Exact bounds and agreement."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from cmdclf.labels.audit import agreement, cohen_kappa, exact_interval, sample_size


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
