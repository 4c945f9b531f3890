from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from cmdclf.store import Store

DAY = date(2026, 3, 1)


def test_a_finished_stage_is_done_with_the_same_settings_only(store):
    with store.stage("detect", DAY, settings="s1") as stage:
        assert not stage.done
        stage.rows, stage.detail = 7, {"detector": "forest"}
    with store.stage("detect", DAY, settings="s1") as stage:
        assert (stage.done, stage.rows, stage.detail) == (True, 7, {"detector": "forest"})
    for name, day, settings in (("detect", DAY, "s2"), ("detect", None, "s1"), ("dedup", DAY, "s1")):
        with store.stage(name, day, settings=settings) as stage:
            assert not stage.done
    assert store.stages().num_rows == 4


def test_a_stage_that_is_done_is_not_recorded_again(tmp_path):
    times = iter(datetime(2026, 3, d, tzinfo=UTC) for d in (1, 2, 3))
    with Store.open(tmp_path / "s", clock=lambda: next(times)) as store:
        for _ in range(2):
            with store.stage("detect", settings="s"):
                pass
        table = store.stages()
    assert table.column("finished_at").to_pylist() == [datetime(2026, 3, 1, tzinfo=UTC)]
    assert table.column("seconds").to_pylist()[0] >= 0


def test_a_stage_that_fails_leaves_neither_its_writes_nor_its_record(store):
    with pytest.raises(ZeroDivisionError), store.stage("train", settings="s"):  # noqa: PT012
        store.put_model("m", {})
        raise ZeroDivisionError
    assert store.models().num_rows == store.stages().num_rows == 0
    with store.stage("train", settings="s") as stage:
        assert not stage.done


def test_a_stage_that_replaces_is_not_done_after_other_settings_were_used(store):
    for settings, done in (("a", False), ("a", True), ("b", False), ("a", False)):
        with store.stage("load", DAY, settings=settings, replaces=True) as stage:
            assert stage.done is done
    assert store.stages().num_rows == 1


def test_a_forgotten_stage_is_done_again(store):
    with store.stage("load", DAY, settings="a"):
        pass
    store.forget_stage("load", DAY)
    with store.stage("load", DAY, settings="a") as stage:
        assert not stage.done


def test_models_and_runs_are_recorded_with_their_time(tmp_path):
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with Store.open(tmp_path / "s", clock=lambda: now) as store:
        store.put_model("rb", {"files": {"b": 1, "a": "ü"}})
        first = store.put_run("demo", settings="s", started_at=datetime(2026, 3, 1, 11, tzinfo=UTC), detail={"arms": 2})
        second = store.put_run("demo", settings="s", started_at=now, detail={})
        models, runs = store.models().to_pylist(), store.runs().to_pylist()
    assert models == [{"name": "rb", "stored_at": now, "manifest": '{"files": {"a": "ü", "b": 1}}'}]
    assert [run["run"] for run in runs] == [first, second]
    assert json.loads(runs[0]["detail"]) == {"arms": 2}
    assert (runs[0]["finished_at"] - runs[0]["started_at"]).total_seconds() == 3600


_KILLED = """
import os, signal, sys
from datetime import date
from pathlib import Path
import pyarrow as pa
from cmdclf.store import Store

path, first, second = sys.argv[1:4]
day = date(2026, 3, 1)
store = Store.open(path)
with store.stage("load", day, settings="one", replaces=True):
    store.add_day(day, [Path(first)])
with store.stage("load", day, settings="two", replaces=True):
    store.add_day(day, [Path(second)])
    store.put_anomalies(day, "full", "two", pa.table(
        {"command_id": ["a"], "detector": ["f"], "score": [1.0], "rank": [1]}))
    store.append_verdicts(pa.table({"command_id": ["a"], "verdict": ["benign"], "judge": ["llm"]}))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_inside_a_stage_loses_only_that_stage(tmp_path, events):
    first = events(tmp_path / "1.parquet", [f"first {i}" for i in range(3000)])
    second = events(tmp_path / "2.parquet", [f"second {i}" for i in range(5000)])
    path = tmp_path / "state.duckdb"
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(path), str(first), str(second)], check=False, capture_output=True, text=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with Store.open(path) as store:
        assert store.lines([DAY]).table().num_rows == 3000
        assert store.anomalies().num_rows == 0
        assert store.verdicts().column("command_id").to_pylist() == ["a"]
        assert store.stages().column("settings").to_pylist() == ["one"]
        with store.stage("load", DAY, settings="two", replaces=True) as stage:
            assert not stage.done
            store.add_day(DAY, [second])
        assert store.lines([DAY]).table().num_rows == 5000


_WRITER = """
import sys
from datetime import date
from pathlib import Path
from cmdclf.store import Store

store = Store.open(sys.argv[1])
print("ready", flush=True)
for i in range(1000):
    with store.stage("load", date(2026, 3, 1), settings=str(i), replaces=True) as stage:
        stage.rows = store.add_day(date(2026, 3, 1), [Path(sys.argv[2 + i % 2])]).distinct
    print(i, flush=True)
"""


@pytest.mark.parametrize("after", [0, 2, 5])
def test_a_process_killed_at_any_moment_leaves_a_whole_day(tmp_path, events, after):
    files = [events(tmp_path / f"{n}.parquet", [f"{n} {i}" for i in range(n)]) for n in (1000, 1500)]
    path = tmp_path / "state.duckdb"
    command = [sys.executable, "-c", _WRITER, str(path), *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        for line in writer.stdout:
            if line.strip() == str(after):
                break
        os.kill(writer.pid, signal.SIGKILL)
    with Store.open(path) as store:
        (stage,) = store.stages().to_pylist()
        assert int(stage["settings"]) >= after
        assert store.lines([DAY]).table().num_rows == stage["rows"] == (1000, 1500)[int(stage["settings"]) % 2]
        ids = store.lines().table().column("command_id")
        assert len(ids.unique()) == len(ids)


_FULL_DISK = """
import resource, signal, sys
from datetime import date
from pathlib import Path
import pyarrow as pa
from cmdclf.errors import StoreError
from cmdclf.store import Store

store = Store.open(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with store.stage("load", date(2026, 3, 2), settings="s"):
        store.add_day(date(2026, 3, 2), [Path(sys.argv[2])])
except StoreError as error:
    print(error)
try:
    store.append_verdicts(pa.table({"command_id": ["b"] * 5000, "verdict": ["benign"] * 5000, "judge": ["llm"] * 5000}))
except StoreError as error:
    print(error)
"""


def test_a_write_that_finds_no_space_is_explained_and_loses_nothing(tmp_path, events):
    path = tmp_path / "state.duckdb"
    with Store.open(path) as store:
        store.add_day(DAY, [events(tmp_path / "1.parquet", ["x", "y"])])
        store.append_verdicts(pa.table({"command_id": ["a"], "verdict": ["benign"], "judge": ["llm"]}))
    large = events(tmp_path / "2.parquet", [f"second {i}" for i in range(5000)])
    # No file of this process may grow beyond 4 KiB: the system's calls fail as they do on a full disk.
    full = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(path), str(large)], check=True, capture_output=True, text=True
    )
    lines = full.stdout.splitlines()
    assert len(lines) == 2
    assert all("state.duckdb: the disk is full or a file may not grow" in line for line in lines)
    assert all("Free some space and run the same command again" in line for line in lines)
    with Store.open(path) as store:
        assert store.days() == [DAY]
        assert store.verdicts().column("command_id").to_pylist() == ["a"]
        assert store.stages().num_rows == 0


def test_put_calls_inside_a_stage_are_seen_by_it_before_the_commit(store):
    with store.stage("detect", settings="s"):
        store.put_anomalies(
            DAY, "full", "s", pa.table({"command_id": ["a"], "detector": ["f"], "score": [1.0], "rank": [1]})
        )
        assert store.anomalies().num_rows == 1
