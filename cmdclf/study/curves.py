"""The three cumulative curves of a study's anomalies (all, distinct, near-distinct), and whether they saturate.

They are those of the published study (Figure 1: full scale, Figure 2: reduced scale): all anomalies grow by a fixed
number a day, the distinct ones more slowly, and the near-distinct ones, what a judge has to be asked about, flatten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.detect import SCALES

__all__ = ["BELOW", "CURVES", "TOGETHER", "anomaly_curves", "heaps_law", "saturation_rows", "saturation_text"]

CURVES = ("all", "distinct", "near_distinct")
TOGETHER = "together"
#: Shares of the first week's new near-distinct lines a day, below which the days are looked for.
BELOW = ("0.25", "0.1")
_WEEK = 7
_AHEAD = 30
_DIGITS = 6
#: A forecast is off when it misses what came by more than this share.
_OFF = 0.25
_LARGEST_LOG = 700.0

#: One day at one scale: the command_id of each anomaly, a line as often as detectors found it, and its representative.
_Day = tuple[list[str], list[str]]


def anomaly_curves(found: pa.Table, groups: pa.Table, days: Sequence[date]) -> dict[str, Any]:
    """The curves by training day, at each scale and both together, and their saturation.

    A near-distinct line of a scale is a group that one of the scale's anomalies belongs to. Groups are those of the
    whole study, so that a group met at both scales counts once at each and once together.

    Args:
        found: day, scale, command_id of every anomaly of these days; one row per detector that found it.
        groups: day, command_id, representative_id of every anomaly.
        days: the training days in order.

    Returns:
        `all`, `distinct`, `near_distinct`: lists of ints, one per day, both scales together; `by_scale`: the same for
        `full` and `reduced`; `saturation`: for `full`, `reduced` and `together` what `_saturation` gives.
    """
    parts: dict[str, list[_Day]] = {scale: [] for scale in (*SCALES, TOGETHER)}
    for day in days:
        today = found.filter(pc.equal(found["day"], day))
        grouped = groups.filter(pc.equal(groups["day"], day))
        head = dict(zip(grouped["command_id"].to_pylist(), grouped["representative_id"].to_pylist(), strict=True))
        for scale in parts:
            rows = today if scale == TOGETHER else today.filter(pc.equal(today["scale"], scale))
            ids = rows["command_id"].to_pylist()
            parts[scale].append((ids, [head[i] for i in ids]))
    curves = {scale: _cumulated(part) for scale, part in parts.items()}
    return {
        **curves[TOGETHER],
        "by_scale": {scale: curves[scale] for scale in SCALES},
        "saturation": {scale: _saturation(curves[scale], parts[scale]) for scale in parts},
    }


def _cumulated(part: Sequence[_Day]) -> dict[str, list[int]]:
    lines: set[str] = set()
    heads: set[str] = set()
    curves: dict[str, list[int]] = {name: [] for name in CURVES}
    count = 0
    for ids, representatives in part:
        count += len(ids)
        lines.update(ids)
        heads.update(representatives)
        for name, value in zip(CURVES, (count, len(lines), len(heads)), strict=True):
            curves[name].append(value)
    return curves


def _saturation(curves: Mapping[str, Sequence[int]], part: Sequence[_Day]) -> dict[str, Any]:
    """What says whether a scale's near-distinct curve flattens.

    `new_near_distinct`: lines a day that no earlier day had a near-duplicate of. `new_share`: the share of a day's
    distinct anomalies that no earlier day had, null where a day has none. `below_first_week`: for each of `BELOW` the
    first training day (from 1) from which a week's mean of new near-distinct lines is below that share of the first
    week's, null when no full week is. `heaps`: see `heaps_law`.
    """
    new = _steps(curves["near_distinct"])
    shares = [
        round(fresh / len(set(ids)), _DIGITS) if ids else None
        for fresh, (ids, _) in zip(_steps(curves["distinct"]), part, strict=True)
    ]
    return {
        "new_near_distinct": new,
        "new_share": shares,
        "below_first_week": {share: _first_week_below(new, float(share)) for share in BELOW},
        "heaps": heaps_law(curves["all"], curves["near_distinct"]),
    }


def _steps(values: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *values])]


def _first_week_below(new: Sequence[int], share: float) -> int | None:
    weeks = [sum(new[at : at + _WEEK]) for at in range(len(new) - _WEEK + 1)]
    if not weeks or not weeks[0]:
        return None
    # Divided, not multiplied: 7 of 70 are a tenth, yet 0.1 * 70 is above 7.
    return next((at + 1 for at, week in enumerate(weeks) if week / weeks[0] < share), None)


def heaps_law(anomalies: Sequence[int], near_distinct: Sequence[int]) -> dict[str, Any] | None:
    """N = K n^b: the near-distinct lines among the first n anomalies, fitted to the days by least squares on logs.

    The law of a text's vocabulary (H. S. Heaps, Information Retrieval: Computational and Theoretical Aspects, Academic
    Press 1978, section 7.5). b < 1: every further anomaly brings less, the curve flattens; it never stops to grow.

    Args:
        anomalies: n, cumulative by day.
        near_distinct: N, cumulative by day.

    Returns:
        `K` and `b`; `next_30_days`: near-distinct lines that the law adds in 30 days with as many anomalies a day as
        these days had on average, at most one each; `second_half`: what the law of the first half of the days alone
        foretells for the others, and what came, or null where the first half is too short. None with fewer than two
        different n.
    """
    law = _fitted(anomalies, near_distinct)
    if law is None:
        return None
    last = anomalies[-1]
    half = (len(anomalies) + 1) // 2
    early = _fitted(anomalies[:half], near_distinct[:half])
    return {
        "K": round(math.exp(law[0]), _DIGITS),
        "b": round(law[1], _DIGITS),
        "next_30_days": _growth(law, last, last + _AHEAD * last / len(anomalies)),
        "second_half": early
        and {
            "foretold": _growth(early, anomalies[half - 1], last),
            "observed": near_distinct[-1] - near_distinct[half - 1],
        },
    }


def _fitted(n: Sequence[int], found: Sequence[int]) -> tuple[float, float] | None:
    """The logarithm of K, and b."""
    points = [(math.log(a), math.log(b)) for a, b in zip(n, found, strict=True) if b > 0]
    if len({x for x, _ in points}) < 2:
        return None
    mean_x, mean_y = (math.fsum(values) / len(points) for values in zip(*points, strict=True))
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / math.fsum((x - mean_x) ** 2 for x, _ in points)
    return mean_y - slope * mean_x, slope


def _growth(law: tuple[float, float], start: float, end: float) -> int:
    """What the law adds between two numbers of anomalies, at most one near-distinct line each."""
    log_k, power = law
    before, after = (log_k + power * math.log(n) for n in (start, end))
    most = round(end - start)
    # A law of two odd days may be too steep for any number.
    return most if after > _LARGEST_LOG else min(round(math.exp(after) - math.exp(before)), most)


def saturation_rows(curves: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per scale and for both together: what the curves end at, and what their saturation comes to.

    scale; all, distinct, near_distinct; first_week, last_week: mean of new near-distinct lines a day; new_share: mean
    of the last week's; below_25, below_10: days of `below_first_week`; K, b, next_30_days: the fitted law. Null where
    there is none.
    """
    rows = []
    for scale, found in curves["saturation"].items():
        ends = curves if scale == TOGETHER else curves["by_scale"][scale]
        new, shares = found["new_near_distinct"], [s for s in found["new_share"][-_WEEK:] if s is not None]
        law = found["heaps"] or {}
        rows.append(
            {"scale": scale}
            | {name: ends[name][-1] if ends[name] else 0 for name in CURVES}
            | {"first_week": _mean(new[:_WEEK]), "last_week": _mean(new[-_WEEK:]), "new_share": _mean(shares)}
            | {f"below_{float(s):.0%}"[:-1]: found["below_first_week"][s] for s in BELOW}
            | {name: law.get(name) for name in ("K", "b", "next_30_days")}
        )
    return rows


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def saturation_text(curves: Mapping[str, Any], scale: str = TOGETHER) -> str:
    """Does the near-distinct curve of a scale saturate within these days, what is to come, and how far to trust that?

    It saturates when a week brings less than a tenth of the first week's new lines, and flattens when the fitted law
    has b < 1.
    """
    found = curves["saturation"][scale]
    law, new = found["heaps"], found["new_near_distinct"]
    days, saturated = len(new), found["below_first_week"]["0.1"]
    if law is None or days <= _WEEK or not any(new[:_WEEK]):
        return "Too few days with anomalies to say whether the near-distinct curve saturates."
    if saturated is not None:
        said = f"saturates: from day {saturated} on a week brings less than a tenth of the first week's new lines"
    elif law["b"] >= 1:
        said = f"does not flatten within these {days} days"
    else:
        share = sum(new[-_WEEK:]) / sum(new[:_WEEK])
        said = f"flattens but does not saturate within these {days} days: "
        said += f"the last week brought {100 * share:.0f} % of the first week's new lines"
    return (
        f"The near-distinct curve {said}. Fitted law: N = {law['K']:.3g} n^{law['b']:.2f} near-distinct lines among n "
        f"anomalies, which would add {law['next_30_days']:,} in {_AHEAD} further days."
        f"{_trust(law['second_half'], days)}"
    )


def _trust(check: Mapping[str, int] | None, days: int) -> str:
    """What the law of the first half is worth in the second one."""
    if check is None:
        return ""
    foretold, observed = check["foretold"], check["observed"]
    text = f" The same law fitted to the first {(days + 1) // 2} days foretold {foretold:,} for the others; "
    text += f"{observed:,} came"
    if foretold > observed * (1 + _OFF):
        return text + ", so that the figure is an upper one."
    return text + (", so that the figure is a lower one." if observed > foretold * (1 + _OFF) else ".")
