"""What arms ask about, and what that adds to their baselines."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cmdclf.classify import training
from cmdclf.classify.training import RULE_HITS
from cmdclf.proof.arms import ARMS, MAIN, OWN, Arm, plan_of, shipped_plan
from cmdclf.proof.build import Builder, one_of_each_group

USUAL = "noise 0"


def _ids(table):
    return set(table["command_id"].to_pylist())


@pytest.mark.parametrize(
    "way",
    [
        "full",
        "combined",
        "random",
        "matched",
        "uncertain",
        "coverage",
        "mined",
        "mined in rounds",
        "mined, audited",
        OWN,
    ],
)
@pytest.mark.parametrize("baseline", ["ab", "rb"])
def test_the_budget_is_kept_and_nothing_is_asked_twice_or_has_a_label_already(builder, month, way, baseline):
    built = builder.build(Arm(baseline, way, 20, USUAL))
    assert len(built.chosen) == len(set(built.chosen)) == 20
    assert sum(built.verdicts.values()) == 20
    base = month.bases[baseline]
    labelled = _ids(base.filter(pc.not_equal(base["source"], RULE_HITS)))
    assert not labelled & set(built.chosen)
    if not ARMS[way].audit:
        assert not _ids(base) & set(built.chosen)
    assert set(built.chosen) <= _ids(month.distinct)


def test_a_judged_benign_line_is_added_as_benign_and_a_malicious_one_only_where_both_labels_are(builder, month):
    for way in ("combined", "combined, both labels", "random", "mined in rounds, both labels", OWN):
        built = builder.build(Arm("ab", way, 60, "noise 0.4"))
        said = dict(zip(built.chosen, builder.judge_of(built.arm).judge(built.chosen), strict=True))
        assert set(said.values()) == {"benign", "malicious"}
        rows = {row["command_id"]: row for row in built.training.to_pylist()}
        benign = {i for i, v in said.items() if v == "benign"}
        assert all(rows[i]["label"] == 0 and rows[i]["source"] == f"judged:{way}" for i in benign)
        malicious = {i for i, v in said.items() if v == "malicious"}
        if ARMS[way].malicious:
            assert all(rows[i]["label"] == 1 and rows[i]["source"] == "judged:malicious" for i in malicious)
        else:
            assert not any(i in rows for i in malicious)
        assert built.wrong == sum(month.malicious[i] for i in benign)


def test_weights_are_those_of_the_way(builder):
    built = builder.build(Arm("ab", "random, weight 3", 20, USUAL))
    added = built.training.filter(pc.starts_with(built.training["source"], "judged:"))
    assert set(added["weight"].to_pylist()) == {3.0}


def test_an_audit_asks_about_hits_and_drops_those_that_nobody_confirmed(builder, month):
    base = month.bases["ab"]
    hits = _ids(base.filter(pc.equal(base["source"], RULE_HITS)))
    built = builder.build(Arm("ab", "random, audited", 40, USUAL))
    audited = [i for i in built.chosen if i in hits]
    assert len(built.chosen) == 40
    assert built.chosen[:4] == audited[:4]
    assert sum(month.malicious[i] for i in audited[:4]) < 2
    assert RULE_HITS not in set(built.training["source"].to_pylist())
    left = {row["command_id"]: row["label"] for row in built.training.to_pylist()}
    assert all(left[i] == month.malicious[i] for i in audited)


def test_hits_stay_where_most_are_malicious(builder, month, monkeypatch):
    base = month.bases["ab"]
    hits = _ids(base.filter(pc.equal(base["source"], RULE_HITS)))
    other = dataclasses.replace(month)
    other.malicious = {i: bad or i in hits for i, bad in month.malicious.items()}
    built = Builder(other).build(Arm("ab", "random, audited", 40, USUAL))
    assert built.verdicts["malicious"] >= 4
    kept = _ids(built.training.filter(pc.equal(built.training["source"], RULE_HITS)))
    assert kept == hits - set(built.chosen)
    assert sum(i in hits for i in built.chosen) == 4


def test_hits_stay_where_too_few_other_attacks_are_known(builder, month, monkeypatch):
    base = month.bases["ab"]
    known = sum(row["label"] for row in base.to_pylist() if row["source"] != RULE_HITS)
    assert known >= training.LEAST_MALICIOUS
    monkeypatch.setattr(training, "LEAST_MALICIOUS", known + 1)
    built = Builder(month).build(Arm("ab", "random, audited", 40, USUAL))
    assert RULE_HITS in set(built.training["source"].to_pylist())


@pytest.mark.parametrize("way", ["random", "longest", "combined", "random, audited", OWN])
def test_a_budget_of_tokens_is_what_random_lines_cost(builder, way):
    arm = Arm("ab", way, 20, USUAL, tokens=True)
    built = builder.build(arm)
    random = builder.build(Arm("ab", "random", 20, USUAL))
    allowed = builder.token_budget(arm)
    assert allowed == builder.tokens(random.chosen).sum()
    assert 0 < builder.tokens(built.chosen).sum() <= allowed
    assert len(built.chosen) == len(set(built.chosen))
    if way == "random":
        assert built.chosen == random.chosen


def test_more_rounds_ask_others_and_as_many(builder, month):
    chosen = []
    for rounds in (1, 4, 15):
        other = dataclasses.replace(month, settings=dataclasses.replace(month.settings, rounds=rounds))
        # Made once for all months here.
        other.__dict__.update({k: month.__dict__[k] for k in ("counts", "everything", "published")})
        chosen.append(Builder(other).build(Arm("ab", "mined in rounds", 10, USUAL)).chosen)
    assert [len(set(c)) for c in chosen] == [10, 10, 10]
    assert chosen[0][:2] == chosen[1][:2]
    assert chosen[0] != chosen[1]


def test_the_first_days_alone_give_their_anomalies_and_all_days_all_of_them(builder):
    early, both = (_ids(builder.pool("published", "ab", days)) for days in (1, 2))
    assert early < both == _ids(builder.pool("published", "ab"))


def test_all_benign_knows_every_benign_line_that_the_baseline_lacks(builder, month):
    built = builder.build(Arm("ab", "all benign", 0, USUAL))
    assert not any(month.malicious[i] for i in built.chosen)
    lines = {i for i in _ids(month.distinct) if not month.malicious[i]}
    assert set(built.chosen) == lines - _ids(month.bases["ab"])


def test_who_knows_the_lexicon_trains_on_its_lines_beside_the_baseline_s(builder, month, known):
    base = _ids(month.bases["rb"])
    whole = builder.build(Arm("rb", "lexicon", 0, USUAL)).training
    assert _ids(whole) == base | _ids(known)
    alone = builder.build(Arm("rb", "lexicon alone", 0, USUAL))
    assert alone.chosen == []
    assert alone.training.equals(known)
    own = builder.build(Arm("rb", OWN, 20, USUAL)).training
    assert _ids(known) <= _ids(own)
    assert len(own) == len(_ids(own))


def test_rb_s_hits_leave_only_where_the_lexicon_knows_attacks(builder, month, known):
    assert sum(known["label"].to_pylist()) >= training.LEAST_MALICIOUS
    for way, stay in (("mined, audited", True), (OWN, False)):
        built = builder.build(Arm("rb", way, 40, USUAL))
        assert (RULE_HITS in set(built.training["source"].to_pylist())) is stay


def test_without_lines_of_the_lexicon_no_arm_knows_it(small):
    bare = dataclasses.replace(small, lexicon_lines=0)
    ways = {arm.way for plan in (plan_of(bare), shipped_plan(bare)) for arm in plan}
    assert ways == {way for way in ARMS if "lexicon" not in way}


def test_the_baseline_asks_about_nothing(builder, month):
    built = builder.build(Arm("rb", "base", 0, USUAL))
    assert built.chosen == []
    assert built.training.equals(month.bases["rb"])


def test_one_of_each_group_is_its_first_row():
    table = pa.table({"command_id": list("abcde"), "group": ["x", "y", "x", "z", "y"]})
    assert one_of_each_group(table)["command_id"].to_pylist() == ["a", "b", "d"]


def test_every_line_of_the_month_is_a_candidate_and_each_group_has_one_representative(month):
    table = month.everything
    assert _ids(table) == _ids(month.distinct)
    heads = table.filter(table["representative"])
    assert heads.num_rows == len(set(table["group"].to_pylist()))
    assert heads.filter(pc.is_valid(heads["anomaly"])).num_rows == month.published.num_rows
    assert set(np.unique(month.undeduplicated["command_id"].to_pylist())) >= _ids(month.published)


def test_a_plan_names_each_arm_once_and_its_variation_is_a_part_of_it(small):
    plan = [a.name for a in plan_of(small)]
    assert len(plan) == len(set(plan))
    assert {a.way for a in plan_of(small) if a.baseline == "ab"} == set(ARMS)
    main = [a.name for a in plan_of(small, main_only=True)]
    assert set(main) < set(plan)
    assert {a.way for a in plan_of(small, main_only=True)} > set(MAIN)
    assert {a.name for a in shipped_plan(small)} < set(plan)
    judges = {a.judge for a in plan_of(small)}
    assert judges == {"noise 0.01", "noise 0", "hostile 0.01", "recorded", "truth where recorded"}
    silent = plan_of(dataclasses.replace(small, verdicts=()))
    assert {a.judge for a in silent} == judges - {"recorded", "truth where recorded"}
