from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.rules.condition import FIELDS, And, FieldTest, Not, Or, conjunction, disjunction, parsed, written

texts = st.text(st.sampled_from("aB*?\\/ ."), min_size=1, max_size=5)
tests = st.one_of(
    st.builds(
        FieldTest,
        st.sampled_from(["command_line", "image", "user"]),
        st.sampled_from(["contains", "startswith", "endswith", "equals", "like"]),
        texts,
        st.booleans(),
    ),
    st.builds(FieldTest, st.sampled_from(list(FIELDS)), st.just("empty")),
    st.builds(FieldTest, st.just("image"), st.just("same"), st.sampled_from(list(FIELDS))),
)
conditions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=4).map(conjunction),
        st.lists(inner, min_size=2, max_size=4).map(disjunction),
    ),
    max_leaves=8,
)


def _same(one, other):
    """Equal but for the order of parts: tests of one field are written together."""
    if isinstance(one, And | Or):
        return type(one) is type(other) and _bag(one) == _bag(other)
    if isinstance(one, Not):
        return isinstance(other, Not) and _same(one.part, other.part)
    return one == other


def _bag(node):
    if isinstance(node, And | Or):
        return type(node).__name__, frozenset(_bag(part) for part in node.parts)
    return ("not", _bag(node.part)) if isinstance(node, Not) else node


@given(conditions)
def test_what_is_written_is_read_again(condition):
    assert _same(parsed(written(condition)), condition)


def test_values_of_one_test_are_alternatives_and_with_all_they_are_all_needed():
    assert parsed(["image", "endswith", "a", "b"]) == Or(
        (FieldTest("image", "endswith", "a"), FieldTest("image", "endswith", "b"))
    )
    both = And((FieldTest("image", "contains", "a", True), FieldTest("image", "contains", "b", True)))
    assert parsed(["image", "contains|all|cased", "a", "b"]) == both
    assert written(both) == ["image", "contains|all|cased", "a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("image", "no list"),
        ([], "no list"),
        ([["image", "empty"]], "no list"),
        (["and"], "'and' without parts"),
        (["not"], "'not' takes one part"),
        (["not", ["image", "empty"], ["image", "empty"]], "'not' takes one part"),
        (["colour", "contains", "a"], "unknown field 'colour'"),
        (["image", "begins", "a"], "unknown test 'begins'"),
        (["image", "contains|none", "a"], "unknown test"),
        (["image", "contains", 3], "no list of text"),
        (["image"], "no list of text"),
        (["image", "contains"], "has no value"),
        (["image", "contains", ""], "looks for no text"),
        (["image", "empty", "a"], "takes no value"),
        (["image", "re", "(?=a)"], "RE2 refuses"),
        (["image", "same", "colour"], "compares with a field"),
        (["user", "cidr", "10.0.0.0/99"], "no network"),
        (["user", "equals", "\ud800"], "no text that can be stored"),
    ],
)
def test_a_faulty_condition_says_what_is_wrong(content, message):
    with pytest.raises(ValueError, match=message):
        parsed(content)


def test_depth_and_size_are_bounded():
    deep = ["image", "empty"]
    for _ in range(60):
        deep = ["not", deep]
    with pytest.raises(ValueError, match="deep"):
        parsed(deep)
    with pytest.raises(ValueError, match="more than 50,000 tests"):
        parsed(["image", "contains", *["a"] * 50_001])
