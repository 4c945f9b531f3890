"""Every character of a text that was made from another one has a stretch there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.classify._spans_align import aligned

TEXT = st.text(st.sampled_from("ab^' \t\u2013-\U0001f600z"), max_size=40)


@given(TEXT, TEXT, TEXT, TEXT)
@settings(max_examples=200, deadline=None)
def test_what_is_said_to_be_the_same_is_and_places_ascend(a, b, c, d):
    old, new = a + b + c + d, a + d + c + b
    start, end, copied = aligned(old, new)
    assert len(start) == len(end) == len(copied) == len(new)
    assert np.all(start <= end)
    assert np.all(end <= len(old))
    assert np.all(np.diff(start[copied]) > 0)
    plain = str.maketrans("\t\u2013", " -")
    for k in np.flatnonzero(copied):
        assert old[start[k]].translate(plain) == new[k].translate(plain)
        assert end[k] == start[k] + 1
    # What was replaced lies between what was not.
    for k in np.flatnonzero(~copied):
        before, after = start[:k][copied[:k]], start[k:][copied[k:]]
        assert before.size == 0 or start[k] > before[-1]
        assert after.size == 0 or end[k] <= after[0]


@pytest.mark.parametrize(
    ("old", "new", "places"),
    [
        ("w^h^o", "who", [0, 2, 4]),
        ("net  user\tx", "net user x", [0, 1, 2, 3, 5, 6, 7, 8, 9, 10]),
        ("abcde1fghij2klmno", "abcde3fghij4klmno", list(range(17))),
        ("", "x", [0]),
        ("x", "", []),
    ],
)
def test_each_character_has_its_place(old, new, places):
    assert aligned(old, new)[0].tolist() == places


def test_a_replaced_stretch_is_one():
    start, end, copied = aligned("say [secret] twice", "say whoami twice")
    assert start[4:10].tolist() == [4] * 6
    assert end[4:10].tolist() == [12] * 6
    assert not copied[4:10].any()
    assert copied[10:].all()
