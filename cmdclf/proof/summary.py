"""All rotations' scores as one table of results: means, intervals, paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cmdclf import __version__
from cmdclf.classify.grams import GRAMS_VERSION
from cmdclf.classify.resample import Resamples, interval
from cmdclf.features import FEATURE_VERSION
from cmdclf.proof.settings import ProofSettings, Shape

__all__ = ["Part", "summarise"]

FPR = 0.01
_KINDS = ("hard", "complex", "simple")
_LATE = ("time_split_auc", "late_fpr", "alerts_a_day", "late_tpr")
_COUNTS = ("asked", "tokens", "wrong", "training", "training_malicious")
Floats = npt.NDArray[np.float64]


@dataclass
class Part:
    """One rotation at one shape of the month, its arms scored.

    Attributes:
        rotation, shape: which one.
        labels, groups, agreed, kinds, platforms: (n,) of the incident test.
        scores: arm -> (n,) float32.
        figures: arm -> what `Judged` and the builder say of it.
        about: the data in numbers.
        curves: anomalies by day.
    """

    rotation: int
    shape: Shape
    labels: npt.NDArray[np.int8]
    groups: npt.NDArray[np.int32]
    agreed: npt.NDArray[np.bool_]
    kinds: npt.NDArray[np.object_]
    platforms: npt.NDArray[np.object_]
    scores: dict[str, npt.NDArray[np.float32]]
    figures: dict[str, dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)


def summarise(s: ProofSettings, parts: Sequence[Part]) -> dict[str, Any]:
    """`results.json`: settings, data by rotation, arms at the usual month, arms at other shapes of it."""
    usual = [p for p in parts if p.shape == s.usual]
    return {
        "version": __version__,
        "made_with": {"grams": str(GRAMS_VERSION), "features": FEATURE_VERSION},
        "settings": s.record(),
        "rotations": [{"rotation": p.rotation, **p.about} for p in usual],
        "arms": _arms(s, usual),
        "variations": [
            {
                "share_top": shape.share_top,
                "short_head": shape.short_head,
                "rotations": [{"rotation": p.rotation, **p.about} for p in parts if p.shape == shape],
                "arms": _arms(s, [p for p in parts if p.shape == shape]),
            }
            for shape in s.shapes
        ],
        "curves": usual[0].curves if usual else {},
    }


@dataclass(frozen=True)
class _Drawn:
    """An arm's draws: which parts have it, and measure -> (parts, 1 + resamples)."""

    parts: list[int]
    values: dict[str, Floats]

    def of(self, measure: str, parts: Sequence[int]) -> Floats:
        """The rows of these parts."""
        return self.values[measure][[self.parts.index(at) for at in parts]]


def _arms(s: ProofSettings, parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
    """Each arm's figures: of the rotations that have it, their mean with an interval, the difference to its control."""
    samples = [Resamples(p.labels, p.groups, s.bootstrap, s.seed + 7919 * p.rotation) for p in parts]
    names = list(dict.fromkeys(name for p in parts for name in p.scores))
    drawn = {name: _draws(name, parts, samples) for name in names}
    return {name: _arm(name, parts, drawn) for name in names}


def _draws(name: str, parts: Sequence[Part], samples: Sequence[Resamples]) -> _Drawn:
    found: dict[str, list[Floats]] = {"auc": [], "tpr": [], "agreed_auc": [], "agreed_tpr": []}
    having = [at for at, part in enumerate(parts) if name in part.scores]
    for at in having:
        scores = parts[at].scores[name].astype(np.float64)
        for prefix, rows in (("", None), ("agreed_", parts[at].agreed)):
            area, rate = samples[at].auc_and_tpr(scores, FPR, rows)
            found[f"{prefix}auc"].append(area)
            found[f"{prefix}tpr"].append(rate)
    return _Drawn(having, {measure: np.stack(values) for measure, values in found.items()})


def _arm(name: str, parts: Sequence[Part], drawn: dict[str, _Drawn]) -> dict[str, Any]:
    mine = drawn[name]
    out: dict[str, Any] = {measure: _figure(values) for measure, values in mine.values.items()}
    out["of_rotations"] = [parts[at].rotation for at in mine.parts]
    base = next(other for other in drawn if other.startswith(_base(name)))
    for key, against in (("to_random", _control(name)), ("to_knowing_random", _knowing(name)), ("to_base", base)):
        if against not in ("", name) and against in drawn:
            common = [at for at in mine.parts if at in drawn[against].parts]
            out[key] = {
                measure: _difference(mine.of(measure, common), drawn[against].of(measure, common))
                for measure in mine.values
            }
    parts = [parts[at] for at in mine.parts]
    out["kinds"] = {kind: _mean([_auc_against(p, name, p.kinds == kind) for p in parts]) for kind in _KINDS}
    out["platforms"] = {
        platform: _mean([_auc_of_platform(p, name, platform) for p in parts])
        for platform in sorted({x for p in parts for x in p.platforms})
    }
    figures = [p.figures[name] for p in parts]
    for key in (*_LATE, *_COUNTS):
        out[key] = _mean([f.get(key) for f in figures])
    out["time_split_lowest"] = min(
        (f["time_split_auc"] for f in figures if f["time_split_auc"] is not None), default=None
    )
    verdicts = sorted({v for f in figures for v in f["verdicts"]})
    out["verdicts"] = {v: sum(f["verdicts"].get(v, 0) for f in figures) for v in verdicts}
    return out


def _control(name: str) -> str:
    """The arm that spends the same budget at random, with the same judge."""
    parts = name.split(" | ")
    at = 2 if parts[0] == "shipped" else 1
    if parts[at] == "base":
        return name
    return " | ".join([*parts[:at], "random", *[p for p in parts[at + 1 :] if p != "tokens" and "days" not in p]])


def _knowing(name: str) -> str:
    """Where the arm knows the bundled lexicon: the arm that knows it too, and spends the same budget at random."""
    parts = name.split(" | ")
    at = 2 if parts[0] == "shipped" else 1
    if not parts[at].endswith(", lexicon"):
        return ""
    return " | ".join([*parts[:at], "random, audited, lexicon", *parts[at + 1 :]])


def _base(name: str) -> str:
    """The arm of the same baseline and classifier that asks about nothing."""
    return name.split(" | ")[0] + (f" | {name.split(' | ')[1]}" if name.startswith("shipped") else "") + " | base"


def _figure(values: Floats) -> dict[str, Any]:
    """The mean over rotations of (rotations, 1 + resamples), its interval, and each rotation's own."""
    mean = values.mean(axis=0)
    low, high = interval(mean[1:], float(mean[0]))
    return {
        "mean": _round(float(mean[0])),
        "ci95": [_round(low), _round(high)],
        "rotations": [_round(float(v)) for v in values[:, 0]],
    }


def _difference(mine: Floats, other: Floats) -> dict[str, Any]:
    """`_figure` of the paired difference, and in how many rotations it is above 0."""
    return _figure(mine - other) | {"wins": int((mine[:, 0] > other[:, 0]).sum())}


def _auc_against(part: Part, name: str, benign: npt.NDArray[np.bool_]) -> float | None:
    return _auc(part.labels, part.scores[name], benign | (part.labels == 1))


def _auc_of_platform(part: Part, name: str, platform: str) -> float | None:
    return _auc(part.labels, part.scores[name], part.platforms == platform)


def _auc(labels: npt.NDArray[Any], scores: npt.NDArray[Any], rows: npt.NDArray[np.bool_]) -> float | None:
    from cmdclf.classify import auc

    value = auc(labels[rows], scores[rows])
    return None if np.isnan(value) else value


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return _round(float(np.mean(known))) if known else None


def _round(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 6)
