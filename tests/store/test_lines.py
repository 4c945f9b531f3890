from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmdclf.errors import StoreError
from cmdclf.store import LINES, LINES_WITH_COUNTS, DayCount, Store

DAY = date(2026, 3, 1)
NEXT = date(2026, 3, 2)


def _id(line: str, platform: str = "windows") -> str:
    return hashlib.sha256(f"{platform}\0{line}".encode()).hexdigest()[:32]


def _names(store, days=None) -> list[str]:
    return store.lines(days).table().column("command_line").to_pylist()


def test_a_day_is_counted_in_events_distinct_and_new_lines(store, tmp_path, events):
    first = events(tmp_path / "a.parquet", ["x", "x", "y"], count=2)
    assert store.add_day(DAY, [first]) == DayCount(DAY, events=6, distinct=2, new=2)
    second = events(tmp_path / "b.parquet", ["y", "z"])
    assert store.add_day(NEXT, [second]) == DayCount(NEXT, events=2, distinct=2, new=1)
    assert store.days() == [DAY, NEXT]


def test_a_day_added_twice_gives_the_same_counts_and_the_same_store(store, tmp_path, events):
    file = events(tmp_path / "a.parquet", ["x", "x", "y"], parents=["p", "o", None])
    once, table = store.add_day(DAY, [file]), store.lines().table()
    assert store.add_day(DAY, [file]) == once
    assert store.lines().table() == table


def test_adding_a_day_again_replaces_its_sightings_but_forgets_no_line(store, tmp_path, events):
    store.add_day(DAY, [events(tmp_path / "a.parquet", ["x", "y"])])
    assert store.add_day(DAY, [events(tmp_path / "b.parquet", ["x"])]).distinct == 1
    assert _names(store, [DAY]) == ["x"]
    assert store.lines_by_id([_id("y")]).num_rows == 1


def test_a_day_without_files_is_emptied(store, tmp_path, events):
    store.add_day(DAY, [events(tmp_path / "a.parquet", ["x"])])
    assert store.add_day(DAY, []) == DayCount(DAY, 0, 0, 0)
    assert store.days() == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=8)
)
def test_command_id_is_the_hash_of_the_design_for_any_text(lines, tmp_path, events):
    with Store.open(":memory:") as store:
        store.add_day(DAY, [events(tmp_path / "any.parquet", lines, platform="linux")])
        table = store.lines().table()
    assert table.column("command_id").to_pylist() == sorted({_id(line, "linux") for line in lines})


def test_command_id_in_sql_equals_telemetrys(store, tmp_path, events):
    from cmdclf.telemetry import command_ids

    lines = ["cmd /c dir", "", "ü — 漢字 🐚", "a\nb\tc", "x" * 5000]
    store.add_day(DAY, [events(tmp_path / "a.parquet", lines)])
    table = store.lines().table()
    ours = command_ids(
        table.column("platform").combine_chunks(), table.column("command_line").combine_chunks()
    ).to_pylist()
    assert table.column("command_id").to_pylist() == ours


def test_lines_come_ordered_by_id_with_counts_over_the_days_asked_for(store, tmp_path, events):
    store.add_day(DAY, [events(tmp_path / "a.parquet", ["x", "x", "y"], hosts=["h1", "h2", "h1"], hour=3)])
    store.add_day(NEXT, [events(tmp_path / "b.parquet", ["x", "z"], hour=5, day=2)])
    table = store.lines(batch_rows=2).table()
    assert table.schema == LINES_WITH_COUNTS
    ids = table.column("command_id").to_pylist()
    assert ids == sorted(ids)
    x = next(row for row in table.to_pylist() if row["command_line"] == "x")
    assert (x["events"], x["hosts"], x["days"]) == (3, 2, 2)
    assert x["first_seen"] == datetime(2026, 3, 1, 3, 0, tzinfo=UTC)
    assert x["last_seen"] == datetime(2026, 3, 2, 5, 0, tzinfo=UTC)
    one = next(row for row in store.lines([NEXT]).table().to_pylist() if row["command_line"] == "x")
    assert (one["events"], one["hosts"], one["days"]) == (1, 1, 1)
    assert sorted(_names(store, [DAY])) == ["x", "y"]
    assert store.lines(min_events=2).table().column("command_line").to_pylist() == ["x"]
    assert store.lines([]).table().num_rows == 0


def test_lines_may_be_read_twice_and_while_the_store_is_used(store, tmp_path, events):
    store.add_day(DAY, [events(tmp_path / "a.parquet", [str(i) for i in range(5000)])])
    batches = store.lines(batch_rows=1000)
    seen = []
    for batch in batches:
        seen += batch.column("command_id").to_pylist()
        assert store.lines_by_id(seen[-1:]).num_rows == 1
    assert seen == [i for batch in batches for i in batch.column("command_id").to_pylist()]
    assert len(seen) == 5000


def test_lines_inside_a_stage_show_the_day_that_it_added(store, tmp_path, events):
    file = events(tmp_path / "a.parquet", ["x"])
    with store.stage("load", DAY, settings="s"):
        store.add_day(DAY, [file])
        assert _names(store) == ["x"]


def test_the_same_text_on_two_platforms_is_two_lines(store, tmp_path, events):
    files = [events(tmp_path / f"{p}.parquet", ["whoami"], platform=p) for p in ("linux", "windows")]
    assert store.add_day(DAY, files).distinct == 2


def test_the_parent_kept_is_the_smallest_whatever_the_order_of_days(tmp_path, events):
    files = {
        DAY: events(tmp_path / "a.parquet", ["x", "x", "y"], parents=["m", "b", None]),
        NEXT: events(tmp_path / "b.parquet", ["x", "y"], parents=["a", "q"]),
    }
    tables = []
    for order in ([DAY, NEXT], [NEXT, DAY]):
        with Store.open(":memory:") as store:
            for day in order:
                store.add_day(day, [files[day]])
            tables.append(store.lines().table())
    assert tables[0] == tables[1]
    assert dict(
        zip(*(tables[0].column(c).to_pylist() for c in ("command_line", "parent_command_line")), strict=True)
    ) == {
        "x": "a",
        "y": "q",
    }


def test_a_lake_folder_may_have_glob_characters_quotes_and_a_day_in_its_name(store, tmp_path, events):
    file = events(tmp_path / "o'ne [1]*?" / "day=1999-01-01" / "part.parquet", ["x"])
    assert store.add_day(DAY, [file]).events == 1


def test_lines_by_id_keeps_the_order_and_repeats_of_the_ids(store, tmp_path, events):
    store.add_day(DAY, [events(tmp_path / "a.parquet", ["x", "y", "z"])])
    table = store.lines_by_id(pa.array([_id("z"), _id("x"), _id("z")]))
    assert table.schema == LINES
    assert table.column("command_line").to_pylist() == ["z", "x", "z"]
    assert store.lines_by_id([]).num_rows == 0


def test_an_unknown_id_is_named(store):
    with pytest.raises(StoreError, match="1 command_ids are not in the store, the first is 'nix'"):
        store.lines_by_id(["nix"])


def test_the_sample_is_the_same_in_another_store_whatever_the_order_of_events(tmp_path, events):
    lines = [f"cmd {i}" for i in range(500)]
    drawn = []
    for name, given_lines in (("a", lines), ("b", lines[::-1] + lines[:100])):
        with Store.open(tmp_path / name, threads=1 if name == "a" else 2) as store:
            store.add_day(DAY, [events(tmp_path / f"{name}.parquet", given_lines)])
            drawn.append(store.sample(DAY, 50).column("command_id").to_pylist())
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 50


def test_the_sample_is_what_the_documented_hash_says(store, tmp_path, events):
    lines = [f"cmd {i}" for i in range(200)]
    store.add_day(DAY, [events(tmp_path / "a.parquet", lines)])

    def draw(command_id: str) -> int:
        return int.from_bytes(hashlib.md5(f"2026-03-01|7|{command_id}".encode()).digest()[8:], "little")

    expected = sorted((_id(line) for line in lines), key=draw)[:20]
    assert store.sample(DAY, 20, seed=7).column("command_id").to_pylist() == expected


def test_a_smaller_sample_begins_a_larger_one_and_seeds_and_days_differ(store, tmp_path, events):
    file = events(tmp_path / "a.parquet", [f"cmd {i}" for i in range(300)])
    store.add_day(DAY, [file])
    store.add_day(NEXT, [file])
    ids = store.sample(DAY, 100).column("command_id").to_pylist()
    assert store.sample(DAY, 30).column("command_id").to_pylist() == ids[:30]
    assert store.sample(DAY, 100, seed=1).column("command_id").to_pylist() != ids
    assert store.sample(NEXT, 100).column("command_id").to_pylist() != ids
    assert store.sample(DAY, 1000).num_rows == 300
    assert store.sample(date(2030, 1, 1), 10).num_rows == 0


def test_the_sample_is_stable_when_the_day_grows(store, tmp_path, events):
    lines = [f"cmd {i}" for i in range(1000)]
    store.add_day(DAY, [events(tmp_path / "a.parquet", lines[:900])])
    before = store.sample(DAY, 200).column("command_id").to_pylist()
    store.add_day(DAY, [events(tmp_path / "a.parquet", lines)])
    after = store.sample(DAY, 200).column("command_id").to_pylist()
    added = {_id(line) for line in lines[900:]}
    kept = [i for i in after if i not in added]
    assert kept == before[: len(kept)]
    assert len(set(after) & added) == 200 - len(kept) > 0


def test_the_sample_is_uniform_over_distinct_lines_whatever_their_frequency(store, tmp_path, events):
    lines = [f"cmd {i}" for i in range(400)]
    store.add_day(DAY, [events(tmp_path / "a.parquet", lines[:200] * 5 + lines[200:])])
    frequent = {_id(line) for line in lines[:200]}
    drawn = [store.sample(DAY, 40, seed=s).column("command_id").to_pylist() for s in range(50)]
    hits = sum(i in frequent for ids in drawn for i in ids)
    # 2,000 draws of which half are expected to be frequent lines; 5 standard deviations are about 112.
    assert abs(hits - 1000) < 112
    assert len({i for ids in drawn for i in ids}) > 380


def test_files_that_are_missing_damaged_or_no_process_events_are_named_and_change_nothing(store, tmp_path, events):
    good = events(tmp_path / "good.parquet", ["x"])
    store.add_day(DAY, [good])
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(good.read_bytes()[:-20])
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"a": [1]}), other)
    for file, words in ((tmp_path / "nix.parquet", "missing"), (damaged, "damaged"), (other, "not process events")):
        with pytest.raises(StoreError, match=words):
            store.add_day(DAY, [good, file] if file != other else [file])
    assert _names(store, [DAY]) == ["x"]


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[: len(raw) // 2], lambda raw: b"", lambda raw: raw[:4] + bytes(len(raw) - 4)]
)
def test_a_damaged_lake_file_is_named_and_the_day_stays_as_it_was(store, tmp_path, events, damage):
    good = events(tmp_path / "a.parquet", ["x"])
    bad = events(tmp_path / "b.parquet", ["y", "z"])
    before = store.add_day(DAY, [good, bad])
    bad.write_bytes(damage(bad.read_bytes()))
    with pytest.raises(StoreError, match="a file of the lake is damaged") as caught:
        store.add_day(DAY, [good, bad])
    assert caught.value.file == str(bad)
    assert sorted(_names(store, [DAY])) == ["x", "y", "z"]
    assert before.distinct == 3
