"""Roll-outs: a product comes to ever more hosts from a day on, and the version that it replaces goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Rollouts", "plan_rollouts"]


@dataclass(frozen=True, slots=True)
class Rollouts:
    """How far each of `n` recurring templates is rolled out on each day; all (days, n) float32 in 0..1.

    Attributes:
        share: of its usual frequency.
        low, high: which part of its hosts has it.
    """

    share: np.ndarray
    low: np.ndarray
    high: np.ndarray


def plan_rollouts(platform: np.ndarray, *, days: int, drift: float, rng: np.random.Generator) -> Rollouts:
    """Roll-outs of about the share `drift` of the templates, within the period; none in less than three days.

    Templates are paired within a platform: while one comes, host by host, the other goes.

    Args:
        platform: (n,) of each template.
        days: length of the period.
        drift: share of the templates that come or go.
        rng: all chances.
    """
    n = len(platform)
    share, low, high = (np.full((days, n), value, np.float32) for value in (1, 0, 1))
    if days >= 3:
        chosen = np.flatnonzero(rng.random(n) < drift)
        for name in sorted(set(platform[chosen])):
            ranks = rng.permutation(chosen[platform[chosen] == name])
            half = len(ranks) // 2 + int(len(ranks) % 2 and rng.random() < 0.5)
            coming, going = ranks[:half], ranks[half:]
            changes = [_growth(days, rng) for _ in range(max(len(coming), len(going)))]
            for rank, growth in zip(coming, changes, strict=False):
                share[:, rank] = high[:, rank] = growth
            for rank, growth in zip(going, changes, strict=False):
                share[:, rank], low[:, rank] = 1 - growth, growth
    return Rollouts(share, low, high)


def _growth(days: int, rng: np.random.Generator) -> np.ndarray:
    """(days,) 0 before a day after the first, 1 at the last."""
    change = int(rng.integers(1, days))
    ramp = min(int(rng.integers(1, max(2, days // 3) + 1)), days - change)
    return np.clip((np.arange(days) - change + 1) / ramp, 0, 1)
