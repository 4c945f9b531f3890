"""The cumulative curves of a study's anomalies as rows, and what their saturation comes to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from cmdclf.errors import StudyError
from cmdclf.study.curves import CURVES, TOGETHER, saturation_rows

__all__ = ["curve_rows", "saturation_table"]

_CURVE_ROWS = pa.schema(
    [("scale", pa.string()), ("curve", pa.string()), *((c, pa.int64()) for c in ("day", "anomalies", "new"))]
)
_WHOLE = ("all", "distinct", "near_distinct", "below_25", "below_10", "next_30_days")


def curve_rows(results: Mapping[str, Any]) -> pa.Table:
    """scale, curve, day, anomalies, new: cumulative anomalies by training day (from 1), and what that day added.

    `scale` is full, reduced or together; `curve` is all, distinct or near_distinct.

    Raises:
        StudyError: the study ran before curves were kept by scale.
    """
    curves = _curves(results)
    rows = []
    for scale, lists in (*curves["by_scale"].items(), (TOGETHER, curves)):
        for name in CURVES:
            for day, (before, value) in enumerate(zip([0, *lists[name]], lists[name], strict=False), start=1):
                row = {"scale": scale, "curve": name, "day": day, "anomalies": value, "new": value - before}
                rows.append(row)
    return pa.Table.from_pylist(rows, schema=_CURVE_ROWS)


def saturation_table(results: Mapping[str, Any]) -> pa.Table:
    """The rows of `saturation_rows`: full, reduced, together.

    Raises:
        StudyError: the study ran before curves were kept by scale.
    """
    rows = saturation_rows(_curves(results))
    kinds = [(c, pa.int64() if c in _WHOLE else pa.float64()) for c in rows[0] if c != "scale"]
    return pa.Table.from_pylist(rows, schema=pa.schema([("scale", pa.string()), *kinds]))


def _curves(results: Mapping[str, Any]) -> Mapping[str, Any]:
    curves: Mapping[str, Any] = results["curves"]
    if "saturation" not in curves:
        raise StudyError(
            "the results hold no curves by scale", remedy="Run the study again: finished stages are skipped"
        )
    return curves
