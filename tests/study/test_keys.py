"""What makes a stage be done again, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.errors import StudyError
from cmdclf.store import Store
from cmdclf.study import load_study, run_study
from cmdclf.study.tests import incident_tests


@pytest.fixture(scope="module")
def config(small_study):
    config = load_study(small_study)
    small = replace(config.model, export="rb", max_iter=5, folds=1)
    return replace(config, baselines=("rb",), arms=("base", "random"), model=small, bootstrap=20)


@pytest.fixture(scope="module")
def out(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    run_study(config, folder, progress=False)
    return folder


def _fitted(out):
    return {p: p.stat().st_mtime_ns for p in (out / "arms").rglob("*.onnx")}


def test_another_arm_is_exported_without_fitting_anything_again(config, out):
    before = _fitted(out)
    run_study(replace(config, model=replace(config.model, export="rb+random")), out, progress=False)
    assert _fitted(out) == before
    manifest = json.loads((out / "model" / "manifest.json").read_text())
    assert manifest["provenance"]["arm"] == "rb+random"
    with Store.open(out / "study.duckdb") as store:
        assert store.models()["name"].to_pylist() == ["small/rb", "small/rb+random"]


def test_what_another_run_left_half_written_in_an_arms_folder_is_made_again(config, out):
    scores = out / "arms" / "rb-seed0" / "incident.parquet"
    good = scores.read_bytes()
    (scores.parent / "settings.txt").write_text("those of a run that was killed")
    scores.write_bytes(b"half")
    run_study(config, out, progress=False)
    assert scores.read_bytes() == good


def test_other_sources_in_the_incident_file_show_in_the_results(config, out, tmp_path):
    table = pq.read_table(config.data.incident[0])
    at = table.schema.get_field_index("source")
    file = tmp_path / "incident.parquet"
    pq.write_table(table.set_column(at, "source", pa.array(["elsewhere"] * table.num_rows)), file)
    results = run_study(replace(config, data=replace(config.data, incident=(file,))), out, progress=False)
    assert list(results["arms"][0]["tests"]["incident"]["by_source"]) == ["elsewhere"]


def test_an_arm_that_left_the_study_is_no_rival_any_more(config, out):
    results = run_study(replace(config, arms=("base", "full")), out, progress=False)
    incident = results["arms"][1]["tests"]["incident"]
    assert "auc_minus_base" in incident
    assert "auc_minus_random" not in incident


@pytest.mark.parametrize("name", ["time_split", "incident", "second"])
def test_two_tests_of_one_name_are_refused(name, config, tmp_path):
    first = config.data.incident[0]
    files = [tmp_path / "second.parquet", tmp_path / name / f"{name}.parquet"]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(first.read_bytes())
    assert [t.name for t in incident_tests([first, files[0]])] == ["incident", "second"]
    with pytest.raises(StudyError, match=f"would be called '{name}'"):
        incident_tests([first, *files])


def test_a_benign_group_without_a_benign_line_left_has_no_figure(config):
    from cmdclf.study.tests import measure

    [test] = incident_tests(config.data.incident)
    kinds = [None if label == 0 else "hard" for label in test.lines["label"].to_pylist()]
    at = test.lines.column_names.index("benign_group")
    test = replace(test, lines=test.lines.set_column(at, "benign_group", pa.array(kinds, pa.string())))
    figures = measure(test, test.labels.astype(float), n_bootstrap=5)
    assert "by_benign_group" not in figures
    json.dumps(figures, allow_nan=False)
