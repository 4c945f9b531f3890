"""The classifier that is shipped, fitted on an arm: trees beside n-grams, weighed by one sigmoid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.classify import Featuriser
from cmdclf.features import FeatureMaker
from cmdclf.proof.measure import Scores
from cmdclf.proof.month import Month
from cmdclf.study.fitted import LineReads, fit_arm

__all__ = ["Shipped"]


@dataclass
class Shipped:
    """Fits the shipped classifier on training sets of one month, as a study does."""

    month: Month

    @cached_property
    def _reads(self) -> LineReads:
        """Features with token rarity of the training days, embeddings, and the month's counts."""
        w = self.month.w
        reads = LineReads(Featuriser(FeatureMaker().fit(w.store.lines(w.train_days)), w.embedder))
        reads.counts = lambda lines: self.month.counts[self.month.rows(lines["command_id"])]
        return reads

    def fit(self, training: pa.Table) -> Scores:
        """Fit on TRAINING rows; gives probabilities of rows of the month's lines."""
        fitted = fit_arm(self.month.w, training, self._reads, self.month.settings.seed)

        def scores(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
            return fitted.scores(self.month.lines.take(pa.array(rows)), self._reads)

        return scores
