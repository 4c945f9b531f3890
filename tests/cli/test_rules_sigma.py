from __future__ import annotations

import json
import sys

import pytest

from cmdclf.cli import main

RULE = """
title: {title}
id: 00000000-0000-0000-0000-{n:012d}
logsource:
    category: process_creation
    product: windows
detection:
    selection:
        {test}
    condition: selection
level: {level}
"""


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("sigma.collection", reason="needs the extra sigma")
    rules = tmp_path / "rules"
    rules.mkdir()
    tests = ["Image|endswith: '\\tool.exe'", "ParentImage|endswith: '\\shell.exe'", "Hashes|contains: 'A1'"]
    for n, test in enumerate(tests):
        (rules / f"{n}.yml").write_text(RULE.format(title="t", n=n, test=test, level="high"))
    (rules / "low.yml").write_text(RULE.format(title="t", n=7, test="CommandLine: x", level="low"))
    (rules / "odd.yml").write_text(RULE.format(title="t", n=8, test="Colour: red", level="high"))
    (rules / "no\x1brule.yml").write_text("hello")
    return rules


def test_import_writes_a_rule_file_and_says_what_was_set_aside(folder, tmp_path, capsys):
    out = tmp_path / "sigma.toml"
    assert main(["rules", "import-sigma", str(folder), "--out", str(out), "--level", "medium"]) == 0
    printed = capsys.readouterr().out
    assert "6 files, 5 process-creation rules: 4 can be converted (80.0 %)" in printed
    assert "3 rules (3 high); 1 below --level" in printed
    assert "1 can match a command line alone, 1 more with its parent and user; 1 ask for other fields" in printed
    assert "unknown field: 1\n    odd.yml: no process start has a field 'Colour'. Use" in printed
    assert "no\\x1brule.yml: " in printed
    assert "below the level asked for: 1\n" in printed
    assert main(["rules", "check", str(out)]) == 0


def test_run_matches_with_the_columns_that_the_rows_bring(folder, tmp_path, capsys):
    out, lines = tmp_path / "sigma.toml", tmp_path / "lines.jsonl"
    assert main(["rules", "import-sigma", str(folder), "--out", str(out)]) == 0
    rows = [
        {"command_line": "tool.exe -x", "platform": "windows"},
        {"command_line": "a", "platform": "windows", "parent_image": "C:\\shell.exe", "hashes": "SHA1=a1"},
        {"command_line": "tool -x", "platform": "linux", "parent_image": "C:\\shell.exe"},
    ]
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    capsys.readouterr()
    assert main(["rules", "run", str(lines), "--rules", str(out)]) == 0
    found = [[int(i[-1]) for i in json.loads(row)["rules"]] for row in capsys.readouterr().out.splitlines()]
    assert found == [[0], [1, 2], []]


def test_a_folder_without_a_usable_rule_is_an_error_that_still_lists_the_reasons(folder, tmp_path, capsys):
    for path in folder.iterdir():
        if path.name != "odd.yml":
            path.unlink()
    out = tmp_path / "sigma.toml"
    assert main(["rules", "import-sigma", str(folder), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert "odd.yml: no process start has a field" in printed.out
    assert "no process-creation rule could be converted. Give a folder" in printed.err
    assert not out.exists()


def test_the_output_must_be_a_toml_file_and_pysigma_must_be_there(tmp_path, capsys, monkeypatch):
    assert main(["rules", "import-sigma", str(tmp_path), "--out", "rules.txt"]) == 2
    assert "Give --out FILE.toml" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "sigma.collection", None)
    assert main(["rules", "import-sigma", str(tmp_path), "--out", str(tmp_path / "a.toml")]) == 2
    assert "cmdclf[sigma]" in capsys.readouterr().err
