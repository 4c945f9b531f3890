import errno
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import TelemetryError
from cmdclf.telemetry import PROCESS_EVENT, Lake
from cmdclf.telemetry.lake import LakeWriter

MIDNIGHT = datetime(2024, 3, 5, tzinfo=UTC)


def batch(times, line="ls"):
    return pa.RecordBatch.from_pylist(
        [
            {
                "event_time": t, "platform": "linux", "command_line": f"{line} {i}", "source_format": "test",
                "quoting": "native", "count": 1,
            }
            for i, t in enumerate(times)
        ],
        schema=PROCESS_EVENT,
    )  # fmt: skip


def snapshot(lake):
    return {p.relative_to(lake.root): p.read_bytes() for p in lake.root.rglob("*") if p.is_file()}


def test_events_lie_in_the_folder_of_their_utc_day(lake):
    second = timedelta(microseconds=1)
    days = lake.write([batch([MIDNIGHT - second, MIDNIGHT, MIDNIGHT + timedelta(days=1) - second])], name="part")
    assert days == {date(2024, 3, 4): 1, date(2024, 3, 5): 2}
    assert lake.days() == list(days)
    assert [p.relative_to(lake.root).as_posix() for p in lake.files(date(2024, 3, 5))] == [
        "day=2024-03-05/part.parquet"
    ]
    assert sum(b.num_rows for b in lake.batches(date(2024, 3, 5))) == 2
    assert sorted(p.name for p in lake.root.iterdir()) == ["day=2024-03-04", "day=2024-03-05"]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)), max_size=6), max_size=6))
def test_what_is_written_is_what_is_read(tmp_path_factory, groups):
    lake = Lake(tmp_path_factory.mktemp("lake"))
    batches = [batch([t.replace(tzinfo=UTC) for t in times], f"g{i}") for i, times in enumerate(groups)]
    days = lake.write(batches, name="p")
    assert sum(days.values()) == sum(map(len, groups))
    read = [row for b in lake.batches() for row in b.to_pylist()]
    key = lambda r: (r["event_time"], r["command_line"])  # noqa: E731
    assert sorted(read, key=key) == sorted((r for b in batches for r in b.to_pylist()), key=key)


def test_the_same_name_replaces_on_all_days_and_another_adds(lake):
    lake.write([batch([MIDNIGHT, MIDNIGHT + timedelta(days=1)])], name="a")
    lake.write([batch([MIDNIGHT + timedelta(days=2)])], name="b")
    lake.write([batch([MIDNIGHT])], name="a")
    assert lake.days() == [date(2024, 3, 5), date(2024, 3, 7)]
    assert sum(b.num_rows for b in lake.batches()) == 2


def test_columns_can_be_chosen(lake):
    lake.write([batch([MIDNIGHT])], name="a")
    (got,) = lake.batches(columns=["command_line", "count"])
    assert got.to_pylist() == [{"command_line": "ls 0", "count": 1}]


def test_a_log_with_hundreds_of_days_does_not_exhaust_the_file_handles(lake, monkeypatch):
    monkeypatch.setattr("cmdclf.telemetry.lake._OPEN_WRITERS", 5)
    monkeypatch.setattr("cmdclf.telemetry.lake._BUFFER_BYTES", 2000)
    times = [MIDNIGHT + timedelta(days=d) for d in range(12)]
    lake.write((batch(times, f"g{i}") for i in range(9)), name="a")
    assert sum(b.num_rows for b in lake.batches()) == 108
    assert all(sum(b.num_rows for b in lake.batches(d)) == 9 for d in lake.days())
    lake.write([batch([MIDNIGHT])], name="a")
    assert sum(b.num_rows for b in lake.batches()) == 1


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_full_disk_leaves_the_lake_as_it_was(lake, monkeypatch, function, after):
    lake.write([batch([MIDNIGHT + timedelta(days=d) for d in range(2)])], name="a")
    before = snapshot(lake)
    real, calls = getattr(os, function), [0]

    def full(*args):
        calls[0] += 1
        if calls[0] > after:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    monkeypatch.setattr(os, function, full)
    with pytest.raises(OSError, match="No space"):
        lake.write([batch([MIDNIGHT + timedelta(days=d) for d in range(4)], "new")], name="a")
    assert snapshot(lake) == before
    assert not (lake.root / ".tmp").exists()


def test_a_write_that_fails_half_way_leaves_the_lake_as_it_was(lake):
    lake.write([batch([MIDNIGHT])], name="a")
    before = snapshot(lake)
    program = f"""
import resource, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from cmdclf.telemetry import Lake
from test_lake import MIDNIGHT, batch
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    Lake({str(lake.root)!r}).write((batch([MIDNIGHT] * 5000, str(i) * 50) for i in range(40)), name="a")
except OSError as error:
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert snapshot(lake) == before


def test_what_a_killed_writer_left_is_swept_by_the_next(lake):
    program = f"""
import os, signal
from cmdclf.telemetry import Lake
from cmdclf.telemetry.lake import LakeWriter
with LakeWriter(Lake({str(lake.root)!r}), "a") as writer:
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", program])
    assert len(list((lake.root / ".tmp").iterdir())) == 1
    assert lake.days() == []
    lake.write([batch([MIDNIGHT])], name="a")
    assert not (lake.root / ".tmp").exists()


@pytest.mark.parametrize("name", ["", "../a", "a/b", "a b", ".hidden", "x.seg1"])
def test_names_that_are_no_file_names_are_refused(lake, name):
    with pytest.raises(TelemetryError, match="name a part"):
        LakeWriter(lake, name)


def test_batches_of_another_schema_or_with_nulls_are_refused(lake):
    with pytest.raises(TelemetryError, match="lacks the columns"):
        lake.write([pa.RecordBatch.from_pydict({"command_line": ["ls"]})], name="a")
    with pytest.raises(TelemetryError, match=r"event_time.*null"):
        lake.write([batch([None])], name="a")
    assert lake.days() == []


def test_a_damaged_or_foreign_file_in_the_lake_is_named(lake):
    lake.write([batch([MIDNIGHT])], name="a")
    folder = lake.root / "day=2024-03-05"
    (folder / "b.parquet").write_bytes(b"PAR1 broken")
    with pytest.raises(TelemetryError, match=r"b\.parquet: a file of the lake is damaged"):
        list(lake.batches())
    pq.write_table(pa.table({"x": [1]}), folder / "b.parquet")
    with pytest.raises(TelemetryError, match=r"b\.parquet: the columns .* are missing"):
        list(lake.batches())


def test_an_absent_lake_is_empty(lake):
    assert lake.days() == []
    assert list(lake.batches()) == []
