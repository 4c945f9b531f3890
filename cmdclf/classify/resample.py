"""Intervals of many arms or models on one test: all of them on the same resamples of whole groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Ranking", "Resamples", "interval"]

Floats = npt.NDArray[np.float64]
#: Entries of one block of resamples: some 100 MB of working memory.
_BLOCK = 4_000_000


class Ranking:
    """A test's rows in order of one model's scores, sorted once for all resamples.

    Args:
        labels: (n,) 1 = malicious.
        scores: (n,).
        rows: (n,) which rows count; None: all.
    """

    def __init__(
        self, labels: npt.NDArray[Any], scores: npt.NDArray[Any], rows: npt.NDArray[np.bool_] | None = None
    ) -> None:
        kept = np.arange(len(scores)) if rows is None else np.flatnonzero(rows)
        self._order = kept[np.argsort(-scores[kept], kind="stable")]
        ordered = scores[self._order]
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._bad = labels[self._order] == 1

    def auc_and_tpr(self, times: npt.NDArray[np.int32], fpr: float) -> tuple[Floats, Floats]:
        """((b,) AUCs, (b,) TPRs at this FPR) of resamples.

        Ties count one half in the AUC; the TPR is the highest of a threshold whose FPR is at most `fpr`. NaN where a
        resample holds one class only.

        Args:
            times: (b, n) how often each of the test's rows is in each resample.
            fpr: a rate.
        """
        if not len(self._order):
            return np.full(len(times), np.nan), np.full(len(times), np.nan)
        drawn = times[:, self._order]
        pos = np.add.reduceat(np.where(self._bad, drawn, 0), self._starts, axis=1).astype(np.float64)
        neg = np.add.reduceat(np.where(self._bad, 0, drawn), self._starts, axis=1).astype(np.float64)
        above, n_pos, n_neg = np.cumsum(neg, axis=1), pos.sum(axis=1), neg.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            lost = (pos * (above - neg / 2)).sum(axis=1) / (n_pos * n_neg)
            allowed = above <= (fpr * n_neg + 1e-9)[:, None]
            found = np.where(allowed, np.cumsum(pos, axis=1), 0.0).max(axis=1) / n_pos
        empty = (n_pos == 0) | (n_neg == 0)
        return np.where(empty, np.nan, 1 - lost), np.where(empty, np.nan, found)


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

    def blocks(self) -> Iterator[npt.NDArray[np.int32]]:
        """`times` in blocks of resamples, the test itself first: (b, n rows), 1 + n resamples in all.

        For tests whose `times` would not fit into memory.
        """
        _, index = np.unique(self.groups, return_inverse=True)
        index = index.ravel()
        yield np.ones((1, len(index)), np.int32)
        count = int(index.max()) + 1
        rng = np.random.default_rng(self.seed)
        size = max(1, _BLOCK // len(index))
        for start in range(0, self.n, size):
            several = range(min(size, self.n - start))
            drawn = np.stack([np.bincount(rng.integers(0, count, count), minlength=count) for _ in several])
            yield drawn.astype(np.int32)[:, index]

    @cached_property
    def times(self) -> npt.NDArray[np.int32]:
        """(1 + n, n rows) how often each row is in the test itself (once) and in each resample."""
        return np.concatenate(list(self.blocks()))

    def auc_and_tpr(
        self, scores: Floats, fpr: float, rows: npt.NDArray[np.bool_] | None = None
    ) -> tuple[Floats, Floats]:
        """((1 + n,) AUCs, (1 + n,) TPRs at this FPR): first of the test itself, then of each resample.

        Args:
            scores: (n rows,).
            fpr: a rate.
            rows: (n rows,) which rows count; None: all.
        """
        return Ranking(self.labels, scores, rows).auc_and_tpr(self.times, fpr)


def interval(draws: Floats, point: float) -> tuple[float, float]:
    """The 95 % percentile interval of draws, widened to hold the point estimate where it would miss it."""
    kept = draws[~np.isnan(draws)]
    if not len(kept) or np.isnan(point):
        return float("nan"), float("nan")
    low, high = np.percentile(kept, (2.5, 97.5))
    return float(min(low, point)), float(max(high, point))
