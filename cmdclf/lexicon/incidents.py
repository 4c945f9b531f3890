"""Incidents in the telemetry: malicious lines in an intrusion's order, on few hosts, within an hour or over days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmdclf.errors import TelemetryError
from cmdclf.lexicon.fleet import Fleet
from cmdclf.lexicon.pools import Pool
from cmdclf.lexicon.tactics import LATERAL, stage_of

__all__ = ["Burst", "plan_incidents"]

_SMALLEST, _LARGEST = 3, 15
_LONG_CHANCE = 0.3
_LONG_DAYS = 6
#: Intruders take steps back: how far a technique may stand from its place in the order.
_DISORDER = 0.6


@dataclass(frozen=True, slots=True)
class Burst:
    """What one incident does on one day.

    Attributes:
        incident: its number; an incident over days has a burst on each.
        rows: (k,) int64 rows of the pool, in order.
        seconds: (k,) float64 seconds of the day, ascending, within an hour.
        hosts: (k,) int64 index of each event's host among the hosts of the rows' platform.
    """

    incident: int
    rows: np.ndarray
    seconds: np.ndarray
    hosts: np.ndarray


class _Plan:
    """The incidents as they are planned; `left` are the malicious events that each day still lacks."""

    def __init__(
        self, pool: Pool, rows: np.ndarray, fleet: Fleet, days: int, per_day: int, rng: np.random.Generator
    ) -> None:
        self.fleet, self.rows, self.rng = fleet, rows, rng
        self.platform = pool.table.platform[rows]
        techniques = pool.table.technique
        self.stage = None
        if techniques is not None:
            self.stage = {int(row): stage_of(techniques[row]) for row in rows}
        self.names = sorted(set(self.platform))
        self.chance = np.array([(self.platform == name).mean() for name in self.names])
        self.left = [per_day] * days
        self.bursts: list[list[Burst]] = [[] for _ in range(days)]
        self.number = 0
        self._waiting: dict[str, list[int]] = {}

    def _taken(self, platform: str, size: int) -> np.ndarray:
        """Rows of a platform in the order of an intrusion; none comes twice before all came once."""
        queue = self._waiting.setdefault(platform, [])
        taken: list[int] = []
        while len(taken) < size:
            if not queue:
                queue.extend(int(r) for r in self.rng.permutation(self.rows[self.platform == platform]))
            taken.append(queue.pop())
        if self.stage is not None:
            places = np.array([self.stage[row] for row in taken]) + self.rng.normal(0, _DISORDER, size)
            taken = [taken[i] for i in np.argsort(places, kind="stable")]
        return np.array(taken, np.int64)

    def add(self, parts: dict[int, int]) -> None:
        """An incident with so many events on each of these days."""
        rng = self.rng
        platform = self.names[int(rng.choice(len(self.names), p=self.chance))]
        rows = self._taken(platform, sum(parts.values()))
        path = self.fleet.path_of_intrusion(platform, rng)
        # Without techniques nothing says that the line came over the network: one host.
        stages = np.array([0 if self.stage is None else self.stage[int(row)] for row in rows])
        # After its first step to another host an intrusion goes on there, now and then where it was before.
        moved = np.concatenate([[False], np.cumsum(stages >= LATERAL)[:-1] > 0])
        furthest = np.minimum(np.cumsum(moved & (rng.random(len(rows)) < 0.5)), len(path) - 1)
        at = np.where(rng.random(len(rows)) < 0.85, furthest, 0)
        start = 0
        for day, size in parts.items():
            part = slice(start, start + size)
            length_s = float(rng.uniform(300, 3600))
            seconds = rng.uniform(0, 86_400 - length_s) + np.sort(rng.random(size)) * length_s
            self.bursts[day].append(Burst(self.number, rows[part], seconds, path[at[part]]))
            self.left[day] -= size
            start += size
        self.number += 1

    def long_parts(self, day: int) -> dict[int, int]:
        """Events of an incident that begins on a day and goes on, as far as these days have room."""
        parts: dict[int, int] = {}
        for later in range(day, min(day + int(self.rng.integers(2, _LONG_DAYS + 1)), len(self.left))):
            size = int(self.rng.integers(1, 6))
            # What is left must be enough for a burst of its own.
            if self.left[later] - size >= _SMALLEST or self.left[later] == size:
                parts[later] = size
        return parts


def plan_incidents(
    pool: Pool, rows: np.ndarray, *, fleet: Fleet, days: int, per_day: int, rng: np.random.Generator
) -> list[list[Burst]]:
    """For each day the bursts of its incidents, `per_day` events in all; no line comes twice before all came once.

    Most incidents are one burst of 3 to 15 events; three in ten go on over two to six days, a few events on each.
    Where the pool knows techniques, the events follow the stages of an intrusion (`tactics`), and those from lateral
    movement on may be on a second or third host.

    Args:
        pool: its table says the rows' platforms and techniques; an incident stays on one platform.
        rows: malicious rows that may occur.
        fleet: the hosts.
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
    plan = _Plan(pool, rows, fleet, days, per_day, rng)
    for day in range(days):
        while plan.left[day]:
            if rng.random() < _LONG_CHANCE and len(parts := plan.long_parts(day)) > 1 and day in parts:
                plan.add(parts)
                continue
            size, left = int(rng.integers(_SMALLEST, _LARGEST + 1)), plan.left[day]
            # No rest of one or two events: it would be no burst.
            if left - size < _SMALLEST:
                size = left if left <= _LARGEST else left - _SMALLEST
            plan.add({day: size})
    return plan.bursts
