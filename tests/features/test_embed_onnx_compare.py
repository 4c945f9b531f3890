import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.features import compare_embedders
from cmdclf.features.compare_embedders import compare_vectors


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@given(st.integers(2, 25), st.integers(0, 10**6), st.sampled_from([7, 100, 4_000_000]), st.floats(0.3, 0.95))
def test_a_comparison_counts_what_all_pairs_say(n, seed, cells, threshold):
    rng = np.random.default_rng(seed)
    a = unit(rng.normal(size=(n, 3)))
    b = unit(a + 0.3 * rng.normal(size=(n, 3)))
    with pytest.MonkeyPatch.context() as patch:
        # Blocks of any number of rows.
        patch.setattr(compare_embedders, "_CELLS", cells)
        found = compare_vectors(a, b, threshold_a=threshold, threshold_b=0.9)
    pairs = np.array([(a[i] @ a[j], b[i] @ b[j]) for i in range(n) for j in range(i + 1, n)])
    near_a, near_b = pairs[:, 0] >= threshold, pairs[:, 1] >= 0.9
    assert (found.lines, found.near_a, found.near_b) == (n, near_a.sum(), near_b.sum())
    assert (found.decided, found.flipped) == ((near_a | near_b).sum(), (near_a != near_b).sum())
    at_best = pairs[:, 1] >= found.best_threshold
    differ = (near_a[:, None] != (pairs[:, 1:] >= np.arange(1, 1001) / 1000)).sum(0)
    assert found.best_flipped == (near_a != at_best).sum() == differ.min()
    assert found.best_decided == (near_a | at_best).sum()
    cosines = (a * b).sum(1)
    assert found.cosine == pytest.approx((cosines.min(), cosines.mean()), abs=1e-5)


def test_the_same_vectors_agree_in_everything():
    a = unit(np.random.default_rng(0).normal(size=(50, 8)))
    found = compare_vectors(a, a, threshold_a=0.5, threshold_b=0.5)
    assert (found.flipped, found.flip_share, found.same_nearest) == (0, 0, 1)
    assert found.near_a > 0


def test_a_nearest_neighbour_that_is_as_near_counts_as_the_same():
    # By A lines 1 and 2 are equally near to line 0, and B prefers 2; they differ on line 2 alone.
    a = unit([[1, 0], [1, 1], [1, 1], [-1, 0.1]])
    b = unit([[1, 0], [0, 1], [1, 0.5], [-1, 0.1]])
    assert compare_vectors(a, b, threshold_a=0.9, threshold_b=0.9).same_nearest == 0.75


def test_other_dimensions_have_no_cosine_between_them():
    a, b = unit(np.eye(3)), unit(np.eye(3, 5))
    assert compare_vectors(a, b, threshold_a=0.9, threshold_b=0.9).cosine is None


@pytest.mark.parametrize("rows", [(1, 1), (3, 2)])
def test_vectors_that_do_not_belong_together_are_refused(rows):
    with pytest.raises(ValueError, match="can't be compared"):
        compare_vectors(np.eye(rows[0], 3), np.eye(rows[1], 3), threshold_a=0.9, threshold_b=0.9)
