from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.lexicon.activity import event_seconds
from cmdclf.lexicon.calendar import day_factors, days_since_patch_day


@pytest.mark.parametrize(
    ("day", "days"),
    [
        ("2026-01-13", 0),
        ("2026-01-14", 1),
        ("2026-01-12", 34),
        ("2026-09-08", 0),
        ("2026-09-01", 21),
        ("2025-12-09", 0),
    ],
)
def test_patch_day_is_the_second_tuesday(day: str, days: int) -> None:
    assert days_since_patch_day(dt.date.fromisoformat(day)) == days


@given(st.dates(dt.date(2000, 1, 1), dt.date(2100, 1, 1)))
def test_the_last_patch_day_is_a_tuesday_from_the_8th_to_the_14th(day: dt.date) -> None:
    last = day - dt.timedelta(days=days_since_patch_day(day))
    assert last.weekday() == 1
    assert 8 <= last.day <= 14
    assert 0 <= days_since_patch_day(day) < 36


def test_people_rest_at_weekends_and_installers_rush_after_a_patch_day() -> None:
    human, updater = np.array([True, False, False]), np.array([False, False, True])
    factors = day_factors(dt.date(2026, 1, 10), 7, human, updater)
    assert (factors[:2, 0] < 0.2).all()
    assert (factors[2:, 0] == 1).all()
    assert (factors[:, 1] == 1).all()
    assert factors[3, 2] == factors[:, 2].max() > 5
    assert (np.diff(factors[3:, 2]) < 0).all()


def test_people_work_by_day_and_half_of_the_installers_run_at_night() -> None:
    n = 4000
    kinds = np.arange(n) % 3
    seconds = event_seconds(kinds == 0, False, np.random.default_rng(0), kinds == 1) / 3600
    assert ((seconds[kinds == 0] > 6) & (seconds[kinds == 0] < 20)).mean() > 0.95
    assert 0.5 < ((seconds[kinds == 1] >= 1) & (seconds[kinds == 1] <= 5)).mean() < 0.7
    assert ((seconds[kinds == 2] >= 1) & (seconds[kinds == 2] <= 5)).mean() < 0.25
    assert seconds.min() >= 0
    assert seconds.max() < 24
