from __future__ import annotations

import shutil

import pytest

from cmdclf.cli import main
from cmdclf.store import Store


def lines(capsys) -> dict[str, str]:
    """What is checked -> what is said about it, `ok` or `FAIL` in front."""
    return {line.split(":")[0][6:]: line for line in capsys.readouterr().out.splitlines()}


def test_a_sound_installation_has_no_fault(capsys):
    assert main(["doctor"]) == 0
    said = lines(capsys)
    assert list(said) == ["python", "packages", "extras", "rules", "embedder"]
    assert all(line.startswith("ok    ") for line in said.values())
    assert "pyarrow" in said["packages"]


def test_a_sound_model_and_store_are_named(model_dir, tmp_path, capsys):
    Store.open(tmp_path / "study.duckdb").close()
    assert main(["doctor", "--model", str(model_dir), "--store", str(tmp_path / "study.duckdb")]) == 0
    said = lines(capsys)
    assert said["model"].startswith("ok    model: small@")
    assert said["store"] == "ok    store: 0 days, 0 finished stages"


def test_one_changed_byte_of_a_model_fails_with_the_file_and_a_remedy(model_dir, tmp_path, capsys):
    model = shutil.copytree(model_dir, tmp_path / "model")
    raw = bytearray((model / "classifier.onnx").read_bytes())
    raw[len(raw) // 2] ^= 1
    (model / "classifier.onnx").write_bytes(raw)
    assert main(["doctor", "--model", str(model)]) == 2
    said = lines(capsys)["model"]
    assert said.startswith(f"FAIL  model: {model / 'classifier.onnx'}: it was changed after the export")
    assert "Copy the folder again" in said


def test_every_check_is_made_whatever_the_others_say(tmp_path, capsys):
    (tmp_path / "text.duckdb").write_text("no store")
    arguments = ["--model", str(tmp_path / "gone"), "--store", str(tmp_path / "text.duckdb"), "--llm", "m"]
    assert main(["doctor", *arguments, "--base-url", "http://127.0.0.1:9/v1"]) == 2
    said = lines(capsys)
    assert [name for name, line in said.items() if line.startswith("FAIL")] == ["model", "store", "LLM"]
    assert "not a DuckDB file" in said["store"]
    assert "can't be reached" in said["LLM"]


def test_a_missing_store_is_not_made(tmp_path, capsys):
    assert main(["doctor", "--store", str(tmp_path / "gone.duckdb")]) == 2
    assert "the store does not exist" in lines(capsys)["store"]
    assert not list(tmp_path.iterdir())


def test_a_server_without_a_key_or_a_model_name_is_explained(monkeypatch, capsys):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["doctor", "--llm", "m"]) == 2
    assert "OPENAI_API_KEY" in lines(capsys)["LLM"]


@pytest.mark.parametrize("option", ["--model", "--store"])
def test_a_path_that_steers_terminals_is_escaped(option, capsys):
    assert main(["doctor", option, "\x1b]0;owned\x07"]) == 2
    out = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07" in out
    assert "\x1b" not in out
