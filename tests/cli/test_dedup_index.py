import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main
from cmdclf.features.embed_static import seal_manifest
from cmdclf.resources import data_path

MONDAY = ["net user bob /add", "ping 192.0.2.7 -n 3", "ls -la", "ls -la"]
TUESDAY = ["vssadmin list shadows", "ping  192.0.2.7 -n 3", "ls -la", "net user bob /add"]


@pytest.fixture
def dedup(tmp_path, capsys):
    """Runs the verb with the index; gives the exit code, the rows and what was said."""

    def run(lines, *more):
        source, out = tmp_path / "in.txt", tmp_path / "out.jsonl"
        source.write_text("".join(f"{line}\n" for line in lines))
        out.unlink(missing_ok=True)
        command = ["dedup", str(source), "--platform", "windows", "--out", str(out), "--index", str(tmp_path / "index")]
        code = main([*command, *more])
        rows = [json.loads(row) for row in out.read_text().splitlines()] if out.exists() else None
        return code, rows, capsys.readouterr().err

    return run


def leads(rows):
    return [row["representative"] for row in rows]


def groups(rows):
    return [row["group"] for row in rows]


def test_rows_join_the_groups_of_earlier_files_and_only_new_ones_lead(dedup):
    code, monday, said = dedup(MONDAY)
    assert code == 0
    assert leads(monday) == [True, True, True, False]
    assert "3 new groups beside 0 known ones" in said
    code, tuesday, said = dedup(TUESDAY)
    assert code == 0
    assert leads(tuesday) == [True, False, False, False]
    assert groups(tuesday)[1:] == [groups(monday)[1], groups(monday)[2], groups(monday)[0]]
    assert "1 new groups beside 3 known ones" in said
    _, again, _ = dedup(TUESDAY)
    assert groups(again) == groups(tuesday)
    assert not any(leads(again))


def test_rebuild_starts_anew_with_this_file(dedup):
    dedup(MONDAY)
    _, tuesday, said = dedup(TUESDAY, "--rebuild")
    assert all(leads(tuesday))
    assert "4 new groups beside 0 known ones" in said
    _, monday, _ = dedup(MONDAY)
    assert leads(monday) == [False] * 4


def test_a_damaged_index_says_how_to_rebuild_it_and_nothing_is_written(dedup, tmp_path):
    dedup(MONDAY)
    part = next((tmp_path / "index").glob("part-*"))
    part.write_bytes(part.read_bytes()[:100])
    code, rows, said = dedup(TUESDAY)
    assert (code, rows) == (2, None)
    assert "--rebuild" in said
    assert part.name in said
    assert len(said.splitlines()) == 1
    assert dedup(TUESDAY, "--rebuild")[0] == 0
    assert dedup(MONDAY)[0] == 0


def test_another_embedder_is_refused(dedup, tmp_path):
    dedup(MONDAY)
    folder = shutil.copytree(data_path("embedder"), tmp_path / "model")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["manifest_sha256"]
    seal_manifest(folder, manifest | {"name": "another"})
    code, rows, said = dedup(TUESDAY, "--embedder", str(folder))
    assert (code, rows) == (2, None)
    assert "'another'" in said
    assert "--rebuild" in said


def test_rebuild_needs_an_index_and_an_index_a_folder_of_its_own(tmp_path, capsys):
    (tmp_path / "in.txt").write_text("ls\n")
    assert main(["dedup", str(tmp_path / "in.txt"), "--rebuild"]) == 2
    assert "--index" in capsys.readouterr().err
    assert main(["dedup", str(tmp_path / "in.txt"), "--index", str(tmp_path), "--rebuild"]) == 2
    assert "in.txt" in capsys.readouterr().err
    assert (tmp_path / "in.txt").read_text() == "ls\n"


def test_a_file_without_rows_makes_an_empty_index(dedup, tmp_path):
    code, rows, _ = dedup([])
    assert (code, rows) == (0, [])
    assert json.loads((tmp_path / "index" / "manifest.json").read_text())["representatives"] == 0
    assert dedup(MONDAY)[0] == 0
    part = next((tmp_path / "index").glob("part-*"))
    assert pq.read_table(part).num_rows == 3


def test_odd_lines_have_groups_like_any_other(tmp_path, capsys):
    odd = [
        "",
        "a" * 1_000_000,
        "x " * 100_000,
        "\u0440\u0435\u0434 \u2603",
        "\U0001f600" * 50,
        "a\nb\x1fc",
        "\ufffd",
        None,
    ]
    pq.write_table(pa.table({"command_line": odd, "platform": ["linux"] * len(odd)}), tmp_path / "in.parquet")
    leads = []
    for _ in range(2):
        command = ["dedup", str(tmp_path / "in.parquet"), "--index", str(tmp_path / "index"), "--threshold", "1"]
        assert main([*command, "--out", str(tmp_path / "out.parquet")]) == 0
        out = pq.read_table(tmp_path / "out.parquet")
        assert out["command_line"].to_pylist() == odd
        assert out["group"].null_count == 1
        leads.append(out["representative"].to_pylist())
    assert leads[0] == [text is not None for text in odd]
    assert not any(leads[1])
