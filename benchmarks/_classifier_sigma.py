"""Sigma's rules and their levels under the protocol of benchmarks/classifiers.py: nothing is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from _classifier_folds import Batch, Protocol, Training
from _classifier_metrics import PLATFORMS
from _classifier_models import Model, Spec
from _classifier_scores import Scored
from _classifier_telemetry import Telemetry, false_alerts
from _labelled_lines import Lines

from cmdclf.errors import RuleError
from cmdclf.lexicon.wrappers import peel
from cmdclf.rules import RuleSet
from cmdclf.rules.rule import LEVELS

__all__ = ["CHILD", "SIGMA", "Sigma", "levels_table", "operating_points", "sigma_rules", "sigma_specs"]

SIGMA, CHILD = "sigma", "sigma, with child"


def sigma_rules(path: Path) -> RuleSet:
    """The rules of a folder of Sigma files, or of a file that `cmdclf rules import-sigma` wrote.

    Raises:
        MissingExtraError: a folder, and pySigma is not installed.
        RuleError: nothing there that is a rule.
    """
    if not path.exists():
        raise RuleError(
            "no such folder or file", remedy="Give a folder of Sigma's rules or an imported file", file=path
        )
    if path.is_file() and path.suffix in (".toml", ".json"):
        return RuleSet.load(path)
    from cmdclf.rules.sigma import import_sigma

    found = import_sigma(path)
    if not found.rules:
        raise RuleError("no process-creation rule", remedy="Give a folder of Sigma's rules", file=path)
    return RuleSet(found.rules, name=path.name)


class Sigma(Model):
    """The highest level of the rules that a line hits, 1 informational to 5 critical; how many hit decides ties.

    Args:
        rules: conditions; they are asked about line and platform, the image is the line's first word.
        child: also about what a shell is told to run, as the event of its own that it would be.
    """

    def __init__(self, rules: RuleSet, *, child: bool = False) -> None:
        self.rules, self.child = rules, child
        self._levels = np.array([LEVELS.index(rule.level) + 1 for rule in rules.rules], np.float64)

    def fit(self, lines: Batch, y: np.ndarray, groups: np.ndarray) -> Sigma:
        return self

    def scores(self, lines: Batch) -> np.ndarray:
        text, platform = lines.text, lines.table["platform"].to_pylist()
        owner = list(range(len(text)))
        if self.child:
            for i, inner in enumerate([peel(line) for line in text]):
                if inner is not None:
                    owner.append(i)
                    text.append(inner[1])
                    platform.append(platform[i])
        rows, which = self.rules.pairs(pa.array(text, pa.string()), pa.array(platform, pa.string()))
        hits = np.unique(np.array(owner, np.int64)[rows] * len(self.rules) + which)
        rows, which = hits // max(1, len(self.rules)), hits % max(1, len(self.rules))
        level = np.zeros(len(lines))
        np.maximum.at(level, rows, self._levels[which])
        count = np.bincount(rows, minlength=len(lines))
        return level + count / (1 + count)


def sigma_specs(rules: RuleSet) -> dict[str, Spec]:
    """The rows of the table that need the rules."""
    untrained = Training(renderings=0, clean=False)
    version = rules.version
    return {
        SIGMA: Spec(lambda: Sigma(rules), untrained, "Sigma's rules on the line: highest level, then how many", True,
                    version),
        CHILD: Spec(lambda: Sigma(rules, child=True), untrained, "and on what a shell is told to run", True, version),
    }  # fmt: skip


def operating_points(
    protocol: Protocol, scored: Scored, ours: Scored, telemetry: list[Telemetry], draws: int
) -> dict[str, list[dict]]:
    """For each platform, and for all, an alert on any rule of at least a level; rows that verdicts confirm.

    Returns:
        a list over levels, the lowest first: `tpr`, `fpr`, `hard` [value, lower, upper] (None: no such line), `ours`
        the TPR of our model where as many benign lines alert, and for all platforms `alerts` per 100,000 events of
        each telemetry.
    """
    pool, keep = protocol.pool, protocol.keep & protocol.pool.agree
    out: dict[str, list[dict]] = {}
    for where in ("all", *PLATFORMS):
        rows = keep if where == "all" else keep & (pool.platform == where)
        points = []
        for k, level in enumerate(LEVELS):
            hit = scored.pool >= k + 1
            bad, good = rows & pool.malicious, rows & ~pool.malicious
            point = {"level": level, "tpr": _share(pool, bad, hit, draws), "fpr": _share(pool, good, hit, draws),
                     "hard": _share(pool, good & pool.hard, hit, draws),
                     "ours": _same_alerts(ours.pool, bad, good, int(hit[good].sum()))}  # fmt: skip
            if where == "all":
                point["alerts"] = {t.name: false_alerts(t, scored.extra[t.name], k + 1)["per_100k"] for t in telemetry}
            points.append(point)
        out[where] = points
    return out


def _share(lines: Lines, rows: np.ndarray, hit: np.ndarray, draws: int) -> list[float] | None:
    """[share of the rows that alert, 95 % percentile interval over groups]."""
    if not rows.any():
        return None
    names, of = np.unique(lines.group[rows].astype(str), return_inverse=True)
    sums, sizes = np.bincount(of, hit[rows]), np.bincount(of)
    rng, mean = np.random.default_rng(0), float(hit[rows].mean())
    drawn = [rng.integers(0, len(names), len(names)) for _ in range(draws)]
    rates = [sums[which].sum() / sizes[which].sum() for which in drawn] or [mean]
    low, high = np.percentile(rates, (2.5, 97.5))
    return [round(float(v), 5) for v in (mean, min(low, mean), max(high, mean))]


def _same_alerts(scores: np.ndarray, bad: np.ndarray, good: np.ndarray, alerts: int) -> float | None:
    """TPR where at most so many benign lines alert; None where no number of benign lines could tell."""
    if not bad.any() or not 0 < alerts < good.sum():
        return None
    ordered = np.sort(scores[good])[::-1]
    return round(float((scores[bad] > ordered[alerts]).mean()), 4)


def levels_table(points: dict[str, list[dict]], model: str, ours: str) -> tuple[str, list[str], list[list[str]]]:
    """(title, head, rows) of the operating points of one of the two models."""
    names = list(points["all"][0]["alerts"])
    rows = []
    for where, levels in points.items():
        for point in levels:
            alerts = [f"{point['alerts'][n]:,.1f}" if "alerts" in point else "-" for n in names]
            same = "-" if point["ours"] is None else f"{point['ours']:.3f}"
            shown = [_shown(point[n], digits) for n, digits in (("tpr", 3), ("fpr", 4), ("hard", 4))]
            rows.append([where, point["level"], *shown, same, *alerts])
    head = ["platform", "at least", "TPR", "FPR", "FPR, hard", f"TPR of {ours} at that FPR",
            *(f"{n}: alerts per 100,000" for n in names)]  # fmt: skip
    return f"{model}: an alert on any rule of at least this level, rows that verdicts confirm", head, rows


def _shown(value: list[float] | None, digits: int) -> str:
    return "-" if value is None else f"{value[0]:.{digits}f} ({value[1]:.{digits}f}-{value[2]:.{digits}f})"
