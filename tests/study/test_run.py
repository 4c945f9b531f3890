from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from cmdclf.classify import Scorer, verify_model
from cmdclf.errors import StudyError
from cmdclf.store import Store
from cmdclf.study import load_results, load_study, run_study
from cmdclf.study.curves import saturation_text


class Mute:
    """A judge who must not be asked."""

    name = "truth(noise=0.01)"
    model = "seed=0"
    prompt_sha256 = None

    def judge(self, requests):
        raise AssertionError(f"{len(requests)} lines were put to the judge again")


@pytest.fixture(scope="module")
def results(finished_study):
    return load_results(finished_study)


def _without_timings(path):
    return {k: v for k, v in json.loads(path.read_text()).items() if k != "timings"}


def read_sources(path):
    return pq.read_table(path, columns=["source"])["source"].to_pylist()


def test_every_arm_of_both_baselines_is_there(results):
    arms = ["", "+full", "+reduced", "+combined", "+random", "+mined"]
    assert [a["name"] for a in results["arms"]] == [b + a for b in ("rb", "ab") for a in arms]


def test_no_arm_asks_for_more_than_the_budget_and_the_verdicts_add_up(results):
    for arm in results["arms"]:
        assert arm["asked"] <= 30
        assert sum(arm["verdicts"].values()) == arm["asked"]
        # What the mined arm finds malicious is added, too.
        labels = ("benign", "malicious") if arm["arm"] == "mined" else ("benign",)
        assert arm["train"]["added"] <= sum(arm["verdicts"].get(label, 0) for label in labels)
        assert sum(arm["train"]["by_source"].values()) == arm["train"]["benign"] + arm["train"]["malicious"]


def test_the_control_spends_the_same_budget_as_the_arms_that_it_controls(results):
    asked = {a["name"]: a["asked"] for a in results["arms"]}
    assert asked["ab+random"] == asked["ab+full"] == asked["ab+mined"] == 30


def test_a_test_counts_every_line_that_it_had(results):
    for arm in results["arms"]:
        for test in arm["tests"].values():
            assert test["rows"] == test["n_benign"] + test["n_malicious"] + sum(test["removed"].values())


def test_all_arms_of_a_baseline_are_judged_on_the_same_lines(finished_study):
    for test in ("incident", "time_split"):
        ids = [
            pq.read_table(finished_study / "arms" / f"ab{arm}-seed0" / f"{test}.parquet")["command_id"].to_pylist()
            for arm in ("", "+full", "+mined")
        ]
        assert ids[0] == ids[1] == ids[2]


def test_intervals_hold_their_estimate_and_differences_are_paired(results):
    for arm in results["arms"]:
        incident = arm["tests"]["incident"]
        lo, hi = incident["auc_ci95"]
        assert lo <= incident["auc"] <= hi
        if arm["arm"] not in ("base", "random"):
            rival = next(a for a in results["arms"] if a["name"] == f"{arm['baseline']}+random")
            difference = incident["auc"] - rival["tests"]["incident"]["auc"]
            assert incident["auc_minus_random"]["value"] == pytest.approx(difference, abs=2e-6)


def test_a_rate_that_the_negatives_cannot_resolve_is_marked_with_a_reason(results):
    incident = results["arms"][0]["tests"]["incident"]
    assert incident["n_benign"] < 10_000
    assert 0 <= incident["tpr_at_fpr"]["0.001"] <= incident["tpr_at_fpr"]["0.01"] <= 1
    assert "needs at least 10,000 benign rows" in incident["unresolved"]["0.001"]


def test_the_funnel_narrows_and_the_curves_never_fall(results):
    counts = [c for _, c in results["funnel"][:2]]
    assert counts[0] > counts[1]
    curves = results["curves"]
    for lists in (curves, *curves["by_scale"].values()):
        names = ("all", "distinct", "near_distinct")
        for values in (lists[name] for name in names):
            assert len(values) == 3
            assert values == sorted(values)
        assert lists["all"][-1] >= lists["distinct"][-1] >= lists["near_distinct"][-1] > 0
    # 30 lines at full scale, 15 of each of two detectors at reduced scale.
    assert curves["by_scale"]["full"]["all"] == curves["by_scale"]["reduced"]["all"] == [30, 60, 90]
    assert [count for _, count in results["funnel"][2:5]] == [curves[name][-1] for name in names]


def test_the_exported_model_scores_the_incident_test_as_the_study_did(finished_study):
    test = pq.read_table(finished_study / "arms" / "ab+mined-seed0" / "incident.parquet")
    scorer = Scorer.load(finished_study / "model")
    scored = scorer.score(test.select(["platform", "command_line"]).combine_chunks().to_batches()[0])
    assert np.allclose(scored.column("score").to_numpy(), test["score"].to_numpy(), atol=1e-5)


def test_the_exported_model_names_lines_that_its_arm_was_trained_on(finished_study):
    known = Scorer.load(finished_study / "model", threads=1).neighbours.rows
    sources = {source for path in finished_study.glob("arms/*/training.parquet") for source in read_sources(path)}
    assert 0 < len(known) <= 20_000
    assert set(known["label"].to_pylist()) == {"benign", "malicious"}
    assert set(known["source"].to_pylist()) <= sources


def test_no_incident_line_was_trained_on(finished_study, small_study):
    incident = pq.read_table(finished_study / "arms" / "ab-seed0" / "incident.parquet")
    for file in (finished_study / "work").glob("ab-train-*.parquet"):
        trained = pq.read_table(file)
        assert not pc.any(pc.is_in(incident["command_id"], value_set=trained["command_id"].combine_chunks())).as_py()


def test_the_same_study_again_asks_nobody_and_changes_nothing(finished_study, small_study):
    before = {p: p.stat().st_mtime_ns for p in (finished_study / "arms").rglob("*.onnx")}
    with Store.open(finished_study / "study.duckdb") as store:
        stages, verdicts = store.stages().num_rows, store.verdict_counts()["lines"].to_pylist()
    old = _without_timings(finished_study / "results.json")
    run_study(load_study(small_study), finished_study, judge=Mute(), progress=False)
    assert _without_timings(finished_study / "results.json") == old
    assert {p: p.stat().st_mtime_ns for p in (finished_study / "arms").rglob("*.onnx")} == before
    with Store.open(finished_study / "study.duckdb") as store:
        assert store.stages().num_rows == stages
        assert store.verdict_counts()["lines"].to_pylist() == verdicts


def test_the_same_study_elsewhere_gives_the_same_numbers(finished_study, small_study, tmp_path):
    config = load_study(small_study)
    few = replace(config, baselines=("rb",), arms=("base", "random"), model=replace(config.model, export="rb+random"))
    run_study(few, tmp_path / "a", progress=False)
    run_study(few, tmp_path / "b", progress=False)
    first, second = (_without_timings(tmp_path / n / "results.json") for n in "ab")
    assert first == second


def test_the_report_opens_offline_and_tells_the_table(finished_study, results):
    page = (finished_study / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert page.count("<svg") == 4
    assert saturation_text(results["curves"]) in page
    for arm in results["arms"]:
        assert f"{arm['tests']['incident']['auc']:.3f}" in page


def test_a_hostile_study_name_is_text_in_the_report(results):
    from cmdclf.study.report import write_report

    page = write_report(results | {"study": "<script>alert(1)</script>"})
    assert "<script" not in page


def test_too_few_days_are_named(small_study, tmp_path):
    config = load_study(small_study)
    config = replace(config, data=replace(config.data, train_days=30))
    with pytest.raises(StudyError, match="the lake has 5 days, the study asks for 30 training"):
        run_study(config, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (pa.table({"line": ["x"]}), "column 'command_line' is missing"),
        (pa.table({"command_line": ["x"], "platform": ["linux"], "label": ["benign"]}), "needs both labels"),
    ],
)
def test_a_faulty_incident_test_is_named(table, reason, tmp_path):
    from cmdclf.study.tests import incident_tests

    file = tmp_path / "incident.parquet"
    pq.write_table(table, file)
    with pytest.raises(StudyError, match=reason) as caught:
        incident_tests([file])
    assert str(file) in str(caught.value)


def test_a_model_with_one_byte_changed_is_made_again_by_the_next_run(finished_study, small_study):
    good = (finished_study / "model" / "classifier.onnx").read_bytes()
    for folder in (finished_study / "model", finished_study / "arms" / "rb+full-seed0" / "model"):
        file = folder / "classifier.onnx"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    run_study(load_study(small_study), finished_study, judge=Mute(), progress=False)
    assert (finished_study / "model" / "classifier.onnx").read_bytes() == good
    verify_model(finished_study / "model")
    verify_model(finished_study / "arms" / "rb+full-seed0" / "model")
