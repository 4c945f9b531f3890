from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.store import Store

EVENT = pa.schema(
    [
        ("event_time", pa.timestamp("us", tz="UTC")),
        ("platform", pa.string()),
        ("command_line", pa.string()),
        ("parent_command_line", pa.string()),
        ("host", pa.string()),
        ("count", pa.int32()),
    ]
)


def _write_events(path: Path, lines, *, platform="windows", hosts=None, hour=10, count=1, parents=None, day=1) -> Path:
    """A lake file of one process event per line given."""
    rows = [
        {
            "event_time": datetime(2026, 3, day, hour, i % 60, tzinfo=UTC),
            "platform": platform,
            "command_line": line,
            "parent_command_line": parents[i] if parents else None,
            "host": hosts[i] if hosts else "h1",
            "count": count,
        }
        for i, line in enumerate(lines)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=EVENT), path)
    return path


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "state.duckdb") as opened:
        yield opened


@pytest.fixture
def events():
    """The function that writes a lake file."""
    return _write_events
