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


def _index(vectors, *, step, shelf=None, granule=512):
    index = NearIndex(32, exact_limit=100, shelf=shelf, granule=granule)
    for at in range(0, len(vectors), step):
        index.add(names(len(vectors))[at : at + step], vectors[at : at + step])
    return index


class Drawer:
    """A shelf in memory."""

    def __init__(self):
        self.lanes, self.saved = {}, 0

    def load(self, digest):
        return self.lanes.get(digest)

    def save(self, digest, lanes, instead):
        self.saved += 1
        self.lanes[digest] = [bytes(lane) for lane in lanes]
        self.lanes.pop(instead, None)


def test_graphs_are_alike_however_the_additions_were_cut_and_from_a_shelf():
    rng = np.random.default_rng(5)
    vectors, asked = unit(rng, 1700, 32), unit(rng, 300, 32)
    found = _index(vectors, step=1700).nearest(asked)
    drawer = Drawer()
    filling = _index(vectors, step=97, shelf=drawer)
    assert drawer.saved == 3
    assert len(drawer.lanes) == 1
    going_on = _index(vectors, step=1700, shelf=drawer)
    assert drawer.saved == 3
    for index in (filling, going_on):
        again = index.nearest(asked)
        assert np.array_equal(again.position, found.position)
        assert np.array_equal(again.cosine, found.cosine)
    # What lies on the shelf is of other vectors.
    other = _index(vectors[::-1].copy(), step=1700, shelf=drawer)
    assert drawer.saved == 6
    assert np.mean(1699 - other.nearest(asked).position == found.position) > 0.9


def test_thousands_of_equal_vectors_hide_no_other_and_give_the_smallest_id():
    rng = np.random.default_rng(6)
    same, others = unit(rng, 1, 32), unit(rng, 500, 32)
    vectors = np.concatenate([np.repeat(same, 3000, axis=0), others, np.repeat(same, 500, axis=0)])
    ids = names(4000)
    order = rng.permutation(4000)
    index = NearIndex(32, exact_limit=100)
    for at in range(0, 4000, 1000):
        index.add([ids[i] for i in order[at : at + 1000]], vectors[order[at : at + 1000]])
    found = index.nearest(np.concatenate([same, others]))
    assert [int(order[p]) for p in found.position] == [0, *range(3000, 3500)]


def test_vectors_of_zeros_are_no_trouble():
    vectors = unit(np.random.default_rng(7), 300, 32)
    vectors[::3] = 0
    index = NearIndex(32, exact_limit=10)
    index.add(names(300), vectors)
    found = index.nearest(vectors)
    kept = np.flatnonzero(vectors.any(1))
    assert found.position[kept].tolist() == kept.tolist()
    assert np.isfinite(found.cosine).all()
