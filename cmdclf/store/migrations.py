"""The store's schema as ordered migrations: a new one is appended, none is ever edited."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from cmdclf.errors import StoreError

__all__ = ["MIGRATIONS", "migrate", "stored_version"]

# No primary keys on the large tables: DuckDB keeps such an index in memory and checks it row by row, and
# command_id is unique by construction (`add_day` merges on it). Anomalies are replaced by key instead.
_LINES = """
create table command_line(
    command_id varchar not null, platform varchar not null, command_line varchar not null, parent_command_line varchar);
create table sighting(
    day date not null, command_id varchar not null, events bigint not null, hosts bigint not null,
    first_event timestamptz, last_event timestamptz);
"""

_ANOMALIES = """
create table anomaly(
    day date not null, scale varchar not null, detector varchar not null, command_id varchar not null,
    score double not null, rank integer not null, settings varchar not null);
create table near_group(
    day date not null, command_id varchar not null, representative_id varchar not null,
    level varchar not null check (level in ('exact', 'masked', 'cosine')), cosine double, settings varchar not null);
"""

_LEDGER = """
create sequence verdict_seq;
create table verdict(
    seq bigint not null default nextval('verdict_seq'),
    command_id varchar not null, text_sha256 varchar,
    verdict varchar not null check (verdict in ('benign', 'malicious', 'unsure')),
    confidence double, reason varchar, technique varchar, judge varchar not null, model varchar, effort varchar,
    prompt_sha256 varchar, prompt_tokens bigint, completion_tokens bigint, cost_usd double, latency_s double,
    judged_at timestamptz not null, raw_reply varchar, vetoed_by varchar, note varchar);
"""

_STAGES = """
create table stage(
    day date, stage varchar not null, settings varchar not null, finished_at timestamptz not null,
    rows bigint, seconds double not null, detail varchar not null);
create table model(name varchar not null, stored_at timestamptz not null, manifest varchar not null);
create sequence run_seq;
create table run(
    run bigint not null default nextval('run_seq'), study varchar not null, settings varchar not null,
    started_at timestamptz not null, finished_at timestamptz not null, detail varchar not null);
"""

# Who reviewed, and which row a person's verdict overrides; lines that are marked for a person's look.
_REVIEW = """
alter table verdict add column reviewer varchar;
alter table verdict add column supersedes bigint;
create table review_mark(
    kind varchar not null, batch varchar not null, place bigint not null, command_id varchar not null,
    seq bigint, value double, detail varchar, marked_at timestamptz not null);
"""

#: Migration i (from 1) takes a store from version i - 1 to version i.
MIGRATIONS: tuple[str, ...] = (_LINES, _ANOMALIES, _LEDGER, _STAGES, _REVIEW)


def stored_version(connection: duckdb.DuckDBPyConnection) -> int:
    """The version of the open file; 0 for a new one.

    Raises:
        StoreError: the file is a DuckDB file of something else.
    """
    tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    if "schema_version" not in tables:
        if tables:
            raise StoreError(
                "this DuckDB file was not made by cmdclf", remedy="Name another file for the store, or move this one"
            )
        return 0
    # fetchall, not fetchone: DuckDB 2 refuses further work on a connection whose result was not read to its end.
    return int(connection.execute("select coalesce(max(version), 0) from schema_version").fetchall()[0][0])


def migrate(connection: duckdb.DuckDBPyConnection, migrations: Sequence[str] = MIGRATIONS) -> int:
    """Bring the open file to the version `len(migrations)`, all in one transaction; returns the version it had.

    Raises:
        StoreError: the file is newer than this cmdclf, or belongs to another program.
    """
    have = stored_version(connection)
    if have > len(migrations):
        raise StoreError(
            f"the store has schema version {have}, this cmdclf knows versions up to {len(migrations)}",
            remedy="Update cmdclf, or name another file for the store",
        )
    if have == len(migrations):
        return have
    connection.execute("begin")
    try:
        connection.execute(
            "create table if not exists schema_version(version integer not null, applied_at timestamptz not null)"
        )
        for version, script in enumerate(migrations[have:], start=have + 1):
            connection.execute(script)
            connection.execute("insert into schema_version values (?, now())", [version])
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")
    return have
