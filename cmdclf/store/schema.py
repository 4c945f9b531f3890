"""What comes out of the store and what goes in: one Arrow schema per table."""

from __future__ import annotations

import pyarrow as pa

from cmdclf.errors import StoreError
from cmdclf.store.migrations import MIGRATIONS

__all__ = [
    "ANOMALIES",
    "GROUPS",
    "LEDGER_ROW",
    "LINES",
    "LINES_WITH_COUNTS",
    "MARKED",
    "MODELS",
    "REVIEW_MARKS",
    "RUNS",
    "SCHEMA_VERSION",
    "STAGES",
    "VERDICTS",
    "VERDICT_COSTS",
    "VERDICT_COUNTS",
    "checked",
]

#: The version that a store has after all migrations.
SCHEMA_VERSION = len(MIGRATIONS)

_UTC = pa.timestamp("us", tz="UTC")

#: A batch of distinct command lines; `parent_command_line` is one example, the smallest.
LINES = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("command_line", pa.string(), nullable=False),
        pa.field("parent_command_line", pa.string()),
    ]
)

#: LINES with what was seen on the days asked for. `hosts` is the largest number of distinct hosts on one of them.
LINES_WITH_COUNTS = pa.schema(
    [
        *LINES,
        pa.field("events", pa.int64(), nullable=False),
        pa.field("hosts", pa.int64(), nullable=False),
        pa.field("days", pa.int64(), nullable=False),
        pa.field("first_seen", _UTC),
        pa.field("last_seen", _UTC),
    ]
)

#: What `put_anomalies` takes, and with day, scale and settings around it what `anomalies` gives.
DETECTED = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("detector", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
    ]
)

ANOMALIES = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("scale", pa.string(), nullable=False),
        pa.field("detector", pa.string(), nullable=False),
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("settings", pa.string(), nullable=False),
    ]
)

#: What `put_groups` takes; `level` is exact, masked or cosine, `cosine` is null where no cosine decided.
GROUPED = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("representative_id", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("cosine", pa.float64()),
    ]
)

GROUPS = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        *GROUPED,
        pa.field("settings", pa.string(), nullable=False),
    ]
)

#: One verdict as a judge gave it. Only the fields that are not nullable must be there.
LEDGER_ROW = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("text_sha256", pa.string()),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("confidence", pa.float64()),
        pa.field("reason", pa.string()),
        pa.field("technique", pa.string()),
        pa.field("judge", pa.string(), nullable=False),
        pa.field("model", pa.string()),
        pa.field("effort", pa.string()),
        pa.field("prompt_sha256", pa.string()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("cost_usd", pa.float64()),
        pa.field("latency_s", pa.float64()),
        pa.field("judged_at", _UTC),
        pa.field("raw_reply", pa.string()),
        pa.field("vetoed_by", pa.string()),
        pa.field("note", pa.string()),
        pa.field("reviewer", pa.string()),
        pa.field("supersedes", pa.int64()),
    ]
)

#: A ledger row as stored: `seq` grows with every row, so the latest verdict of a line has its largest `seq`.
VERDICTS = pa.schema([pa.field("seq", pa.int64(), nullable=False), *LEDGER_ROW])

#: Latest verdicts counted; `lines` with `cost_usd` of the rows counted.
VERDICT_COUNTS = pa.schema(
    [
        pa.field("judge", pa.string(), nullable=False),
        pa.field("verdict", pa.string(), nullable=False),
        pa.field("vetoed", pa.bool_(), nullable=False),
        pa.field("lines", pa.int64(), nullable=False),
        pa.field("cost_usd", pa.float64(), nullable=False),
    ]
)

#: What verdicts cost, superseded ones too: they were paid for. `day` is that of `judged_at` in UTC.
VERDICT_COSTS = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("judge", pa.string(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("verdicts", pa.int64(), nullable=False),
        pa.field("prompt_tokens", pa.int64(), nullable=False),
        pa.field("completion_tokens", pa.int64(), nullable=False),
        pa.field("cost_usd", pa.float64(), nullable=False),
        pa.field("latency_s", pa.float64(), nullable=False),
    ]
)

#: A line that is marked for a person's look. `place` orders the lines of one batch, `seq` is the verdict in question.
MARKED = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("seq", pa.int64()),
        pa.field("value", pa.float64()),
        pa.field("detail", pa.string()),
    ]
)

REVIEW_MARKS = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("batch", pa.string(), nullable=False),
        pa.field("place", pa.int64(), nullable=False),
        *MARKED,
        pa.field("marked_at", _UTC, nullable=False),
    ]
)

STAGES = pa.schema(
    [
        pa.field("day", pa.date32()),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("settings", pa.string(), nullable=False),
        pa.field("finished_at", _UTC, nullable=False),
        pa.field("rows", pa.int64()),
        pa.field("seconds", pa.float64(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)

MODELS = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("stored_at", _UTC, nullable=False),
        pa.field("manifest", pa.string(), nullable=False),
    ]
)

RUNS = pa.schema(
    [
        pa.field("run", pa.int64(), nullable=False),
        pa.field("study", pa.string(), nullable=False),
        pa.field("settings", pa.string(), nullable=False),
        pa.field("started_at", _UTC, nullable=False),
        pa.field("finished_at", _UTC, nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)


def checked(table: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """The table with exactly the schema's columns in its order and types; nullable columns may be missing.

    Raises:
        StoreError: a required column is missing, holds nulls, or does not convert.
    """
    columns = []
    for field in schema:
        if field.name in table.column_names:
            try:
                column = table.column(field.name).cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise StoreError(f"{what}: column '{field.name}' is not {field.type}: {error}") from error
        elif field.nullable:
            column = pa.nulls(table.num_rows, field.type)
        else:
            raise StoreError(
                f"{what} lack the column '{field.name}'", remedy=f"Give the columns {', '.join(schema.names)}"
            )
        if not field.nullable and column.null_count:
            raise StoreError(f"{what}: column '{field.name}' holds {column.null_count} nulls")
        columns.append(column)
    return pa.table(columns, schema=schema)
