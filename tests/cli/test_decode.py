from __future__ import annotations

import base64
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main


def test_layers_and_the_innermost_text_are_added_to_every_row(tmp_path):
    encoded = base64.b64encode("Get-Date".encode("utf-16-le")).decode()
    source, result = tmp_path / "in.parquet", tmp_path / "out.parquet"
    rows = pa.table({"n": [1, 2, 3], "command_line": [f"cmd /c powershell -enc {encoded}", "ls", None]})
    pq.write_table(rows, source)
    assert main(["decode", str(source), "--out", str(result)]) == 0
    got = pq.read_table(result).to_pylist()
    assert [r["n"] for r in got] == [1, 2, 3]
    assert got[0]["layers"] == [
        {"kind": "wrapper", "text": f"powershell -enc {encoded}"},
        {"kind": "encoded-command", "text": "Get-Date"},
    ]
    assert [r["decoded"] for r in got] == ["Get-Date", "ls", None]
    assert [r["layers"] for r in got[1:]] == [[], None]
    assert [r["cut"] for r in got] == [False, False, None]


def test_a_line_whose_decoding_met_a_bound_says_cut(tmp_path, capfdbinary):
    file = tmp_path / "x.txt"
    inner = base64.b64encode("cmd /c who^ami".encode("utf-16-le")).decode()
    file.write_text(f"powershell -enc {inner}\n")
    for depth, expected in ((1, True), (2, False)):
        assert main(["decode", str(file), "--platform", "windows", "--max-depth", str(depth)]) == 0
        assert json.loads(capfdbinary.readouterr().out)["cut"] is expected


def test_the_platform_option_decides_what_a_caret_means(tmp_path, capfdbinary):
    file = tmp_path / "x.txt"
    file.write_text("a^b\n")
    for platform, expected in (("windows", "ab"), ("linux", "a^b")):
        assert main(["decode", str(file), "--platform", platform]) == 0
        assert json.loads(capfdbinary.readouterr().out)["decoded"] == expected


def test_decoded_control_characters_reach_no_terminal(tmp_path, capfdbinary):
    file = tmp_path / "x.txt"
    file.write_text(r"printf '\x1b\x5b\x32\x4ahello world'" + "\n")
    assert main(["decode", str(file)]) == 0
    assert b"\x1b" not in capfdbinary.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["--max-depth", "0"], "at least 1"), (["--format", "csv"], "no column 'command_line'")],
)
def test_a_users_fault_is_one_sentence_and_exit_code_2(tmp_path, capsys, argv, message):
    file = tmp_path / "x.txt"
    file.write_text("whoami\n")
    assert main(["decode", str(file), *argv]) == 2
    assert message in capsys.readouterr().err
