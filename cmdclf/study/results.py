"""`results.json`: the study's numbers, the same bytes for the same seed and data (timings aside)."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf import __version__
from cmdclf.classify import paired_auc_difference
from cmdclf.features import FEATURE_VERSION
from cmdclf.labels import Judge, standing_verdicts
from cmdclf.study.arms import ArmSet, arm_stage
from cmdclf.study.candidates import stored_anomalies
from cmdclf.study.cautions import of_results
from cmdclf.study.curves import anomaly_curves
from cmdclf.study.report import write_report
from cmdclf.study.sieve import stored_groups
from cmdclf.study.tests import test_groups
from cmdclf.study.workplace import Workplace, arm_name

__all__ = ["load_results", "write_results"]

_PACKAGES = ("duckdb", "numpy", "onnxruntime", "pyarrow", "scikit-learn", "usearch")


def load_results(out: str | Path) -> dict[str, Any]:
    """The results of a finished study."""
    result: dict[str, Any] = json.loads((Path(out) / "results.json").read_text(encoding="utf-8"))
    return result


def write_results(w: Workplace, arms: list[ArmSet], judge: Judge, warnings: Sequence[str] = ()) -> dict[str, Any]:
    """Gather what the stages recorded, write `results.json` and `report.html` into the study's folder, return it.

    Args:
        w: the study.
        arms: all of them, fitted.
        judge: who was asked; lines that it left without a verdict go to `pending.parquet`.
        warnings: of the study's inputs; those that the results give cause for are added.
    """
    stages = {
        (r["stage"], r["day"]): {"rows": r["rows"], "seconds": r["seconds"], "detail": json.loads(r["detail"])}
        for r in w.store.stages().to_pylist()
    }
    groups = stored_groups(w)
    curves = anomaly_curves(stored_anomalies(w), groups, w.train_days)
    lines = [stages["lines", d]["detail"] for d in w.train_days + w.test_days]
    trained = lines[: len(w.train_days)]
    asked = {i for a in arms for i in a.chosen.to_pylist()}
    labels = _labels(w, judge, asked)
    results: dict[str, Any] = {
        "study": w.config.name,
        "data": {
            "train_days": [w.train_days[0].isoformat(), w.train_days[-1].isoformat(), len(w.train_days)],
            "test_days": [w.test_days[0].isoformat(), w.test_days[-1].isoformat(), len(w.test_days)],
            "events": sum(d["events"] for d in lines),
            "train_events": sum(d["events"] for d in trained),
            "train_distinct": sum(b.num_rows for b in w.store.lines(w.train_days)),
        },
        "labels": labels,
        "funnel": [],
        "arms": _arms(w, arms, stages),
        "curves": curves,
        "timings": _timings(stages),
        "warnings": list(warnings),
        "versions": {
            "cmdclf": __version__,
            "features": FEATURE_VERSION,
            "rules": w.rules.version,
            "embedder": w.embedder.name,
        }
        | {p: version(p) for p in _PACKAGES},
    }
    results["funnel"] = [
        ["process events, training days", results["data"]["train_events"]],
        ["distinct command lines", results["data"]["train_distinct"]],
        ["anomalies, all days and detectors", curves["all"][-1] if curves["all"] else 0],
        ["distinct anomalies", curves["distinct"][-1] if curves["distinct"] else 0],
        ["near-distinct (representatives)", curves["near_distinct"][-1] if curves["near_distinct"] else 0],
        ["asked by any arm, control included", len(asked)],
        ["judged benign", labels["benign"]],
    ]
    pending = w.results / "pending.parquet"
    _write_pending(w, judge, asked, pending)
    results["warnings"] += of_results(w, results, pending)
    _write(w.results / "results.json", json.dumps(results, indent=1, sort_keys=True) + "\n")
    _write(w.results / "report.html", write_report(results))
    return results


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def _write_pending(w: Workplace, judge: Judge, asked: set[str], file: Path) -> None:
    """The lines that nobody answered, for a batch; no file where there are none."""
    ids = pa.array(sorted(asked), pa.string())
    known = standing_verdicts(w.store, ids, judge)["command_id"].combine_chunks()
    waiting = ids.filter(pc.invert(pc.is_in(ids, value_set=known)))
    if not len(waiting):
        file.unlink(missing_ok=True)
        return
    part = file.with_name(file.name + ".part")
    pq.write_table(w.store.lines_by_id(waiting), part)
    os.replace(part, file)


def _labels(w: Workplace, judge: Judge, asked: set[str]) -> dict[str, Any]:
    rows = standing_verdicts(w.store, pa.array(sorted(asked), pa.string()), judge).to_pylist()
    verdicts = [r["verdict"] for r in rows]
    return {
        "judge": sorted({r["judge"] for r in rows}),
        "asked": len(asked),
        **{v: verdicts.count(v) for v in ("benign", "malicious", "unsure")},
        "pending": len(asked) - len(verdicts),
        "vetoed": sum(1 for r in rows if r["vetoed_by"]),
        "cost_usd": round(sum(r["cost_usd"] or 0.0 for r in rows), 6),
    }


def _compare(w: Workplace, arm: ArmSet, tests: dict[str, Any], names: set[str]) -> None:
    """Put the paired differences of AUC to the baseline alone and to the random control into each incident test.

    Only arms of this run are rivals: an earlier run's scores may still lie in the folder, of another test.
    """
    for name, test in tests.items():
        if name == "time_split" or test["auc"] is None:
            continue
        for rival in ("base", "random"):
            other_name = arm_name(arm.baseline, rival)
            if rival == arm.arm or other_name not in names:
                continue
            mine, other = (
                pq.read_table(w.results / "arms" / f"{n}-seed{arm.seed}" / f"{name}.parquet")
                for n in (arm.name, other_name)
            )
            y, a, b = (c.to_numpy() for c in (mine["label"], mine["score"], other["score"]))
            value, lo, hi = paired_auc_difference(y, a, b, n=w.config.bootstrap, seed=0, groups=test_groups(mine))
            test[f"auc_minus_{rival}"] = {"value": round(value, 6), "ci95": [round(lo, 6), round(hi, 6)]}


def _arms(w: Workplace, arms: list[ArmSet], stages: dict[Any, Any]) -> list[dict[str, Any]]:
    """One entry per arm: the first seed's numbers, and the AUC of every seed."""
    out = []
    seeds = w.config.seeds
    for arm in (a for a in arms if a.seed == seeds[0]):
        same = {a.seed: a for a in arms if a.name == arm.name}
        details = {s: stages[arm_stage(w, same[s]), None]["detail"] for s in seeds}
        first = details[seeds[0]]
        _compare(w, arm, first["tests"], {a.name for a in arms})
        tests = {
            name: {**test, "auc_by_seed": [details[s]["tests"][name]["auc"] for s in seeds]}
            for name, test in first["tests"].items()
        }
        out.append({"name": arm.name, "baseline": arm.baseline, "arm": arm.arm, **first["arm"], "tests": tests})
    return out


def _timings(stages: dict[Any, Any]) -> dict[str, float]:
    """Seconds by stage, days added up."""
    total: dict[str, float] = {}
    for (stage, _), record in stages.items():
        total[stage] = total.get(stage, 0.0) + float(record["seconds"] or 0)
    return {k: round(v, 3) for k, v in sorted(total.items())}
