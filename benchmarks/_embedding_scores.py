"""From ranks, cosines and neighbours' votes to the figures of benchmarks/embeddings.py, with intervals.

A figure is a mean over queries, an AUC, or a share. Differences between two models are bootstrapped over whole clusters
(families, pages, ways, scripts), the same draws for both; shares of pairs have exact intervals (Clopper-Pearson).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from _embedding_tasks import Tasks
from _labelled_lines import FOLDS

from cmdclf.dedup.behaviour import behaviour_keys
from cmdclf.dedup.calibrate import calibrate
from cmdclf.labels.audit import exact_interval

#: The share of pairs that differ which may be joined on the calibration set.
MOST_WRONG = 0.02
_THRESHOLDS = np.round(np.arange(0.20, 1.0005, 0.001), 3)
_BOOTSTRAPS = 400


@dataclass
class Figure:
    """One number of one model.

    Attributes:
        case: what it is, as the table prints it.
        value: None where there is none.
        unit, n: of the number.
        interval: exact 95 % interval of a share, else None.
        over: the number's value for (n,) weights of its items, and the items' clusters; None where no draws make sense.
    """

    case: str
    value: float | None
    unit: str
    n: int
    interval: tuple[float, float] | None = None
    over: tuple[Callable[[np.ndarray], float], np.ndarray] | None = None


def weighted_auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    """The chance that a positive item scores above a negative one, ties half; NaN without both."""
    values, at = np.unique(scores, return_inverse=True)
    good = np.bincount(at, weights * positive, len(values))
    bad = np.bincount(at, weights * ~positive, len(values))
    total = good.sum() * bad.sum()
    return float((good * (np.cumsum(bad) - bad / 2)).sum() / total) if total else float("nan")


def difference(a: Figure, b: Figure) -> tuple[float, float] | None:
    """The bootstrap's 95 % interval of a - b; None where either can't be resampled."""
    if a.over is None or b.over is None or len(a.over[1]) != len(b.over[1]):
        return None
    _, at = np.unique(a.over[1], return_inverse=True)
    rng = np.random.default_rng(0)
    clusters = int(at.max()) + 1
    drawn = []
    for _ in range(_BOOTSTRAPS):
        weights = np.bincount(rng.integers(0, clusters, clusters), minlength=clusters)[at].astype(float)
        drawn.append(a.over[0](weights) - b.over[0](weights))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return round(float(low), 4), round(float(high), 4)


def _mean(values: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda weights: float((values * weights).sum() / max(weights.sum(), 1e-9))


def retrieval(tasks: Tasks, measured: dict[str, Any]) -> list[Figure]:
    """MRR@10 and top-10 of each task, and their means over the tasks."""
    figures: list[Figure] = []
    for task in tasks.retrieval:
        rank = np.array(measured["ranks"][task.name])
        for unit, values in (("MRR@10", np.where(rank <= 10, 1 / rank, 0)), ("top-10", (rank <= 10).astype(float))):
            over = (_mean(values), np.array(task.cluster))
            figures.append(Figure(task.name, float(values.mean()), unit, len(rank), over=over))
    for unit in ("MRR@10", "top-10"):
        mine = [f for f in figures if f.unit == unit]
        mean = float(np.mean([f.value for f in mine]))
        figures.append(Figure("mean of the retrieval tasks", mean, unit, sum(f.n for f in mine)))
    return figures


def by_cluster(tasks: Tasks, measured: dict[str, Any]) -> dict[str, dict[str, float]]:
    """MRR@10 of each cluster of each retrieval task, pages aside: there are hundreds."""
    found: dict[str, dict[str, float]] = {}
    for task in tasks.retrieval:
        rank, cluster = np.array(measured["ranks"][task.name]), np.array(task.cluster)
        if len(set(task.cluster)) <= 120:
            values = np.where(rank <= 10, 1 / rank, 0)
            found[task.name] = {c: round(float(values[cluster == c].mean()), 3) for c in sorted(set(task.cluster))}
    return found


class Pairs:
    """Decisions on labelled pairs; whose behaviour agrees is the same for every model."""

    def __init__(self, tasks: Tasks) -> None:
        self.ready = {"calibration", "near"} <= set(tasks.pairs)
        if not self.ready:
            return
        self.calibration = self._table(tasks.pairs["calibration"])
        near = self._table(tasks.pairs["near"])
        self.same = np.array(tasks.pairs["near"]["same"], bool)
        keys = [behaviour_keys(pa.table({"platform": near["platform"], "command_line": near[s]})) for s in "ab"]
        self.agree = np.array([a == b for a, b in zip(*(k.to_pylist() for k in keys), strict=True)])

    @staticmethod
    def _table(pairs: dict[str, list]) -> pa.Table:
        return pa.table({name: pa.array(pairs[name]) for name in ("platform", "a", "b", "same")})

    def figures(self, measured: dict[str, Any]) -> list[Figure]:
        """AUC of the cosine, and what is joined by it alone and together with the behaviour, at thresholds chosen so
        that at most 2 % of the calibration set's different pairs are."""
        if not self.ready:
            return []
        cosine = np.array(measured["cosines"]["near"])
        found = calibrate(
            self.calibration,
            np.array(measured["cosines"]["calibration"]),
            most_wrong=MOST_WRONG,
            thresholds=_THRESHOLDS,
        )
        fine = np.flatnonzero(found.near_different <= MOST_WRONG * found.different)
        alone = float(_THRESHOLDS[fine[0]]) if len(fine) else None
        same, n = self.same, len(self.same)
        over = (lambda weights: weighted_auc(same, cosine, weights), np.arange(n))
        figures = [Figure("near-duplicates, cosine", weighted_auc(same, cosine, np.ones(n)), "AUC", n, over=over)]
        always = np.ones(n, bool)
        decisions = [("cosine alone", alone, always), ("cosine and behaviour", found.chosen, self.agree)]
        if measured["threshold"] is not None:
            decisions.append(("cosine and behaviour, as shipped", float(measured["threshold"]), self.agree))
        for name, threshold, agree in decisions:
            figures.append(Figure(f"{name}: threshold", threshold, "cosine", found.same + found.different))
            joined = (cosine >= threshold) & agree if threshold is not None else np.zeros(n, bool)
            for kind, mine in (("same", same), ("different", ~same)):
                hits, total = int(joined[mine].sum()), int(mine.sum())
                figures.append(
                    Figure(f"{name}: {kind} joined", hits / total, "share", total, exact_interval(hits, total))
                )
        return figures

    def behaviour_alone(self) -> str:
        """What equal behaviour says without any cosine."""
        if not self.ready:
            return ""
        same, different = self.agree[self.same].mean(), self.agree[~self.same].mean()
        return f"behaviour agrees in {same:.1%} of the same pairs and in {different:.1%} of the different ones"


def neighbours(tasks: Tasks, measured: dict[str, Any]) -> list[Figure]:
    """The AUC of the neighbours' votes, the mean over the folds."""
    malicious = np.array(tasks.knn["malicious"], bool)
    fold, scores = np.array(tasks.knn["fold"]), np.array(measured["knn"])
    folds = [np.flatnonzero(fold == k) for k in range(FOLDS)]

    def mean(weights: np.ndarray) -> float:
        return float(np.nanmean([weighted_auc(malicious[k], scores[k], weights[k]) for k in folds]))

    group = np.array([str(g) for g in tasks.knn["group"]])
    value = mean(np.ones(len(fold)))
    return [Figure("malicious against benign, 15-NN", value, "AUC", len(fold), over=(mean, group))]


def costs(measured: dict[str, Any]) -> list[Figure]:
    """Speed, size and memory."""
    figures = []
    for speed in measured["speeds"]:
        n = int(speed["n"])
        figures.append(Figure(f"{n:,} lines", speed["per_second"], "lines/s", n))
        figures.append(Figure(f"{n:,} lines, CPU time", speed["per_cpu_second"], "lines/CPU s", n))
    figures.append(Figure("size on disk", measured["size_mb"], "MB", 1))
    figures.append(Figure("numbers of a vector", measured.get("dim"), "", 1))
    few = int(measured["speeds"][0]["n"])
    figures.append(Figure(f"peak memory, {few:,} lines embedded", measured["memory_mb"], "MiB", few))
    figures.append(Figure("memory before the model was loaded", measured["before_mb"], "MiB", 1))
    return figures


def figures_of(tasks: Tasks, pairs: Pairs, measured: dict[str, Any]) -> list[Figure]:
    """All figures of one model, in the table's order."""
    return [*retrieval(tasks, measured), *pairs.figures(measured), *neighbours(tasks, measured), *costs(measured)]
