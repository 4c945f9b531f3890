"""What a day of the year changes: weekends are for machines, and after a patch day software is installed."""

from __future__ import annotations

import datetime as dt

import numpy as np

__all__ = ["day_factors", "days_since_patch_day"]

_PEOPLE_AT_WEEKENDS = 0.12
_PATCH_RUSH = 8.0
#: Roll-outs go through the rings of an estate within about a week.
_PATCH_DECAY_DAYS = 2.0


def days_since_patch_day(day: dt.date) -> int:
    """Days since the last second Tuesday of a month, when vendors publish their updates."""
    first = day.replace(day=1)
    tuesday = first + dt.timedelta(days=(1 - first.weekday()) % 7 + 7)
    if tuesday > day:
        return days_since_patch_day(first - dt.timedelta(days=1)) + day.day
    return (day - tuesday).days


def day_factors(start: dt.date, days: int, human: np.ndarray, updater: np.ndarray) -> np.ndarray:
    """(days, n) float64: how much more or less each template runs on each day.

    Args:
        start, days: the period.
        human: (n,) bool, templates that people start.
        updater: (n,) bool, templates that install software.
    """
    factors = np.ones((days, len(human)))
    for number in range(days):
        day = start + dt.timedelta(days=number)
        if day.weekday() >= 5:
            factors[number, human] = _PEOPLE_AT_WEEKENDS
        factors[number, updater] *= 1 + _PATCH_RUSH * np.exp(-days_since_patch_day(day) / _PATCH_DECAY_DAYS)
    return factors
