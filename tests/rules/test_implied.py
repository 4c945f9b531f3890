from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cmdclf.rules._implied import implies


@pytest.mark.parametrize(
    ("regex", "literals"),
    [
        ("certutil", ["certutil"]),
        (r"\bnet1?(?:\.exe)?[ \t]", ["net ", "net\t", "net1", "net.exe"]),
        ("(?:foo|bar)baz", ["foob", "barb"]),
        ("(?:foo|x.*bar)", ["foo", "bar"]),
        ("(?:abc)+d", ["abcd"]),
        ("(?:ab){2,}", ["abab"]),
        ("ab*c", ["a"]),
        ("[-/]e(?:c|nc)", ["-e", "/e"]),
        ("A[BC]", ["ab", "ac"]),
        (r"\pLfoo\p{Greek}", ["foo"]),
        (r"\\pfoo", ["\\pfoo"]),
    ],
)
def test_patterns_that_need_a_literal_are_proven(regex, literals):
    assert implies(regex, literals)


@pytest.mark.parametrize(
    ("regex", "literals"),
    [
        ("foo|bar", ["foo"]),
        ("foo?", ["foo"]),
        ("(?:foo)*", ["foo"]),
        (r"foo\s+bar", ["foo bar"]),
        ("ab+c", ["abc"]),
        ("[^f]oo", ["foo"]),
        ("f.o", ["foo"]),
        ("foo", []),
        ("foo", [""]),
        ("[[:alpha:]]", ["a"]),
        (r"\Qfoo\E", ["foo"]),
        ("(?-i)foo", ["foo"]),
        ("İ", ["i̇"]),
    ],
)
def test_patterns_that_can_do_without_are_not(regex, literals):
    assert not implies(regex, literals)


_ATOMS = st.sampled_from(["a", "b", "ab", "[ab]", "[^a]", ".", r"\s", r"\b", "^", "$", "c"])
_REGEXES = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda arms: f"(?:{'|'.join(arms)})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "{2,}", "{0,2}"])).map(
            lambda p: f"(?:{p[0]}){p[1]}"
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(
    _REGEXES,
    st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(st.text("abcAB \n", max_size=8)),
)
def test_a_proof_holds_for_every_match_of_re2(regex, literals, lines):
    assume(implies(regex, literals))
    array = pa.array(lines, pa.string())
    matched = pc.match_substring_regex(array, regex, ignore_case=True).to_pylist()
    for line, match in zip(lines, matched, strict=True):
        assert not match or any(literal in line.lower() for literal in literals)
    assert re.compile(regex)
