from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from cmdclf.classify import Scorer, verify_model
from cmdclf.cli import main


def study_with(small_study, name: str, *changes: tuple[str, str]):
    """A study file beside the small one, with parts of its text replaced."""
    text = small_study.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    file = small_study.with_name(name)
    file.write_text(text, encoding="utf-8")
    return file


def test_a_finished_study_prints_its_table_and_where_everything_is(finished_study, small_study, capsys):
    assert main(["run", str(small_study), "--out", str(finished_study), "--quiet"]) == 0
    captured = capsys.readouterr()
    results = json.loads((finished_study / "results.json").read_text(encoding="utf-8"))
    for arm in results["arms"]:
        assert f"{arm['tests']['incident']['auc']:.3f}" in captured.out
    assert "lines of" in captured.out
    for name in ("results.json", "report.html", "model"):
        assert str(finished_study / name) in captured.out
        assert (finished_study / name).exists()
    assert captured.err == ""


def test_without_out_a_study_goes_beside_its_file_and_train_into_a_part_of_it(small_study, capsys):
    alone = ("[data]", 'baselines = ["rb"]\narms = ["base"]\n\n[data]')
    study = study_with(small_study, "one.toml", alone, ("max_iter = 20", 'max_iter = 20\nexport = "rb"'))
    assert main(["run", str(study), "--quiet"]) == 0
    out = study.with_name("one-out")
    assert verify_model(out / "model")
    before = (out / "results.json").read_bytes()
    capsys.readouterr()
    assert main(["train", str(study), "--arm", "rb+random", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert str(out / "train" / "rb+random" / "model") in printed
    assert [line.split("  ")[0] for line in printed.splitlines()[2:3]] != ["RB"]
    assert verify_model(out / "train" / "rb+random" / "model")["name"].endswith("rb+random")
    assert (out / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('lake = "lake"', 'lake = "gone"'), "data.lake names 'gone', which does not exist"),
        (('incident = "incident.parquet"', 'incident = ["gone.parquet"]'), "data.incident names 'gone.parquet'"),
        (('truth = "lake.truth.parquet"', 'truth = "gone.parquet"'), "labels.truth names 'gone.parquet'"),
        (('labelled = "labelled.parquet"', 'labelled = "gone.parquet"'), "model.labelled names 'gone.parquet'"),
        (("train_days = 3", "train_days = 300"), "the lake has 5 days, the study asks for 300 training"),
        (("train_days = 3", "train_dais = 3"), "unknown key 'train_dais' in [data]"),
        (("train_days = 3", 'train_days = "3"'), "data.train_days = '3' has the wrong type"),
        (('judge = "truth"', 'judge = "oracle"'), "labels.judge = 'oracle' is unknown"),
        (("[full]", "[full"), "it is not valid TOML"),
        (("[full]", '"\\u001b[2J" = 1\n[full]'), "unknown key '\\x1b[2J' in [data]"),
    ],
)
def test_a_faulty_study_is_one_sentence_with_exit_code_2(small_study, tmp_path, capsys, change, said):
    study = study_with(small_study, "faulty.toml", change)
    for verb in (["run"], ["train", "--arm", "ab"]):
        assert main([verb[0], str(study), *verb[1:], "--out", str(tmp_path / "out"), "--quiet"]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1
        assert "\x1b" not in err


def test_a_study_file_that_does_not_exist_is_named(tmp_path, capsys):
    assert main(["run", str(tmp_path / "gone.toml")]) == 2
    assert "gone.toml: the study file does not exist" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arm", ["zz", "ab+zz", "+full", "AB"])
def test_train_names_the_arms_that_there_are(small_study, arm, capsys):
    assert main(["train", str(small_study), "--arm", arm]) == 2
    assert f"there is no arm '{arm}'. Write a baseline (rb, ab)" in capsys.readouterr().err


def test_a_damaged_day_of_the_lake_is_named(small_study, tmp_path, capsys):
    lake = shutil.copytree(small_study.with_name("lake"), tmp_path / "lake")
    file = sorted(lake.glob("day=*/*.parquet"))[1]
    file.write_bytes(file.read_bytes()[:500])
    study = study_with(small_study, "damaged.toml", ('lake = "lake"', f'lake = "{lake}"'))
    assert main(["run", str(study), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert f"{file}: a file of the lake is damaged" in capsys.readouterr().err


def test_an_exported_arm_is_verified_and_scores_as_in_the_study(finished_study, tmp_path, capsys):
    target = tmp_path / "new" / "model"
    assert main(["export", str(finished_study), "--arm", "rb+full", "--to", str(target)]) == 0
    assert capsys.readouterr().out == f"{target}\n"
    test = pq.read_table(finished_study / "arms" / "rb+full-seed0" / "incident.parquet")
    (batch,) = test.select(["platform", "command_line"]).combine_chunks().to_batches()
    scored = Scorer.load(target).score(batch)
    assert np.allclose(scored.column("score").to_numpy(), test["score"].to_numpy(), atol=1e-5)
    assert main(["export", str(finished_study), "--arm", "rb+full", "--to", str(target)]) == 2
    assert "the target exists already" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--arm", "zz"], ["--arm", "ab+mined", "--seed", "7"]])
def test_export_names_the_models_that_there_are(finished_study, tmp_path, capsys, more):
    assert main(["export", str(finished_study), *more, "--to", str(tmp_path / "m")]) == 2
    assert "ab+mined-seed0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_export_of_a_folder_without_a_study_says_to_run_it(tmp_path, capsys):
    assert main(["export", str(tmp_path), "--arm", "ab", "--to", str(tmp_path / "m")]) == 2
    assert "run the study first" in capsys.readouterr().err


def test_a_changed_model_is_not_exported(finished_study, tmp_path, capsys):
    out = tmp_path / "out"
    model = shutil.copytree(finished_study / "arms" / "ab-seed0", out / "arms" / "ab-seed0") / "model"
    with (model / "features" / "features.json").open("ab") as file:
        file.write(b" ")
    assert main(["export", str(out), "--arm", "ab", "--to", str(tmp_path / "m")]) == 2
    assert "features.json: it was changed after the export" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
