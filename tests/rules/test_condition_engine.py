from __future__ import annotations

import ipaddress
import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import RuleError
from cmdclf.rules import Rule, RuleSet
from cmdclf.rules.condition import FieldTest, Not, Or, conjunction, disjunction, parsed


def rule(match, name="a", **more):
    return Rule(name, "t", "execution", "", (), match=parsed(match) if isinstance(match, list) else match, **more)


def holds(match, line, platform="windows", **fields):
    known = {name: pa.array([value], pa.string()) for name, value in fields.items()}
    return bool(RuleSet([rule(match)]).any(pa.array([line], pa.string()), pa.array([platform]), known)[0])


@pytest.mark.parametrize(
    ("test", "line", "expected"),
    [
        (["contains", "B c"], "a b C d", True),
        (["contains", "bc"], "a b C d", False),
        (["contains|cased", "B"], "a b", False),
        (["contains|cased", "B"], "a B", True),
        (["startswith", "A"], "a b", True),
        (["startswith", "b"], "a b", False),
        (["endswith", "B"], "a b", True),
        (["endswith", "a"], "a b", False),
        (["equals", "A b"], "a B", True),
        (["equals", "a"], "a b", False),
        (["contains|all", "a", "b"], "b a", True),
        (["contains|all", "a", "z"], "b a", False),
        (["contains", "é–Ω"], "É–ω", True),
        (["contains|cased", "é"], "É", False),
        (["contains", "kelvin"], "\u212aelvin", False),
        (["like", "*a*b?"], "xAxxbz", True),
        (["like", "*a*b?"], "xAxxb", False),
        (["like", "a"], "ab", False),
        (["like", "*\\*\\\\"], "x*\\", True),
        (["like", "a*\\"], "ab\\", True),
        (["like|cased", "A?"], "ab", False),
        (["like", "a?c"], "a\nc", True),
        (["like", "?é"], "äÉ", True),
        (["re", "net\\s+user"], "net  user", True),
        (["re", "net\\s+user"], "NET  user", False),
        (["re", "(?i)NET\\s+user"], "\u212aNET net user", True),
        (["re", "(?i)k+"], "\u212a", True),
        (["re", "^b"], "ab", False),
        (["re", ".{1000,}"], "a" * 999 + "\n" + "a" * 999, False),
        (["re", ".{1000,}"], "ä" * 999, False),
        (["re", ".{1000,}"], "ä" * 1000, True),
        (["empty"], "a", False),
        (["cidr", "10.1.0.0/16"], "10.1.2.3", True),
        (["cidr", "10.1.0.0/16"], "10.2.2.3", False),
        (["cidr", "10.1.0.0/16"], "no address", False),
        (["same", "user"], "SYSTEM", True),
        (["same", "parent_image"], "SYSTEM", False),
    ],
)
def test_a_test_holds_where_its_text_says_so(test, line, expected):
    condition = ["command_line", *test]
    assert holds(condition, line, user="System", parent_image="") is expected
    assert holds(["not", condition], line, user="System", parent_image="") is not expected


@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_field_is_empty_and_holds_no_text(value):
    assert holds(["user", "empty"], "a", user=value)
    assert not holds(["not", ["user", "empty"]], "a", user=value)
    assert not holds(["user", "contains", "a"], "a", user=value)
    assert not holds(["user", "same", "parent_user"], "a", user=value, parent_user=value)


def test_a_field_that_is_missing_decides_nothing():
    selection, text, empty = ["command_line", "contains", "a"], ["user", "contains", "x"], ["user", "empty"]
    # Without the field the rule does not fire ...
    assert not holds(text, "a")
    assert not holds(["and", selection, text], "a")
    # ... a filter on it counts as not matched ...
    assert holds(["and", selection, ["not", text]], "a")
    assert not holds(["and", selection, ["not", ["not", text]]], "a")
    # ... and whether it would have been empty nobody knows: neither that nor the contrary holds.
    assert not holds(empty, "a")
    assert not holds(["not", empty], "a")
    assert holds(["or", selection, empty], "a")
    assert not holds(["and", selection, ["not", ["or", text, empty]]], "a")


def test_the_image_is_taken_from_the_line_where_none_is_given():
    ends = ["image", "endswith", "\\powershell.exe"]
    assert holds(ends, "powershell -nop")
    assert holds(ends, "powershell -nop", image=None)
    assert not holds(ends, "powershell -nop", image="C:\\a.exe")
    assert holds(["parent_image", "endswith", "/sh"], "ls", "linux", parent_command_line="sh -c ls")
    assert not holds(["parent_image", "empty"], "ls", "linux", parent_command_line="sh -c ls")


def test_the_platform_of_a_row_without_one_is_guessed_for_its_image():
    rules = RuleSet([rule(["image", "equals", "\\cmd.exe"]), rule(["image", "equals", "/ls"], "b")])
    lines = pa.array(["cmd.exe /c dir C:\\", "ls"])
    assert rules.names(lines).to_pylist() == [["a"], ["b"]]
    assert rules.names(lines, pa.array(["linux", "windows"])).to_pylist() == [[], []]


@pytest.mark.parametrize(
    ("ruled_out", "line", "expected"),
    [
        # The line names the program alone: it may lie in that folder, so the rule is not decided.
        (["startswith", "C:\\Windows\\"], "cmd /c a", False),
        (["contains", "\\Windows\\"], "cmd /c a", False),
        (["equals", "C:\\Windows\\cmd.exe"], "cmd /c a", False),
        (["endswith", "\\System32\\cmd.exe"], "cmd /c a", False),
        (["re", "^C:\\\\W"], "cmd /c a", False),
        (["like", "C:*\\*.exe"], "cmd /c a", False),
        # Another program's path can't be its own, nor can another name.
        (["equals", "C:\\Windows\\net.exe"], "cmd /c a", True),
        (["endswith", "\\System32\\net.exe"], "cmd /c a", True),
        (["endswith", "\\net.exe"], "cmd /c a", True),
        (["endswith", "\\cmd.exe"], "cmd /c a", False),
        # A path in the line decides.
        (["startswith", "C:\\Windows\\"], "D:\\cmd.exe /c a", True),
        (["startswith", "C:\\Windows\\"], "C:\\Windows\\cmd.exe /c a", False),
    ],
)
def test_a_folder_that_the_line_does_not_name_is_unknown(ruled_out, line, expected):
    assert holds(["and", ["command_line", "contains", "/c"], ["not", ["image", *ruled_out]]], line) is expected
    positive = holds(["image", *ruled_out], line)
    assert not (positive and expected)


def test_rules_of_other_platforms_and_rows_without_a_process_are_left_alone():
    rules = RuleSet([rule(["not", ["command_line", "contains", "z"]], platform=("windows",))])
    lines = pa.array(["a", "a", "a", None, "", "a"])
    where = pa.array(["windows", "linux", None, "windows", "windows", "solaris"])
    assert rules.any(lines, where).tolist() == [True, False, True, False, False, True]
    assert rules.any(lines, where, {"image": pa.array(["C:\\a.exe"] * 6)}).tolist()[3:5] == [True, True]


def test_patterns_and_conditions_stand_in_one_set_in_its_order(tmp_path):
    pattern = Rule("p", "t", "execution", r"foo\d", ("foo",), level="low")
    rules = RuleSet(
        [rule(["command_line", "contains", "foo"], "c", level="critical"), pattern, rule(["user", "equals", "x"], "d")]
    )
    lines = pa.array(["foo1", "foo", "bar"])
    assert rules.names(lines).to_pylist() == [["c", "p"], ["c"], []]
    assert rules.match(lines).tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert rules.levels(lines).tolist() == [5, 5, 0]
    assert rules.levels(lines).dtype == np.int8
    rules.save(tmp_path / "r.json")
    again = RuleSet.load(tmp_path / "r.json")
    assert again.rules == rules.rules
    assert again.version == rules.version
    changed = RuleSet([rule(["command_line", "contains", "fo"], "c", level="critical"), *rules.rules[1:]])
    assert changed.version != rules.version


def test_check_knows_rules_with_a_condition():
    good = rule(["command_line", "contains", "foo"], hits=("a foo",), misses=("bar",))
    assert RuleSet([good]).check() == []
    bad = rule(["command_line", "contains", "foo"], hits=("bar",), misses=("foo",), level="severe")
    problems = " ".join(RuleSet([bad]).check())
    assert "unknown level 'severe'" in problems
    assert "does not match its hit: bar" in problems
    assert "matches its miss: foo" in problems


HEAD = "[[rule]]\nid = 'a'\ntitle = 't'\ncategory = 'execution'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEAD + "match = ['image', 'contains']", r"rule 1 \('a'\): 'match': the test 'contains' of image has no value"),
        (HEAD + "match = ['image', 'empty']\nregex = 'a'", "both 'match' and 'regex'"),
        (HEAD + "match = " + "[" * 3000 + "]" * 3000, "nested"),
    ],
)
def test_a_faulty_condition_in_a_file_is_refused_with_place_and_remedy(tmp_path, text, message):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(RuleError, match=message) as caught:
        RuleSet.load(path)
    assert caught.value.remedy


def test_a_field_of_another_length_is_an_error():
    with pytest.raises(ValueError, match="2 lines but 1 values of user"):
        RuleSet([rule(["user", "empty"])]).any(pa.array(["a", "b"]), None, {"user": pa.array(["x"])})


# The definition, one record at a time: Kleene's three values, None for unknown.

FIELDS = ("command_line", "image", "user")
texts = st.text(st.sampled_from("abAB é\\/.*"), max_size=4)
paths = st.sampled_from(["\\a", "a", "C:\\a", "b\\a", "/B", "C:\\b\\a", "/b/a", "\\b\\a", "C:\\b\\"])
values = st.one_of(paths, st.text(st.sampled_from("abAB é\\/."), min_size=1, max_size=3))
tests = st.one_of(
    st.builds(
        FieldTest,
        st.sampled_from(FIELDS),
        st.sampled_from(["contains", "startswith", "endswith", "equals", "like"]),
        values,
        st.booleans(),
    ),
    st.builds(FieldTest, st.sampled_from(FIELDS), st.just("like"), st.sampled_from(["*a*b*", "a*", "?b", "*é?", "*"])),
    st.builds(
        FieldTest, st.sampled_from(FIELDS), st.just("re"), st.sampled_from(["a+b", "(?i)a.?b", "^A", "b$", "a|B\\\\"])
    ),
    st.builds(FieldTest, st.sampled_from(FIELDS), st.just("empty")),
    st.builds(FieldTest, st.sampled_from(FIELDS), st.just("same"), st.sampled_from(FIELDS)),
)
conditions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.lists(inner, min_size=2, max_size=4).map(conjunction),
        st.lists(inner, min_size=2, max_size=4).map(disjunction),
    ),
    max_leaves=10,
)


def _fold(text, cased):
    return text if cased else "".join(c.lower() for c in text)


def _plain(test, record):
    text = record[test.field]
    if test.kind == "empty":
        return text == ""
    if test.kind == "same":
        return text != "" and text.lower().encode() == record.get(test.value, "").lower().encode()
    if test.kind == "re":
        return re.search(test.value.replace("$", r"\Z"), text) is not None
    if test.kind == "cidr":
        return ipaddress.ip_address(text) in ipaddress.ip_network(test.value)
    text, value = _fold(text, test.cased), _fold(test.value, test.cased)
    if test.kind == "like":
        pattern = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in value.replace("\\\\", "\\"))
        return re.fullmatch(pattern, text, re.DOTALL) is not None
    return {
        "contains": value in text,
        "startswith": text.startswith(value),
        "endswith": text.endswith(value),
        "equals": text == value,
    }[test.kind]


def _without_folder(image):
    parts = re.split(r"[\\/]", image)
    rooted = image[:1] in ("\\", "/") and image[:1] != ""
    if not image or (image[1:2] == ":" and len(image) > 2) or (rooted and len(parts) > 2):
        return None
    return parts[-1]


def _value(test, record):
    if test.field not in record or (test.kind == "same" and test.value not in record):
        return None if test.kind == "empty" else False
    if _plain(test, record):
        return True
    name = _without_folder(record["image"]) if test.field == "image" else None
    if name is None or test.kind in ("same", "empty"):
        return False
    if test.kind in ("endswith", "equals"):
        last = re.split(r"[\\/]", test.value)[-1]
        if test.kind == "endswith" and len(last) >= len(test.value) - 1:
            return False
        return None if _fold(last, test.cased) == _fold(name, test.cased) else False
    return None


def _kleene(condition, record):
    if isinstance(condition, FieldTest):
        return _value(condition, record)
    if isinstance(condition, Not):
        inner = _kleene(condition.part, record)
        return None if inner is None else not inner
    inner = [_kleene(part, record) for part in condition.parts]
    decisive = isinstance(condition, Or)
    return decisive if decisive in inner else None if None in inner else not decisive


@settings(max_examples=150)
@given(
    st.lists(conditions, min_size=1, max_size=5),
    st.lists(st.tuples(texts, st.one_of(paths, texts.filter(bool)), texts), min_size=1, max_size=6),
    st.booleans(),
)
def test_all_rows_at_once_give_what_each_record_gives_alone(rules, rows, with_user):
    lines, images, users = (pa.array(list(column), pa.string()) for column in zip(*rows, strict=True))
    fields = {"image": images} | ({"user": users} if with_user else {})
    found = RuleSet([rule(c, str(k)) for k, c in enumerate(rules)]).match(lines, None, fields)
    names = FIELDS if with_user else FIELDS[:2]
    expected = [[_kleene(c, dict(zip(names, row, strict=False))) is True for c in rules] for row in rows]
    assert found.astype(bool).tolist() == expected


def test_many_rows_are_decided_in_parts_and_slices_and_chunks_are_no_matter():
    rules = RuleSet([rule(["and", ["command_line", "re", "7[0-9]{4}$"], ["image", "endswith", "\\a.exe"]])])
    lines = pa.array([None, *(f"a {n}" for n in range(80_000))])[1:]
    rows, _ = rules.pairs(lines, pa.repeat("windows", 80_000))
    assert rows.tolist() == list(range(70_000, 80_000))
    chunked = pa.chunked_array([lines[:75_000], lines[75_000:]])
    assert np.array_equal(rules.pairs(chunked, pa.repeat("windows", 80_000))[0], rows)
    assert rules.pairs(lines[:0])[0].tolist() == []


def test_an_and_inside_a_filter_needs_all_its_parts():
    match = [
        "and",
        ["command_line", "contains", "a"],
        ["not", ["and", ["user", "equals", "x"], ["image", "contains", "b"]]],
    ]
    assert holds(match, "a", user="x", image="C:\\a.exe")
    assert not holds(match, "a", user="x", image="C:\\b.exe")
    assert holds(match, "a", image="C:\\b.exe")
