"""The classifier that is shipped, fitted on an arm: trees beside n-grams, weighed by one sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.classify import Classifier, Featuriser, training_arrays
from cmdclf.classify.gram_counts import CountedGrams
from cmdclf.classify.grams import folds_of
from cmdclf.features import FeatureMaker
from cmdclf.proof.measure import Scores
from cmdclf.proof.month import Month
from cmdclf.study.arms import Matrix
from cmdclf.study.tests import remembered

__all__ = ["Shipped"]


@dataclass
class Shipped:
    """Fits the shipped classifier on training sets of one month."""

    month: Month

    @cached_property
    def _matrix(self) -> Matrix:
        """Features with token rarity of the training days, and the embedding."""
        w = self.month.w
        maker = FeatureMaker().fit(w.store.lines(w.train_days))
        return remembered(Featuriser(maker, w.embedder).matrix_of)

    def fit(self, training: pa.Table) -> Scores:
        """Fit on TRAINING rows; gives log-odds of rows of the month's lines."""
        month = self.month
        y, weight, groups = training_arrays(training)
        counts = month.counts[month.rows(training["command_id"])]
        beside = np.zeros(len(y))
        fold = folds_of(groups, y, month.settings.seed)
        for k in np.unique(fold):
            out = fold == k
            beside[out] = CountedGrams().fit(counts[~out], y[~out], weight[~out]).scores(counts[out])
        grams = CountedGrams().fit(counts, y, weight)
        model = month.w.config.model
        classifier = Classifier(
            max_iter=model.max_iter, learning_rate=model.learning_rate, max_leaf_nodes=model.max_leaf_nodes,
            min_samples_leaf=model.min_samples_leaf, l2_regularization=model.l2_regularization,
            max_features=model.max_features, folds=model.folds, beside=1, random_state=month.settings.seed,
        )  # fmt: skip
        matrix = np.column_stack([self._matrix(training), beside])
        classifier.fit(matrix, y, sample_weight=weight, groups=groups)

        def scores(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
            lines = month.lines.take(pa.array(rows))
            read = np.column_stack([self._matrix(lines), grams.scores(month.counts[rows])])
            return np.asarray(classifier.decision_function(read))

        return scores
