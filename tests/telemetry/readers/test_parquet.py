from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.errors import TelemetryError
from cmdclf.telemetry import PROCESS_EVENT, ReadOptions, detect_format
from cmdclf.telemetry.readers.parquet import ParquetReader

READER = ParquetReader()
NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)


@pytest.fixture
def parquet(tmp_path):
    def _write(table):
        path = tmp_path / "a.parquet"
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), path)
        return path

    return _write


def test_our_own_schema_comes_back_as_it_was(parquet):
    event = {
        "event_time": NOON, "platform": "linux", "command_line": "ls -l", "image": "/usr/bin/ls", "parent_image": None,
        "parent_command_line": "-bash", "user": "ada", "host": "web-1", "source_format": "osquery", "quoting": "joined",
        "count": 3,
    }  # fmt: skip
    path = parquet(pa.Table.from_pylist([event], PROCESS_EVENT))
    assert detect_format(path).name == "parquet"
    (batch,) = READER.read(path, ReadOptions())
    assert batch.schema == PROCESS_EVENT
    assert batch.to_pylist() == [event]


def test_nested_columns_and_flat_dotted_names_are_both_reached(parquet, outcome):
    ecs = {"process": [{"command_line": "id", "executable": "/usr/bin/id"}], "@timestamp": [NOON]}
    assert outcome(READER, parquet(ecs)).lines == ["id"]
    flat = {"process.command_line": ["id"], "process.executable": ["/usr/bin/id"], "@timestamp": [NOON]}
    (event,) = outcome(READER, parquet(flat)).events
    assert (event["image"], event["platform"], event["source_format"]) == ("/usr/bin/id", "linux", "ecs")


def test_the_sensors_form_of_a_labelled_pool_is_preferred(parquet, outcome):
    pool = {
        "command_line": ["Get-Item x", "ls"], "process_command_line": ["powershell -c Get-Item x", None],
        "platform": ["windows", "linux"], "event_time": [NOON, NOON],
    }  # fmt: skip
    assert outcome(READER, parquet(pool)).lines == ["powershell -c Get-Item x", "ls"]


def test_a_column_of_arguments_is_joined_and_marks_the_quoting(parquet, outcome):
    table = {"argv": [["ls", "a b"], None], "platform": ["linux", "linux"], "event_time": [NOON, NOON]}
    got = outcome(READER, parquet(table))
    assert got.lines == ["ls 'a b'"]
    assert got.events[0]["quoting"] == "joined"
    assert got.skipped == {"no command line": 1}


def test_only_process_starts_of_a_column_of_events_are_read(parquet, outcome):
    table = {
        "ActionType": ["ProcessCreated", "Other", None], "ProcessCommandLine": ["a", "b", "c"],
        "FolderPath": ["C:\\x\\a.exe"] * 3, "Timestamp": [NOON] * 3,
    }  # fmt: skip
    got = outcome(READER, parquet(table))
    assert got.lines == ["a", "c"]
    assert got.skipped == {"not a process start": 1}


def test_bad_rows_keep_their_number_over_batches(parquet, outcome):
    times = [NOON if i % 10 else None for i in range(25)]
    table = {"command_line": [f"c{i}" for i in range(25)], "event_time": times, "platform": ["linux"] * 25}
    got = outcome(READER, parquet(table), batch_rows=7)
    assert [r.offset for r in got.rejected] == [1, 11, 21]
    assert '"command_line": "c10"' in got.rejected[1].raw
    assert got.total == 25


def test_binary_columns_and_wrong_utf8_are_cleaned(parquet, outcome):
    broken = pa.array([b"a\xff", b"b\0"], pa.binary())
    base = {"event_time": [NOON] * 2, "platform": ["linux"] * 2}
    for column in (broken, broken.view(pa.string())):
        assert outcome(READER, parquet({"command_line": column, **base})).lines == ["a\\xff", "b\\x00"]


def test_a_file_without_a_command_line_is_an_error_with_a_remedy(parquet, outcome):
    with pytest.raises(TelemetryError, match=r"a, b.*--map command_line=COLUMN"):
        outcome(READER, parquet({"a": [1], "b": [2]}))


@pytest.mark.parametrize("keep", [8, 200, -20])
def test_a_truncated_file_is_an_error_that_names_it(parquet, outcome, keep):
    path = parquet({"command_line": ["ls"] * 500, "event_time": [NOON] * 500, "platform": ["linux"] * 500})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TelemetryError, match=r"a\.parquet: the Parquet file is damaged"):
        outcome(READER, path)
