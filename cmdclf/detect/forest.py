"""The full-scale detector: an isolation forest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from cmdclf.detect.flatforest import FlatForest

__all__ = ["IsolationForestDetector"]


class IsolationForestDetector(BaseEstimator):  # type: ignore[misc]
    """Score = the isolation forest's anomaly score in 0..1; about 0.5 and less is ordinary, towards 1 is anomalous.

    A line that few random cuts separate from the rest of a small sample is anomalous: 2^(-E(h(x)) / c(max_samples)).
    F. T. Liu, K. M. Ting, Z.-H. Zhou, "Isolation forest", ICDM 2008, section 2. scikit-learn's `IsolationForest` grows
    the trees; the scores are its own with the sign turned, so that higher is more anomalous.

    Args:
        n_estimators: number of trees.
        max_samples: rows drawn per tree (all, if there are fewer).
        sample_rows: at most so many of the rows are used for the fit; drawn by `random_state`.
        random_state: seed of the draw and of the trees; the same seed and rows give the same scores.

    Attributes:
        forest_: the fitted `FlatForest`, which scores without scikit-learn.
        n_features_in_: number of columns.
    """

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        max_samples: int = 256,
        sample_rows: int = 100_000,
        random_state: Any = 0,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.sample_rows = sample_rows
        self.random_state = random_state

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """A fitted detector of arrays that `arrays` gave; to score only, `FlatForest.from_arrays` loads far less.

        Raises:
            ValueError: the arrays are damaged.
        """
        forest = FlatForest.from_arrays(arrays)
        detector = cls(n_estimators=forest.n_trees, max_samples=forest.max_samples)
        detector.forest_ = forest
        detector.n_features_in_ = forest.n_features
        return detector

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Grow the forest.

        Args:
            X: (n, f) numbers, float32 is taken as it is.
            y: ignored.
        """
        matrix = validate_data(self, X, dtype=np.float32)
        random = check_random_state(self.random_state)
        if len(matrix) > self.sample_rows:
            matrix = matrix[np.sort(random.choice(len(matrix), self.sample_rows, replace=False))]
        grown = IsolationForest(
            n_estimators=self.n_estimators,
            max_samples=min(self.max_samples, len(matrix)),
            random_state=random.randint(np.iinfo(np.int32).max),
        ).fit(matrix)
        self.forest_ = FlatForest.from_scikit_learn(grown)
        return self

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The fitted forest as arrays by name, see `FlatForest`."""
        check_is_fitted(self)
        return self.forest_.arrays()

    def score_samples(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n,) float64 in 0..1, higher = more anomalous; speed and errors as in `FlatForest.score_samples`."""
        check_is_fitted(self)
        # The forest itself refuses what is not finite, faster.
        return self.forest_.score_samples(
            validate_data(self, X, dtype=np.float32, reset=False, ensure_all_finite=False)
        )
