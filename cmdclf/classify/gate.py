"""The promotion gate: where a candidate ranks or alerts worse than the model that stands, on the same resamples.

The burden of proof lies with the newcomer: a loss is held against it where chance doesn't explain it, and where it is
larger than a margin, explained or not. See `docs/promotion.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cmdclf.classify.metrics import NEGATIVES_PER_FPR, unresolved
from cmdclf.classify.resample import Ranking, Resamples, interval

__all__ = ["LEAST_GROUPS", "Comparison", "GateTest", "Margins", "Scored", "compare", "refusals"]

FPR = 0.01
#: With fewer groups of a label, percentile intervals of a bootstrap over groups are too short to be trusted.
LEAST_GROUPS = 20
#: Differences below this are rounding.
_EPSILON = 1e-9

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Verdict = Literal["better", "no worse", "worse", "too few rows", "not judged"]


@dataclass(frozen=True, slots=True)
class Margins:
    """How large a loss may be while chance could explain it.

    Attributes:
        auc: of the AUC.
        tpr: of the TPR at FPR 1e-2.
        alerts: of the share of benign lines that alert; the default is half of the rate that a malicious threshold
            aims at.
        slices: how many times larger margins are for a platform or the hard benign lines: with fewer rows, equal models
            differ more by chance.
    """

    auc: float = 0.005
    tpr: float = 0.02
    alerts: float = 0.0005
    slices: float = 4.0


@dataclass(frozen=True)
class GateTest:
    """The rows of one test.

    Attributes:
        name: of the test.
        labels: (n,) 1 = malicious.
        groups: (n,) what resembles each other (script, page, masked text): drawn whole.
        platforms: (n,) names.
        hard: (n,) hard benign lines; of malicious lines it means nothing.
        late: whether it is the time-split test.
    """

    name: str
    labels: npt.NDArray[Any]
    groups: npt.NDArray[Any]
    platforms: npt.NDArray[np.object_]
    hard: Bools
    late: bool = False


@dataclass(frozen=True)
class Scored:
    """A model's scores of one test.

    Attributes:
        scores: (n,) in 0..1.
        malicious_from: from which score on the model alerts.
        aims_at: the false-positive rate that this threshold was chosen for.
    """

    scores: Floats
    malicious_from: float
    aims_at: float = FPR


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measure of both models on some rows of a test.

    Attributes:
        test, rows, measure: which one.
        benign, malicious: rows that it rests on.
        current, candidate: the figures; None where a class has no rows.
        difference: candidate less current.
        ci95: of the difference; None where it isn't judged.
        margin: the loss that is held against the candidate whatever the interval says; None where it isn't judged.
        verdict: what follows.
        why: of a loss, or of what is too few.
    """

    test: str
    rows: str
    measure: str
    benign: int
    malicious: int
    current: float | None
    candidate: float | None
    difference: float | None
    ci95: tuple[float, float] | None
    margin: float | None
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class _Asked:
    """A measure before it is measured: `of(model, times)` gives its value in each resample."""

    rows: str
    measure: str
    mask: Bools
    of: Callable[[int, npt.NDArray[np.int32]], Floats]
    margin: float | None
    few: str | None
    lower_is_better: bool = False


def compare(
    test: GateTest, current: Scored, candidate: Scored, *, margins: Margins | None = None, n: int = 1000, seed: int = 0
) -> list[Comparison]:
    """Every comparison that the gate makes on one test, paired: both models on the same resamples of whole groups.

    An incident test is compared as a whole, by platform, and with its hard benign lines alone, by AUC and by TPR at FPR
    1e-2; what each model detects at its own malicious threshold is shown and not judged. The time-split test is
    compared as a whole by AUC and by the share of benign lines that alert at each model's own malicious threshold.

    Args:
        test: of n rows, at least one of them benign.
        current: the model that stands.
        candidate: the model that would take its place.
        margins: None: the defaults.
        n: resamples.
        seed: of the draw.

    Cost: about 16 s of CPU time for 1,000 resamples of 100,000 rows; memory (about 300 MB) doesn't grow with either.
    """
    asked = list(_asked(test, (current, candidate), margins or Margins()))
    drawn: dict[tuple[int, int], list[Floats]] = {}
    for number, times in enumerate(Resamples(test.labels, test.groups, n, seed).blocks()):
        for k, one in enumerate(asked):
            # The first block is the test itself: what has too few rows is shown, and not resampled.
            if number == 0 or (one.few is None and one.margin is not None):
                for model in (0, 1):
                    drawn.setdefault((k, model), []).append(one.of(model, times))
    return [
        _compared(test, one, np.concatenate(drawn[k, 0]), np.concatenate(drawn[k, 1])) for k, one in enumerate(asked)
    ]


def refusals(comparisons: Sequence[Comparison], incident_tests: Sequence[str]) -> list[str]:
    """Why the candidate is refused, a sentence each; empty where it is not."""
    reasons = [f"{_place(c)}: {c.why}" for c in comparisons if c.verdict == "worse"]
    whole = [c for c in comparisons if c.test in incident_tests and (c.rows, c.measure) == ("all", "AUC")]
    if all(c.verdict == "too few rows" for c in whole):
        few = "; ".join(f"{c.test} {c.why}" for c in whole)
        reasons.append(f"no incident test is large enough to judge by ({few})")
    return reasons


def _place(c: Comparison) -> str:
    return f"{c.test}, {c.measure}" if c.rows == "all" else f"{c.test}, {c.rows}, {c.measure}"


def _asked(test: GateTest, models: tuple[Scored, Scored], margins: Margins) -> Iterator[_Asked]:
    bad = test.labels == 1
    everything = np.ones(len(bad), bool)
    if test.late:
        yield next(_ranked(test, models, "all", everything, margins))
        yield _alerting(test, models, margins)
        return
    yield from _ranked(test, models, "all", everything, margins)
    yield _share("detected at own threshold", bad, models, None, None)
    platforms = sorted({str(p) for p in test.platforms})
    for platform in platforms if len(platforms) > 1 else []:
        yield from _ranked(test, models, platform, test.platforms == platform, margins)
    if (test.hard & ~bad).any():
        yield from _ranked(test, models, "hard benign", test.hard | bad, margins)


def _ranked(
    test: GateTest, models: tuple[Scored, Scored], rows: str, mask: Bools, margins: Margins
) -> Iterator[_Asked]:
    """AUC and TPR at FPR 1e-2 of these rows."""
    rankings = [Ranking(test.labels, model.scores, mask) for model in models]
    # Both come out of one pass: what AUC computed of a block is kept for the TPR that is asked next.
    kept: dict[int, tuple[npt.NDArray[np.int32], Floats]] = {}

    def area(model: int, times: npt.NDArray[np.int32]) -> Floats:
        value, rate = rankings[model].auc_and_tpr(times, FPR)
        kept[model] = (times, rate)
        return value

    def rate(model: int, times: npt.NDArray[np.int32]) -> Floats:
        if model in kept and kept[model][0] is times:
            return kept.pop(model)[1]
        return rankings[model].auc_and_tpr(times, FPR)[1]

    wider = 1.0 if rows == "all" else margins.slices
    few = _few_groups(test, mask, ("malicious", "benign"))
    yield _Asked(rows, "AUC", mask, area, margins.auc * wider, few)
    benign = int((mask & (test.labels != 1)).sum())
    yield _Asked(rows, f"TPR at FPR {FPR:g}", mask, rate, margins.tpr * wider, few or unresolved(FPR, benign))


def _alerting(test: GateTest, models: tuple[Scored, Scored], margins: Margins) -> _Asked:
    benign = test.labels != 1
    count = int(benign.sum())
    # As everywhere, ten false alerts must stand behind a rate: the one aimed at, or a higher one that is found.
    found = max(float((m.scores[benign] >= m.malicious_from).mean()) for m in models)
    rate = max(min(m.aims_at for m in models), found)
    few = _few_groups(test, benign, ("benign",))
    if few is None and count * rate < NEGATIVES_PER_FPR - _EPSILON:
        few = unresolved(rate, count)
    return _share("false alerts at own threshold", benign, models, margins.alerts, few)


def _share(measure: str, mask: Bools, models: tuple[Scored, Scored], margin: float | None, few: str | None) -> _Asked:
    """The share of these rows that score at or over each model's own threshold; fewer are better."""
    alerting = [(m.scores[mask] >= m.malicious_from).astype(np.float64) for m in models]

    def share(model: int, times: npt.NDArray[np.int32]) -> Floats:
        mine = times[:, mask]
        drawn = mine.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(drawn > 0, mine @ alerting[model] / drawn, np.nan)

    return _Asked("all", measure, mask, share, margin, few, lower_is_better=True)


def _few_groups(test: GateTest, mask: Bools, labels: Sequence[str]) -> str | None:
    for label in labels:
        rows = mask & ((test.labels == 1) == (label == "malicious"))
        groups = len(np.unique(test.groups[rows]))
        if groups < LEAST_GROUPS:
            return f"needs at least {LEAST_GROUPS} groups of {label} lines, has {groups}"
    return None


def _compared(test: GateTest, one: _Asked, current: Floats, candidate: Floats) -> Comparison:
    draws = candidate - current
    point = float(draws[0])
    bad = int((one.mask & (test.labels == 1)).sum())
    ci95, margin, why = None, None, one.few or ""
    verdict: Verdict = "too few rows"
    if one.margin is None:
        verdict = "not judged"
    elif one.few is None:
        ci95, margin = interval(draws[1:], point), one.margin
        verdict, why = _verdict(point, ci95, margin, (float(current[0]), float(candidate[0])), one.lower_is_better)
    return Comparison(
        test.name, one.rows, one.measure, int(one.mask.sum()) - bad, bad, _number(current[0]), _number(candidate[0]),
        _number(point), ci95, margin, verdict, why,
    )  # fmt: skip


def _verdict(
    point: float, ci95: tuple[float, float], margin: float, figures: tuple[float, float], lower_is_better: bool
) -> tuple[Verdict, str]:
    sign = -1.0 if lower_is_better else 1.0
    gain, (low, high) = sign * point, sorted(sign * end for end in ci95)
    beyond, proven = gain < -margin - _EPSILON, high < -_EPSILON
    if not (beyond or proven):
        return ("better" if low > _EPSILON else "no worse"), ""
    because = ["the whole interval lies on the worse side of 0"] * proven + [f"the margin is {margin:g}"] * beyond
    return "worse", (
        f"{figures[0]:.4f} becomes {figures[1]:.4f}, {point:+.4f} [{ci95[0]:+.4f}, {ci95[1]:+.4f}]: "
        + " and ".join(because)
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
