from __future__ import annotations

from pathlib import Path

import pytest

from cmdclf.errors import LexiconError
from cmdclf.lexicon import Lexicon
from cmdclf.lexicon.stats import lexicon_stats

GOOD = """[[template]]
id = "a"
label = "benign"
platform = "linux"
role = "admin"
line = 'df -h {{path_home}}'
"""


def load(folder: Path, text: str) -> Lexicon:
    (folder / "x.toml").write_text(text, encoding="utf-8")
    return Lexicon.load(folder)


def test_the_bundled_lexicon_is_mostly_of_windows_and_most_of_its_rare_lines_are_complex() -> None:
    lexicon = Lexicon.load()
    stats = lexicon_stats(lexicon.templates)
    benign, malicious = stats["labels"]["benign"], stats["labels"]["malicious"]
    assert benign["templates"] >= 5000
    assert benign["rare_complex"] >= 2000
    assert malicious["templates"] >= 2500
    assert stats["techniques_and_subtechniques"] >= 150
    assert stats["twin_pairs"] >= 800
    share = {p: count["benign"] / benign["templates"] for p, count in stats["platform"].items()}
    assert 0.5 < share["windows"] < 0.8
    assert share["linux"] > 0.12
    assert share["macos"] > 0.04


def test_a_file_of_templates_is_read_in_order(tmp_path: Path) -> None:
    lexicon = load(tmp_path, GOOD + GOOD.replace('"a"', '"b"'))
    assert [t.id for t in lexicon] == ["a", "b"]
    assert lexicon.templates[0].file == "x.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("line", "lime"), "unknown key lime"),
        (GOOD.replace('role = "admin"\n', ""), "'role' is missing"),
        (GOOD.replace('"benign"', '"good"'), "label 'good'"),
        (GOOD.replace('"linux"', '"beos"'), "platform 'beos'"),
        (GOOD + "weight = true\n", "'weight' is bool"),
        (GOOD + "hard = 1\n", "'hard' is int"),
        ("[[template]]\nid = ", "Invalid value"),
        ("title = 'x'\n" + GOOD, "only [[template]] tables"),
    ],
)
def test_a_faulty_file_is_refused_with_its_name_and_a_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LexiconError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "x.toml" in str(caught.value)
    assert caught.value.remedy


def test_an_empty_folder_is_no_lexicon(tmp_path: Path) -> None:
    with pytest.raises(LexiconError, match="no lexicon file"):
        Lexicon.load(tmp_path)
