"""A fitted arm: n-grams beside trees, weighed by one sigmoid; and what is read of lines, once for all arms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import expit

from cmdclf.classify import Classifier, Featuriser, training_arrays
from cmdclf.classify.gram_counts import CountedGrams, counted
from cmdclf.classify.grams import folds_of
from cmdclf.study.tests import remembered
from cmdclf.study.workplace import Workplace

__all__ = ["Fitted", "LineReads", "fit_arm", "fit_ranker"]

#: Folds of the n-grams' own out-of-fold scores, from which the sigmoid learns how far to trust them.
_GRAM_FOLDS = 2


class LineReads:
    """Features with embedding, and counted n-grams, of tables of lines; each line is read once.

    Args:
        featuriser: without an n-gram model.
    """

    def __init__(self, featuriser: Featuriser) -> None:
        from scipy import sparse

        self.featuriser = featuriser
        self.matrix: Callable[[pa.Table], npt.NDArray[np.float32]] = remembered(featuriser.matrix_of)
        #: (n, f) scipy matrix.
        self.counts: Callable[[pa.Table], Any] = remembered(
            lambda lines: counted(lines["command_line"].to_pylist(), layers=True),
            lambda blocks: sparse.vstack(blocks, format="csr"),
        )


@dataclass(frozen=True)
class Fitted:
    """A classifier, and the n-gram model whose log-odds are its last column where there is one."""

    classifier: Classifier
    grams: CountedGrams | None

    def scores(self, lines: pa.Table, reads: LineReads) -> npt.NDArray[np.float64]:
        """(n,) probability of malicious."""
        if not lines.num_rows:
            return np.empty(0)
        matrix = reads.matrix(lines)
        if self.grams is not None:
            matrix = np.column_stack([matrix, self.grams.scores(reads.counts(lines)).astype(np.float32)])
        return np.asarray(self.classifier.predict_proba(matrix)[:, 1])

    def featuriser(self, reads: LineReads) -> Featuriser:
        """What the exported model reads lines with."""
        plain = reads.featuriser
        grams = None if self.grams is None else self.grams.model()
        return Featuriser(plain.maker, plain.embedder, embedder_source=plain.embedder_source, grams=grams)


def fit_arm(w: Workplace, training: pa.Table, reads: LineReads, seed: int) -> Fitted:
    """Fit on TRAINING rows; the sigmoid sees n-grams and trees on groups that they weren't fitted on."""
    y, weight, groups = training_arrays(training)
    matrix = reads.matrix(training)
    grams = None
    if w.config.model.grams:
        counts = reads.counts(training)
        beside = np.zeros(len(y), np.float32)
        fold = folds_of(groups, y, seed, _GRAM_FOLDS)
        for k in np.unique(fold):
            out = fold == k
            if len(np.unique(y[~out])) == 2:
                beside[out] = CountedGrams().fit(counts[~out], y[~out], weight[~out]).scores(counts[out])
        grams = CountedGrams().fit(counts, y, weight)
        matrix = np.column_stack([matrix, beside])
    classifier = _classifier(w, seed, beside=int(grams is not None), folds=w.config.model.folds)
    return Fitted(classifier.fit(matrix, y, sample_weight=weight, groups=groups), grams)


def fit_ranker(w: Workplace, training: pa.Table, reads: LineReads, seed: int) -> Callable[[pa.Table], Any]:
    """Lines -> (n,) scores of what ranks candidates: the n-grams, most of the classifier at a fraction of its cost.

    Without n-grams (`model.grams = false`) the trees, not calibrated: the order is all that counts.
    """
    y, weight, groups = training_arrays(training)
    if w.config.model.grams:
        grams = CountedGrams().fit(reads.counts(training), y, weight)
        return lambda lines: expit(grams.scores(reads.counts(lines)))
    trees = _classifier(w, seed, folds=0).fit(reads.matrix(training), y, sample_weight=weight, groups=groups)
    return lambda lines: trees.predict_proba(reads.matrix(lines))[:, 1]


def _classifier(w: Workplace, seed: int, *, folds: int, beside: int = 0) -> Classifier:
    model = w.config.model
    return Classifier(
        max_iter=model.max_iter,
        learning_rate=model.learning_rate,
        max_leaf_nodes=model.max_leaf_nodes,
        min_samples_leaf=model.min_samples_leaf,
        l2_regularization=model.l2_regularization,
        max_features=model.max_features,
        beside=beside,
        folds=folds,
        random_state=seed,
    )
