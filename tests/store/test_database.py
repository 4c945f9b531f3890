from __future__ import annotations

import subprocess
import sys
from datetime import date

import duckdb
import pyarrow as pa
import pytest

from cmdclf.errors import StoreError
from cmdclf.store import SCHEMA_VERSION, Store
from cmdclf.store.migrations import MIGRATIONS, migrate, stored_version

DAY = date(2026, 3, 1)


def test_a_new_store_has_the_current_version_and_its_folder_is_made(tmp_path):
    path = tmp_path / "deep" / "er" / "state.duckdb"
    with Store.open(path) as store:
        assert store.days() == []
    with duckdb.connect(str(path)) as connection:
        assert stored_version(connection) == SCHEMA_VERSION


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_a_store_of_any_older_version_is_migrated_when_opened(tmp_path, version):
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        migrate(connection, MIGRATIONS[:version])
        if version:
            connection.execute("insert into command_line values ('id', 'linux', 'ls', null)")
    with Store.open(path) as store:
        assert store.verdicts().num_rows == 0
        if version:
            assert store.lines_by_id(["id"]).column("command_line").to_pylist() == ["ls"]


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path):
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        migrate(connection, MIGRATIONS[:1])
        with pytest.raises(duckdb.Error):
            migrate(connection, [*MIGRATIONS[:2], "create table half(a int); insert into nix values (1)"])
        assert stored_version(connection) == 1
        names = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
        assert names == {"schema_version", "command_line", "sighting"}


def test_a_store_of_a_newer_cmdclf_is_refused_with_a_remedy(tmp_path):
    path = tmp_path / "new.duckdb"
    with duckdb.connect(str(path)) as connection:
        migrate(connection, [*MIGRATIONS, "create table later(a int)"])
    with pytest.raises(StoreError, match=rf"new\.duckdb: .*version {SCHEMA_VERSION + 1}.*Update cmdclf"):
        Store.open(path)


def test_a_file_of_another_program_is_refused_and_not_touched(tmp_path):
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute("create table theirs(a int)")
    with pytest.raises(StoreError, match="not made by cmdclf"):
        Store.open(other)
    text = tmp_path / "notes.txt"
    text.write_text("hello " * 1000)
    with pytest.raises(StoreError, match=r"notes\.txt: this file is not a DuckDB file"):
        Store.open(text)
    assert text.read_text() == "hello " * 1000


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_store_is_named_with_a_remedy(tmp_path, damage):
    path = tmp_path / "state.duckdb"
    n = 5_000
    with Store.open(path) as store:
        rows = {"command_id": [f"{i:032x}" for i in range(n)], "verdict": ["benign"] * n, "judge": ["llm"] * n}
        store.append_verdicts(pa.table(rows | {"raw_reply": [f"{i * 7919:x}" * 20 for i in range(n)]}))
    whole = bytearray(path.read_bytes())
    if damage == "cut":
        whole = whole[: len(whole) // 2]
    else:
        for place in range(20_000, len(whole), 50_000):
            whole[place] ^= 0xFF
    path.write_bytes(whole)
    told = r"state\.duckdb: the store is damaged \(.*label import --history"
    with pytest.raises(StoreError, match=told), Store.open(path) as store:
        store.verdicts()


def test_a_store_open_in_another_process_is_refused_with_a_remedy(tmp_path):
    path = tmp_path / "state.duckdb"
    with Store.open(path):
        code = f"from cmdclf.store import Store\nStore.open({str(path)!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert other.returncode
    assert "StoreError" in other.stderr
    assert "is open in another process" in other.stderr
    assert "Wait for that process" in other.stderr


def test_a_store_opened_for_reading_reads_and_refuses_to_write(tmp_path):
    path = tmp_path / "state.duckdb"
    with pytest.raises(StoreError, match="there is no store here"):
        Store.open(path, read_only=True)
    with Store.open(path) as store:
        store.put_model("m", {"a": 1})
    with Store.open(path, read_only=True) as store:
        assert store.models().num_rows == 1
        with pytest.raises(StoreError, match="read-only"):
            store.put_model("m", {"a": 2})
    with duckdb.connect(str(tmp_path / "old.duckdb")) as connection:
        migrate(connection, MIGRATIONS[:1])
    with pytest.raises(StoreError, match="Open it once for writing"):
        Store.open(tmp_path / "old.duckdb", read_only=True)


def test_limits_are_handed_to_duckdb(tmp_path):
    with Store.open(tmp_path / "s", memory_limit_mb=256, threads=1, temp_dir=tmp_path / "spill") as store:
        rows = store._main.execute(
            "select name, value from duckdb_settings() where name in ('memory_limit', 'threads', 'temp_directory')"
        ).fetchall()
    assert dict(rows) == {"memory_limit": "256.0 MiB", "threads": "1", "temp_directory": str(tmp_path / "spill")}


def _anomalies(n: int) -> pa.Table:
    return pa.table(
        {
            "command_id": [f"{i:032x}" for i in range(n)],
            "detector": ["forest"] * n,
            "score": [1.0 / (i + 1) for i in range(n)],
            "rank": list(range(1, n + 1)),
        }
    )


def test_an_exception_rolls_back_all_writes_of_a_transaction(store):
    with pytest.raises(KeyError), store.transaction():  # noqa: PT012
        store.put_anomalies(DAY, "full", "s", _anomalies(3))
        store.put_model("m", {})
        raise KeyError
    assert store.anomalies().num_rows == 0
    assert store.models().num_rows == 0
    store.put_anomalies(DAY, "full", "s", _anomalies(3))
    assert store.anomalies().num_rows == 3


def test_a_failed_inner_write_that_was_caught_does_not_commit_the_outer_transaction(store):
    with pytest.raises(StoreError, match="rolled back"), store.transaction():  # noqa: PT012
        store.put_anomalies(DAY, "full", "s", _anomalies(1))
        with pytest.raises(KeyError), store.transaction():
            raise KeyError
    assert store.anomalies().num_rows == 0


def test_a_sql_error_inside_a_transaction_leaves_the_store_usable(store):
    bad = pa.table({"command_id": ["a"], "representative_id": ["a"], "level": ["nearly"], "cosine": [0.5]})
    with pytest.raises(StoreError, match="CHECK"):
        store.put_groups(DAY, "s", bad)
    store.put_anomalies(DAY, "full", "s", _anomalies(1))
    assert store.anomalies().num_rows == 1
