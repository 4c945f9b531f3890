from __future__ import annotations

import numpy as np
import pytest

from cmdclf.errors import TelemetryError
from cmdclf.lexicon.incidents import plan_incidents
from cmdclf.lexicon.pools import ParquetPool


@pytest.mark.parametrize("per_day", [0, 3, 16, 17, 18, 40, 200])
def test_bursts_have_three_to_fifteen_events_and_the_day_its_number(parquet_pool: ParquetPool, per_day: int) -> None:
    rows = np.flatnonzero(parquet_pool.table.malicious)
    for seed in range(5):
        plan = plan_incidents(parquet_pool, rows, days=4, per_day=per_day, rng=np.random.default_rng(seed))
        for bursts in plan:
            assert sum(len(b.rows) for b in bursts) == per_day
            for burst in bursts:
                assert 3 <= len(burst.rows) <= 15
                assert len(set(parquet_pool.table.platform[burst.rows])) == 1
                assert 0 <= burst.second <= burst.second + burst.length_s <= 86_400
                assert burst.length_s <= 3600


def test_no_line_comes_twice_before_all_came_once(parquet_pool: ParquetPool) -> None:
    rows = np.flatnonzero(parquet_pool.table.malicious)[:80]
    plan = plan_incidents(parquet_pool, rows, days=2, per_day=15, rng=np.random.default_rng(0))
    used = np.concatenate([b.rows for bursts in plan for b in bursts])
    assert len(set(used)) == len(used)


def test_incidents_without_a_line_are_refused(parquet_pool: ParquetPool) -> None:
    with pytest.raises(TelemetryError, match="no malicious line is left"):
        plan_incidents(parquet_pool, np.zeros(0, np.int64), days=1, per_day=3, rng=np.random.default_rng(0))
