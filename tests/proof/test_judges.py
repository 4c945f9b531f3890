"""Judges of a proof: errors that don't depend on who asks, and errors where they hurt most."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.proof.judges import HostileJudge, NoisyJudge, RecordedVerdicts

MALICIOUS = {f"id{n}": n % 3 == 0 for n in range(2000)}
IDS = list(MALICIOUS)


def _month(seed=0):
    return SimpleNamespace(malicious=MALICIOUS, settings=SimpleNamespace(seed=seed))


def _right(i):
    return "malicious" if MALICIOUS[i] else "benign"


def test_a_judge_without_noise_tells_the_truth():
    assert NoisyJudge(_month(), 0.0).judge(IDS) == [_right(i) for i in IDS]


@pytest.mark.parametrize("noise", [0.02, 0.3])
def test_noise_flips_its_share_of_either_label(noise):
    said = NoisyJudge(_month(), noise).judge(IDS)
    for label in ("benign", "malicious"):
        mine = [said != _right(i) for i, said in zip(IDS, said, strict=True) if _right(i) == label]
        assert sum(mine) / len(mine) == pytest.approx(noise, abs=0.05)
        assert any(mine)


@given(st.permutations(IDS[:40]), st.integers(0, 40))
def test_which_lines_are_flipped_depends_on_nothing_but_the_line(order, cut):
    whole = dict(zip(IDS, NoisyJudge(_month(), 0.3).judge(IDS), strict=True))
    judge = NoisyJudge(_month(), 0.3)
    said = [*judge.judge(order[:cut]), *judge.judge(order[cut:])]
    assert said == [whole[i] for i in order]


def test_more_noise_flips_the_same_lines_and_others_and_another_seed_other_ones():
    wrong = [
        {i for i, said in zip(IDS, NoisyJudge(_month(seed), noise).judge(IDS), strict=True) if said != _right(i)}
        for seed, noise in ((0, 0.05), (0, 0.2), (1, 0.05))
    ]
    assert wrong[0] < wrong[1]
    assert wrong[0] != wrong[2]


def test_a_hostile_judge_lets_the_first_malicious_lines_pass_and_nothing_else():
    said = HostileJudge(_month(), 0.05, 100).judge(IDS[:100])
    passed = [i for i, v in zip(IDS, said, strict=False) if MALICIOUS[i] and v == "benign"]
    assert passed == ["id0", "id3", "id6", "id9", "id12"]
    assert all(v == "benign" for i, v in zip(IDS, said, strict=False) if not MALICIOUS[i])


@given(st.permutations(IDS[:60]), st.lists(st.integers(0, 60), max_size=4))
def test_the_allowance_is_for_all_calls_together_and_no_answer_changes(order, cuts):
    judge = HostileJudge(_month(), 0.1, 60)
    first = {}
    for end in (*sorted(cuts), 60):
        for i, said in zip(order[:end], judge.judge(order[:end]), strict=True):
            assert first.setdefault(i, said) == said
    assert sum(MALICIOUS[i] and said == "benign" for i, said in first.items()) == 6


def test_recorded_verdicts_answer_for_the_pools_own_lines_and_the_truth_only_where_they_speak(month):
    ids = month.truth["command_id"].to_pylist()
    said = RecordedVerdicts(month).judge(ids)
    truth = RecordedVerdicts(month, truth=True).judge(ids)
    assert 0.1 < sum(v != "pending" for v in said) / len(said) < 0.6
    assert [v == "pending" for v in said] == [v == "pending" for v in truth]
    for i, given_, right in zip(ids, said, truth, strict=True):
        assert right in ("pending", "malicious" if month.malicious[i] else "benign")
        assert given_ in ("pending", "benign", "malicious")
    wrong = sum(a != b for a, b in zip(said, truth, strict=True))
    assert 0 < wrong < 0.3 * sum(v != "pending" for v in said)
