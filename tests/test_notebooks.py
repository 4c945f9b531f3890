"""The notebooks run as scripts and through `app.run()`, and what they define is what the package says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cmdclf.classify import Scorer
from cmdclf.dedup import THRESHOLD_COSINE, near_duplicates
from cmdclf.labels.review import review_queue
from cmdclf.study import load_results, views

pytest.importorskip("marimo", reason="needs the extra 'notebooks'")

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
NAMES = ("telemetry", "anomalies", "labels", "review", "classifier")


def _command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def run(monkeypatch):
    """Run a notebook in this process on a study; gives what it defines."""

    def _run(name: str, study: Path, *more: str) -> dict:
        monkeypatch.syspath_prepend(str(NOTEBOOKS))
        monkeypatch.setattr(sys, "argv", [name, "--", "--study", str(study), *more])
        spec = importlib.util.spec_from_file_location(f"notebook_{name}", NOTEBOOKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _, defined = module.app.run()
        return dict(defined)

    return _run


# ---------------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_as_a_script(name, finished_study, tmp_path):
    done = _command(str(NOTEBOOKS / f"{name}.py"), "--", "--study", str(finished_study), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_script_on_a_missing_folder_ends_with_one_line_and_a_remedy(name, tmp_path):
    done = _command(str(NOTEBOOKS / f"{name}.py"), "--", "--study", "nowhere", cwd=tmp_path)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("nowhere: there is no such folder. Run 'cmdclf demo")


def test_without_an_argument_the_demos_folder_is_looked_for(tmp_path):
    done = _command(str(NOTEBOOKS / "telemetry.py"), cwd=tmp_path)
    assert done.returncode != 0
    assert done.stderr.startswith("demo-out: ")


@pytest.mark.parametrize("name", NAMES)
def test_marimo_finds_nothing_to_complain_about(name, tmp_path):
    done = _command("-m", "marimo", "check", "--strict", str(NOTEBOOKS / f"{name}.py"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_every_chapter_says_what_the_reader_should_see(name):
    text = (NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8")
    assert len(re.findall(r"\*\*You\s+should\s+see\*\*", text)) == len(re.findall(r"^    ## ", text, re.MULTILINE)) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_script_leaves_the_study_as_it_was(name, finished_study, run):
    before = {p: p.stat().st_mtime_ns for p in finished_study.rglob("*") if p.is_file()}
    run(name, finished_study)
    assert before == {p: p.stat().st_mtime_ns for p in finished_study.rglob("*") if p.is_file()}


def test_foreign_text_never_becomes_html_link_or_picture(monkeypatch):
    monkeypatch.syspath_prepend(str(NOTEBOOKS))
    import shared

    line = "curl https://x.test/a.png <img src=x onerror=alert(1)> \u202e`**b**`"
    shown = shared.code(line).text
    assert "&lt;img src=x" in shown
    assert "\\u202e" in shown
    table = shared.lines_table(pa.table({"command_line": [line, None, "http://x.test/b.svg\n"]}))
    # What the page renders: a bare string would become a link, or be fetched as a picture.
    for row in json.loads(table._component_args["data"]):
        cell = row["command_line"]["_serialized_mime_bundle"]
        assert cell["mimetype"] == "text/html"
        assert re.fullmatch(r"<pre class='text-xs'>[^<>]*</pre>", cell["data"])


# ---------------------------------------------------------------------- telemetry


def test_telemetry_shows_the_stores_numbers(finished_study, run):
    defined = run("telemetry", finished_study)
    results = load_results(finished_study)
    with views.reading(finished_study) as store:
        last = store.days()[-1]
        assert defined["days"].equals(views.day_counts(store, results))
        assert defined["sample"].equals(store.sample(last, 100))
        assert defined["busiest"].equals(views.top_lines(store, [last], 20))
        assert defined["seen"].equals(views.frequencies(store, [last]))
    assert sum(defined["platforms"]["events"].to_pylist()) == results["data"]["events"]
    assert defined["whole"].num_rows == defined["days"]["distinct"].to_pylist()[-1]


# ---------------------------------------------------------------------- anomalies


def test_anomalies_shows_the_stored_top_and_why_its_first_line_is_there(finished_study, run):
    defined = run("anomalies", finished_study)
    results = load_results(finished_study)
    with views.reading(finished_study) as store:
        first = store.days()[0]
        top = views.top_anomalies(store, first, "full", "isolation_forest", 20)
        line = top.slice(0, 1).to_pylist()[0]
        assert defined["top"].equals(top)
        assert defined["unusual"].equals(views.unusual_features(store, first, line["command_id"]))
    assert defined["found"].num_rows == results["curves"]["all"][-1]
    assert defined["selected"]["command_id"] == line["command_id"]
    assert defined["checks"].equals(views.fired_checks(line["command_line"], line["platform"]))
    assert defined["curves"].rows(named=True) == views.curve_rows(results).to_pylist()
    assert defined["saturation"].equals(views.saturation_table(results))
    assert defined["scores"].height == 90


# ---------------------------------------------------------------------- labels


def test_labels_regroups_the_day_and_counts_the_ledger(finished_study, run):
    defined = run("labels", finished_study)
    results = load_results(finished_study)
    lines, vectors = defined["lines"], defined["vectors"]
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    groups = near_duplicates(lines, vectors, threshold=defined["threshold_slider"].value)
    assert defined["threshold_slider"].value == pytest.approx(THRESHOLD_COSINE, abs=0.003)
    assert defined["grouped"].num_rows == pc.count_distinct(groups["representative_id"]).as_py()
    assert defined["members"].num_rows == defined["grouped"]["members"][0].as_py()
    assert sum(defined["counts"]["lines"].to_pylist()) == results["labels"]["asked"]
    assert defined["vetoes"].num_rows == results["labels"]["vetoed"]
    with views.reading(finished_study) as store:
        assert defined["queue"].equals(review_queue(store))


def test_labels_groups_as_the_study_did_on_its_first_day(finished_study, run):
    defined = run("labels", finished_study)
    groups = near_duplicates(defined["lines"], defined["vectors"], threshold=THRESHOLD_COSINE)
    curves = load_results(finished_study)["curves"]
    assert defined["lines"].num_rows == curves["distinct"][0]
    assert pc.count_distinct(groups["representative_id"]).as_py() == curves["near_distinct"][0]


# ---------------------------------------------------------------------- review


def test_review_shows_the_first_line_of_the_queue_and_records_nothing_without_a_name(finished_study, run):
    defined = run("review", finished_study)
    with views.reading(finished_study) as store:
        queue = review_queue(store)
        assert defined["queue"].equals(queue)
        first = queue.slice(0, 1).to_pylist()[0]
        assert defined["history"].equals(store.verdict_history(first["command_id"]))
    assert defined["at_hand"] == first
    assert defined["session"] is None
    assert defined["near"].num_rows <= 5
    assert first["command_id"] not in defined["near"]["command_id"].to_pylist()


def test_review_takes_a_store_without_a_study(finished_study, run):
    defined = run("review", finished_study, "--store", str(finished_study / "study.duckdb"))
    assert defined["store_file"] == (finished_study / "study.duckdb").resolve()


# ---------------------------------------------------------------------- classifier


def test_classifier_shows_the_results_and_the_models_own_scores(finished_study, run):
    defined = run("classifier", finished_study)
    results = load_results(finished_study)
    assert defined["arms"].equals(views.arm_rows(results, "incident"))
    assert defined["arms"]["auc"].to_pylist() == [a["tests"]["incident"]["auc"] for a in results["arms"]]
    last = results["arms"][-1]
    incident = last["tests"]["incident"]
    malicious, benign = defined["counts"].to_pylist()
    assert malicious["alerted"] + malicious["quiet"] == incident["n_malicious"]
    assert benign["alerted"] + benign["quiet"] == incident["n_benign"]
    assert defined["false_alerts"].num_rows == benign["alerted"]
    assert defined["misses"].num_rows == malicious["quiet"]
    scorer = Scorer.load(finished_study / "model")
    batch = pa.record_batch({"command_line": [defined["line_text"].value]})
    assert defined["own"]["score"] == scorer.score(batch).column("score")[0].as_py()
    assert any("Get-Process" in layer for layer in defined["own"]["layers"])


def test_a_changed_model_stops_the_classifier_with_its_file_named(finished_study, tmp_path):
    shutil.copytree(finished_study, tmp_path / "out")
    onnx = tmp_path / "out" / "model" / "classifier.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-1] + b"\x00")
    done = _command(str(NOTEBOOKS / "classifier.py"), "--", "--study", str(tmp_path / "out"), cwd=tmp_path)
    assert done.returncode != 0
    assert "classifier.onnx" in done.stderr
