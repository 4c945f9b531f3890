from __future__ import annotations

from dataclasses import replace

import pytest

from cmdclf.lexicon import Template
from cmdclf.lexicon.stats import is_complex, lexicon_stats, twin_pairs

PLAIN = Template(id="win-a", label="benign", platform="windows", role="r", tool="net", line="net use")
BAD = replace(PLAIN, id="win-mal-a", label="malicious", line="net user x /add", technique=("T1136.001", "T1078"))


@pytest.mark.parametrize(
    ("template", "line", "complex_"),
    [
        (PLAIN, "net use", False),
        (replace(PLAIN, hard=True), "net use", True),
        (replace(PLAIN, payload="x"), "net use", True),
        (PLAIN, "x" * 150, True),
        (PLAIN, "x" * 149, False),
        (PLAIN, "a | b", True),
        (PLAIN, "a && b", True),
        (PLAIN, "cmd /c powershell -c gci", True),
        (PLAIN, "powershell.exe -c gci", False),
    ],
)
def test_complex_is_hard_encoded_long_chained_or_nested(template: Template, line: str, complex_: bool) -> None:
    assert is_complex(template, line) is complex_


def test_a_pair_that_names_each_other_counts_once() -> None:
    both = [replace(PLAIN, twin=BAD.id), replace(BAD, twin=PLAIN.id), replace(PLAIN, id="win-b", twin=BAD.id)]
    assert twin_pairs(both) == {("win-a", "win-mal-a"), ("win-b", "win-mal-a")}
    assert twin_pairs([replace(PLAIN, twin="win-gone")]) == set()


def test_statistics_count_templates_by_label_and_field() -> None:
    recurring = replace(PLAIN, id="win-c", line="net " + "x" * 200, weight=5)
    stats = lexicon_stats([PLAIN, recurring, replace(PLAIN, id="win-d", line="a | b", tool=""), BAD])
    assert stats["templates"] == 4
    assert stats["labels"]["benign"]["templates"] == 3
    assert stats["labels"]["benign"]["complex"] == 2
    assert stats["labels"]["benign"]["rare_complex"] == 1
    assert stats["labels"]["benign"]["length"]["p99"] == 204
    assert stats["tool"] == {"net": {"benign": 2, "malicious": 1}, "-": {"benign": 1, "malicious": 0}}
    assert stats["technique"] == {
        "T1078": {"benign": 0, "malicious": 1},
        "T1136.001": {"benign": 0, "malicious": 1},
    }
    assert (stats["techniques"], stats["techniques_and_subtechniques"]) == (2, 2)


def test_an_empty_lexicon_has_statistics() -> None:
    assert lexicon_stats([])["templates"] == 0
