from __future__ import annotations

import numpy as np
import pytest

from cmdclf.errors import TelemetryError
from cmdclf.lexicon import Estate, Lexicon, Template
from cmdclf.lexicon.fleet import Fleet
from cmdclf.lexicon.incidents import Burst, plan_incidents
from cmdclf.lexicon.pools import LexiconPool, ParquetPool, Pool
from cmdclf.lexicon.tactics import _TECHNIQUES as BY_STAGE
from cmdclf.lexicon.tactics import LATERAL, STAGES, stage_of
from cmdclf.lexicon.techniques import techniques

ESTATE = Estate.from_seed(0)
FLEET = Fleet(ESTATE)
_TECHNIQUES = ("T1204.002", "T1059.001", "T1082", "T1003.001", "T1021.002", "T1486")


def plan(pool: Pool, rows: np.ndarray, days: int, per_day: int, seed: int = 0) -> list[list[Burst]]:
    return plan_incidents(pool, rows, fleet=FLEET, days=days, per_day=per_day, rng=np.random.default_rng(seed))


@pytest.fixture
def staged_pool() -> LexiconPool:
    """Malicious templates of six stages on two platforms, and one benign."""
    made = [
        Template(id=f"bad-{i}", label="malicious", platform=("windows", "linux")[i // 6 % 2], role="r", line=f"bad{i}",
                 technique=(_TECHNIQUES[i % 6],))
        for i in range(120)
    ]  # fmt: skip
    return LexiconPool(Lexicon((*made, Template(id="ok", label="benign", platform="linux", role="r", line="ok"))))


@pytest.mark.parametrize("per_day", [0, 3, 16, 17, 18, 40, 200])
def test_each_day_has_its_number_of_events_in_bursts_within_an_hour(parquet_pool: ParquetPool, per_day: int) -> None:
    rows = np.flatnonzero(parquet_pool.table.malicious)
    for seed in range(5):
        days_of: dict[int, list[int]] = {}
        for day, bursts in enumerate(plan(parquet_pool, rows, 4, per_day, seed)):
            assert sum(len(b.rows) for b in bursts) == per_day
            for burst in bursts:
                platforms = set(parquet_pool.table.platform[burst.rows])
                assert len(platforms) == 1
                assert (burst.hosts < len(ESTATE.hosts[platforms.pop()])).all()
                assert len(set(burst.hosts)) == 1
                assert (np.diff(burst.seconds) >= 0).all()
                assert 0 <= burst.seconds[0] <= burst.seconds[-1] < 86_400
                assert burst.seconds[-1] - burst.seconds[0] <= 3600
                days_of.setdefault(burst.incident, []).append(day)
            alone = [len(b.rows) for b in bursts if len(days_of[b.incident]) == 1 and day == 3]
            assert all(3 <= size <= 15 for size in alone)


def test_some_incidents_go_on_over_days_and_to_other_hosts_and_most_do_not(staged_pool: LexiconPool) -> None:
    rows = np.flatnonzero(staged_pool.table.malicious)
    whole: dict[int, list[tuple[int, Burst]]] = {}
    for day, bursts in enumerate(plan(staged_pool, rows, 30, 20)):
        for burst in bursts:
            whole.setdefault(burst.incident, []).append((day, burst))
    lengths = np.array([len(parts) for parts in whole.values()])
    hosts = np.array([len(set(np.concatenate([b.hosts for _, b in parts]))) for parts in whole.values()])
    assert 0.1 < (lengths > 1).mean() < 0.6
    assert 0.05 < (hosts > 1).mean() < 0.6
    assert lengths.max() <= 6
    assert hosts.max() <= 3
    for parts in whole.values():
        days = [day for day, _ in parts]
        assert days == sorted(set(days))
        assert days[-1] - days[0] < 6


def test_events_follow_the_stages_of_an_intrusion(staged_pool: LexiconPool) -> None:
    rows = np.flatnonzero(staged_pool.table.malicious)
    later, other_host = [], []
    for bursts in plan(staged_pool, rows, 20, 40):
        for burst in bursts:
            stages = np.array([stage_of(staged_pool.table.technique[row]) for row in burst.rows])  # type: ignore[index]
            later += list(np.sign(np.diff(stages)))
            before = np.cumsum(stages >= LATERAL) - (stages >= LATERAL) == 0
            first = burst.hosts[0]
            other_host += [burst.hosts[k] != first for k in np.flatnonzero(before)] if before[0] else []
    assert np.mean(np.array(later) < 0) < 0.1
    assert np.mean(np.array(later) > 0) > 0.3
    # Before lateral movement an intruder is where he came in (or, on a later day, where he was).
    assert np.mean(other_host) < 0.1


def test_an_intrusion_begins_on_a_client(staged_pool: LexiconPool) -> None:
    roles = FLEET.roles["windows"]
    paths = [FLEET.path_of_intrusion("windows", np.random.default_rng(seed)) for seed in range(40)]
    assert {roles[path[0]] for path in paths} <= {"workstation", "developer", "admin", "shop-floor"}
    assert all(roles[host] not in {"workstation", "developer"} for path in paths for host in path[1:])
    assert all(len(set(path)) == len(path) <= 3 for path in paths)


def test_no_line_comes_twice_before_all_came_once(parquet_pool: ParquetPool) -> None:
    rows = np.flatnonzero(parquet_pool.table.malicious)[:80]
    used = np.concatenate([b.rows for bursts in plan(parquet_pool, rows, 2, 15) for b in bursts])
    assert len(set(used)) == len(used)


def test_incidents_without_a_line_are_refused(parquet_pool: ParquetPool) -> None:
    with pytest.raises(TelemetryError, match="no malicious line is left"):
        plan(parquet_pool, np.zeros(0, np.int64), 1, 3)


def test_every_technique_has_one_stage() -> None:
    known = {name.split(".")[0] for name in techniques().valid}
    listed = [name for names in BY_STAGE.values() for name in names.split()]
    assert sorted(listed) == sorted(known)
    assert tuple(BY_STAGE) == STAGES
    assert STAGES[stage_of(["T1059.001", "T1003.001"])] == "credentials"
    assert STAGES[stage_of([])] == STAGES[stage_of(["T9999"])] == "execution"
