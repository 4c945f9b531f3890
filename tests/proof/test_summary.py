"""Scores of many arms as one table of results."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cmdclf.classify import auc
from cmdclf.proof.cautions import warnings_of
from cmdclf.proof.runner import _folder
from cmdclf.proof.settings import ProofSettings, Shape
from cmdclf.proof.summary import Part, _base, _control, _knowing, summarise


@pytest.mark.parametrize(
    ("arm", "control", "base"),
    [
        ("ab | combined | 20 | noise 0.01", "ab | random | 20 | noise 0.01", "ab | base"),
        ("rb | full | 10 | hostile 0.05", "rb | random | 10 | hostile 0.05", "rb | base"),
        ("ab | mined, audited | 20 | noise 0 | tokens", "ab | random | 20 | noise 0", "ab | base"),
        ("ab | combined | 20 | noise 0.01 | 7 days", "ab | random | 20 | noise 0.01", "ab | base"),
        ("ab | base | 0 | noise 0.01", "ab | base | 0 | noise 0.01", "ab | base"),
        ("shipped | rb | combined | 20 | recorded", "shipped | rb | random | 20 | recorded", "shipped | rb | base"),
        ("shipped | ab | base | 0 | noise 0", "shipped | ab | base | 0 | noise 0", "shipped | ab | base"),
    ],
)
def test_an_arm_is_compared_with_its_own_base_and_the_random_arm_of_its_budget_and_judge(arm, control, base):
    assert _control(arm) == control
    assert _base(arm) == base


@pytest.mark.parametrize(
    ("arm", "control"),
    [
        ("ab | mined, audited, lexicon | 20 | noise 0", "ab | random, audited, lexicon | 20 | noise 0"),
        ("shipped | rb | combined, audited, lexicon | 20 | recorded",
         "shipped | rb | random, audited, lexicon | 20 | recorded"),
        ("ab | mined, audited | 20 | noise 0", ""),
        ("shipped | ab | lexicon | 0 | noise 0", ""),
    ],
)  # fmt: skip
def test_an_arm_that_knows_the_lexicon_is_compared_with_random_labels_that_do_too(arm, control):
    assert _knowing(arm) == control


FIGURES = {"time_split_auc": 0.9, "late_fpr": 0.1, "alerts_a_day": 10, "late_tpr": 0.5, "asked": 20, "tokens": 100,
           "wrong": 0, "training": 50, "training_malicious": 5, "verdicts": {"benign": 18, "malicious": 2}}  # fmt: skip
NAMES = {"base": "ab | base | 0 | noise 0.01", "random": "ab | random | 20 | noise 0.01",
         "full": "ab | full | 20 | noise 0.01"}  # fmt: skip


def _part(rotation, shift, share_top=0.45, figures=FIGURES, agreed=None):
    rng = np.random.default_rng(rotation)
    labels = np.repeat([1, 0], [30, 70]).astype(np.int8)
    noise = rng.normal(size=100)
    strength = {"base": 0.5, "random": 1.0, "full": 1.0 + shift}
    return Part(
        rotation=rotation, shape=Shape(share_top), labels=labels, groups=np.arange(100, dtype=np.int32) // 2,
        agreed=np.ones(100, bool) if agreed is None else agreed,
        kinds=np.array([""] * 30 + ["hard"] * 35 + ["simple"] * 35, object),
        platforms=np.array(["linux", "windows"] * 50, object),
        scores={NAMES[k]: (v * labels + noise).astype(np.float32) for k, v in strength.items()},
        figures={name: dict(figures) for name in NAMES.values()},
        about={"test_rows": 110, "removed": {"exact": 10}},
    )  # fmt: skip


@pytest.fixture
def settings():
    return ProofSettings((), rotations=2, shares=(), any_length=False, varied=0, bootstrap=50, budget=20)


def test_means_are_over_rotations_and_wins_count_them(settings):
    parts = [_part(0, 0.8), _part(1, -0.8)]
    full = summarise(settings, parts)["arms"][NAMES["full"]]
    own = [auc(p.labels, p.scores[NAMES["full"]]) for p in parts]
    assert full["auc"]["rotations"] == pytest.approx(own, abs=1e-6)
    assert full["auc"]["mean"] == pytest.approx(np.mean(own), abs=1e-6)
    random = [auc(p.labels, p.scores[NAMES["random"]]) for p in parts]
    assert full["to_random"]["auc"]["mean"] == pytest.approx(np.mean(own) - np.mean(random), abs=1e-6)
    assert full["to_random"]["auc"]["wins"] == 1
    assert summarise(settings, [_part(0, 0.8), _part(1, 0.8)])["arms"][NAMES["full"]]["to_random"]["auc"]["wins"] == 2


def test_differences_are_paired(settings):
    full = summarise(settings, [_part(0, 0.2), _part(1, 0.2)])["arms"][NAMES["full"]]
    low, high = full["to_random"]["auc"]["ci95"]
    assert high - low < (full["auc"]["ci95"][1] - full["auc"]["ci95"][0]) / 2


def test_an_arm_is_not_compared_with_itself_and_the_base_with_nothing(settings):
    arms = summarise(settings, [_part(0, 0.2), _part(1, 0.2)])["arms"]
    assert "to_random" not in arms[NAMES["random"]]
    assert "to_base" in arms[NAMES["random"]]
    assert not {"to_random", "to_base"} & set(arms[NAMES["base"]])


def test_each_benign_group_and_platform_has_its_own_figure_and_none_where_it_has_no_lines(settings):
    part = _part(0, 0.2)
    arm = summarise(settings, [part])["arms"][NAMES["full"]]
    scores = part.scores[NAMES["full"]]
    hard = np.r_[0:30, 30:65]
    assert arm["kinds"]["hard"] == pytest.approx(auc(part.labels[hard], scores[hard]), abs=1e-6)
    assert arm["kinds"]["complex"] is None
    assert arm["platforms"]["linux"] == pytest.approx(auc(part.labels[::2], scores[::2]), abs=1e-6)


def test_counts_are_means_verdicts_are_sums_and_the_lowest_time_split_is_kept(settings):
    parts = [_part(0, 0), _part(1, 0, figures=FIGURES | {"time_split_auc": 0.7, "asked": 10, "tokens": None})]
    arm = summarise(settings, parts)["arms"][NAMES["full"]]
    assert (arm["asked"], arm["tokens"]) == (15, 100)
    assert (arm["time_split_auc"], arm["time_split_lowest"]) == (0.8, 0.7)
    assert arm["verdicts"] == {"benign": 36, "malicious": 4}


def test_another_shape_of_the_month_is_a_variation_of_its_own(settings):
    import dataclasses

    s = dataclasses.replace(settings, shares=(0.1,), varied=1)
    out = summarise(s, [_part(0, 0.2), _part(1, 0.2), _part(0, 2.0, share_top=0.1)])
    assert len(out["rotations"]) == 2
    (varied,) = out["variations"]
    assert varied["share_top"] == 0.1
    assert len(varied["arms"][NAMES["full"]]["auc"]["rotations"]) == 1
    assert varied["arms"][NAMES["full"]]["auc"]["mean"] > out["arms"][NAMES["full"]]["auc"]["mean"]


def test_no_agreed_row_gives_no_figure_and_results_stay_json(settings):
    parts = [_part(0, 0.2, agreed=np.zeros(100, bool))]
    out = summarise(settings, parts)
    assert out["arms"][NAMES["full"]]["agreed_auc"]["mean"] is None
    assert "NaN" not in json.dumps(out)


def test_warnings_name_the_rotation_the_arm_and_the_remedy():
    quiet = [_part(0, 0.2), _part(1, 0.2)]
    assert warnings_of(quiet) == []
    few = _part(1, 0.2, figures=FIGURES | {"asked": 12})
    few.about = {"test_rows": 100, "removed": {"exact": 30, "cosine": 21}}
    for name in list(few.figures):
        few.figures[name.replace("noise 0.01", "recorded")] = {**FIGURES, "verdicts": {"pending": 10, "benign": 10}}
    near, budget, unanswered = warnings_of([_part(0, 0.2), few])
    assert "51 of the 100 lines" in near
    assert "rotation 1" in near
    assert "`ab, random, 20, noise 0.01` 12 of 20" in budget
    assert "base" not in budget
    assert "30 of 60 lines unanswered" in unanswered


def test_an_arm_of_some_rotations_is_compared_within_them(settings):
    parts = [_part(0, 0.4), _part(1, 0.4), _part(2, 0.4)]
    for held in (parts[1].scores, parts[1].figures):
        del held[NAMES["full"]]
    arms = summarise(settings, parts)["arms"]
    full, random = arms[NAMES["full"]], arms[NAMES["random"]]
    assert (full["of_rotations"], random["of_rotations"]) == ([0, 2], [0, 1, 2])
    of_both = [random["auc"]["rotations"][i] for i in (0, 2)]
    wanted = np.mean(full["auc"]["rotations"]) - np.mean(of_both)
    assert full["to_random"]["auc"]["mean"] == pytest.approx(wanted, abs=1e-6)
    assert len(full["to_random"]["auc"]["rotations"]) == 2


def test_details_are_of_the_first_two_and_the_last_rotation():
    assert [ProofSettings((), rotations=n).detailed for n in (2, 3, 5)] == [(0, 1), (0, 1, 2), (0, 1, 4)]


def test_a_month_of_long_frequent_lines_is_a_shape_of_its_own():
    s = ProofSettings((), shares=(0.1,))
    assert s.shapes == (Shape(0.1), Shape(s.share_top, short_head=False))
    assert [s.replay(0, shape).head_length for shape in (s.usual, *s.shapes)] == [60.0, 60.0, None]
    names = [_folder(s, 0, shape) for shape in (s.usual, *s.shapes)]
    assert names == ["rotation-0", "rotation-0-top-0.1", "rotation-0-any-length"]
