from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.study.realism import CLASSES, compare, exponent, profile, realism_page

LINES = ["ls -l", "ls -l", "ls -l", "cat /etc/hosts", "ping 10.0.0.1", "ping 10.0.0.2", "ÄÖ"]


def test_a_profile_counts_lines_and_masked_lines() -> None:
    one = profile(pa.array(LINES))
    numbers = one.numbers()
    assert (one.events, numbers["distinct lines"], numbers["masked lines"]) == (7, 5, 4)
    assert one.counts.tolist() == [3, 1, 1, 1, 1]
    assert one.template_lines.tolist() == [2, 1, 1, 1]
    assert one.template_events.tolist() == [3, 2, 1, 1]
    assert numbers["share of distinct lines seen once"] == 0.8
    assert sorted(one.length) == [2, 5, 13, 13, 14]
    assert sorted(one.tokens) == [1, 2, 2, 2, 2]


@given(st.lists(st.text(min_size=1, max_size=40), min_size=1, max_size=30))
def test_entropy_and_classes_are_those_of_the_bytes(lines: list[str]) -> None:
    one = profile(pa.array(lines, pa.string()))
    texts = list(dict.fromkeys(lines))
    for text, found in zip(texts, one.entropy, strict=True):
        data = text.encode()
        wanted = -sum(n / len(data) * math.log2(n / len(data)) for n in Counter(data).values())
        assert found == pytest.approx(wanted, abs=1e-9)
    data = "".join(texts).encode()
    assert one.classes.sum() == pytest.approx(1)
    assert one.classes[CLASSES.index("not ASCII")] == pytest.approx(sum(b > 127 for b in data) / len(data))
    assert one.classes[CLASSES.index("digits")] == pytest.approx(sum(48 <= b <= 57 for b in data) / len(data))


@pytest.mark.parametrize("power", [0.6, 1.0, 1.5])
def test_the_exponent_of_a_power_law_is_found(power: float) -> None:
    counts = np.round(1e6 * np.arange(1, 2000, dtype=float) ** -power).astype(np.int64)
    assert exponent(counts) == pytest.approx(power, abs=0.05)
    assert exponent(np.ones(50, np.int64)) == 0


def test_alike_is_zero_and_apart_is_one() -> None:
    a, b = profile(pa.array(["aaaa", "bbbb", "cc"])), profile(pa.array(["1234 567 890 1234", "9 8 7 6 5 4 3 2"]))
    assert set(compare(a, a).values()) == {0.0}
    assert compare(a, b) == {"length": 1.0, "entropy": 1.0, "tokens": 1.0, "classes": 1.0}


def test_the_page_shows_both_sides_needs_nothing_else_and_is_the_same_again() -> None:
    pair = profile(pa.array(LINES * 3)), profile(pa.array([*LINES, "<script>alert(1)</script>"]))
    speed = [
        {"case": "lines drawn", "ours": 1_000_000, "peer": 100_000, "peer_name": "x", "ratio": 10.0, "unit": "l/s"}
    ]
    page = realism_page({"windows & <co>": pair}, speed)
    assert page == realism_page({"windows & <co>": pair}, speed)
    assert page.count("<svg") == 2
    assert "windows &amp; &lt;co&gt;" in page
    assert "1,000,000" in page
    assert "<script" not in page
    assert "src=" not in page
