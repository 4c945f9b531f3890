import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.dedup import NearIndex


def unit(rng, n, dim=16):
    vectors = rng.normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def names(n):
    return [f"{i:032x}" for i in range(n)]


@given(st.integers(1, 300), st.integers(0, 40), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_exhaustive_search_finds_the_true_nearest(n, queries, seed):
    rng = np.random.default_rng(seed)
    vectors, asked = unit(rng, n), unit(rng, queries)
    index = NearIndex(16)
    index.add(names(n), vectors)
    found = index.nearest(asked)
    true = asked.astype(np.float64) @ vectors.astype(np.float64).T
    assert found.position.tolist() == true.argmax(1).tolist()
    assert np.allclose(found.cosine, true.max(1), atol=1e-6)


def test_equal_cosines_go_to_the_smallest_id_in_any_order_of_addition():
    vector = unit(np.random.default_rng(0), 1)
    for order in (["c", "a", "b"], ["a", "b", "c"], ["b", "c", "a"]):
        index = NearIndex(16)
        index.add(order, np.repeat(vector, 3, axis=0))
        assert order[index.nearest(vector).position[0]] == "a"


def test_an_empty_index_and_an_empty_question_are_no_errors():
    index = NearIndex(16)
    found = index.nearest(unit(np.random.default_rng(0), 2))
    assert (found.position.tolist(), found.cosine.tolist()) == ([-1, -1], [-1, -1])
    index.add(pa.array([], pa.string()), np.zeros((0, 16), np.float32))
    assert len(index) == 0
    assert index.nearest(np.zeros((0, 16), np.float32)).position.shape == (0,)


def test_what_does_not_fit_is_refused():
    index = NearIndex(16)
    with pytest.raises(ValueError, match="don't fit"):
        index.add(["a"], np.zeros((1, 8), np.float32))
    with pytest.raises(ValueError, match="longer than 32 bytes"):
        index.add(["x" * 33], np.zeros((1, 16), np.float32))


def _clustered(rng, n):
    """Vectors as near-duplicates are: a few hundred centres with little noise."""
    centres = unit(rng, 200, 32)
    vectors = centres[rng.integers(0, 200, n)] + 0.03 * rng.normal(size=(n, 32))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_above_the_limit_the_graph_agrees_with_exhaustive_search_and_with_itself():
    rng = np.random.default_rng(1)
    vectors, asked = _clustered(rng, 4000), _clustered(rng, 500)
    exhaustive, graph, again = (
        NearIndex(32, exact_limit=None),
        NearIndex(32, exact_limit=500),
        NearIndex(32, exact_limit=500),
    )
    for index in (exhaustive, graph, again):
        for at in range(0, 4000, 400):
            index.add(names(4000)[at : at + 400], vectors[at : at + 400])
    true, found = exhaustive.nearest(asked), graph.nearest(asked)
    assert np.mean(true.position == found.position) > 0.98
    same = true.position == found.position
    assert np.array_equal(true.cosine[same], found.cosine[same])
    assert np.array_equal(found.position, again.nearest(asked).position)
    alone = [graph.nearest(asked[i : i + 1]).position[0] for i in range(50)]
    assert alone == found.position[:50].tolist()
