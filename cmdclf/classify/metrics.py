"""How well scores rank malicious above benign, with intervals, and no figure that the number of rows can't carry.

Labels are 1 for malicious and 0 for benign everywhere; a higher score means more malicious.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "NEGATIVES_PER_FPR",
    "auc",
    "bootstrap_auc",
    "evaluate",
    "fpr_at_tpr",
    "paired_auc_difference",
    "roc_points",
    "tpr_at_fpr",
    "unresolved",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: A rate of q is reported only where at least NEGATIVES_PER_FPR / q negatives stand behind it: ten false alerts, so
#: that its relative standard error stays near a third.
NEGATIVES_PER_FPR = 10
#: Rows that one chunk of bootstrap draws may hold at once: about 32 MB of int64.
_DRAWS_AT_ONCE = 4_000_000


def _checked(y: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    labels = np.asarray(y).ravel()
    values = np.asarray(scores, dtype=np.float64).ravel()
    if len(labels) != len(values):
        raise ValueError(f"{len(labels)} labels but {len(values)} scores")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 (benign) or 1 (malicious)")
    if np.isnan(values).any():
        raise ValueError("scores must not be NaN")
    return labels.astype(bool), values


def _levels(scores: Floats) -> tuple[Ints, int]:
    """The rank of each score among the distinct scores, and how many distinct ones there are."""
    distinct, level = np.unique(scores, return_inverse=True)
    return level.astype(np.int64).ravel(), len(distinct)


def _auc_of_counts(pos: NDArray[Any], neg: NDArray[Any]) -> Floats:
    """AUC per row of counts by score level (ascending); NaN where a class is empty. Ties count one half."""
    pos, neg = np.atleast_2d(pos), np.atleast_2d(neg)
    below = np.cumsum(neg, axis=1) - neg
    won = (pos * (below + neg / 2.0)).sum(axis=1)
    pairs = pos.sum(axis=1, dtype=np.float64) * neg.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(pairs > 0, won / pairs, np.nan))


def auc(y: ArrayLike, scores: ArrayLike) -> float:
    """The area under the ROC curve: the share of (malicious, benign) pairs that are ranked rightly, ties one half.

    Args:
        y: (n,) labels, 1 = malicious.
        scores: (n,) finite scores.

    Returns:
        A float in 0..1; NaN where one class has no rows.
    """
    labels, values = _checked(y, scores)
    level, n = _levels(values)
    counts = [np.bincount(level[mask], minlength=n).astype(np.float64) for mask in (labels, ~labels)]
    return float(_auc_of_counts(counts[0], counts[1])[0]) if n else float("nan")


def _row_draws(labels: NDArray[np.bool_], n: int, rng: np.random.Generator) -> Iterator[tuple[Ints, Ints]]:
    """Chunks of (draws, rows drawn with replacement) within each class: a resample never loses a class."""
    pos, neg = np.flatnonzero(labels), np.flatnonzero(~labels)
    chunk = max(1, _DRAWS_AT_ONCE // max(1, len(labels)))
    for start in range(0, n, chunk):
        b = min(chunk, n - start)
        yield rng.choice(pos, size=(b, len(pos))), rng.choice(neg, size=(b, len(neg)))


def _histograms(drawn: Ints, level: Ints, n_levels: int) -> Ints:
    """(draws, levels): how often each score level was drawn."""
    b = len(drawn)
    flat = level[drawn] + (np.arange(b, dtype=np.int64) * n_levels)[:, None]
    return np.bincount(flat.ravel(), minlength=b * n_levels).reshape(b, n_levels)


def _group_draws(index: Ints, n_groups: int, n: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Chunks of (draws, rows): how often each row is in the resample when whole groups are drawn."""
    chunk = max(1, _DRAWS_AT_ONCE // max(1, len(index)))
    for start in range(0, n, chunk):
        b = min(chunk, n - start)
        drawn = rng.integers(0, n_groups, size=(b, n_groups)) + (np.arange(b) * n_groups)[:, None]
        times = np.bincount(drawn.ravel(), minlength=b * n_groups).reshape(b, n_groups)
        yield times[:, index]


def _resampled_aucs(
    labels: NDArray[np.bool_], columns: Sequence[Floats], n: int, seed: int, groups: ArrayLike | None
) -> Floats:
    """(n, len(columns)) AUCs, all columns on the same resamples."""
    rng = np.random.default_rng(seed)
    ranked = [_levels(column) for column in columns]
    out: list[list[Floats]] = [[] for _ in columns]
    if groups is None:
        for pos, neg in _row_draws(labels, n, rng):
            for k, (level, levels) in enumerate(ranked):
                out[k].append(_auc_of_counts(_histograms(pos, level, levels), _histograms(neg, level, levels)))
    else:
        _, index = np.unique(np.asarray(groups).astype(str), return_inverse=True)
        orders = [np.argsort(level, kind="stable") for level, _ in ranked]
        starts = [
            np.searchsorted(level[o], np.arange(levels)) for (level, levels), o in zip(ranked, orders, strict=True)
        ]
        for times in _group_draws(index.ravel().astype(np.int64), int(index.max()) + 1, n, rng):
            for k, (order, start) in enumerate(zip(orders, starts, strict=True)):
                pos = np.add.reduceat((times * labels)[:, order], start, axis=1)
                neg = np.add.reduceat((times * ~labels)[:, order], start, axis=1)
                out[k].append(_auc_of_counts(pos, neg))
    return np.stack([np.concatenate(c) for c in out], axis=1)


def _interval(values: Floats, point: float) -> tuple[float, float]:
    kept = values[~np.isnan(values)]
    if len(kept) == 0 or np.isnan(point):
        return float("nan"), float("nan")
    lo, hi = np.percentile(kept, (2.5, 97.5))
    # With a handful of skewed groups the percentiles can miss the point estimate; such an interval misleads.
    return float(min(lo, point)), float(max(hi, point))


def bootstrap_auc(
    y: ArrayLike, scores: ArrayLike, n: int = 1000, seed: int = 0, groups: ArrayLike | None = None
) -> tuple[float, float]:
    """The 95 % percentile bootstrap interval of the AUC.

    Rows are resampled within each class, or whole groups when `groups` is given, which is the honest interval where
    rows of a group resemble each other. It is widened to hold the point estimate where it would miss it.

    Args:
        y: (n_rows,) labels.
        scores: (n_rows,) scores.
        n: resamples.
        seed: of the resampling.
        groups: (n_rows,) group of each row, any type.

    Returns:
        (lower, upper); NaN where a class has no rows.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Time: about 1 s for 1,000
    resamples of 50,000 rows, 2 s with groups.
    """
    labels, values = _checked(y, scores)
    if labels.all() or not labels.any():
        return float("nan"), float("nan")
    return _interval(_resampled_aucs(labels, [values], n, seed, groups)[:, 0], auc(y, scores))


def paired_auc_difference(
    y: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    n: int = 1000,
    seed: int = 0,
    groups: ArrayLike | None = None,
) -> tuple[float, float, float]:
    """AUC of `scores_a` less AUC of `scores_b` on the same rows: (difference, lower, upper), 95 % bootstrap interval.

    Both are evaluated on the same resamples, so what makes the test hard for both cancels out.
    """
    labels, a = _checked(y, scores_a)
    _, b = _checked(y, scores_b)
    point = auc(y, a) - auc(y, b)
    if labels.all() or not labels.any():
        return float("nan"), float("nan"), float("nan")
    drawn = _resampled_aucs(labels, [a, b], n, seed, groups)
    lo, hi = _interval(drawn[:, 0] - drawn[:, 1], point)
    return point, lo, hi


def _curve(labels: NDArray[np.bool_], values: Floats) -> tuple[Ints, Ints, Floats]:
    """(false positives, true positives, threshold) at each distinct score from the highest down, from (0, 0)."""
    order = np.argsort(-values, kind="stable")
    ordered, hit = values[order], labels[order]
    last = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1) if len(ordered) else np.zeros(0, np.int64)
    tp = np.concatenate(([0], np.cumsum(hit)[last]))
    fp = np.concatenate(([0], np.cumsum(~hit)[last]))
    return fp.astype(np.int64), tp.astype(np.int64), np.concatenate(([np.inf], ordered[last]))


def tpr_at_fpr(y: ArrayLike, scores: ArrayLike, fpr: float) -> float:
    """The highest TPR of any threshold whose FPR is at most `fpr`; NaN where a class has no rows.

    It says nothing about how well the number of negatives carries it: see `unresolved`.
    """
    labels, values = _checked(y, scores)
    if labels.all() or not labels.any():
        return float("nan")
    fp, tp, _ = _curve(labels, values)
    return float(tp[fp <= fpr * (~labels).sum() + 1e-9].max() / labels.sum())


def fpr_at_tpr(y: ArrayLike, scores: ArrayLike, tpr: float) -> float:
    """The lowest FPR of any threshold whose TPR is at least `tpr`; NaN where a class has no rows."""
    labels, values = _checked(y, scores)
    if labels.all() or not labels.any():
        return float("nan")
    fp, tp, _ = _curve(labels, values)
    return float(fp[tp >= tpr * labels.sum() - 1e-9].min() / (~labels).sum())


def unresolved(fpr: float, n_benign: int) -> str | None:
    """Why `n_benign` negatives can't carry a figure at this FPR, or None when they can."""
    need = round(NEGATIVES_PER_FPR / fpr)
    return None if n_benign >= need else f"needs at least {need:,} benign rows, has {n_benign:,}"


def roc_points(y: ArrayLike, scores: ArrayLike, *, max_points: int = 200) -> dict[str, list[float]]:
    """The ROC curve thinned for a plot with a logarithmic FPR axis: {"fpr": [...], "tpr": [...]}, both ascending.

    Of the curve's corners those are kept that are nearest below `max_points` FPRs spread evenly on the log axis, and
    both ends; empty lists where a class has no rows.
    """
    labels, values = _checked(y, scores)
    if labels.all() or not labels.any():
        return {"fpr": [], "tpr": []}
    fp, tp, _ = _curve(labels, values)
    # Per FPR only the highest TPR is a corner that a plot shows.
    corner = np.append(np.flatnonzero(np.diff(fp)), len(fp) - 1)
    fp, tp = fp[corner], tp[corner]
    n_neg = int((~labels).sum())
    wanted = np.concatenate(([0.0], np.geomspace(1.0, n_neg, max(2, max_points - 1))))
    kept = np.unique(np.searchsorted(fp, wanted, side="right") - 1)
    kept = np.unique(np.append(kept, len(fp) - 1))
    return {
        "fpr": [round(float(v), 9) for v in fp[kept] / n_neg],
        "tpr": [round(float(v), 9) for v in tp[kept] / labels.sum()],
    }


def _slices(labels: NDArray[np.bool_], values: Floats, names: ArrayLike, threshold: float) -> dict[str, dict[str, Any]]:
    keys = np.asarray(["" if v is None else str(v) for v in np.asarray(names, dtype=object).ravel()], dtype=object)
    if len(keys) != len(labels):
        raise ValueError(f"{len(labels)} labels but {len(keys)} names of slices")
    out: dict[str, dict[str, Any]] = {}
    for key in sorted(set(keys)):
        mine = keys == key
        n_pos, n_neg = int(labels[mine].sum()), int((~labels[mine]).sum())
        # Most sources hold one class: rank them against all rows of the other one, and say so.
        against, rows = "own", mine
        if n_pos == 0:
            against, rows = "all_malicious", mine | labels
        elif n_neg == 0:
            against, rows = "all_benign", mine | ~labels
        flagged = values[mine] >= threshold
        out[key] = {
            "n_benign": n_neg,
            "n_malicious": n_pos,
            "auc": _number(auc(labels[rows], values[rows])),
            "auc_against": against,
            "false_alert_rate": _number(flagged[~labels[mine]].mean()) if n_neg else None,
            "detection_rate": _number(flagged[labels[mine]].mean()) if n_pos else None,
        }
    return out


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 6)


def evaluate(
    y: ArrayLike,
    scores: ArrayLike,
    *,
    sources: ArrayLike | None = None,
    platforms: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    fprs: Sequence[float] = (0.01, 0.001),
    tprs: Sequence[float] = (0.9,),
    n_bootstrap: int = 1000,
    seed: int = 0,
    roc: bool = True,
) -> dict[str, Any]:
    """One test of one arm in the shape of `results.json`: plain numbers, strings, lists, dicts and None.

    Args:
        y: (n,) labels, 1 = malicious.
        scores: (n,) scores.
        sources: (n,) source of each row, for `by_source`.
        platforms: (n,) platform of each row, for `by_platform`.
        groups: (n,) near-duplicate group of each row: the interval then resamples groups.
        fprs: false-positive rates at which the TPR is wanted.
        tprs: true-positive rates at which the FPR is wanted.
        n_bootstrap: resamples of the interval.
        seed: of the bootstrap.
        roc: whether the thinned curve is included.

    Returns:
        `n_benign`, `n_malicious`, `auc`, `auc_ci95`, `tpr_at_fpr`, `unresolved` (those of these rates that the benign
        rows don't resolve, with the reason: such a value hangs on a handful of lines), `fpr_at_tpr`, `by_source`,
        `by_platform`, `roc`. In the slices,
        `false_alert_rate` and `detection_rate` are at the threshold where this whole test has an FPR of `fprs[0]`, and
        a slice of one class is ranked against all rows of the other (`auc_against`).
    """
    labels, values = _checked(y, scores)
    n_pos, n_neg = int(labels.sum()), int((~labels).sum())
    lo, hi = bootstrap_auc(y, scores, n_bootstrap, seed, groups)
    result: dict[str, Any] = {
        "n_benign": n_neg,
        "n_malicious": n_pos,
        "auc": _number(auc(y, scores)),
        "auc_ci95": [_number(lo), _number(hi)],
        "tpr_at_fpr": {},
        "fpr_at_tpr": {f"{t:g}": _number(fpr_at_tpr(y, scores, t)) for t in tprs},
        "unresolved": {},
    }
    for fpr in fprs:
        reason = unresolved(fpr, n_neg)
        result["tpr_at_fpr"][f"{fpr:g}"] = _number(tpr_at_fpr(y, scores, fpr))
        if reason is not None:
            result["unresolved"][f"{fpr:g}"] = reason
    if n_neg:
        fp, _, at = _curve(labels, values)
        threshold = float(at[fp <= fprs[0] * n_neg + 1e-9][-1])
    else:
        threshold = np.inf
    if sources is not None:
        result["by_source"] = _slices(labels, values, sources, threshold)
    if platforms is not None:
        result["by_platform"] = _slices(labels, values, platforms, threshold)
    if roc:
        result["roc"] = roc_points(y, scores)
    return result
