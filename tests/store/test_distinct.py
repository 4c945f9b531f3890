from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmdclf.errors import StoreError
from cmdclf.store import DISTINCT, Parts, Store, distinct_parts, part_batches, sample_parts
from cmdclf.telemetry import command_id

DAY = date(2026, 3, 1)
EVENTS = pa.schema([("platform", pa.string()), ("command_line", pa.string()), ("count", pa.int32())])


def _file(path: Path, lines, *, platform="linux", counts=None, **options) -> Path:
    columns = [pa.array([platform] * len(lines)), pa.array(lines, pa.string()), counts or [1] * len(lines)]
    pq.write_table(pa.table(columns, schema=EVENTS), path, **options)
    return path


def _lines(parts: Parts) -> list[dict]:
    rows = [row for part in parts.files for batch in part_batches(part.path) for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["command_id"])


def _aside(parts: Parts) -> list[tuple[str, str, int | None]]:
    return [(Path(row["file"]).name, row["reason"], row["rows"]) for row in parts.set_aside.to_pylist()]


def _damage(path: Path, *, row_group: int) -> None:
    """Overwrite the middle of the lines of a row group, at least one page's header among it."""
    column = pq.read_metadata(path).row_group(row_group).column(1)
    content = bytearray(path.read_bytes())
    begin = column.data_page_offset + column.total_compressed_size // 2
    content[begin : begin + 6000] = b"\xff" * 6000
    path.write_bytes(content)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["windows", "linux"]),
            st.sampled_from(["a", "b", "", "ü 🐚", "x\ny"]) | st.text(st.characters(exclude_categories=["Cs"])),
            st.integers(1, 5),
        ),
        max_size=40,
    ),
    cut=st.integers(0, 40),
)
def test_each_line_of_a_platform_comes_once_with_its_id_and_the_sum_of_its_events(tmp_path_factory, events, cut):
    folder = tmp_path_factory.mktemp("day")
    files = []
    for name, some in (("a", events[:cut]), ("b", events[cut:])):
        files.append(folder / f"{name}.parquet")
        pq.write_table(pa.table([*map(list, zip(*some, strict=True))] or [[], [], []], schema=EVENTS), files[-1])
    parts = distinct_parts(files, folder / "work", threads=2)
    expected: Counter[tuple[str, str]] = Counter()
    for platform, line, count in events:
        expected[platform, line] += count
    assert {(row["platform"], row["command_line"]): row["events"] for row in _lines(parts)} == expected
    assert all(row["command_id"] == command_id(row["platform"], row["command_line"]) for row in _lines(parts))
    assert (parts.rows, parts.events) == (len(expected), sum(expected.values()))
    assert parts.set_aside.num_rows == 0


def test_parts_hold_a_day_larger_than_the_memory_limit_and_the_spill_is_gone(tmp_path):
    lines = [f"tool --number {i} --padding {'x' * 400}{i}" for i in range(200_000)]
    file = _file(tmp_path / "a.parquet", lines + lines[:50_000])
    parts = distinct_parts([file], tmp_path / "work", memory_mb=150, threads=1)
    assert (parts.rows, parts.events) == (200_000, 250_000)
    assert sorted(p.name for p in parts.folder.iterdir()) == sorted(
        [*(part.path.name for part in parts.files), "parts.json"]
    )
    assert sum(batch.num_rows for part in parts.files for batch in part_batches(part.path)) == 200_000


def test_one_line_a_hundred_thousand_times_is_one_line(tmp_path):
    parts = distinct_parts([_file(tmp_path / "a.parquet", ["whoami"] * 100_000)], tmp_path / "work")
    assert _lines(parts) == [
        {"command_id": command_id("linux", "whoami"), "platform": "linux", "command_line": "whoami", "events": 100_000}
    ]


def test_a_day_without_lines_has_no_part(tmp_path):
    for files in ([], [_file(tmp_path / "a.parquet", [])]):
        parts = distinct_parts(files, tmp_path / f"work{len(files)}")
        assert (parts.files, parts.rows, parts.events) == ((), 0, 0)
        assert Parts.load(parts.folder) == parts


def test_a_truncated_file_is_set_aside_and_the_others_are_read(tmp_path):
    whole, cut = _file(tmp_path / "a.parquet", ["x", "y"]), _file(tmp_path / "b.parquet", ["z"] * 1000)
    cut.write_bytes(cut.read_bytes()[:-20])
    (tmp_path / "c.parquet").write_bytes(b"")
    parts = distinct_parts([whole, cut, tmp_path / "c.parquet"], tmp_path / "work")
    assert [row["command_line"] for row in _lines(parts)] == sorted(["x", "y"], key=lambda s: command_id("linux", s))
    assert [(name, rows) for name, _, rows in _aside(parts)] == [("b.parquet", None), ("c.parquet", None)]
    assert all(reason.startswith("not a whole Parquet file") for _, reason, _ in _aside(parts))


@pytest.mark.parametrize("compression", ["zstd", "snappy"])
def test_what_is_before_and_after_a_damaged_page_is_processed(tmp_path, compression):
    lines = [f"run {command_id('x', str(i))}" for i in range(30_000)]
    options = {"row_group_size": 10_000, "data_page_size": 4000, "write_batch_size": 50, "use_dictionary": False}
    file = _file(tmp_path / "a.parquet", lines, compression=compression, **options)
    _damage(file, row_group=1)
    other = _file(tmp_path / "b.parquet", ["whoami"])
    parts = distinct_parts([file, other], tmp_path / "work")
    (aside,) = _aside(parts)
    assert aside[0] == "a.parquet"
    assert aside[1].startswith("a damaged page")
    assert 3000 < aside[2] < 7000, "of 10,000 rows those from the damage on"
    assert parts.rows == parts.events == 30_001 - aside[2]
    found = {row["command_line"] for row in _lines(parts)}
    assert found - {"whoami"} < set(lines)
    assert found >= {"whoami", *lines[:10_000], *lines[20_000:]}


def test_lines_over_a_mebibyte_are_set_aside_and_counted_per_file(tmp_path):
    huge = "A" * (8 << 20)
    edge = "B" * (1 << 20)
    a = _file(tmp_path / "a.parquet", ["x", huge, huge + "2", edge, edge + "B"], compression="zstd")
    b = _file(tmp_path / "b.parquet", ["y", huge])
    parts = distinct_parts([a, b], tmp_path / "work")
    assert {row["command_line"] for row in _lines(parts)} == {"x", "y", edge}
    assert _aside(parts) == [
        ("a.parquet", "a command line longer than 1 MiB", 3),
        ("b.parquet", "a command line longer than 1 MiB", 1),
    ]


def test_a_file_full_of_monstrous_lines_is_first_copied_without_them(tmp_path):
    lines = [f"{i}" + "A" * (8 << 20) for i in range(20)] + [f"ls {i}" for i in range(100)]
    file = _file(tmp_path / "a.parquet", lines, compression="zstd", use_dictionary=False)
    parts = distinct_parts([file], tmp_path / "work", memory_mb=100, threads=1)
    assert parts.rows == 100
    assert _aside(parts) == [("a.parquet", "a command line longer than 1 MiB", 20)]


def test_many_lines_of_a_mebibyte_need_no_memory_for_all_of_them(tmp_path):
    # 200 MiB of text and a limit of 150; each twice, in two files, and a short line.
    lines = [f"{i:04d} " + "B" * ((1 << 20) - 5) for i in range(200)]
    files = []
    for name in ("a", "b"):
        files.append(tmp_path / f"{name}.parquet")
        with pq.ParquetWriter(files[-1], EVENTS, use_dictionary=False) as writer:
            for begin in range(0, 200, 40):
                some = [*lines[begin : begin + 40], "whoami"]
                columns = [["linux"] * 41, some, pa.array([2] * 41, pa.int32())]
                writer.write_batch(pa.record_batch(columns, schema=EVENTS))
    parts = distinct_parts(files, tmp_path / "work", memory_mb=150, threads=1)
    seen = {}
    for part in parts.files:
        for batch in part_batches(part.path):
            assert batch.get_total_buffer_size() < 40 << 20, "with what a slice leaves unused"
            for name, line, events in zip(*(batch[i].to_pylist() for i in (0, 2, 3)), strict=True):
                assert name == command_id("linux", line)
                seen[line[:5]] = events
    assert seen == {line[:5]: 4 for line in lines} | {"whoam": 20}
    assert parts.events == 200 * 4 + 20
    assert parts.set_aside.num_rows == 0


def test_rows_without_line_or_platform_are_set_aside(tmp_path):
    table = pa.table([["linux", None, "linux", "p" * 300], ["x", "y", None, "z"], [1, 1, 1, 1]], schema=EVENTS)
    pq.write_table(table, tmp_path / "a.parquet")
    parts = distinct_parts([tmp_path / "a.parquet"], tmp_path / "work")
    assert [row["command_line"] for row in _lines(parts)] == ["x"]
    assert _aside(parts) == [("a.parquet", "no command line, or no platform of at most 256 bytes", 3)]


def test_files_of_something_else_are_set_aside_with_the_reason(tmp_path):
    pq.write_table(pa.table({"platform": ["linux"], "count": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"platform": ["linux"], "command_line": [7], "count": [1]}), tmp_path / "b.parquet")
    parts = distinct_parts(
        [tmp_path / "a.parquet", tmp_path / "b.parquet", _file(tmp_path / "c.parquet", ["x"])], tmp_path / "work"
    )
    assert parts.rows == 1
    assert _aside(parts) == [
        ("a.parquet", "no process events: the column 'command_line' is missing", 1),
        ("b.parquet", "no process events: the column 'command_line' is of type int64", 1),
    ]


def test_a_day_of_which_nothing_can_be_read_is_an_error_that_names_a_file(tmp_path):
    file = _file(tmp_path / "a.parquet", ["x"])
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(StoreError, match="no file of the day can be used") as caught:
        distinct_parts([file], tmp_path / "work")
    assert caught.value.file == str(file)
    assert not list(tmp_path.glob("work*"))


def test_parts_that_lack_a_file_or_were_cut_are_not_whole(tmp_path):
    parts = distinct_parts([_file(tmp_path / "a.parquet", ["x", "y"])], tmp_path / "work")
    assert Parts.load(tmp_path / "work") == parts
    part = parts.files[0].path
    content = part.read_bytes()
    part.write_bytes(content[:-1])
    assert Parts.load(tmp_path / "work") is None
    part.unlink()
    assert Parts.load(tmp_path / "work") is None
    assert Parts.load(tmp_path / "nothing") is None


def test_a_folder_with_glob_characters_and_quotes_is_a_folder(tmp_path):
    folder = tmp_path / "it's [1] *?"
    folder.mkdir()
    parts = distinct_parts([_file(folder / "a.parquet", ["x"])], folder / "work")
    assert parts.lines_by_id(pa.array([command_id("linux", "x")])).column("command_line").to_pylist() == ["x"]
    assert sample_parts(parts, folder / "sample", DAY, 5).rows == 1


def test_lines_by_id_come_in_the_order_asked_for(tmp_path):
    parts = distinct_parts([_file(tmp_path / "a.parquet", list("abcdef"))], tmp_path / "work")
    ids = pa.array([command_id("linux", line) for line in "eac"])
    assert parts.lines_by_id(ids).column("command_line").to_pylist() == ["e", "a", "c"]
    assert parts.lines_by_id(ids.slice(0, 0)).num_rows == 0
    with pytest.raises(StoreError, match="in no part"):
        parts.lines_by_id(pa.array(["0" * 32]))


def test_batches_are_bounded_in_rows_and_in_text(tmp_path):
    lines = [f"{i:03d}" + "x" * (i * 10) for i in range(300)]
    parts = distinct_parts([_file(tmp_path / "a.parquet", lines)], tmp_path / "work", threads=1)
    (part,) = parts.files
    batches = list(part_batches(part.path, max_rows=50, max_bytes=5000))
    assert all(batch.num_rows <= 50 for batch in batches)
    sizes = [pc.sum(pc.binary_length(batch["command_line"])).as_py() for batch in batches]
    assert all(size <= 5000 or batch.num_rows == 1 for size, batch in zip(sizes, batches, strict=True))
    assert pa.Table.from_batches(batches).cast(DISTINCT).equals(pq.read_table(part.path).cast(DISTINCT))


@pytest.mark.parametrize("n", [1, 40, 499, 500, 600])
def test_the_sample_is_that_of_the_store(tmp_path, n):
    file = tmp_path / "a.parquet"
    lines = [f"ping host{i}" for i in range(500)]
    columns = {
        "event_time": pa.array([0] * 500, pa.timestamp("us", "UTC")), "platform": ["linux"] * 500,
        "command_line": lines, "parent_command_line": pa.nulls(500, pa.string()), "host": ["h"] * 500,
        "count": [1] * 500,
    }  # fmt: skip
    pq.write_table(pa.table(columns), file)
    parts = distinct_parts([file], tmp_path / "work")
    sampled = sample_parts(parts, tmp_path / "sample", DAY, n, seed=3)
    with Store.open(":memory:") as store:
        store.add_day(DAY, [file])
        expected = store.sample(DAY, n, seed=3)
    assert {row["command_id"] for row in _lines(sampled)} == set(expected["command_id"].to_pylist())
    assert sampled.rows == min(n, 500)
    assert Parts.load(tmp_path / "sample") == sampled
