import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main
from cmdclf.features.embed_static import seal_manifest
from cmdclf.features.embedders import load_embedder
from cmdclf.resources import data_path
from cmdclf.telemetry import command_ids

LINES = ["net user bob /add", "ls -la", "NET  user 'bob' /add", "ls -la", "vssadmin list shadows"]


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


def test_embed_adds_a_list_of_float32_to_every_row_in_order(tmp_path):
    table = pa.table({"n": [1, 2, 3], "command_line": ["ls", None, "net user bob /add"]})
    pq.write_table(table, tmp_path / "in.parquet")
    assert main(["embed", str(tmp_path / "in.parquet"), "--out", str(tmp_path / "out.parquet")]) == 0
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.column_names == ["n", "command_line", "embedding"]
    assert out["n"].to_pylist() == [1, 2, 3]
    assert out.schema.field("embedding").type.value_type == pa.float32()
    expected = load_embedder().embed(table["command_line"])
    assert np.array_equal(np.array(out["embedding"].to_pylist(), np.float32), expected)


def test_embed_takes_another_embedder_by_folder(tmp_path, text_file):
    folder = shutil.copytree(data_path("embedder"), tmp_path / "model")
    assert main(["embed", str(text_file), "--out", str(tmp_path / "a.parquet"), "--embedder", str(folder)]) == 0
    assert main(["embed", str(text_file), "--out", str(tmp_path / "b.parquet")]) == 0
    assert pq.read_table(tmp_path / "a.parquet").equals(pq.read_table(tmp_path / "b.parquet"))


def test_a_changed_model_stops_the_verb_with_code_2_and_leaves_no_output(tmp_path, text_file, capsys):
    folder = shutil.copytree(data_path("embedder"), tmp_path / "model")
    raw = bytearray((folder / "vectors.npy").read_bytes())
    raw[-1] ^= 1
    (folder / "vectors.npy").write_bytes(raw)
    out = tmp_path / "a.parquet"
    assert main(["embed", str(text_file), "--out", str(out), "--embedder", str(folder)]) == 2
    assert "vectors.npy" in capsys.readouterr().err
    assert not out.exists()


def test_dedup_names_one_representative_per_group(tmp_path, text_file):
    out = tmp_path / "out.jsonl"
    assert main(["dedup", str(text_file), "--platform", "windows", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["command_line"] for row in rows] == LINES
    groups = [row["group"] for row in rows]
    assert groups[0] == groups[2]
    assert groups[1] == groups[3]
    assert len(set(groups)) == 3
    for group in set(groups):
        assert sum(row["representative"] for row in rows if row["group"] == group) == 1
    ids = command_ids(pa.array(["windows"] * 5), pa.array(LINES)).to_pylist()
    assert all(ids[i] == row["group"] for i, row in enumerate(rows) if row["representative"])


def test_dedup_keeps_rows_without_a_command_line_outside_all_groups(tmp_path):
    table = pa.table({"command_line": ["ls", None, "ls"], "platform": ["linux"] * 3})
    pq.write_table(table, tmp_path / "in.parquet")
    assert main(["dedup", str(tmp_path / "in.parquet"), "--out", str(tmp_path / "out.parquet")]) == 0
    out = pq.read_table(tmp_path / "out.parquet")
    assert out["group"].is_null().to_pylist() == [False, True, False]
    assert out["representative"].to_pylist() == [True, False, False]


def test_a_lower_threshold_makes_fewer_groups_of_what_does_the_same(tmp_path):
    path = tmp_path / "in.txt"
    names = ("Minutes of May", "Offer", "Budget of next year", "List")
    texts = [rf'word.exe "C:\Docs\{name}.docx"' for name in names] + ["sc stop spooler", "sc start spooler"]
    path.write_text("".join(f"{text}\n" for text in texts))
    groups = []
    for threshold in ("0.999", "0.92", "0.2"):
        out = tmp_path / "out.parquet"
        assert main(["dedup", str(path), "--platform", "windows", "--out", str(out), "--threshold", threshold]) == 0
        groups.append(pq.read_table(out)["group"].to_pylist())
    sizes = [len(set(group)) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(groups[0][:4])) > len(set(groups[2][:4]))
    # However near, what does something else is another group.
    assert len(set(groups[2][4:])) == 2


def test_an_embedder_without_a_threshold_of_its_own_asks_for_one(tmp_path, text_file, capsys):
    folder = shutil.copytree(data_path("embedder"), tmp_path / "model")
    manifest = json.loads((folder / "manifest.json").read_text())
    for key in ("threshold_cosine", "manifest_sha256"):
        del manifest[key]
    seal_manifest(folder, manifest)
    assert main(["dedup", str(text_file), "--embedder", str(folder)]) == 2
    assert "--threshold" in capsys.readouterr().err


def test_a_threshold_that_is_no_cosine_is_refused(text_file, capsys):
    assert main(["dedup", str(text_file), "--threshold", "1.5"]) == 2
    assert "no cosine" in capsys.readouterr().err


def test_an_empty_file_gives_an_empty_table(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    for verb, column in (("embed", "embedding"), ("dedup", "representative")):
        out = tmp_path / f"{verb}.parquet"
        assert main([verb, str(tmp_path / "empty.txt"), "--out", str(out)]) == 0
        assert pq.read_table(out).num_rows == 0
        assert column in pq.read_table(out).column_names
