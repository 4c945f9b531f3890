"""How well scores rank, with intervals over whole groups, and no rate that the number of rows can't carry."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from _labelled_lines import Lines

from cmdclf.classify.metrics import unresolved

__all__ = ["LEAST", "NAMES", "PLATFORMS", "Ranked", "by_source", "figures", "measured", "threshold_at"]

FPRS = (1e-2, 1e-3, 1e-4)
TPR = 0.9
PLATFORMS = ("windows", "linux", "macos")
#: So many malicious (and of the other side benign) lines at least for a slice of its own.
LEAST = 20


class Ranked:
    """Rows in order of their score, for weighting them again and again.

    Args:
        malicious: (n,) bool.
        scores: (n,) finite.
    """

    def __init__(self, malicious: np.ndarray, scores: np.ndarray) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        self._ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        self._malicious = malicious[self._order].astype(np.float64)

    def measured(self, weights: np.ndarray | None = None) -> list[float]:
        """[AUC, TPR at each of FPRS, FPR at TPR 0.9] with rows weighted; NaN where a class has no weight."""
        w = np.ones(len(self._order)) if weights is None else weights[self._order]
        tp = np.concatenate([[0.0], np.cumsum(w * self._malicious)[self._ends]])
        fp = np.concatenate([[0.0], np.cumsum(w * (1 - self._malicious))[self._ends]])
        p, n = tp[-1], fp[-1]
        if not p or not n:
            return [float("nan")] * (2 + len(FPRS))
        area = float((np.diff(fp) * (tp[1:] + tp[:-1])).sum() / 2 / p / n)
        found = [float(tp[np.searchsorted(fp, fpr * n + 1e-9, side="right") - 1] / p) for fpr in FPRS]
        return [area, *found, float(fp[np.searchsorted(tp, TPR * p - 1e-9)] / n)]


NAMES = ("AUC", *(f"TPR at FPR {fpr:g}" for fpr in FPRS), f"FPR at TPR {TPR:g}")


def figures(malicious: np.ndarray, scores: np.ndarray, group: np.ndarray, draws: int) -> dict:
    """AUC and rates with 95 % percentile intervals over groups.

    Returns:
        n_benign, n_malicious; for each of `NAMES` [value, lower, upper]; `unresolved`: name -> why there is no value.
    """
    n = int((~malicious).sum())
    out: dict = {"n_benign": n, "n_malicious": int(malicious.sum()), "unresolved": {}}
    ranked = Ranked(malicious, scores)
    points = ranked.measured()
    names, of = np.unique(group.astype(str), return_inverse=True)
    rng = np.random.default_rng(0)
    drawn = [ranked.measured(np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names))[of])
             for _ in range(draws)]  # fmt: skip
    resampled = np.array(drawn).reshape(draws, len(NAMES))
    for i, (name, point) in enumerate(zip(NAMES, points, strict=True)):
        reason = unresolved(FPRS[i - 1], n) if 0 < i <= len(FPRS) else None
        if reason is not None:
            out[name] = None
            out["unresolved"][name] = reason
            continue
        low, high = np.nanpercentile(resampled[:, i], (2.5, 97.5)) if draws else (point, point)
        out[name] = [round(v, 4) for v in (point, min(low, point), max(high, point))]
    return out


def _cases(lines: Lines, keep: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """(name, (n,) bool) of each set of rows that is judged."""
    for name, rows in (("agreed", keep & lines.agree), ("all", keep)):
        yield name, rows
        yield f"{name}, hard", rows & (lines.hard | lines.malicious)
        for platform in PLATFORMS:
            here = rows & (lines.platform == platform)
            yield f"{name}, {platform}", here
            yield f"{name}, hard, {platform}", here & (lines.hard | lines.malicious)


def measured(lines: Lines, keep: np.ndarray, scores: np.ndarray, draws: int) -> dict[str, dict]:
    """`figures` of every case with enough lines of both labels."""
    out = {}
    for name, rows in _cases(lines, keep):
        if min(lines.malicious[rows].sum(), (~lines.malicious[rows]).sum()) >= LEAST:
            out[name] = figures(lines.malicious[rows], scores[rows], lines.group[rows], draws)
    return out


def threshold_at(benign: np.ndarray, fpr: float) -> float:
    """The lowest score of which at most this share of the benign scores is reached; ties stay below."""
    ordered = np.sort(benign)[::-1]
    allowed = int(np.floor(fpr * len(ordered) + 1e-9))
    return float(np.nextafter(ordered[min(allowed, len(ordered) - 1)], np.inf))


def by_source(lines: Lines, keep: np.ndarray, scores: np.ndarray, threshold: float, draws: int) -> dict[str, dict]:
    """What alerts of each source's lines at a threshold, malicious and benign apart, rows that verdicts confirm.

    `rate` is [value, lower, upper] over groups; `platforms` counts lines; `auc` is against all lines of the other
    label.
    """
    rows = keep & lines.agree
    out: dict[str, dict] = {}
    for label, name in ((True, "malicious"), (False, "benign")):
        other = scores[rows & (lines.malicious != label)]
        for source in sorted(set(lines.source[rows & (lines.malicious == label)].astype(str))):
            mine = rows & (lines.malicious == label) & (lines.source == source)
            if mine.sum() < LEAST:
                continue
            hit = scores[mine] >= threshold
            names, of = np.unique(lines.group[mine].astype(str), return_inverse=True)
            sums, sizes = np.bincount(of, hit), np.bincount(of)
            which = np.random.default_rng(0).integers(0, len(names), (draws, len(names)))
            rates = sums[which].sum(axis=1) / sizes[which].sum(axis=1) if draws else hit.mean()
            low, high = np.percentile(rates, (2.5, 97.5))
            both = np.concatenate([scores[mine], other])
            labels = np.concatenate([np.full(mine.sum(), label), np.full(len(other), not label)])
            platforms, counts = np.unique(lines.platform[mine].astype(str), return_counts=True)
            out[f"{name}: {source}"] = {
                "n": int(mine.sum()),
                "platforms": dict(zip(platforms.tolist(), counts.tolist(), strict=True)),
                "rate": [round(float(v), 4) for v in (hit.mean(), min(low, hit.mean()), max(high, hit.mean()))],
                "auc": round(Ranked(labels, both).measured()[0], 4),
            }
    return out
