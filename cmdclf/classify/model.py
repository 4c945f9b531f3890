"""The classifier: gradient-boosted trees whose score is a calibrated probability, with thresholds for stated FPRs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from cmdclf.classify.metrics import unresolved

__all__ = ["THRESHOLD_FPRS", "Classifier", "threshold_for"]

Floats = NDArray[np.float64]

#: The false-positive rates for which a model carries a threshold.
THRESHOLD_FPRS = (1e-2, 1e-3, 1e-4)


def threshold_for(benign_scores: ArrayLike, fpr: float) -> float | None:
    """The score from which on at most `fpr` of the benign scores lie; None where there are too few to say.

    It lies half-way between the last benign score above it and the first below, so that float32 rounding moves nothing
    across it.

    Args:
        benign_scores: (n,) scores of benign rows that the model wasn't fitted on.
        fpr: the false-positive rate, in 0..1.
    """
    ordered = np.sort(np.asarray(benign_scores, dtype=np.float64))[::-1]
    if unresolved(fpr, len(ordered)) is not None:
        return None
    allowed = int(np.floor(fpr * len(ordered) + 1e-9))
    below = float(ordered[allowed])
    above = ordered[:allowed][ordered[:allowed] > below]
    return (below + float(above[-1])) / 2 if len(above) else float(np.nextafter(np.float32(below), np.float32(np.inf)))


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Histogram gradient boosting with sigmoid calibration on out-of-fold scores.

    Fitting splits the rows by group into `folds` folds, scores each fold by trees that were fitted on the others, fits
    Platt's sigmoid to those out-of-fold scores, takes the thresholds from the benign ones among them, and fits the
    final trees on all rows: no bought label is lost to the calibration, and every benign row counts towards a threshold
    (the scheme of scikit-learn's `CalibratedClassifierCV(ensemble=False)`, which takes no groups). With `folds=1`
    one fifth of the groups is held out instead, and a fifth of the benign rows stands behind the thresholds.

    With `beside` > 0 the last columns are no features but log-odds of other models, such as `GramModel`'s: the trees
    don't see them, and the sigmoid weighs them beside the trees' raw score (stacking: Wolpert 1992). For the rows of
    the fit they must be out of fold, by models that didn't see the row's group.

    Both classes have the same total weight in the sigmoid, whatever their share of the rows, so `predict_proba` is the
    probability at even odds: comparable between arms, but no statement about a base rate.

    Args:
        max_iter: trees.
        learning_rate: shrinkage.
        max_leaf_nodes: leaves per tree.
        min_samples_leaf: rows per leaf.
        l2_regularization: on the leaf values.
        max_features: share of the features that each split may use.
        beside: how many of the last columns are log-odds of other models; needs folds.
        folds: of the calibration; 1 = one hold-out; 0 = none, for models that only rank: the probability is the trees'
            own and there are no thresholds.
        threads: of the fit. One by default: on a busy two-core machine OpenMP's barriers made a fit with two threads
            8 times as slow as with one (18.7 s against 2.2 s for 20 trees on 10,000 x 300), on an idle one they gain
            less than twice. None = all cores.
        random_state: seed of the folds and the trees.

    Attributes:
        classes_: (2,) the labels; the second one is malicious.
        booster_: the fitted `HistGradientBoostingClassifier`.
        slope_, intercept_: the sigmoid: probability = expit(slope_ * raw score + beside_ . last columns + intercept_).
        beside_: (beside,) float64, weights of the last columns.
        n_iter_: trees that were fitted.
        thresholds_: {FPR: score or None}; a row is called malicious at that FPR when its score is at least this.
        threshold_notes_: {FPR: why there is no threshold}.
        n_validation_benign_: benign rows behind the thresholds.

    Source: Platt, Probabilistic outputs for support vector machines (1999), with his smoothed targets.
    """

    def __init__(
        self,
        *,
        max_iter: int = 200,
        learning_rate: float = 0.1,
        max_leaf_nodes: int = 31,
        min_samples_leaf: int = 20,
        l2_regularization: float = 1.0,
        max_features: float = 1.0,
        beside: int = 0,
        folds: int = 2,
        threads: int | None = 1,
        random_state: int | None = 0,
    ) -> None:
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.max_leaf_nodes = max_leaf_nodes
        self.min_samples_leaf = min_samples_leaf
        self.l2_regularization = l2_regularization
        self.max_features = max_features
        self.beside = beside
        self.folds = folds
        self.threads = threads
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        return tags

    def fit(
        self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Classifier:
        """Fit trees, sigmoid and thresholds; returns self.

        Args:
            X: (n, f) features; compared as float32, as the exported model does.
            y: (n,) two classes; the larger one in sort order is malicious.
            sample_weight: (n,) weights of the rows.
            groups: (n,) rows of one group never lie on both sides of a calibration split; when None, equal rows are a
                group.

        Raises:
            ValueError: not exactly two classes, negative weights, a class without weight, or negative folds.
        """
        if self.folds < 0 or self.beside < 0 or (self.beside and not self.folds):
            raise ValueError("folds and beside must not be negative, and what stands beside the trees needs folds")
        matrix, y = validate_data(self, X, y, dtype=np.float32, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) > 2:
            raise ValueError(
                f"Only binary classification is supported. The type of the target is multiclass: "
                f"{len(self.classes_)} classes"
            )
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present")
        weight = _check_sample_weight(sample_weight, matrix, dtype=np.float64)
        if (weight < 0).any():
            raise ValueError("weights must not be negative")
        names = _row_digests(matrix) if groups is None else np.asarray(groups).astype(str)
        if len(names) != len(labels):
            raise ValueError(f"{len(labels)} rows but {len(names)} groups")
        used = weight > 0
        if len(np.unique(labels[used])) < 2:
            raise ValueError("Classifier can't train when only one class has rows with a weight")
        matrix, labels, weight = matrix[used], labels[used], weight[used]
        fold = _folds(labels, names[used], self.folds, self.random_state)
        times = _repeats(weight, self.random_state)
        matrix, others = self._parts(matrix)
        raw, kept = self._out_of_fold(matrix, labels, times, fold)
        raws = np.column_stack([raw, others])
        self.booster_ = self._fitted_trees(matrix, labels, times)
        self.n_iter_ = self.booster_.n_iter_
        self.n_validation_benign_ = int((kept & (labels == 0)).sum())
        if kept.any() and 0 < labels[kept].sum() < kept.sum():
            slopes, self.intercept_ = _sigmoid(raws[kept], labels[kept], times[kept].astype(np.float64))
        else:
            # Too few groups to hold any out: the trees' own log-odds stand.
            slopes, self.intercept_ = np.append(1.0, np.zeros(self.beside)), 0.0
        self.slope_, self.beside_ = float(slopes[0]), slopes[1:]
        return self.set_thresholds(self._probability(raws[kept & (labels == 0)]))

    def set_thresholds(self, benign_scores: ArrayLike) -> Classifier:
        """Take the thresholds from these scores of unseen benign rows (n,) instead; returns self."""
        scores = np.asarray(benign_scores, dtype=np.float64)
        self.n_validation_benign_ = len(scores)
        self.thresholds_ = {fpr: threshold_for(scores, fpr) for fpr in THRESHOLD_FPRS}
        notes = {fpr: unresolved(fpr, len(scores)) for fpr in THRESHOLD_FPRS}
        self.threshold_notes_ = {fpr: note for fpr, note in notes.items() if note is not None}
        return self

    def _trees(self) -> Any:
        return HistGradientBoostingClassifier(
            max_iter=self.max_iter,
            learning_rate=self.learning_rate,
            max_leaf_nodes=self.max_leaf_nodes,
            min_samples_leaf=self.min_samples_leaf,
            l2_regularization=self.l2_regularization,
            max_features=self.max_features,
            early_stopping=False,
            random_state=self.random_state,
        )

    def _fitted_trees(self, X: NDArray[np.float32], labels: NDArray[np.int64], times: NDArray[np.int64]) -> Any:
        if (times != 1).any():
            X, labels = np.repeat(X, times, axis=0), np.repeat(labels, times)
        with threadpool_limits(self.threads, user_api="openmp"):
            return self._trees().fit(X, labels)

    def _out_of_fold(
        self, X: NDArray[np.float32], labels: NDArray[np.int64], times: NDArray[np.int64], fold: NDArray[np.int64]
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """Raw scores by trees that didn't see the row, and which rows have one."""
        raw, kept = np.zeros(len(labels)), np.zeros(len(labels), dtype=bool)
        for k in range(self.folds):
            out = fold == k
            if not out.any() or len(np.unique(labels[~out][times[~out] > 0])) < 2:
                continue
            trees = self._fitted_trees(X[~out], labels[~out], times[~out])
            raw[out], kept[out] = trees.decision_function(X[out]), True
        return raw, kept

    def _parts(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(what the trees see, the log-odds beside it)."""
        split = X.shape[1] - self.beside
        if split < 1:
            raise ValueError(f"{X.shape[1]} columns leave none for the trees beside {self.beside} log-odds")
        return np.ascontiguousarray(X[:, :split]), X[:, split:]

    def _log_odds(self, raws: Floats) -> Floats:
        return np.asarray(raws @ np.append(self.slope_, self.beside_) + self.intercept_, dtype=np.float64)

    def _probability(self, raws: Floats) -> Floats:
        from scipy.special import expit

        return np.asarray(expit(self._log_odds(raws)))

    def decision_function(self, X: ArrayLike) -> Floats:
        """(n,) calibrated log-odds of malicious; 0 at a probability of one half."""
        check_is_fitted(self)
        matrix = validate_data(self, X, dtype=np.float32, ensure_all_finite="allow-nan", reset=False)
        features, others = self._parts(np.asarray(matrix))
        return self._log_odds(np.column_stack([self.booster_.decision_function(features), others]))

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(n, 2) float64: the probabilities of benign and malicious."""
        from scipy.special import expit

        malicious = expit(self.decision_function(X))
        return np.column_stack([1.0 - malicious, malicious])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the class whose probability is at least one half (malicious above one half)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[(self.decision_function(X) > 0).astype(int)])


def _row_digests(X: NDArray[np.float32]) -> NDArray[np.str_]:
    """(n,) a name for the content of each row."""
    return np.array([hashlib.blake2b(row.tobytes(), digest_size=8).hexdigest() for row in X])


def _repeats(weight: Floats, random_state: int | None) -> NDArray[np.int64]:
    """(n,) how often each row is repeated: in proportion to its weight, once where all weights are equal.

    scikit-learn 1.9 computes 254 weighted percentiles per feature as soon as there is a weight, each with a sort of its
    own: a fit on 10,000 rows x 100 features took 20 times as long. Repeating rows is the same fit for whole-number
    weights; others are rounded by lot with the right expectation.
    """
    times = weight / weight.min()
    # Bounded work: at most eight times the rows, whatever the spread of the weights.
    times *= min(1.0, 8.0 * len(times) / times.sum())
    whole = np.floor(times + 1e-9)
    lot = np.random.default_rng(random_state).random(len(times)) < times - whole
    repeated: NDArray[np.int64] = (whole + lot).astype(np.int64)
    return repeated


def _folds(labels: NDArray[np.int64], groups: NDArray[Any], folds: int, random_state: int | None) -> NDArray[np.int64]:
    """(n,) fold of each row. Groups stay whole; groups with and without malicious rows are spread evenly."""
    n_folds = folds if folds > 1 else 5
    index = np.unique(groups, return_inverse=True)[1].ravel()
    n_groups = int(index.max()) + 1
    malicious = np.zeros(n_groups, dtype=bool)
    np.logical_or.at(malicious, index, labels == 1)
    order = np.random.default_rng(random_state).permutation(n_groups)
    fold = np.empty(n_groups, dtype=np.int64)
    for side in (False, True):
        members = order[malicious[order] == side]
        fold[members] = np.arange(len(members)) % n_folds
    return fold[index]


def _sigmoid(raws: Floats, labels: NDArray[np.int64], weight: Floats) -> tuple[Floats, float]:
    """Platt's ((k,) slopes, intercept) of k raw scores, both classes at the same total weight; no slope below 0."""
    from scipy.optimize import minimize
    from scipy.special import expit

    positive = labels == 1
    n_pos, n_neg = float(weight[positive].sum()), float(weight[~positive].sum())
    target = np.where(positive, (n_pos + 1) / (n_pos + 2), 1 / (n_neg + 2))
    share = np.where(
        positive, weight / max(weight[positive].sum(), 1e-300), weight / max(weight[~positive].sum(), 1e-300)
    )

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = raws @ parameters[:-1] + parameters[-1]
        slope = share * (expit(z) - target)
        return float((share * (np.logaddexp(0, z) - target * z)).sum()), np.append(slope @ raws, slope.sum())

    start = np.append(np.full(raws.shape[1], 1.0 / raws.shape[1]), 0.0)
    bounds = [(1e-3, None)] * raws.shape[1] + [(None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[:-1]), float(found.x[-1])
