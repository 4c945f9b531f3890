from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.detect import RANKED, TopK

SCORES = st.one_of(st.sampled_from([0.0, -0.0, 0.5, 1.0, float("inf"), -float("inf")]), st.floats(allow_nan=False))


@settings(deadline=None)
@given(
    rows=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), SCORES, max_size=60),
    k=st.integers(1, 20),
    data=st.data(),
)
def test_the_top_equals_a_full_sort_for_any_order_and_any_batches(rows, k, data):
    shuffled = data.draw(st.permutations(list(rows.items())))
    top = TopK(k)
    while shuffled:
        size = data.draw(st.integers(0, len(shuffled)))
        size = size or len(shuffled)
        top.push([i for i, _ in shuffled[:size]], [s for _, s in shuffled[:size]])
        shuffled = shuffled[size:]
    expected = sorted(rows.items(), key=lambda row: (-row[1], row[0].encode()))[:k]
    table = top.table()
    assert table.schema == RANKED
    assert table.column("command_id").to_pylist() == [i for i, _ in expected]
    assert table.column("score").to_pylist() == [s + 0.0 for _, s in expected]
    assert table.column("rank").to_pylist() == list(range(1, len(expected) + 1))


def test_memory_stays_bounded_over_many_batches():
    top = TopK(10)
    random = np.random.default_rng(0)
    for batch in range(300):
        top.push([f"{batch:04d}{i:04d}" for i in range(50)], random.random(50))
        assert top._held.num_rows <= 20 + 50


def test_a_stream_of_equal_scores_keeps_the_smallest_ids():
    top = TopK(3)
    for start in range(900, -1, -100):
        top.push([f"{i:03d}" for i in range(start, start + 100)], np.ones(100))
    assert top.table().column("command_id").to_pylist() == ["000", "001", "002"]


def test_batches_may_follow_after_the_table_was_read():
    top = TopK(2)
    top.push(["a"], [1.0])
    assert top.table().num_rows == 1
    top.push(pa.chunked_array([["b"], ["c"]]), [0.5, 2.0])
    top.push(np.array(["d"]), np.float32([1.5]))
    assert top.table().column("command_id").to_pylist() == ["c", "d"]


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        TopK(0)
    top = TopK(1)
    with pytest.raises(ValueError, match="2 ids for 1 scores"):
        top.push(["a", "b"], [1.0])
    with pytest.raises(ValueError, match="NaN"):
        top.push(["a"], [float("nan")])
    with pytest.raises(ValueError, match="null"):
        top.push(pa.array(["a", None]), [1.0, 2.0])
    assert top.table().num_rows == 0
