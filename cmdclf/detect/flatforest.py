"""A fitted isolation forest as a few flat arrays, scored by a compiled kernel without scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cmdclf.detect._forest_kernels import all_finite, path_scores

__all__ = ["FlatForest"]

_DTYPES = {
    "feature": np.int32,
    "threshold": np.float32,
    "length": np.float64,
    "root": np.int32,
    "n_features": np.int64,
    "max_samples": np.int64,
}
_MOST = np.iinfo(np.int32).max


class FlatForest:
    """What an isolation forest needs for scoring; immutable, made by one of the named constructors.

    The nodes of a tree lie side by side, level by level, the children of a node as neighbours, left first. So the
    arrays say by themselves where children are: those of a tree's k-th inner node are its nodes 2k + 1 and 2k + 2.
    A row goes left where its value is <= the node's threshold.

    The arrays, as `arrays` gives and `from_arrays` takes them:
        feature: (nodes,) int32, column that an inner node looks at; 0 in a leaf.
        threshold: (nodes,) float32; +inf marks a leaf.
        length: (nodes,) float64, path length that a leaf stands for: its depth + c(rows of the fit in it); 0 elsewhere.
        root: (trees + 1,) int32, first node of each tree, then the number of nodes.
        n_features: (1,) int64, columns of a matrix.
        max_samples: (1,) int64, rows that each tree was grown from.

    Args:
        arrays: the arrays above, already valid.
        left: (nodes,) int32, left child of an inner node, a leaf itself.
        depth: (trees,) int32, steps to the deepest leaf.
    """

    def __init__(
        self, arrays: dict[str, npt.NDArray[Any]], left: npt.NDArray[np.int32], depth: npt.NDArray[np.int32]
    ) -> None:
        self._arrays, self._left, self._depth = arrays, left, depth
        for array in (*arrays.values(), left, depth):
            array.setflags(write=False)
        self.n_features = int(arrays["n_features"][0])
        self.n_trees = len(depth)
        self.max_samples = int(arrays["max_samples"][0])

    @classmethod
    def from_scikit_learn(cls, forest: Any) -> Self:
        """The trees of a fitted `sklearn.ensemble.IsolationForest` that sees all columns (max_features=1.0).

        Raises:
            ValueError: the forest draws columns per tree, or has more than 2^31 - 1 nodes.
        """
        if any(len(columns) != forest.n_features_in_ for columns in forest.estimators_features_):
            raise ValueError("A forest whose trees see only some of the columns can't be flattened")
        trees = [_flattened(estimator.tree_) for estimator in forest.estimators_]
        root = np.cumsum([0, *(len(tree["threshold"]) for tree in trees)])
        if root[-1] > _MOST:
            raise ValueError(f"The forest has {root[-1]} nodes, more than can be numbered with 32 bits")
        arrays = {name: np.concatenate([tree[name] for tree in trees]) for name in ("feature", "threshold", "length")}
        numbers = {"n_features": forest.n_features_in_, "max_samples": forest.max_samples_}
        return cls.from_arrays(
            arrays | {"root": root.astype(np.int32)} | {name: np.array([n], np.int64) for name, n in numbers.items()}
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The forest that `arrays` gave; the arrays are copied and checked, so that no score reads beyond them.

        Raises:
            ValueError: an array is missing, superfluous, has another type or shape, or doesn't describe trees.
        """
        if set(arrays) != set(_DTYPES):
            raise ValueError(f"A forest has the arrays {', '.join(_DTYPES)}; got {', '.join(sorted(arrays)) or 'none'}")
        own: dict[str, npt.NDArray[Any]] = {}
        for name, dtype in _DTYPES.items():
            own[name] = np.array(arrays[name])
            if own[name].ndim != 1 or own[name].dtype != dtype:
                raise ValueError(
                    f"The forest's array {name} is {own[name].dtype} with {own[name].ndim} dimensions; "
                    f"{np.dtype(dtype)} with 1 is needed"
                )
        feature, threshold, length, root = (own[name] for name in ("feature", "threshold", "length", "root"))
        nodes = len(threshold)
        leaf = np.isposinf(threshold)
        _check(
            {
                "there is no tree": len(root) > 1,
                "n_features and max_samples are not one number above 0 each": all(
                    len(own[name]) == 1 and own[name][0] > 0 for name in ("n_features", "max_samples")
                ),
                "the arrays of the nodes differ in length": len(feature) == len(length) == nodes <= _MOST,
            }
        )
        _check(
            {
                "the roots are not ascending from 0 to the number of nodes": (
                    root[0] == 0 and root[-1] == nodes and bool((root[1:] > root[:-1]).all())
                ),
                "a column is not in 0..n_features - 1": bool(((feature >= 0) & (feature < own["n_features"])).all()),
                "a threshold is neither finite nor +inf": bool((leaf | np.isfinite(threshold)).all()),
                "a length is not finite or negative": bool((np.isfinite(length) & (length >= 0)).all()),
            }
        )
        left, depth = _linked(leaf, root)
        return cls(own, left, depth)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Everything that the scores depend on, by name; read-only. Fit for `numpy.savez`."""
        return dict(self._arrays)

    def score_samples(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n,) float64 in 0..1, higher = more anomalous; some 1.2 million rows a CPU second at 100 trees of depth 8.

        A row's score depends on nothing but the row: any cut into batches and any number of threads gives the same
        bits. The GIL is not held.

        Args:
            X: (n, n_features) numbers; float32 in C order is taken as it is, all else is converted.

        Raises:
            ValueError: another shape, or a value that is NaN, infinite or too large for float32.
        """
        with np.errstate(over="ignore"):
            matrix = np.ascontiguousarray(X, dtype=np.float32)
        if matrix.ndim != 2 or matrix.shape[1] != self.n_features:
            raise ValueError(f"X has the shape {np.shape(X)}; the forest was fitted on {self.n_features} columns")
        if not all_finite(matrix.view(np.int32)):
            raise ValueError("Input X contains NaN, infinity or a value too large for float32")
        scores = np.empty(len(matrix), np.float64)
        path_scores(
            matrix,
            self._arrays["feature"],
            self._arrays["threshold"],
            self._left,
            self._arrays["length"],
            self._arrays["root"],
            self._depth,
            float(self.n_trees * _mean_path(self._arrays["max_samples"])[0]),
            scores,
        )
        return scores

    def __reduce__(self) -> tuple[Any, ...]:
        # A pickle's arrays come back writeable and unchecked; this way they are neither.
        return type(self).from_arrays, (self.arrays(),)


def _mean_path(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """c(rows): mean length of an unsuccessful search in a binary search tree of so many rows.

    Equation 1 of Liu, Ting and Zhou, with the operations in scikit-learn's order, so that sums are the same bits.
    """
    many = np.maximum(rows, 3).astype(np.float64)
    mean = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(rows > 2, mean, np.where(rows == 2, 1.0, 0.0))


def _flattened(tree: Any) -> dict[str, npt.NDArray[Any]]:
    """The nodes of one `sklearn.tree._tree.Tree`, level by level."""
    levels, nodes = [], np.zeros(1, np.intp)
    while len(nodes):
        levels.append(nodes)
        inner = nodes[tree.children_left[nodes] >= 0]
        nodes = np.column_stack([tree.children_left[inner], tree.children_right[inner]]).ravel()
    order = np.concatenate(levels)
    depth = np.repeat(np.arange(len(levels)), [len(level) for level in levels])
    leaf = tree.children_left[order] < 0
    # scikit-learn compares float32 values with float64 thresholds. For a float32 value, that is the comparison with the
    # greatest float32 which doesn't exceed the threshold.
    exact = tree.threshold[order]
    threshold = exact.astype(np.float32)
    threshold = np.where(threshold > exact, np.nextafter(threshold, np.float32(-np.inf)), threshold)
    # scikit-learn's depths count nodes, not steps; its sum "nodes + c - 1" rounds otherwise than "steps + c".
    return {
        "feature": np.where(leaf, 0, tree.feature[order]).astype(np.int32),
        "threshold": np.where(leaf, np.float32(np.inf), threshold),
        "length": np.where(leaf, (depth + 1.0) + _mean_path(tree.n_node_samples[order]) - 1.0, 0.0),
    }


def _linked(
    leaf: npt.NDArray[np.bool_], root: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Left child of every node (a leaf itself) and depth of every tree; ValueError where these are no trees."""
    own_root = np.repeat(root[:-1], np.diff(root)).astype(np.int64)
    inner_before: npt.NDArray[np.int64] = np.cumsum(~leaf) - ~leaf
    number = np.arange(len(leaf))
    left = np.where(leaf, number, own_root + 1 + 2 * (inner_before - inner_before[own_root]))
    _check(
        {
            "a tree's inner nodes don't fit its number of nodes": bool(
                (np.diff(root) == 2 * np.add.reduceat(~leaf, root[:-1], dtype=np.int64) + 1).all()
            ),
            "a node comes before its parent": bool((leaf | (left > number)).all()),
        }
    )
    depth = np.zeros(len(root) - 1, np.int32)
    tree = np.arange(len(depth))
    nodes = root[:-1].astype(np.int64)
    while True:
        inner = ~leaf[nodes]
        nodes, tree = nodes[inner], tree[inner]
        if not len(nodes):
            return left.astype(np.int32), depth
        depth[tree] += 1  # each tree counts once per level, however often it occurs
        nodes = np.concatenate([left[nodes], left[nodes] + 1])
        tree = np.concatenate([tree, tree])


def _check(conditions: dict[str, bool]) -> None:
    for fault, holds in conditions.items():
        if not holds:
            raise ValueError(f"The arrays of the forest are damaged: {fault}")
