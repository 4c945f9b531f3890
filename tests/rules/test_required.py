from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cmdclf.rules import RuleSet
from cmdclf.rules._implied import implies
from cmdclf.rules._required import required


def _held(text, way):
    return all(any(literal in text for literal in literals) for literals in way)


@pytest.mark.parametrize(
    ("regex", "literals", "ways"),
    [
        (r"vssadmin\s+delete", ["vssadmin"], [[{"vssadmin"}, {"delete"}]]),
        (r"(?:foo\d|x.*barr)", ["foo", "bar"], [[{"foo"}], [{"barr"}]]),
        (r"\b(?:netstat|arp\s+/zq)\b", ["netstat", "arp"], [[{"netstat"}], [{"arp"}, {"/zq"}]]),
        (r"(?:ab|cd)efgh?", ["abe", "cde"], [[{"abefg", "cdefg"}]]),
        (r"[[:alpha:]]foo", ["foo"], [[{"foo"}]]),
        (r"wget\S*(?:\s+-q)*", ["wget"], [[{"wget"}]]),
        (r"–{2,}qqq", ["qqq"], [[{"qqq"}]]),
    ],
)
def test_each_way_through_a_pattern_names_what_it_cannot_match_without(regex, literals, ways):
    found = required(regex, literals)
    assert len(found) == len(ways)
    for way in ways:
        assert any(sorted(map(sorted, way)) == sorted(map(sorted, other)) for other in found)


def test_a_set_that_says_nothing_more_is_left_out():
    assert required("abcdef", ["abc"]) == [[frozenset({"abcdef"})]]


@pytest.mark.parametrize("name", ["behaviours", "baseline", "injection"])
def test_every_example_of_the_bundled_rules_holds_what_its_rule_requires(name):
    for rule in RuleSet.bundled(name).rules:
        ways = required(rule.regex, rule.literals)
        for line in rule.hits:
            assert any(_held(line.lower(), way) for way in ways), rule.id


def test_most_lines_with_a_rules_literal_are_not_shown_to_re2():
    rules = RuleSet.bundled("behaviours").rules
    lines = ["auditpol /get", "fsutil usn queryjournal c:", "scutil --nc list", "C:\\Windows\\System32\\services.exe"]
    for line in lines:
        by_literal = [rule.id for rule in rules if any(literal in line.lower() for literal in rule.literals)]
        by_ways = [
            rule.id for rule in rules if any(_held(line.lower(), w) for w in required(rule.regex, rule.literals))
        ]
        assert set(by_ways) < set(by_literal)


_ATOMS = st.sampled_from(["a", "b", "ab", "[ab]", "[^a]", ".", r"\s", r"\b", "^", "$", "c", "ca", "B"])
_REGEXES = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda arms: f"(?:{'|'.join(arms)})"),
        st.tuples(inner, st.sampled_from(["?", "*", "+", "{2}", "{1,3}", "{0,1}"])).map(lambda p: f"(?:{p[0]}){p[1]}"),
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(
    _REGEXES,
    st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=4),
    st.lists(st.text("abcABC \n", max_size=12), min_size=1, max_size=12),
)
def test_what_re2_matches_holds_a_member_of_every_set_of_one_way(regex, literals, texts):
    assume(implies(regex, literals))
    ways = required(regex, literals)
    matched = pc.match_substring_regex(pa.array(texts), regex, ignore_case=True).to_pylist()
    for text, hit in zip(texts, matched, strict=True):
        assert not hit or any(_held(text.lower(), way) for way in ways)
