from __future__ import annotations

import json

import pyarrow.parquet as pq

from cmdclf.cli import main

BAD = """
[[rule]]
id = "a"
title = "t"
category = "execution"
literals = ["foo"]
regex = 'foo'
hits = ['bar']
misses = ['x']
"""


def test_rules_check_passes_on_the_bundled_sets(capsys):
    assert main(["rules", "check"]) == 0
    printed = capsys.readouterr().out
    for name in ("baseline", "behaviours", "injection", "veto"):
        assert f"{name}: " in printed
    assert printed.count(" 0 problems") == 4


def test_rules_check_lists_the_problems_of_every_file_and_exits_with_2(tmp_path, capsys):
    wrong, broken = tmp_path / "wrong.toml", tmp_path / "broken.toml"
    wrong.write_text(BAD)
    broken.write_text("[[rule]")
    assert main(["rules", "check", str(broken), str(wrong), "baseline"]) == 2
    printed = capsys.readouterr().out
    assert "not valid TOML" in printed
    assert "a: does not match its hit: bar" in printed
    assert "baseline: " in printed


def test_rules_run_adds_the_ids_of_the_matching_rules(tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("vssadmin delete shadows /all /quiet\nls -la\n")
    assert main(["rules", "run", str(lines)]) == 0
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert rows == [
        {"command_line": "vssadmin delete shadows /all /quiet", "rules": ["win-shadow-delete"]},
        {"command_line": "ls -la", "rules": []},
    ]


def test_rules_run_takes_another_set_and_keeps_rows_and_columns_in_parquet(tmp_path):
    lines, out = tmp_path / "lines.jsonl", tmp_path / "out.parquet"
    lines.write_text(
        '{"n": 1, "command_line": "echo aWQ= | base64 -d | sh", "platform": "linux"}\n{"n": 2, "command_line": ""}\n'
    )
    assert main(["rules", "run", str(lines), "--rules", "behaviours", "--out", str(out)]) == 0
    rows = pq.read_table(out).to_pylist()
    assert [row["n"] for row in rows] == [1, 2]
    assert "obf-decode-to-shell" in rows[0]["rules"]
    assert rows[1]["rules"] == []


def test_rules_run_with_an_unknown_set_says_which_exist(tmp_path, capsys):
    lines = tmp_path / "lines.txt"
    lines.write_text("ls\n")
    assert main(["rules", "run", str(lines), "--rules", "nonsense"]) == 2
    assert "baseline, behaviours, injection" in capsys.readouterr().err
