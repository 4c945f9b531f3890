"""A reduced-scale detector: distance to the nearest populous k-means centroid."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["KMeansDistanceDetector"]

#: Scores are rounded to so many decimals: a row must score the same in any batch, and matrix products differ in the
#: last bits with the number of rows.
_DECIMALS = 9


class KMeansDistanceDetector(BaseEstimator):  # type: ignore[misc]
    """Score = cosine distance (0..2) to the nearest centroid whose cluster is populous.

    The k-means is the modified one: after the fit, centroids whose clusters hold less than `min_share` of the rows are
    dropped, so that a rare cluster does not hide its own members (with its centroid among them they would all score
    near 0). Rows are L2-normalised first, which makes Euclidean k-means spherical up to the length of the
    centroids (Dhillon and Modha, "Concept decompositions for large sparse text data", Machine Learning 42, 2001).

    Args:
        n_clusters: centroids to begin with (as many as rows, if there are fewer).
        min_share: the smallest share of the fitted rows that keeps a centroid; the largest cluster always stays.
        min_rows: and the smallest number of rows, without which in a small sample single rows would be clusters.
        n_init: runs with other seeds, of which the one with the least inertia counts.
        max_iter: iterations per run at most.
        random_state: seed; the same seed and rows give the same scores.

    Attributes:
        centroids_: (kept, d) float64, L2-normalised, largest cluster first.
        shares_: (kept,) float64, the share of the fitted rows in each kept cluster.
        n_dropped_: number of centroids that were dropped.
        n_features_in_: number of columns.
    """

    def __init__(
        self,
        *,
        n_clusters: int = 64,
        min_share: float = 0.005,
        min_rows: int = 5,
        n_init: int = 1,
        max_iter: int = 100,
        random_state: Any = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.min_share = min_share
        self.min_rows = min_rows
        self.n_init = n_init
        self.max_iter = max_iter
        self.random_state = random_state

    def fit(self, X: npt.ArrayLike, y: object = None) -> Self:
        """Cluster the rows and keep the populous centroids.

        Args:
            X: (n, d) numbers, embeddings as a rule; float32 is taken as it is.
            y: ignored.
        """
        matrix = normalize(validate_data(self, X, dtype=[np.float64, np.float32]))
        # One thread: OpenMP adds the parts in the order in which threads end, so the last bits of the centroids would
        # change from run to run; and with busy neighbours on the machine its spinning threads were 9 times slower.
        with threadpool_limits(limits=1), warnings.catch_warnings():
            # Fewer distinct rows than clusters is no fault: the clusters left empty are dropped below.
            warnings.simplefilter("ignore", ConvergenceWarning)
            kmeans = KMeans(
                n_clusters=min(self.n_clusters, len(matrix)),
                n_init=self.n_init,
                max_iter=self.max_iter,
                random_state=self.random_state,
            ).fit(matrix)
        sizes = np.bincount(kmeans.labels_, minlength=kmeans.n_clusters)
        order = np.argsort(-sizes, kind="stable")
        shares = sizes[order] / len(matrix)
        keep = (shares >= self.min_share) & (sizes[order] >= max(self.min_rows, 1))
        keep[0] = True
        self.centroids_ = normalize(kmeans.cluster_centers_[order[keep]].astype(np.float64))
        self.shares_ = shares[keep]
        self.n_dropped_ = int(len(keep) - keep.sum())
        return self

    def score_samples(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """(n,) float64 in 0..2, higher = more anomalous: 1 - the largest cosine to a kept centroid.

        A row of zeros has no direction; its cosine to everything is 0, so its score is 1.
        """
        check_is_fitted(self)
        matrix = normalize(validate_data(self, X, dtype=[np.float64, np.float32], reset=False).astype(np.float64))
        nearest = (matrix @ self.centroids_.T).max(axis=1)
        return np.asarray(np.round(np.clip(1.0 - nearest, 0.0, 2.0), _DECIMALS), dtype=np.float64)
