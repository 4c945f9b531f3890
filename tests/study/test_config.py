from __future__ import annotations

import dataclasses

import pytest

from cmdclf.errors import StudyError
from cmdclf.study import load_study
from cmdclf.study.config import Labels
from cmdclf.study.judges import make_judge

GOOD = """
[data]
lake = "lake"
train_days = 2
test_days = 1

[labels]
judge = "truth"
truth = "truth.parquet"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "truth.parquet").write_bytes(b"PAR1")
    return tmp_path


def _load(folder, text):
    file = folder / "study.toml"
    file.write_text(text, encoding="utf-8")
    return load_study(file)


def test_paths_are_relative_to_the_study_file_and_defaults_are_the_published_ones(folder, monkeypatch):
    monkeypatch.chdir("/")
    config = _load(folder, GOOD)
    assert config.data.lake == folder / "lake"
    assert config.name == "study"
    assert config.arms == ("base", "full", "reduced", "combined", "random", "mined")
    assert config.baselines == ("rb", "ab")


def test_rules_and_embedder_beside_the_study_file_are_found_from_anywhere(folder, monkeypatch):
    (folder / "own.toml").write_text("")
    (folder / "vectors").mkdir()
    (folder / "baseline").mkdir()
    text = GOOD + '[reduced]\nembedder = "vectors"\n[model]\nrules = "own.toml"\n'
    monkeypatch.chdir("/")
    config = _load(folder, text)
    assert (config.reduced.embedder, config.model.rules) == (str(folder / "vectors"), str(folder / "own.toml"))
    config = _load(folder, GOOD + '[reduced]\nembedder = "st:some/model"\n')
    assert (config.reduced.embedder, config.model.rules) == ("st:some/model", "baseline")


def test_arms_keep_their_order_whatever_the_file_says(folder):
    config = _load(folder, '[study]\narms = ["mined", "base"]\nbaselines = ["ab"]\n' + GOOD)
    assert config.arms == ("base", "mined")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (('lake = "lake"', 'lake = "nowhere"'), "data.lake names 'nowhere'"),
        (("truth.parquet", "gone.parquet"), "labels.truth names 'gone.parquet'"),
        (("train_days = 2\n", ""), "[data] lacks 'train_days'"),
        (("train_days = 2", "train_days = 0"), "data.train_days"),
        (("train_days = 2", 'train_days = "two"'), "data.train_days = 'two'"),
        (("train_days = 2", "train_days = true"), "data.train_days = True"),
        (("[labels]", "[lables]"), "unknown section [lables]"),
        (("train_days = 2", "train_days = 2\ndays = 3"), "unknown key 'days' in [data]"),
        (('judge = "truth"', 'judge = "oracle"'), "labels.judge = 'oracle'"),
        (('truth = "truth.parquet"', ""), "labels.truth"),
        (('judge = "truth"', 'judge = "openai"'), "labels.model"),
        (('judge = "truth"', 'judge = "recorded"'), "labels.recorded"),
        (("[labels]", "[labels]\nnoise = 2"), "labels.noise"),
        (("[labels]", '[labels]\napi = "soap"'), "labels.api = 'soap'"),
        (("[labels]", "[labels]\nbudget = 0"), "labels.budget"),
        (("[data]", '[study]\narms = ["best"]\n[data]'), "study.arms"),
        (("[data]", '[study]\narms = ["base"]\n[data]'), "model.export = 'ab+mined'"),
        (("[data]", "[study]\nseeds = []\n[data]"), "study.seeds"),
        (("[data]", "[study]\nseeds = 3\n[data]"), "study.seeds"),
        (("[data]", "[study]\nseeds = [1, 1]\n[data]"), "study.seeds"),
        (("[data]", "[study]\nseeds = [-1]\n[data]"), "study.seeds"),
        (("[data]", '[study]\nbootstrap = "many"\n[data]'), "study.bootstrap"),
        (("[data]", "[study]\nbootstrap = 0\n[data]"), "study.bootstrap"),
        (("[data]", "[study]\nname = 5\n[data]"), "study.name"),
        (("[labels]", "[full]\ntop_k = 0\n[labels]"), "full.top_k"),
        (("[labels]", "[model]\nlexicon_lines = -1\n[labels]"), "model.lexicon_lines"),
        (("[labels]", "[reduced]\nn_components = 0\n[labels]"), "reduced.n_components"),
        (("[data]", "[study]\nthreshold_cosine = 1.5\n[data]"), "threshold_cosine"),
        (("[data]", "[data"), "not valid TOML"),
    ],
)
def test_a_fault_in_the_study_file_is_named_with_its_key(folder, change, named):
    assert change[0] in GOOD
    with pytest.raises(StudyError) as caught:
        _load(folder, GOOD.replace(*change))
    assert named in str(caught.value)
    assert "study.toml" in str(caught.value)
    assert caught.value.remedy


def test_a_missing_study_file_is_named(tmp_path):
    with pytest.raises(StudyError, match="does not exist"):
        load_study(tmp_path / "none.toml")


def test_a_second_model_makes_a_pair_of_judges(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    labels = Labels(judge="openai", model="mild", second_model="stern", api="responses", effort="low")
    pair = make_judge(labels)
    assert [judge.model for judge in pair.judges] == ["mild", "stern"]
    assert pair.name == "openai+openai"
    assert make_judge(dataclasses.replace(labels, second_model="")).model == "mild"
