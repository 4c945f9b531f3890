from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.errors import LexiconError, TelemetryError
from cmdclf.lexicon import Lexicon, Template, distinct
from cmdclf.lexicon.distinct import shares_within
from cmdclf.lexicon.pools import LexiconPool, ParquetPool
from cmdclf.lexicon.replay import ReplaySettings, replay
from cmdclf.telemetry import PROCESS_EVENT, Lake, command_ids

SHAPE = ReplaySettings(days=2, per_day=6000, head_templates=40, top=10, malicious_per_day=30, seed=2, distinct=True)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct, "_CHUNK", 2500)


def events(lake: Path, day: object = None) -> pa.Table:
    return pa.Table.from_batches(Lake(lake).batches(day), PROCESS_EVENT)  # type: ignore[arg-type]


def test_every_event_is_another_line_and_the_truth_has_each(lexicon_pool: LexiconPool, tmp_path: Path) -> None:
    report = replay(lexicon_pool, tmp_path / "lake", SHAPE)
    table, truth = events(tmp_path / "lake"), pq.read_table(report.truth)
    assert len(table) == report.distinct == report.events == 12_000
    assert {len(events(tmp_path / "lake", day)) for day in Lake(tmp_path / "lake").days()} == {6000}
    pairs = set(zip(table["platform"].to_pylist(), table["command_line"].to_pylist(), strict=True))
    assert len(pairs) == 12_000
    assert set(report.malicious.values()) == {30}
    ids = command_ids(table["platform"].combine_chunks(), table["command_line"].combine_chunks())
    assert sorted(ids.to_pylist()) == sorted(truth["command_id"].to_pylist())
    assert Counter(truth["label"].to_pylist()) == {"benign": 11_940, "malicious": 60}
    held = np.isin(lexicon_pool.table.families.astype(str), report.held_out)
    assert not set(truth["group_id"].to_pylist()) & set(lexicon_pool.table.group_id[held])
    for row in truth.to_pylist():
        program = row["command_line"].split(" ")[0]
        assert (row["label"] == "malicious") == program.startswith("loader")
        assert program.lstrip("abcdefghijklmnopqrstuvwxyz") == row["group_id"].split("-")[1]


def test_events_are_in_order_of_time_within_a_chunk(lexicon_pool: LexiconPool, tmp_path: Path) -> None:
    replay(lexicon_pool, tmp_path / "lake", SHAPE, days=1)
    times = events(tmp_path / "lake")["event_time"].cast(pa.int64()).to_numpy()
    for start in range(0, 6000, 2000):
        assert (np.diff(times[start : start + 2000]) >= 0).all()


def test_the_same_seed_gives_the_same_bytes(lexicon_pool: LexiconPool, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", 2), ("b", 2), ("c", 3)):
        report = replay(lexicon_pool, tmp_path / name, SHAPE, seed=seed)
        files = [*sorted((tmp_path / name).rglob("*.parquet")), report.truth]
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
    assert digests[0] == digests[1] != digests[2]


def test_a_template_with_few_lines_gives_what_it_can(lexicon_pool: LexiconPool, tmp_path: Path) -> None:
    truth = pq.read_table(replay(lexicon_pool, tmp_path / "lake", SHAPE).truth)
    counts = Counter(truth["group_id"].to_pylist())
    # "probe0 --quiet" is one line, however frequent.
    fixed = [counts[f"head-{i}"] for i in range(0, 40, 4)]
    assert max(fixed) == 1
    assert max(counts.values()) > 500


def test_a_pool_of_recorded_lines_varies_by_its_parameters(parquet_pool: ParquetPool, tmp_path: Path) -> None:
    replay(parquet_pool, tmp_path / "lake", SHAPE, per_day=4000)
    lines = events(tmp_path / "lake")["command_line"].to_pylist()
    assert len(set(lines)) == 8000


def test_a_pool_without_enough_lines_is_refused(tmp_path: Path) -> None:
    templates = [
        {
            "id": f"{name}{i}",
            "label": name,
            "platform": "linux",
            "role": f"{name}{i % 4}",
            "line": f"{name}{i} {{{{int:1-9}}}}",
        }
        for name in ("benign", "malicious")
        for i in range(8)
    ]
    pool = LexiconPool(Lexicon(tuple(Template.from_record(t, "x.toml") for t in templates)))
    with pytest.raises(TelemetryError, match=r"about [0-9]+ different lines, not 11,940"):
        replay(pool, tmp_path / "lake", SHAPE)
    with pytest.raises(TelemetryError, match="per_day = 300000000 is impossible"):
        replay(pool, tmp_path / "lake", SHAPE, per_day=300_000_000)
    assert not (tmp_path / "lake.truth.parquet").exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_program_without_new_lines_is_replaced_and_none_left_is_an_error(lexicon_pool: LexiconPool) -> None:
    rows = np.flatnonzero(lexicon_pool.table.weight > 0)
    assembly, programs = lexicon_pool.programs(rows)
    fixed, varied = programs[0], programs[1]
    asked = np.full(50, fixed)
    kinds, seen = np.zeros(len(assembly), np.int64), np.zeros(1 << 10, np.uint32)
    lines, _ = assembly.write_distinct(asked, 1, kinds=kinds, spare=np.array([varied]), seen=seen)
    assert len(set(lines.to_pylist())) == 50
    assert asked.tolist() == [fixed] + [varied] * 49
    with pytest.raises(LexiconError, match="can't give so many different lines"):
        assembly.write_distinct(np.full(2, fixed), 1, kinds=kinds, spare=np.zeros(0, np.int64), seen=seen)


@given(
    st.lists(st.tuples(st.floats(1e-6, 1e6), st.integers(1, 1000)), min_size=1, max_size=30),
    st.floats(0, 1),
)
def test_shares_keep_to_the_limits_and_add_up(pairs: list[tuple[float, int]], fullness: float) -> None:
    wanted, limits = (np.array(column, float) for column in zip(*pairs, strict=True))
    total = int(limits.sum() * fullness)
    counts = shares_within(wanted, limits, total)
    assert counts.sum() == total
    assert (counts >= 0).all()
    assert (counts <= limits).all()
