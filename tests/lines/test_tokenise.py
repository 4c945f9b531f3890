from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.lines import tokenise


def words(*lines: str | None) -> list[list[str] | None]:
    return tokenise(pa.array(lines, pa.string())).to_pylist()


def test_paths_flags_and_quotes_are_cut_into_lower_case_words():
    assert words(r'"C:\Windows\System32\cmd.exe" /c dir', "curl -fsSL https://example.com/a.sh|sh") == [
        ["c:", "windows", "system32", "cmd.exe", "c", "dir"],
        ["curl", "-fssl", "https:", "example.com", "a.sh", "sh"],
    ]


def test_lines_without_words_are_empty_and_nulls_stay_null():
    assert words("", None, '  "" ') == [[], None, []]


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.text()), max_size=20))
def test_every_row_keeps_its_place_and_no_word_is_empty(lines):
    cut = words(*lines)
    assert [c is None for c in cut] == [line is None for line in lines]
    assert all(w for row in cut for w in row or [])
    assert cut == [words(line)[0] for line in lines]
