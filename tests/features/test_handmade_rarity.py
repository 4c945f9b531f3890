from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.features.rarity import Rarity
from cmdclf.rules.buffers import string_buffers

LINES = st.lists(st.one_of(st.text(max_size=30), st.text("abAB09 ./-_", max_size=40), st.none()), max_size=12)


def _counted(lines, buckets=2**6):
    rarity = Rarity(buckets)
    rarity.add(*string_buffers(pa.array(lines, pa.string())))
    return rarity


def _equal(one, other):
    return all(np.array_equal(one.arrays()[name], other.arrays()[name]) for name in ("words", "pairs", "characters"))


@settings(max_examples=80, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=4))
def test_counts_of_parts_add_up_to_those_of_all_lines(parts):
    whole = _counted([line for part in parts for line in part])
    merged = Rarity(2**6)
    for part in parts:
        merged.merge(_counted(part))
    assert _equal(merged, whole)
    backwards = Rarity(2**6)
    for part in reversed(parts):
        backwards = _counted(part).merge(backwards)
    assert _equal(backwards, whole)


def test_merged_counts_are_those_that_measure():
    rarity = _counted(["alpha beta"] * 3)
    lines = string_buffers(pa.array(["alpha beta gamma"]))
    out = np.zeros((1, 118), np.float32)
    rarity.measure(*lines, out)
    merged, whole = np.zeros_like(out), np.zeros_like(out)
    rarity.merge(_counted(["gamma"] * 5)).measure(*lines, merged)
    _counted(["alpha beta"] * 3 + ["gamma"] * 5).measure(*lines, whole)
    assert np.array_equal(merged, whole)
    assert not np.array_equal(merged, out)


def test_counts_stop_at_the_top_whether_counted_or_merged():
    nearly = Rarity.from_arrays(_counted(["a b"]).arrays())
    nearly.words[nearly.words > 0] = nearly.pairs[nearly.pairs > 0] = 2**32 - 2
    counted = Rarity.from_arrays(nearly.arrays())
    counted.add(*string_buffers(pa.array(["a b"] * 3)))
    merged = Rarity.from_arrays(nearly.arrays()).merge(_counted(["a b"] * 3))
    assert counted.words.max() == merged.words.max() == 2**32 - 1
    assert counted.pairs.max() == merged.pairs.max() == 2**32 - 1
    assert _equal(counted, merged)


def test_counting_leaves_the_arrays_that_it_was_made_from_alone():
    arrays = _counted(["a b"]).arrays()
    for values in arrays.values():
        values.flags.writeable = False
    assert not _equal(Rarity.from_arrays(arrays).merge(_counted(["c"])), _counted(["a b"]))
    Rarity.from_arrays(arrays).add(*string_buffers(pa.array(["c"])))
    assert _equal(Rarity.from_arrays(arrays), _counted(["a b"]))


def test_counts_of_other_sizes_are_refused():
    with pytest.raises(ValueError, match="32 buckets don't add to those of 64"):
        Rarity(64).merge(Rarity(32))
