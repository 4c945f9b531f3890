from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.errors import TelemetryError
from cmdclf.lexicon import Lexicon, Template
from cmdclf.lexicon.pools import LexiconPool, ParquetPool, Pool
from cmdclf.lexicon.replay import ReplaySettings, replay, truth_path
from cmdclf.telemetry import PROCESS_EVENT, Lake, command_ids

SHAPE = ReplaySettings(days=4, per_day=3000, head_templates=300, top=30, malicious_per_day=12, seed=2)


@pytest.fixture(params=["parquet", "lexicon"])
def pool(request: pytest.FixtureRequest) -> Pool:
    return request.getfixturevalue(f"{request.param}_pool")


def events(lake: Path) -> pa.Table:
    return pa.Table.from_batches(Lake(lake).batches(), PROCESS_EVENT)


def digests(lake: Path) -> dict[str, str]:
    files = [*lake.rglob("*.parquet"), truth_path(lake)]
    return {str(p.relative_to(lake.parent)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def test_each_day_has_its_number_of_events_in_order_of_time(pool: Pool, tmp_path: Path) -> None:
    replay(pool, tmp_path / "lake", SHAPE)
    lake = Lake(tmp_path / "lake")
    assert lake.days() == [SHAPE.start + dt.timedelta(days=i) for i in range(4)]
    for day in lake.days():
        table = pa.Table.from_batches(lake.batches(day), PROCESS_EVENT)
        times = table["event_time"].cast(pa.int64()).to_numpy()
        assert len(table) == 3000
        assert (np.diff(times) >= 0).all()
        assert {t.date() for t in table["event_time"].to_pylist()} == {day}


def test_the_truth_covers_each_line_of_the_lake_once(pool: Pool, tmp_path: Path) -> None:
    report = replay(pool, tmp_path / "lake", SHAPE)
    table = events(tmp_path / "lake")
    truth = pq.read_table(report.truth)
    ids = command_ids(table["platform"].combine_chunks(), table["command_line"].combine_chunks())
    assert set(ids.to_pylist()) == set(truth["command_id"].to_pylist())
    assert len(truth) == report.distinct == len(set(truth["command_id"].to_pylist()))
    assert truth["command_id"].to_pylist() == sorted(truth["command_id"].to_pylist())
    recomputed = command_ids(truth["platform"].combine_chunks(), truth["command_line"].combine_chunks())
    assert recomputed.to_pylist() == truth["command_id"].to_pylist()


def test_held_out_sources_never_occur_in_the_lake(pool: Pool, tmp_path: Path) -> None:
    report = replay(pool, tmp_path / "lake", SHAPE)
    truth = pq.read_table(report.truth)
    assert report.held_out
    unit = "source" if pool.table.family is None else "group_id"
    held = np.isin(pool.table.families.astype(str), report.held_out)
    assert not set(truth[unit].to_pylist()) & set(getattr(pool.table, unit)[held])


def test_the_top_templates_hold_about_the_share_that_was_asked_for(parquet_pool: ParquetPool, tmp_path: Path) -> None:
    for share in (0.2, 0.45, 0.7):
        report = replay(parquet_pool, tmp_path / f"lake{share}", SHAPE, share_top=share)
        assert abs(report.top_distinct - share) < 0.07
        assert report.top_events > 0.5


def test_the_tail_occurs_once_in_the_whole_period(parquet_pool: ParquetPool, tmp_path: Path) -> None:
    report = replay(parquet_pool, tmp_path / "lake", SHAPE)
    truth = pq.read_table(report.truth)
    counts = Counter(events(tmp_path / "lake")["command_line"].to_pylist())
    tail = [r for r in truth.to_pylist() if not r["head"] and r["label"] == "benign"]
    assert len(tail) == report.tail > 0
    assert {counts[r["command_line"]] for r in tail} == {1}
    assert report.tail <= 0.1 * report.events
    recurring = [r for r in truth.to_pylist() if r["head"]]
    assert not any(r["hard"] for r in recurring)


def test_an_incident_is_a_burst_on_one_host_within_an_hour(pool: Pool, tmp_path: Path) -> None:
    report = replay(pool, tmp_path / "lake", SHAPE, malicious_per_day=4)
    assert set(report.malicious.values()) == {4}
    truth = pq.read_table(report.truth)
    bad = {r["command_line"] for r in truth.to_pylist() if r["label"] == "malicious"}
    for day in Lake(tmp_path / "lake").days():
        times: dict[str, list[dt.datetime]] = {}
        for batch in Lake(tmp_path / "lake").batches(day):
            for row in batch.to_pylist():
                if row["command_line"] in bad:
                    times.setdefault(row["host"], []).append(row["event_time"])
        assert sum(map(len, times.values())) == 4
        # Two where an incident of several days and another one meet.
        assert len(times) <= 2
        assert all(max(at) - min(at) <= dt.timedelta(hours=1) for at in times.values())


def recurring(*roles: str) -> list[Template]:
    """Templates of Linux that run all day; the second of each role has a parent of its own."""
    return [
        Template(id=f"{role}{i}", label="benign", platform="linux", role=role, line=f"{role} {i} {{{{hex:6}}}}",
                 weight=5, parent="of its own" if i == 1 else "")
        for role in roles
        for i in range(12)
    ]  # fmt: skip


def test_a_line_runs_where_its_software_is_and_every_event_has_a_parent(tmp_path: Path) -> None:
    made = recurring("databases", "builds", "system") + [
        Template(id=f"{role}{i}", label="malicious", platform="linux", role=role, technique=("T1059",),
                 line=f"{role} {i} {{{{hex:6}}}}")
        for role in ("x", "y")
        for i in range(6)
    ]  # fmt: skip
    replay(LexiconPool(Lexicon(tuple(made))), tmp_path / "lake", SHAPE, days=1, hold_out=0.0, hosts=400)
    hosts: dict[str, set[str]] = {}
    for row in events(tmp_path / "lake").to_pylist():
        tool, number, _ = row["command_line"].split(" ")
        hosts.setdefault(tool, set()).add(row["host"].split("-")[0])
        assert row["parent_command_line"]
        assert (row["parent_command_line"] == "of its own") == (number == "1" and tool not in "xy")
    assert hosts["databases"] == {"db"}
    assert hosts["builds"] == {"ci"}
    assert hosts["system"] == {"web", "db", "ci", "app", "k8s", "log"}


def test_people_rest_at_weekends(lexicon_pool: LexiconPool, tmp_path: Path) -> None:
    made = recurring("office", "services", "third")
    bad = [t for t in lexicon_pool.lexicon if t.label == "malicious"]
    replay(LexiconPool(Lexicon((*made, *bad))), tmp_path / "lake", SHAPE, days=7, hold_out=0.0, drift=0.0)
    office = []
    for day in Lake(tmp_path / "lake").days():
        lines = [
            x for b in Lake(tmp_path / "lake").batches(day, ["command_line"]) for x in b["command_line"].to_pylist()
        ]
        office.append(sum(line.startswith("office") for line in lines))
    assert max(office[5:]) < 0.6 * min(office[:5])


def test_the_same_seed_gives_the_same_bytes(pool: Pool, tmp_path: Path) -> None:
    replay(pool, tmp_path / "lake", SHAPE)
    first = digests(tmp_path / "lake")
    replay(pool, tmp_path / "lake", SHAPE)
    assert digests(tmp_path / "lake") == first
    replay(pool, tmp_path / "b" / "lake", SHAPE)
    assert digests(tmp_path / "b" / "lake") == first
    replay(pool, tmp_path / "c" / "lake", SHAPE, seed=3)
    assert digests(tmp_path / "c" / "lake") != first


def test_a_lake_with_another_replay_is_kept_unless_told_otherwise(parquet_pool: ParquetPool, tmp_path: Path) -> None:
    replay(parquet_pool, tmp_path / "lake", SHAPE)
    before = digests(tmp_path / "lake")
    with pytest.raises(TelemetryError, match=r"another replay.*--overwrite"):
        replay(parquet_pool, tmp_path / "lake", SHAPE, seed=9)
    assert digests(tmp_path / "lake") == before
    replay(parquet_pool, tmp_path / "lake", SHAPE, seed=9, days=2, overwrite=True)
    assert len(Lake(tmp_path / "lake").days()) == 2


def test_a_lake_with_ingested_logs_is_never_touched(parquet_pool: ParquetPool, tmp_path: Path) -> None:
    ingested = tmp_path / "lake" / "day=2026-01-05" / "abc.parquet"
    ingested.parent.mkdir(parents=True)
    ingested.write_bytes(b"x")
    with pytest.raises(TelemetryError, match="no replay wrote"):
        replay(parquet_pool, tmp_path / "lake", SHAPE, overwrite=True)
    assert ingested.read_bytes() == b"x"


@pytest.mark.parametrize(
    "change", [{"days": 0}, {"per_day": 5}, {"share_top": 1.0}, {"malicious_per_day": 2000}, {"hosts": 1}]
)
def test_impossible_settings_are_refused(parquet_pool: ParquetPool, tmp_path: Path, change: dict[str, float]) -> None:
    with pytest.raises(TelemetryError, match="impossible for a replay"):
        replay(parquet_pool, tmp_path / "lake", SHAPE, **change)
    assert not (tmp_path / "lake").exists()


def test_some_templates_start_or_stop_within_the_period(lexicon_pool: LexiconPool, tmp_path: Path) -> None:
    replay(lexicon_pool, tmp_path / "lake", SHAPE, drift=1.0, days=6)
    lake = Lake(tmp_path / "lake")
    seen = [
        {line.split(" ")[0] for b in lake.batches(day, ["command_line"]) for line in b["command_line"].to_pylist()}
        for day in lake.days()
    ]
    heads = {line for line in set().union(*seen) if line.startswith(("agent", "probe"))}
    assert any(h not in seen[0] for h in heads)
    assert any(h not in seen[-1] for h in heads)


def test_hosts_and_users_belong_to_the_platform(lexicon_pool: LexiconPool, tmp_path: Path) -> None:
    replay(lexicon_pool, tmp_path / "lake", SHAPE, days=1)
    for row in events(tmp_path / "lake").to_pylist():
        assert (row["host"] == row["host"].upper()) == (row["platform"] == "windows")
        assert ("\\" in row["user"]) == (row["platform"] == "windows")
