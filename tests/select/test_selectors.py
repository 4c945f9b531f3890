from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import StudyError
from cmdclf.select import CANDIDATES, SELECTORS, MinedSelector, PublishedSelector, RandomSelector, get_selector


def candidate(name, *, anomaly=None, detectors=(), representative=True, score=0.5, events=1) -> dict:
    return {
        "command_id": name,
        "platform": "linux",
        "command_line": name,
        "detectors": list(detectors) or (["forest"] if anomaly is not None else []),
        "scale": None if anomaly is None else "full",
        "anomaly": anomaly,
        "group": name,
        "representative": representative,
        "events": events,
        "length": len(name),
        "classifier_score": score,
    }


def table(rows) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=CANDIDATES)


LEVELS = st.sampled_from([0.0, 0.25, 0.5, 1.0])
ROWS = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4),
    st.tuples(
        st.none() | LEVELS, st.sets(st.sampled_from(["forest", "kmeans", "pca"]), min_size=1), st.booleans(), LEVELS
    ),
    max_size=30,
).map(
    lambda named: [
        candidate(name, anomaly=a, detectors=sorted(d) if a is not None else (), representative=r, score=s)
        for name, (a, d, r, s) in named.items()
    ]
)


def anomalous(row) -> bool:
    return row["anomaly"] is not None and row["representative"]


#: Which rows each selector may take; those not named here take anomalous representatives.
QUALIFIES = {
    **dict.fromkeys(("random", "events", "frequent", "longest"), lambda row: True),
    **dict.fromkeys(("uncertain", "coverage", "halves"), lambda row: row["representative"]),
    "matched": lambda row: row["anomaly"] is None,
}


@pytest.mark.parametrize("name", SELECTORS)
@settings(deadline=None)
@given(rows=ROWS, budget=st.integers(0, 40), seed=st.integers(0, 3), shuffle=st.integers())
def test_a_choice_is_deterministic_without_repeats_and_within_the_budget(name, rows, budget, seed, shuffle):
    selector = get_selector(name)
    assert selector.name == name
    chosen = selector.select(table(rows), budget, seed=seed)
    assert chosen.type == pa.string()
    ids = chosen.to_pylist()
    assert len(ids) == len(set(ids)) <= budget
    qualified = {r["command_id"] for r in rows if QUALIFIES.get(name, anomalous)(r)}
    assert set(ids) <= qualified
    found = [r for r in rows if anomalous(r)]
    # A matched line stands for an anomaly: there are no more of them than of those.
    assert len(ids) == min(budget, len(qualified), len(found) if name == "matched" else budget)
    mixed = list(rows)
    random.Random(shuffle).shuffle(mixed)
    assert selector.select(table(mixed), budget, seed=seed).to_pylist() == ids


@settings(deadline=None)
@given(rows=ROWS, budget=st.integers(0, 40))
def test_a_smaller_budget_begins_a_larger_one(rows, budget):
    for name in SELECTORS:
        selector = MinedSelector(top_share=1.0) if name == "mined" else get_selector(name)
        whole = selector.select(table(rows), 100).to_pylist()
        assert selector.select(table(rows), budget).to_pylist() == whole[:budget]


def test_mining_may_look_at_every_representative():
    rows = [candidate("odd", anomaly=1.0, score=0.2), candidate("usual", score=0.9), candidate("twin", score=1.0,
            representative=False)]  # fmt: skip
    assert MinedSelector(among="all").select(table(rows), 2).to_pylist() == ["usual", "odd"]
    assert MinedSelector(top_share=1.0).select(table(rows), 2).to_pylist() == ["odd"]
    with pytest.raises(ValueError, match="anomalies or all"):
        MinedSelector(among="some")


def test_events_are_drawn_by_their_number():
    rows = [candidate(f"rare{i}", events=1) for i in range(200)] + [candidate("often", events=100_000)]
    drawn = [get_selector("events").select(table(rows), 5, seed=s).to_pylist() for s in range(20)]
    assert sum("often" in d for d in drawn) == 20
    assert len({i for d in drawn for i in d}) > 50


def test_frequent_longest_and_uncertain_take_the_most_of_each():
    rows = [candidate("a", events=5, score=0.9), candidate("bbb", events=9, score=0.45), candidate("cc", score=0.1)]
    assert get_selector("frequent").select(table(rows), 2).to_pylist() == ["bbb", "a"]
    assert get_selector("longest").select(table(rows), 2).to_pylist() == ["bbb", "cc"]
    # 0.9 and 0.1 are equally far from one half: the id decides.
    assert get_selector("uncertain").select(table(rows), 2).to_pylist() == ["bbb", "a"]
    with pytest.raises(StudyError, match="current classifier's score"):
        get_selector("uncertain").select(table([candidate("a", score=None)]), 1)


def test_matched_lines_are_as_long_as_the_published_ones():
    found = [candidate("x" * 20, anomaly=0.9), candidate("y" * 40, anomaly=0.8)]
    rest = [candidate("p" * n) for n in (5, 19, 22, 38, 60)]
    chosen = get_selector("matched").select(table(found + rest), 10).to_pylist()
    assert [len(i) for i in chosen] == [19, 38]
    ran_out = get_selector("matched").select(table([*found, candidate("q")]), 10).to_pylist()
    assert ran_out == ["q"]


def test_halves_take_in_turn_and_count_a_line_once():
    rows = [candidate("a", anomaly=1.0, score=0.5), candidate("b", anomaly=0.5, score=0.9), candidate("c", score=0.6)]
    assert get_selector("halves").select(table(rows), 3).to_pylist() == ["a", "b", "c"]


def test_coverage_goes_to_the_farthest_line_and_never_takes_one_twice():
    at = {"a": (1.0, 0.0), "b": (0.99, 0.141), "c": (0.0, 1.0), "d": (-1.0, 0.0)}
    selector = get_selector(
        "coverage", embed=lambda t: np.array([at[i] for i in t["command_id"].to_pylist()], np.float32)
    )
    for seed in range(4):
        chosen = selector.select(table([candidate(i) for i in at]), 4, seed=seed).to_pylist()
        assert sorted(chosen) == sorted(at)
        assert {*chosen[:3]} >= {"c", "d"}


def test_published_takes_turns_between_detectors_by_falling_anomaly():
    rows = [
        candidate("f1", anomaly=1.0, detectors=["forest"]),
        candidate("f2", anomaly=0.9, detectors=["forest"]),
        candidate("f3", anomaly=0.8, detectors=["forest"]),
        candidate("k1", anomaly=0.3, detectors=["kmeans"]),
        candidate("k2", anomaly=0.2, detectors=["kmeans"]),
        candidate("both", anomaly=0.95, detectors=["forest", "kmeans"]),
    ]
    chosen = PublishedSelector().select(table(rows), 6).to_pylist()
    assert chosen == ["f1", "both", "f2", "k1", "f3", "k2"]
    assert PublishedSelector(("kmeans",)).select(table(rows), 6).to_pylist() == ["both", "k1", "k2"]


def test_published_leaves_members_of_a_group_and_ordinary_lines_alone():
    rows = [candidate("member", anomaly=1.0, representative=False), candidate("plain"), candidate("odd", anomaly=0.1)]
    assert PublishedSelector().select(table(rows), 3).to_pylist() == ["odd"]


def test_random_draws_from_all_lines_alike_whatever_their_frequency_and_group():
    rows = [candidate(f"{i:03d}", events=1000 if i % 2 else 1, representative=i % 3 == 0) for i in range(200)]
    drawn = [i for seed in range(60) for i in RandomSelector().select(table(rows), 20, seed=seed).to_pylist()]
    frequent = sum(int(i) % 2 for i in drawn)
    # 1,200 draws, half expected; 5 standard deviations are about 87.
    assert abs(frequent - 600) < 87
    assert len(set(drawn)) > 190


def test_mined_takes_the_classifiers_top_scores_inside_the_most_anomalous_share():
    rows = [candidate(f"{i:02d}", anomaly=i / 10, score=1 - i / 10) for i in range(10)]
    # Half of ten: the anomalies 0.5 to 0.9, of which 0.5 has the highest score.
    assert MinedSelector(top_share=0.5).select(table(rows), 2).to_pylist() == ["05", "06"]
    assert MinedSelector(top_share=1.0).select(table(rows), 2).to_pylist() == ["00", "01"]
    # The share is 2 lines, but the budget of 4 is never left unused for that.
    assert MinedSelector(top_share=0.2).select(table(rows), 4).to_pylist() == ["06", "07", "08", "09"]


def test_mined_needs_a_score_for_every_anomaly_but_not_for_ordinary_lines():
    scored = [candidate("a", anomaly=0.5, score=0.1), candidate("plain", score=None)]
    assert MinedSelector().select(table(scored), 1).to_pylist() == ["a"]
    for absent in (None, float("nan")):
        with pytest.raises(StudyError, match="1 of 2 candidates have none"):
            MinedSelector().select(table([*scored, candidate("b", anomaly=0.4, score=absent)]), 1)


def test_wrong_candidates_budgets_and_names_are_refused():
    rows = table([candidate("a"), candidate("a")])
    with pytest.raises(ValueError, match="occurs twice"):
        RandomSelector().select(rows, 1)
    with pytest.raises(ValueError, match="lack the columns anomaly, events"):
        RandomSelector().select(rows.drop_columns(["events", "anomaly"]), 1)
    with pytest.raises(ValueError, match="negative"):
        RandomSelector().select(rows, -1)
    with pytest.raises(StudyError, match=r"no selector 'best'\. Choose one of: published, random, mined"):
        get_selector("best")
    with pytest.raises(StudyError, match="top_share"):
        get_selector("mined", top_share=2)
    with pytest.raises(StudyError, match="options of selector 'random'"):
        get_selector("random", size=2)


def test_no_candidates_give_no_lines():
    for name in SELECTORS:
        assert get_selector(name).select(CANDIDATES.empty_table(), 5).to_pylist() == []
    assert pc.count(RandomSelector().select(table([candidate("a")]), 0)).as_py() == 0
