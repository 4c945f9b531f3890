from __future__ import annotations

import json
from pathlib import Path

import pytest

from cmdclf.cli import main
from cmdclf.lexicon.slots import SLOTS

TEMPLATE = (
    "[[template]]\nid = '{id}'\nlabel = 'benign'\nplatform = 'linux'\nrole = 'r'\ntool = '{id}'\nline = '{line}'\n"
)


def folder(at: Path, n: int, line: str = "tool-{} {{{{user}}}}") -> str:
    text = "\n".join(TEMPLATE.format(id=f"lin-{i}", line=line.format(chr(97 + i) * 3)) for i in range(n))
    (at / "x.toml").write_text(text, encoding="utf-8")
    return str(at)


def test_check_passes_on_the_bundled_lexicon(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lexicon", "check"]) == 0
    assert ", 0 faults" in capsys.readouterr().out


def test_check_lists_the_faults_and_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = folder(tmp_path, 2, "tool-{} {{{{nothing}}}}")
    assert main(["lexicon", "check", "--dir", where, "--json", str(tmp_path / "faults.json")]) == 2
    printed = capsys.readouterr().out
    assert printed.count("unknown slot") == 2
    assert "2 templates, 2 faults" in printed
    faults = json.loads((tmp_path / "faults.json").read_text())["faults"]
    assert all(fault in printed for fault in faults)


def test_stats_count_in_print_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = folder(tmp_path, 5)
    assert main(["lexicon", "stats", "--dir", where, "--top", "3", "--json", str(tmp_path / "s.json")]) == 0
    printed = capsys.readouterr().out
    assert "5 templates of 5 tools, 0 pairs of twins" in printed
    assert "benign: 5; recurring 0" in printed
    assert "... 2 more" in printed
    assert json.loads((tmp_path / "s.json").read_text())["platform"] == {"linux": {"benign": 5, "malicious": 0}}


def test_stats_of_a_folder_without_a_lexicon_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lexicon", "stats", "--dir", str(tmp_path)]) == 2
    assert "no lexicon file" in capsys.readouterr().err


def test_slots_are_one_table_that_the_documentation_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lexicon", "slots"]) == 0
    table = capsys.readouterr().out
    assert table.count("\n") == len(SLOTS) + 2
    page = Path(__file__).parent.parent.parent / "docs" / "lexicon.md"
    assert table in page.read_text(encoding="utf-8"), "paste the output of `cmdclf lexicon slots` into docs/lexicon.md"
