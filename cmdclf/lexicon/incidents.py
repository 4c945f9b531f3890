"""Incidents in the telemetry: a burst of malicious lines on one host within an hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmdclf.errors import TelemetryError
from cmdclf.lexicon.pools import Pool

__all__ = ["Burst", "plan_incidents"]

_SMALLEST, _LARGEST = 3, 15


@dataclass(frozen=True, slots=True)
class Burst:
    """One incident: pool rows of its events in order, its first second of the day, and how long it lasts."""

    rows: np.ndarray
    second: float
    length_s: float


def plan_incidents(
    pool: Pool, rows: np.ndarray, *, days: int, per_day: int, rng: np.random.Generator
) -> list[list[Burst]]:
    """For each day bursts of 3 to 15 events, `per_day` events in all; no line comes twice before all came once.

    Args:
        pool: its table says the rows' platforms; a burst stays on one platform.
        rows: malicious rows that may occur.
        days: length of the period.
        per_day: malicious events of each day; 0 for none.
        rng: all chances.

    Raises:
        TelemetryError: incidents are asked for, but there is no row for them.
    """
    if per_day and not len(rows):
        raise TelemetryError(
            "no malicious line is left for incidents",
            remedy="Leave some with a labelled share below 1, or ask for 0 malicious events per day",
        )
    platform = pool.table.platform[rows]
    waiting: dict[str, list[int]] = {}
    names = sorted(set(platform))
    chance = np.array([(platform == name).mean() for name in names])
    plan: list[list[Burst]] = []
    for _ in range(days):
        left = per_day
        bursts: list[Burst] = []
        while left:
            size = int(rng.integers(_SMALLEST, _LARGEST + 1))
            # No rest of one or two events: it would be no burst.
            if left - size < _SMALLEST:
                size = left if left <= _LARGEST else left - _SMALLEST
            name = names[int(rng.choice(len(names), p=chance))]
            taken: list[int] = []
            while len(taken) < size:
                queue = waiting.setdefault(name, [])
                if not queue:
                    queue.extend(int(r) for r in rng.permutation(rows[platform == name]))
                taken.append(queue.pop())
            left -= size
            length_s = float(rng.uniform(300, 3600))
            bursts.append(Burst(np.array(taken, np.int64), float(rng.uniform(0, 86_400 - length_s)), length_s))
        plan.append(bursts)
    return plan
