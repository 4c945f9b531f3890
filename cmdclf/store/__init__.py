"""One DuckDB file holds all state: command lines, anomalies, groups, the label ledger, stages, models and runs."""

from __future__ import annotations

from cmdclf.store.batches import LineBatches
from cmdclf.store.lines import DayCount
from cmdclf.store.schema import (
    ANOMALIES,
    GROUPS,
    LEDGER_ROW,
    LINES,
    LINES_WITH_COUNTS,
    SCHEMA_VERSION,
    VERDICT_COUNTS,
    VERDICTS,
)
from cmdclf.store.stages import Stage
from cmdclf.store.store import Store

__all__ = [
    "ANOMALIES",
    "GROUPS",
    "LEDGER_ROW",
    "LINES",
    "LINES_WITH_COUNTS",
    "SCHEMA_VERSION",
    "VERDICTS",
    "VERDICT_COUNTS",
    "DayCount",
    "LineBatches",
    "Stage",
    "Store",
]
