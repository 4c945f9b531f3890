"""The arms as numbers, and one arm's errors at a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.classify import read_manifest
from cmdclf.errors import StudyError

__all__ = ["arm_rows", "arm_thresholds", "confusion", "errors", "roc_rows", "scored_test"]


def arm_rows(results: Mapping[str, Any], test: str) -> pa.Table:
    """arm, benign, malicious, added int64, auc, auc_low, auc_high, minus_random, tpr_at_1e2, tpr_at_1e3, fpr_at_tpr90
    float64, unresolved string: one row per arm, null where the arm has no such figure.

    `unresolved` names the false-positive rates that the test has too few benign lines for: the TPR given there hangs on
    a handful of them.
    """
    rows = []
    for arm in results["arms"]:
        found = arm["tests"].get(test, {})
        low, high = found.get("auc_ci95") or (None, None)
        rates = found.get("tpr_at_fpr", {})
        rows.append(
            {"arm": arm["name"]} | {c: arm["train"][c] for c in ("benign", "malicious", "added")}
            | {"auc": found.get("auc"), "auc_low": low, "auc_high": high}
            | {"minus_random": (found.get("auc_minus_random") or {}).get("value")}
            | {"tpr_at_1e2": rates.get("0.01"), "tpr_at_1e3": rates.get("0.001")}
            | {"fpr_at_tpr90": found.get("fpr_at_tpr", {}).get("0.9")}
            | {"unresolved": ", ".join(sorted(found.get("unresolved", {}), reverse=True))}
        )  # fmt: skip
    counts = [(c, pa.int64()) for c in ("benign", "malicious", "added")]
    shares = ("auc", "auc_low", "auc_high", "minus_random", "tpr_at_1e2", "tpr_at_1e3", "fpr_at_tpr90")
    columns = [("arm", pa.string()), *counts, *((c, pa.float64()) for c in shares), ("unresolved", pa.string())]
    return pa.Table.from_pylist(rows, schema=pa.schema(columns))


def roc_rows(results: Mapping[str, Any], test: str) -> pa.Table:
    """arm, fpr, tpr: the corners of every arm's ROC curve on a test, fit for a log FPR axis.

    Such an axis has no 0: what the curve reaches without a false alert is drawn at the smallest FPR that the test can
    show, one benign line, unless the curve has a corner there.
    """
    rows = [
        {"arm": arm["name"], "fpr": fpr, "tpr": tpr}
        for arm in results["arms"]
        for fpr, tpr in _log_corners(arm["tests"].get(test, {}))
    ]
    return pa.Table.from_pylist(
        rows, schema=pa.schema([("arm", pa.string()), ("fpr", pa.float64()), ("tpr", pa.float64())])
    )


def scored_test(folder: Path, arm: str, test: str) -> pa.Table:
    """The lines of a test with their `label` (1 = malicious) and the arm's `score`, of the study's first seed.

    Raises:
        StudyError: the arm has no such test.
    """
    file = _arm_folder(folder, arm) / f"{test}.parquet"
    if not file.is_file():
        raise StudyError(f"the arm '{arm}' has no test '{test}'", file=file, remedy="Choose another one")
    return pq.read_table(file)


def arm_thresholds(folder: Path, arm: str) -> dict[str, float | None]:
    """FPR as text -> threshold that the arm's model stores for it, None where its validation data can't resolve it."""
    return dict(read_manifest(_arm_folder(folder, arm) / "model")["thresholds"])


def confusion(scored: pa.Table, threshold: float) -> pa.Table:
    """label, alerted, quiet int64, alert_rate float64: what an alert from `threshold` on does with both classes."""
    malicious = pc.equal(scored["label"], 1).to_numpy()
    alert = pc.greater_equal(scored["score"], threshold).to_numpy()
    rows = []
    for name, mine in (("malicious", malicious), ("benign", ~malicious)):
        hits, total = int((alert & mine).sum()), int(mine.sum())
        rate = hits / total if total else None
        rows.append({"label": name, "alerted": hits, "quiet": total - hits, "alert_rate": rate})
    kinds = [("label", pa.string()), ("alerted", pa.int64()), ("quiet", pa.int64()), ("alert_rate", pa.float64())]
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds))


def errors(scored: pa.Table, threshold: float, kind: Literal["false alerts", "misses"]) -> pa.Table:
    """score, source, platform, command_line, command_id of the benign lines that alert, or of the malicious ones that
    don't; the worst first."""
    alert = pc.greater_equal(scored["score"], threshold)
    if kind == "false alerts":
        wrong, order = pc.and_(alert, pc.equal(scored["label"], 0)), "descending"
    else:
        wrong, order = pc.and_(pc.invert(alert), pc.equal(scored["label"], 1)), "ascending"
    columns = ["score", "source", "platform", "command_line", "command_id"]
    return scored.filter(wrong).select(columns).sort_by([("score", order), ("command_id", "ascending")])


def _log_corners(found: Mapping[str, Any]) -> list[tuple[float, float]]:
    """The (FPR, TPR) of one test's curve, without an FPR of 0."""
    roc = found.get("roc", {"fpr": [], "tpr": []})
    corners = list(zip(roc["fpr"], roc["tpr"], strict=True))
    smallest = 1 / max(found.get("n_benign", 1), 1)
    positive = [(fpr, tpr) for fpr, tpr in corners if fpr > 0]
    # Curves are rounded to nine digits.
    if len(positive) < len(corners) and positive and positive[0][0] > smallest * (1 + 1e-6):
        return [(smallest, max(tpr for fpr, tpr in corners if fpr == 0)), *positive]
    return positive


def _arm_folder(folder: Path, arm: str) -> Path:
    seed = read_manifest(folder / "model").get("provenance", {}).get("seed", 0)
    return folder / "arms" / f"{arm}-seed{seed}"
