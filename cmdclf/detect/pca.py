"""A reduced-scale detector: what principal components cannot reconstruct."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted, validate_data

__all__ = ["PCAReconstructionDetector"]

_DECIMALS = 9  # see kmeans.py: the score must not depend on the size of the batch


class PCAReconstructionDetector(BaseEstimator):  # type: ignore[misc]
    """Score = squared Euclidean distance of a row to the subspace of the kept principal components.

    This is the Q statistic, or squared prediction error (J. E. Jackson and G. S. Mudholkar, "Control procedures for
    residuals associated with principal component analysis", Technometrics 21, 1979): rows that go along directions in
    which the fitted rows hardly vary score high, however ordinary they are inside the subspace.

    Args:
        n_components: how much is kept: a share of the variance (float in 0..1) or a number of components (int).
        random_state: taken so that all detectors are configured alike; the decomposition is exact and needs none.

    Attributes:
        mean_: (d,) float64.
        components_: (kept, d) float64, orthonormal rows.
        n_features_in_: number of columns.
    """

    def __init__(self, *, n_components: float = 0.95, random_state: Any = 0) -> None:
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Find the subspace.

        Args:
            X: (n, d) numbers with n >= 2, float32 or float64. Memory: one float64 copy.
            y: ignored.
        """
        matrix = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        if np.ptp(matrix, axis=0).any():
            # The d x d covariance, exact and deterministic: d is some hundreds, n may be 100,000.
            pca = PCA(n_components=self.n_components, svd_solver="covariance_eigh").fit(matrix)
            self.mean_, self.components_ = pca.mean_, pca.components_
        else:
            # All rows are equal: no variance that a share could be taken of, the subspace is that one point.
            self.mean_, self.components_ = matrix[0].copy(), np.empty((0, matrix.shape[1]))
        return self

    def score_samples(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n,) float64 >= 0, higher = more anomalous: squared reconstruction error."""
        check_is_fitted(self)
        centred = validate_data(self, X, dtype=np.float64, reset=False) - self.mean_
        residual = centred - (centred @ self.components_.T) @ self.components_
        return np.asarray(np.round(np.einsum("ij,ij->i", residual, residual), _DECIMALS), dtype=np.float64)
