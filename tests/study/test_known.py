"""The bundled lexicon's lines as rows to train on."""

from __future__ import annotations

import pyarrow as pa
import pytest

from cmdclf.classify import TRAINING
from cmdclf.classify.training import known_from, with_known
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lexicon.template import Lexicon
from cmdclf.study import known as known_module
from cmdclf.study.known import LEXICON, lexicon_rows

TEMPLATE = """[[template]]
id = "{0}"
label = "{1}"
platform = "linux"
role = "admin"
line = '{0} --now'
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of a lexicon of two templates in place of the bundled one."""
    made = tmp_path / "lexicon"
    made.mkdir()
    (made / "a.toml").write_text(TEMPLATE.format("df", "benign") + TEMPLATE.format("nc", "malicious"))
    monkeypatch.setattr(known_module, "data_path", lambda name: made)
    monkeypatch.setattr(known_module, "LexiconPool", lambda repeats: LexiconPool(Lexicon.load(made), repeats=repeats))
    return made


def test_the_lexicon_s_lines_have_its_labels_and_are_rendered_once(folder, tmp_path, monkeypatch):
    rows = lexicon_rows(tmp_path / "work", 1)
    assert rows.schema == TRAINING
    said = {(r["command_line"], r["label"], r["source"], r["weight"]) for r in rows.to_pylist()}
    assert said == {("df --now", 0, LEXICON, 1.0), ("nc --now", 1, LEXICON, 1.0)}
    with monkeypatch.context() as patch:
        patch.setattr(known_module, "LexiconPool", None)
        assert lexicon_rows(tmp_path / "work", 1).equals(rows)
    # Another lexicon is rendered anew.
    (folder / "b.toml").write_text(TEMPLATE.format("ps", "benign"))
    assert lexicon_rows(tmp_path / "work", 1).num_rows == 3


def test_no_lines_of_the_lexicon_are_no_rows(folder, tmp_path):
    rows = lexicon_rows(tmp_path / "work", 0)
    assert rows.schema == TRAINING
    assert rows.num_rows == 0
    assert not (tmp_path / "work").exists()


def test_lines_with_both_labels_are_left_out_and_each_line_is_there_once():
    lines = ["a", "b", "a", "c", "b"]
    labels = ["benign", "malicious", "malicious", "benign", "malicious"]
    rows = known_from(pa.table({"command_line": lines, "platform": ["linux"] * 5, "label": labels}), source=LEXICON)
    assert rows.schema == TRAINING
    assert {(r["command_line"], r["label"], r["source"]) for r in rows.to_pylist()} == {
        ("b", 1, LEXICON),
        ("c", 0, LEXICON),
    }
    assert rows.num_rows == 2


def test_a_line_that_is_held_already_keeps_its_label():
    def rows(line, label, source):
        table = pa.table({"command_line": line, "platform": ["linux"] * len(line), "label": label})
        return known_from(table, source=source)

    base = rows(["a", "b"], ["malicious", "benign"], "rules")
    both = with_known(base, rows(["a", "c"], ["benign", "malicious"], LEXICON))
    said = {r["command_line"]: (r["label"], r["source"]) for r in both.to_pylist()}
    assert said == {"a": (1, "rules"), "b": (0, "rules"), "c": (1, LEXICON)}
