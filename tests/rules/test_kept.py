from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.rules import RuleSet
from cmdclf.rules._kept import match_kept
from cmdclf.rules.engine import Engine, match_everywhere

RULES = RuleSet.bundled("behaviours").rules
EXAMPLES = [line for rule in RULES for line in (*rule.hits, *rule.misses)]
TEXTS = st.lists(st.sampled_from([*EXAMPLES, "\n", "\0", " ", "\u0130", "K", "-", "A"]), max_size=4).map("".join)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(RULES[::6]), st.lists(TEXTS, max_size=4))
def test_a_kept_pattern_says_what_arrow_says(rule, texts):
    expected = pc.match_substring_regex(pa.array(texts, pa.string()), rule.regex, ignore_case=not rule.case).to_pylist()
    assert match_kept(texts, rule.regex, case=rule.case).tolist() == expected


@pytest.mark.parametrize(
    ("regex", "case", "text", "found"),
    [
        ("^a$", True, "a", True),
        ("^a$", True, "b\na\n", False),
        ("(?m)^a$", True, "b\na\n", True),
        ("a|b$", True, "xbx", False),
        ("A", False, "xa", True),
        ("A", True, "xa", False),
        ("a.b", True, "a\nb", False),
        ("é", False, "É", True),
        ("", True, "", True),
        ("x" * 300, True, "y" + "x" * 300, True),
    ],
)
def test_anchors_cases_and_lines_are_arrow_s(regex, case, text, found):
    assert match_kept([text], regex, case=case).tolist() == [found]
    assert pc.match_substring_regex(pa.array([text]), regex, ignore_case=not case).to_pylist() == [found]


@pytest.mark.parametrize("regex", ["(", r"\Qabc"])
def test_what_onnxruntime_refuses_stays_arrow_s(regex):
    assert match_kept(["abc"], regex, case=True) is None


def test_an_engine_answers_the_same_before_and_after_it_keeps_its_patterns():
    engine = Engine(RULES)
    lines = pa.array([None, "", *(rule.hits[0] for rule in RULES[::5])])
    expected = match_everywhere(lines, RULES)
    for _ in range(20):
        assert np.array_equal(engine.match(lines), expected)
    assert max(engine._asked) > 16
