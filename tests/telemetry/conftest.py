"""Small logs, written here, that the readers' tests share."""

import json

import pytest

from cmdclf.telemetry import Lake, ReadOptions, Rejected, Skipped


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def write(tmp_path):
    """Write bytes, text, or records as JSON lines, and return the path."""

    def _write(name, content):
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(record) + "\n" for record in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


class Outcome:
    """What a reader delivered, sorted by kind."""

    def __init__(self, items):
        self.events, self.rejected, self.skipped = [], [], {}
        for item in items:
            if isinstance(item, Rejected):
                self.rejected.append(item)
            elif isinstance(item, Skipped):
                self.skipped[item.reason] = self.skipped.get(item.reason, 0) + item.records
            else:
                self.events.extend(item.to_pylist())

    @property
    def total(self):
        return len(self.events) + len(self.rejected) + sum(self.skipped.values())

    @property
    def lines(self):
        return [event["command_line"] for event in self.events]


@pytest.fixture
def outcome():
    def _read(reader, path, **options):
        return Outcome(reader.read(path, ReadOptions(**options)))

    return _read
