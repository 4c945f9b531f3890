from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numpy_arrays
from sklearn.ensemble import IsolationForest

from cmdclf.detect.flatforest import FlatForest

COLUMNS = 6


def _mixed(n: int, seed: int) -> np.ndarray:
    """Rows with dense, sparse, counted, constant, huge and tiny columns."""
    random = np.random.default_rng(seed)
    return np.column_stack(
        [
            random.normal(size=n),
            random.random(n) < 0.02,
            random.poisson(2, n),
            np.full(n, 7.0),
            random.normal(size=n) * 1e37,
            random.normal(size=n) * 1e-42,
        ]
    ).astype(np.float32)


def _grow(matrix: np.ndarray, trees: int = 20, rows: int = 64, seed: int = 0) -> IsolationForest:
    return IsolationForest(n_estimators=trees, max_samples=min(rows, len(matrix)), random_state=seed).fit(matrix)


@pytest.fixture(scope="module")
def rows():
    return _mixed(700, 1)


@pytest.fixture(scope="module")
def forest(rows):
    return FlatForest.from_scikit_learn(_grow(rows))


class TestScores:
    @settings(max_examples=25, deadline=None)
    @given(n=st.integers(1, 200), rows=st.integers(1, 200), trees=st.integers(1, 12), seed=st.integers(0, 2**31 - 1))
    def test_they_are_scikit_learns_with_the_sign_turned(self, n, rows, trees, seed):
        grown = _grow(_mixed(n, seed), trees, rows, seed)
        other = _mixed(77, seed + 1)
        scores = FlatForest.from_scikit_learn(grown).score_samples(other)
        np.testing.assert_allclose(scores, -grown.score_samples(other), rtol=0, atol=1e-12)

    def test_values_at_and_beside_each_threshold_go_where_scikit_learn_sends_them(self, rows):
        grown = _grow(rows)
        probes = []
        for estimator in grown.estimators_:
            tree = estimator.tree_
            inner = tree.children_left >= 0
            for column, threshold in zip(tree.feature[inner], tree.threshold[inner].astype(np.float32), strict=True):
                for value in (threshold, *np.nextafter(threshold, np.array([-np.inf, np.inf], np.float32))):
                    probe = rows[len(probes) % len(rows)].copy()
                    probe[column] = value
                    probes.append(probe)
        matrix = np.array(probes)
        assert len(matrix) > 1000
        scores = FlatForest.from_scikit_learn(grown).score_samples(matrix)
        np.testing.assert_allclose(scores, -grown.score_samples(matrix), rtol=0, atol=1e-12)

    @settings(max_examples=40, deadline=None)
    @given(cuts=st.lists(st.integers(0, 700), max_size=8))
    def test_no_cut_into_batches_changes_a_bit(self, forest, rows, cuts):
        parts = np.split(rows, sorted(cuts))
        np.testing.assert_array_equal(
            np.concatenate([forest.score_samples(part) for part in parts]), forest.score_samples(rows)
        )

    def test_threads_share_a_forest(self, forest, rows):
        with ThreadPoolExecutor(4) as pool:
            for scores in pool.map(forest.score_samples, [rows] * 8):
                np.testing.assert_array_equal(scores, forest.score_samples(rows))

    def test_any_order_of_memory_and_read_only_rows_score_alike(self, forest, rows):
        expected = forest.score_samples(rows)
        read_only = rows.copy()
        read_only.setflags(write=False)
        wide = np.repeat(rows, 2, axis=1)[:, ::2]
        for same in (np.asfortranarray(rows), read_only, wide, rows.astype(np.float64), rows.tolist()):
            np.testing.assert_array_equal(forest.score_samples(same), expected)

    def test_no_rows_have_no_scores(self, forest):
        assert forest.score_samples(np.empty((0, COLUMNS), np.float32)).shape == (0,)

    @settings(max_examples=40, deadline=None)
    @given(
        matrix=numpy_arrays(np.float64, (3, COLUMNS), elements=st.floats(-1, 1)),
        row=st.integers(0, 2),
        column=st.integers(0, COLUMNS - 1),
        bad=st.sampled_from([np.nan, -np.nan, np.inf, -np.inf, 1e39, -1e300]),
    )
    def test_what_is_no_finite_float32_is_refused(self, forest, matrix, row, column, bad):
        forest.score_samples(matrix)
        matrix[row, column] = bad
        with pytest.raises(ValueError, match="NaN, infinity"):
            forest.score_samples(matrix)

    @pytest.mark.parametrize("shape", [(COLUMNS,), (2, COLUMNS - 1), (2, COLUMNS + 1), (2, COLUMNS, 1)])
    def test_another_shape_is_refused(self, forest, shape):
        with pytest.raises(ValueError, match="6 columns"):
            forest.score_samples(np.zeros(shape))


class TestArrays:
    def test_a_forest_of_saved_arrays_scores_the_same_bits(self, forest, rows, tmp_path):
        np.savez(tmp_path / "forest.npz", **forest.arrays())
        with np.load(tmp_path / "forest.npz", allow_pickle=False) as saved:
            again = FlatForest.from_arrays(dict(saved))
        np.testing.assert_array_equal(again.score_samples(rows), forest.score_samples(rows))
        assert (again.n_trees, again.n_features, again.max_samples) == (20, COLUMNS, 64)

    def test_a_pickled_forest_scores_the_same_bits(self, forest, rows):
        again = pickle.loads(pickle.dumps(forest))
        np.testing.assert_array_equal(again.score_samples(rows), forest.score_samples(rows))

    def test_what_happens_to_the_callers_arrays_does_not_reach_the_forest(self, forest, rows):
        mine = {name: array.copy() for name, array in forest.arrays().items()}
        taken = FlatForest.from_arrays(mine)
        for array in mine.values():
            array[:] = 99
        np.testing.assert_array_equal(taken.score_samples(rows), forest.score_samples(rows))
        with pytest.raises(ValueError, match="read-only"):
            taken.arrays()["feature"][0] = 99

    def test_trees_that_see_some_columns_only_are_refused(self, rows):
        grown = IsolationForest(n_estimators=3, max_features=0.5, random_state=0).fit(rows)
        with pytest.raises(ValueError, match="some of the columns"):
            FlatForest.from_scikit_learn(grown)

    @pytest.mark.parametrize(
        ("name", "damage"),
        [
            ("feature", lambda a: a.astype(np.int64)),
            ("feature", lambda a: a[:-1]),
            ("feature", lambda a: a.reshape(1, -1)),
            ("feature", lambda a: a + COLUMNS),
            ("feature", lambda a: a - 1),
            ("threshold", lambda a: a.astype(np.float64)),
            ("threshold", lambda a: a[:-1]),
            ("threshold", lambda a: np.where(np.isinf(a), np.float32(1), a)),
            ("threshold", lambda a: np.full_like(a, np.nan)),
            ("threshold", lambda a: -a),
            ("threshold", lambda a: a[::-1]),
            ("length", lambda a: a[1:]),
            ("length", lambda a: a * np.nan),
            ("length", lambda a: a - 100),
            ("root", lambda a: a[:-1]),
            ("root", lambda a: a[1:]),
            ("root", lambda a: a[:1]),
            ("root", lambda a: a[:0]),
            ("root", lambda a: a[::-1]),
            ("root", lambda a: a * 2),
            ("root", lambda a: np.delete(a, 3)),
            ("root", lambda a: np.insert(a, 3, a[3])),
            ("n_features", lambda a: a - 5),
            ("n_features", lambda a: a * 0),
            ("n_features", lambda a: a[:0]),
            ("n_features", lambda a: a[0]),
            ("max_samples", lambda a: -a),
            ("max_samples", lambda a: np.repeat(a, 2)),
            ("max_samples", lambda a: a.astype(object)),
        ],
    )
    def test_damaged_arrays_are_refused(self, forest, name, damage):
        damaged = forest.arrays()
        damaged[name] = damage(damaged[name])
        with pytest.raises(ValueError, match="forest"):
            FlatForest.from_arrays(damaged)

    @pytest.mark.parametrize("order", [[1, 0, 2], [1, 2, 0]])
    def test_a_node_before_its_parent_is_refused(self, order):
        stump = {
            "feature": np.zeros(3, np.int32),
            "threshold": np.array([0.5, np.inf, np.inf], np.float32),
            "length": np.array([0, 1, 2], np.float64),
            "root": np.array([0, 3], np.int32),
            "n_features": np.array([1], np.int64),
            "max_samples": np.array([3], np.int64),
        }
        low, high = FlatForest.from_arrays(stump).score_samples([[0.5], [0.6]])
        assert low > high
        stump["threshold"] = stump["threshold"][order]
        with pytest.raises(ValueError, match="before its parent"):
            FlatForest.from_arrays(stump)

    @pytest.mark.parametrize("names", [{"left"}, set()])
    def test_a_missing_or_superfluous_array_is_refused(self, forest, names):
        arrays = forest.arrays() | {name: np.zeros(1) for name in names}
        if not names:
            del arrays["length"]
        with pytest.raises(ValueError, match="A forest has the arrays"):
            FlatForest.from_arrays(arrays)

    @settings(max_examples=150, deadline=None)
    @given(data=st.data())
    def test_any_changed_bytes_are_refused_or_still_give_scores(self, forest, rows, data):
        arrays = {name: array.copy() for name, array in forest.arrays().items()}
        for _ in range(data.draw(st.integers(1, 3))):
            array = arrays[data.draw(st.sampled_from(sorted(arrays)))]
            bytes_ = array.view(np.uint8)
            bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
        try:
            changed = FlatForest.from_arrays(arrays)
        except ValueError:
            return
        if changed.n_features == COLUMNS:
            scores = changed.score_samples(rows[:40])
            assert ((scores >= 0) & (scores <= 1)).all()


def test_scoring_does_not_load_scikit_learn(forest, rows, tmp_path):
    np.savez(tmp_path / "forest.npz", **forest.arrays())
    np.save(tmp_path / "rows.npy", rows)
    code = (
        "import sys\nimport numpy as np\nfrom cmdclf.detect.flatforest import FlatForest\n"
        "forest = FlatForest.from_arrays(dict(np.load('forest.npz')))\n"
        "np.save('scores.npy', forest.score_samples(np.load('rows.npy')))\n"
        "assert 'sklearn' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), forest.score_samples(rows))
