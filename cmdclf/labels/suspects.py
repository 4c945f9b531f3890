"""Confident learning: which verdicts does a classifier, taught by all the others, confidently contradict?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdclf.errors import JudgeError

__all__ = ["ConfidentJoint", "confident_joint", "out_of_fold"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ConfidentJoint:
    """How given labels and confidently predicted ones meet.

    Attributes:
        thresholds: (k,) the mean probability of each class among the rows that are labelled so.
        counts: (k, k) int, rows labelled i that are confidently of class j.
        joint: (k, k) the estimated share of all rows that are labelled i and truly of class j; sums to 1.
        suspects: (m,) rows whose label is contradicted, the largest margin first.
        guessed: (m,) their confident class.
        margins: (m,) probability of the confident class minus that of the label, in -1..1.
    """

    thresholds: Floats
    counts: Ints
    joint: Floats
    suspects: Ints
    guessed: Ints
    margins: Floats

    @property
    def error_share(self) -> float:
        """The estimated share of wrong labels."""
        return float(1.0 - np.trace(self.joint))


def confident_joint(labels: ArrayLike, probabilities: ArrayLike) -> ConfidentJoint:
    """The confident joint of labels and out-of-fold probabilities, and the rows off its diagonal.

    A row counts as confidently of class j when its probability of j is at least the mean among the rows labelled j; of
    several such classes the most probable one counts. The joint is calibrated to the number of rows of each label.
    (C. G. Northcutt, L. Jiang, I. L. Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels", JAIR 70,
    2021, sections 3.1 and 3.2: equations 1 to 3, and the off-diagonals as the lines to prune.) Time and memory grow
    with n times k.

    Args:
        labels: (n,) int, 0..k-1.
        probabilities: (n, k), each row from a model that did not see the row's label.

    Raises:
        ValueError: shapes, labels or probabilities are impossible.
    """
    given = np.asarray(labels, dtype=np.int64)
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or given.shape != (len(p),):
        raise ValueError(f"{given.shape} labels do not fit {p.shape} probabilities")
    n, k = p.shape
    if not np.isfinite(p).all() or (p < 0).any() or (p > 1).any():
        raise ValueError("probabilities must lie in 0..1")
    if n and (given.min() < 0 or given.max() >= k):
        raise ValueError(f"labels must lie in 0..{k - 1}")
    sizes = np.bincount(given, minlength=k)
    # A class without rows has no threshold, so nothing is confidently of it.
    thresholds = np.array([p[given == j, j].mean() if sizes[j] else np.inf for j in range(k)])
    confident = p >= thresholds - 1e-12  # a mean of equal numbers may exceed them by a rounding
    best = np.where(confident, p, -1.0).argmax(axis=1) if n else given
    sure = confident.any(axis=1)
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (given[sure], best[sure]), 1)
    rows = counts.sum(axis=1, keepdims=True)
    # Of a label without any confident row nothing speaks against it.
    share = np.where(rows > 0, counts / np.maximum(rows, 1), np.eye(k))
    joint = share * sizes[:, None] / max(n, 1)
    off = np.flatnonzero(sure & (best != given))
    margins = p[off, best[off]] - p[off, given[off]]
    order = np.lexsort((off, -margins))
    return ConfidentJoint(thresholds, counts, joint, off[order], best[off[order]].astype(np.int64), margins[order])


def out_of_fold(
    make: Callable[[], Any],
    matrix: NDArray[np.float32],
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    folds: int = 5,
    seed: int = 0,
) -> Floats:
    """(n, 2) probabilities of each row by a classifier that saw neither the row nor any of its group.

    Args:
        make: gives a new classifier with scikit-learn's `fit(X, y)` and `predict_proba`.
        matrix: (n, f) float32.
        labels: (n,) 0 or 1.
        groups: (n,) near-duplicates share a group.
        folds: at most; fewer where a class has fewer groups.
        seed: of the folds.

    Raises:
        JudgeError: one of the classes has fewer than two groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    y = np.asarray(labels, dtype=np.int64)
    _, group = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    fewest = min(len(np.unique(group[y == label])) for label in (0, 1))
    if fewest < 2:
        raise JudgeError(
            "the verdicts are too few to teach a classifier: each of benign and malicious needs two groups of lines",
            remedy="Label more lines, or add labelled ones (--labelled FILE)",
        )
    splitter = StratifiedGroupKFold(n_splits=min(folds, fewest), shuffle=True, random_state=seed)
    out = np.full((len(y), 2), 0.5)
    for train, test in splitter.split(matrix, y, group):
        if len(np.unique(y[train])) < 2:  # two classes within one group: nothing can be said of this fold
            continue
        out[test] = make().fit(matrix[train], y[train]).predict_proba(matrix[test])
    return out
