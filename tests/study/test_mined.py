"""The mined arm: which lines it asks about, and what it learns from the answers."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from cmdclf.classify import Featuriser, auc, training
from cmdclf.classify.training import RULE_HITS
from cmdclf.features import FeatureMaker
from cmdclf.study import load_study, open_workplace, run_study
from cmdclf.study import mined as mined_module
from cmdclf.study.candidates import anomalous_candidates
from cmdclf.study.fitted import LineReads, fit_arm, fit_ranker
from cmdclf.study.judges import make_judge
from cmdclf.study.mined import mine
from cmdclf.study.runner import label_baselines


@pytest.fixture(scope="module")
def place(finished_study, small_study, tmp_path_factory):
    """The small study's workplace, its sieves done; and what `mine` takes beside it."""
    out = tmp_path_factory.mktemp("mined") / "out"
    shutil.copytree(finished_study, out, ignore=shutil.ignore_patterns("arms", "model"))
    w = open_workplace(load_study(small_study), out, progress=False)
    with w.store:
        reads = LineReads(Featuriser(FeatureMaker().fit(w.store.lines(w.train_days)), w.embedder))
        bases = {name: _thinned(base) for name, base in label_baselines(w)[0].items()}
        yield w, bases, anomalous_candidates(w), reads


def _thinned(base):
    """The hits of the rules, and every sixteenth other line."""
    sources = base["source"].to_pylist()
    return base.take([n for n, source in enumerate(sources) if source == RULE_HITS or n % 16 == 0])


@pytest.fixture
def mined(place):
    """`mine` with other labels' settings; gives training, {command_id: verdict} in order, base."""
    w, bases, anomalies, reads = place

    def run(baseline="ab", **labels):
        config = dataclasses.replace(w.config, labels=dataclasses.replace(w.config.labels, **{"noise": 0.0} | labels))
        other = dataclasses.replace(w, config=config)
        rows, chosen, verdicts = mine(other, bases[baseline], 0, anomalies, reads, make_judge(config.labels))
        assert len(chosen) == len(set(chosen)) <= config.labels.budget
        return rows, dict(zip(chosen, verdicts, strict=True)), bases[baseline]

    return run


def _hits(base):
    return set(base.filter(pc.equal(base["source"], RULE_HITS))["command_id"].to_pylist())


def test_the_budget_is_spent_an_audit_of_the_rules_first(mined):
    _, said, base = mined(budget=20, audit=0.2)
    assert len(said) == 20
    assert set(list(said)[:4]) <= _hits(base)


def test_answers_enter_with_the_label_that_the_judge_gave(mined):
    rows, said, _ = mined(budget=24)
    assert {"benign", "malicious"} <= set(said.values())
    label = {row["command_id"]: (row["label"], row["source"]) for row in rows.to_pylist()}
    for i, verdict in said.items():
        if verdict in ("benign", "malicious"):
            assert label[i] == (int(verdict == "malicious"), "judged:mined")
        else:
            assert label.get(i, (0, ""))[1] != "judged:mined"


@pytest.mark.parametrize("least", [1, 10**6])
def test_hits_leave_where_most_are_benign_and_other_attacks_are_known(mined, monkeypatch, least):
    monkeypatch.setattr(training, "LEAST_MALICIOUS", least)
    monkeypatch.setattr(mined_module, "verdicts_on", lambda store, judge, ids: ["benign"] * len(ids))
    rows, said, base = mined(budget=20, audit=0.2)
    left = _hits(rows)
    assert left == (set() if least == 1 else _hits(base) - set(said))


def test_hits_stay_where_most_are_malicious(mined, monkeypatch):
    monkeypatch.setattr(training, "LEAST_MALICIOUS", 1)
    monkeypatch.setattr(mined_module, "verdicts_on", lambda store, judge, ids: ["malicious"] * len(ids))
    rows, said, base = mined(budget=20, audit=0.2)
    assert _hits(rows) == _hits(base) - set(said)


def test_who_knows_the_lexicon_trains_on_it_and_does_without_the_hits_of_rb(place, monkeypatch):
    w, bases, anomalies, reads = place
    # Every other line is a candidate's: it may be asked about, and what the judge says of it counts more.
    lines = [f"tool-{n} --run" for n in range(150)] + anomalies["command_line"].to_pylist()[:150]
    platforms = ["linux"] * 150 + anomalies["platform"].to_pylist()[:150]
    known = training.known_from(
        pa.table({"command_line": lines, "platform": platforms, "label": ["malicious"] * len(lines)}), source="lexicon"
    )
    monkeypatch.setattr(mined_module, "lexicon_rows", lambda folder, lines: known.slice(0, known.num_rows * lines))
    monkeypatch.setattr(mined_module, "verdicts_on", lambda store, judge, ids: ["benign"] * len(ids))
    for lines in (0, 1):
        labels = dataclasses.replace(w.config.labels, budget=20, audit=0.2)
        config = dataclasses.replace(
            w.config, labels=labels, model=dataclasses.replace(w.config.model, lexicon_lines=lines)
        )
        other = dataclasses.replace(w, config=config)
        rows, chosen, _ = mine(other, bases["rb"], 0, anomalies, reads, make_judge(labels))
        assert len(chosen) == 20
        assert (_hits(rows) == set()) is bool(lines)
        assert len(set(rows["command_id"].to_pylist())) == rows.num_rows
        held = {row["command_id"] for row in rows.to_pylist() if row["source"] == "lexicon"}
        theirs = set(known["command_id"].to_pylist())
        asked = theirs & set(chosen)
        assert held == (theirs - asked - set(bases["rb"]["command_id"].to_pylist()) if lines else set())
        if lines:
            assert asked
            label = dict(zip(rows["command_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
            assert not any(label[i] for i in asked)


def test_no_two_lines_of_one_group_are_asked_about_in_rounds(place, mined):
    w = place[0]
    _, said, _ = mined(budget=30, audit=0.0, rounds=3)
    lines = w.store.lines_by_id(pa.array(list(said)))
    heads = mined_module._heads(w, lines.select(["command_id", "platform", "command_line"]))
    assert len(set(heads.values())) == len(said) == 30


def test_more_lines_are_looked_at_where_the_highest_scores_are_near_duplicates(mined, monkeypatch):
    monkeypatch.setattr(mined_module, "_LOOKED_AT", (1, 40))
    _, said, _ = mined(budget=31, audit=0.0, rounds=1)
    assert len(said) == 31


def test_without_a_draw_only_anomalies_are_candidates(place, mined):
    anomalies = set(place[2]["command_id"].to_pylist())
    assert set(mined(budget=22, audit=0.0, mined_pool=0)[1]) <= anomalies
    assert not set(mined(budget=22, audit=0.0)[1]) <= anomalies


@pytest.mark.parametrize("size", [0, 7, 10**6])
def test_the_draw_is_bounded_and_holds_no_anomaly(place, size):
    w, _, anomalies, _ = place
    config = dataclasses.replace(w.config, labels=dataclasses.replace(w.config.labels, mined_pool=size))
    drawn = mined_module._drawn(dataclasses.replace(w, config=config), anomalies, 0)
    assert drawn.num_rows <= size
    assert not set(drawn["command_id"].to_pylist()) & set(anomalies["command_id"].to_pylist())
    if size == 10**6:
        total = sum(batch.num_rows for batch in w.store.lines(w.train_days))
        assert drawn.num_rows == total - anomalies.num_rows


def test_a_second_run_fits_no_ranker(mined, monkeypatch):
    first = mined(budget=18)
    monkeypatch.setattr(mined_module, "fit_ranker", None)
    again = mined(budget=18)
    assert first[1] == again[1]
    assert first[0].equals(again[0])


def test_the_ranker_orders_as_the_n_grams_or_the_trees_do(place):
    w, bases, _, reads = place
    base = bases["ab"]
    bad = base["label"].to_numpy() == 1
    for grams in (True, False):
        config = dataclasses.replace(w.config, model=dataclasses.replace(w.config.model, grams=grams, max_iter=5))
        scores = fit_ranker(dataclasses.replace(w, config=config), base, reads, 0)(base)
        assert scores.shape == (base.num_rows,)
        assert ((scores >= 0) & (scores <= 1)).all()
        assert auc(bad, scores) > 0.7


def test_a_fitted_arm_scores_with_its_n_grams_only_where_the_study_wants_them(place):
    w, bases, anomalies, reads = place
    for grams in (True, False):
        config = dataclasses.replace(w.config, model=dataclasses.replace(w.config.model, grams=grams, max_iter=8))
        fitted = fit_arm(dataclasses.replace(w, config=config), bases["ab"], reads, 0)
        assert (fitted.grams is not None) is grams
        assert (fitted.featuriser(reads).grams is not None) is grams
        scores = fitted.scores(anomalies, reads)
        assert np.isfinite(scores).all()
        assert len(np.unique(scores)) > 1
        assert fitted.scores(anomalies.slice(0, 0), reads).shape == (0,)


def test_the_choices_of_the_finished_study_are_kept_beside_its_store(finished_study):
    files = list((finished_study / "work").glob("mined-*.parquet"))
    assert len(files) >= 4
    assert all(pq.read_schema(f).names == ["command_id"] for f in files)


def test_a_study_whose_mined_arm_knows_the_lexicon_tests_no_line_of_it(
    finished_study, small_study, tmp_path, monkeypatch
):
    """From study.toml to results: the rows train that arm, and their near-duplicates leave the tests of every arm."""
    test = pq.read_table(small_study.parent / "incident.parquet").slice(0, 150)
    lines = [*test["command_line"].to_pylist(), *(f"tool-{n} --run" for n in range(50))]
    known = training.known_from(
        pa.table({
            "command_line": lines, "platform": [*test["platform"].to_pylist(), *["linux"] * 50],
            "label": [*test["label"].to_pylist(), *["malicious"] * 50],
        }), source="lexicon",
    )  # fmt: skip
    out = tmp_path / "out"
    shutil.copytree(finished_study, out, ignore=shutil.ignore_patterns("arms", "model"))
    monkeypatch.setattr(mined_module, "lexicon_rows", lambda folder, lines: known.slice(0, known.num_rows * lines))
    config = load_study(small_study)
    model = dataclasses.replace(config.model, lexicon_lines=1, export="ab+mined", max_iter=5)
    config = dataclasses.replace(config, baselines=("ab",), arms=("base", "mined"), model=model, bootstrap=20)
    results = run_study(config, out, progress=False)
    base, own = results["arms"]
    assert "lexicon" not in base["train"]["by_source"]
    assert 150 < own["train"]["by_source"]["lexicon"] <= known.num_rows
    assert [arm["tests"]["incident"]["removed"] for arm in (base, own)] == [own["tests"]["incident"]["removed"]] * 2
    assert own["tests"]["incident"]["removed"]["exact"] >= 140
    left = pq.read_table(out / "arms" / "ab+mined-seed0" / "incident.parquet")["command_id"].to_pylist()
    assert not set(left) & set(known["command_id"].to_pylist())
    # The month is made from the bundled lexicon, and that arm is told its labels.
    assert ["model.lexicon_lines = 0" in text for text in results["warnings"]].count(True) == 1
