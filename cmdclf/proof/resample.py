"""Intervals of many arms on one test: every arm on the same resamples of whole groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Resamples", "interval"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Resamples:
    """Bootstrap resamples of a test.

    Args:
        labels: (n,) 1 = malicious.
        groups: (n,) group of each row (script, page, template): drawn whole.
        n: resamples.
        seed: of the draw.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """

    labels: npt.NDArray[Any]
    groups: npt.NDArray[Any]
    n: int
    seed: int

    @cached_property
    def times(self) -> npt.NDArray[np.int32]:
        """(n resamples, n rows) how often each row is in each resample."""
        _, index = np.unique(self.groups, return_inverse=True)
        count = int(index.max()) + 1
        rng = np.random.default_rng(self.seed)
        drawn = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in range(self.n)])
        return drawn[:, index.ravel()].astype(np.int32)

    def auc_and_tpr(
        self, scores: Floats, fpr: float, rows: npt.NDArray[np.bool_] | None = None
    ) -> tuple[Floats, Floats]:
        """((1 + n,) AUCs, (1 + n,) TPRs at this FPR): first of the test itself, then of each resample.

        Ties count one half in the AUC; the TPR is the highest of a threshold whose FPR is at most `fpr`. NaN where a
        resample holds one class only.

        Args:
            scores: (n rows,).
            fpr: a rate.
            rows: (n rows,) which rows count; None: all.
        """
        keep = np.ones(len(scores), bool) if rows is None else rows
        values, bad = scores[keep], self.labels[keep] == 1
        if not len(values):
            return np.full(1 + self.n, np.nan), np.full(1 + self.n, np.nan)
        order = np.argsort(-values, kind="stable")
        ordered = values[order]
        starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        times = np.vstack([np.ones((1, len(values)), np.int32), self.times[:, keep]])[:, order]
        bad = bad[order]
        pos = np.add.reduceat(np.where(bad, times, 0), starts, axis=1).astype(np.float64)
        neg = np.add.reduceat(np.where(bad, 0, times), starts, axis=1).astype(np.float64)
        above, n_pos, n_neg = np.cumsum(neg, axis=1), pos.sum(axis=1), neg.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            lost = (pos * (above - neg / 2)).sum(axis=1) / (n_pos * n_neg)
            allowed = above <= (fpr * n_neg + 1e-9)[:, None]
            found = np.where(allowed, np.cumsum(pos, axis=1), 0.0).max(axis=1) / n_pos
        empty = (n_pos == 0) | (n_neg == 0)
        return np.where(empty, np.nan, 1 - lost), np.where(empty, np.nan, found)


def interval(draws: Floats, point: float) -> tuple[float, float]:
    """The 95 % percentile interval of draws, widened to hold the point estimate where it would miss it."""
    kept = draws[~np.isnan(draws)]
    if not len(kept) or np.isnan(point):
        return float("nan"), float("nan")
    low, high = np.percentile(kept, (2.5, 97.5))
    return float(min(low, point)), float(max(high, point))
