"""One DuckDB file holds all state: command lines, anomalies, groups, the label ledger, stages, models and runs."""

from __future__ import annotations

from cmdclf.store.batches import LineBatches
from cmdclf.store.distinct import distinct_parts, sample_parts
from cmdclf.store.lines import DayCount
from cmdclf.store.parts import DISTINCT, SET_ASIDE, Part, Parts, part_batches
from cmdclf.store.schema import (
    ANOMALIES,
    GROUPS,
    LEDGER_ROW,
    LINES,
    LINES_WITH_COUNTS,
    MARKED,
    REVIEW_MARKS,
    SCHEMA_VERSION,
    VERDICT_COSTS,
    VERDICT_COUNTS,
    VERDICTS,
)
from cmdclf.store.stages import Stage
from cmdclf.store.store import Store

__all__ = [
    "ANOMALIES",
    "DISTINCT",
    "GROUPS",
    "LEDGER_ROW",
    "LINES",
    "LINES_WITH_COUNTS",
    "MARKED",
    "REVIEW_MARKS",
    "SCHEMA_VERSION",
    "SET_ASIDE",
    "VERDICTS",
    "VERDICT_COSTS",
    "VERDICT_COUNTS",
    "DayCount",
    "LineBatches",
    "Part",
    "Parts",
    "Stage",
    "Store",
    "distinct_parts",
    "part_batches",
    "sample_parts",
]
