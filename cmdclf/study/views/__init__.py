"""What a finished study holds, as Arrow tables for people to look at; the notebooks draw these and compute nothing.

The functions read the study's folder alone (store, `results.json`, `arms/`, `model/`), not its lake or `study.toml`, so
a folder can be looked at on another machine.
"""

from __future__ import annotations

from cmdclf.study.views.anomalies import fired_checks, newest_anomalies, top_anomalies, unusual_features
from cmdclf.study.views.classifier import arm_rows, arm_thresholds, confusion, errors, roc_rows, scored_test
from cmdclf.study.views.curves import curve_rows, saturation_table
from cmdclf.study.views.folder import finished_study, reading, study_embedder, visible
from cmdclf.study.views.labels import (
    day_anomaly_lines,
    group_members,
    group_rows,
    vetoed_lines,
)
from cmdclf.study.views.telemetry import (
    day_counts,
    frequencies,
    length_histogram,
    platform_counts,
    platform_shares,
    top_lines,
)

__all__ = [
    "arm_rows",
    "arm_thresholds",
    "confusion",
    "curve_rows",
    "day_anomaly_lines",
    "day_counts",
    "errors",
    "finished_study",
    "fired_checks",
    "frequencies",
    "group_members",
    "group_rows",
    "length_histogram",
    "newest_anomalies",
    "platform_counts",
    "platform_shares",
    "reading",
    "roc_rows",
    "saturation_table",
    "scored_test",
    "study_embedder",
    "top_anomalies",
    "top_lines",
    "unusual_features",
    "vetoed_lines",
    "visible",
]
