import pyarrow as pa
import pytest

from cmdclf.store import Store
from cmdclf.telemetry import command_ids


@pytest.fixture(autouse=True)
def _loopback_without_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "store.duckdb") as opened:
        yield opened


@pytest.fixture
def lines_of():
    """Builds a LINES table from (platform, command line) pairs or from Windows command lines."""

    def build(*pairs, **columns):
        rows = [pair if isinstance(pair, tuple) else ("windows", pair) for pair in pairs]
        platform = pa.array([row[0] for row in rows], pa.string())
        text = pa.array([row[1] for row in rows], pa.string())
        table = {"command_id": command_ids(platform, text), "platform": platform, "command_line": text}
        return pa.table(table | {name: pa.array(values, pa.string()) for name, values in columns.items()})

    return build
