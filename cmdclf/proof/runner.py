"""The runner of a proof: every rotation's month, every arm, kept as it comes, then one table of results."""

from __future__ import annotations

import io
import json
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from cmdclf.classify.grams import GRAMS_VERSION
from cmdclf.errors import StudyError
from cmdclf.features import FEATURE_VERSION
from cmdclf.lexicon.pools import ParquetPool, Pool
from cmdclf.progress import Progress
from cmdclf.proof.arms import Arm, judged_ways, plan_of, shipped_plan
from cmdclf.proof.build import Builder
from cmdclf.proof.cautions import warnings_of
from cmdclf.proof.measure import Judged
from cmdclf.proof.month import Month, prepare_month
from cmdclf.proof.pending import write_pending
from cmdclf.proof.settings import ProofSettings, Shape
from cmdclf.proof.shipped import Shipped
from cmdclf.proof.summary import Part, summarise
from cmdclf.proof.verdicts import verdicts_hash
from cmdclf.study.candidates import stored_anomalies
from cmdclf.study.cautions import tell
from cmdclf.study.curves import anomaly_curves
from cmdclf.study.sieve import stored_groups
from cmdclf.study.workplace import content_hash, settings_hash

__all__ = ["prove"]

SHIPPED = "shipped"


@dataclass(frozen=True)
class _Task:
    """An arm and how it is fitted: n-grams alone, or as shipped."""

    arm: Arm
    shipped: bool = False

    @property
    def name(self) -> str:
        return f"{SHIPPED} | {self.arm.name}" if self.shipped else self.arm.name

    @property
    def recorded(self) -> bool:
        """Whether its judge is a file of verdicts."""
        return "recorded" in self.arm.judge

    @property
    def version(self) -> tuple[int, ...]:
        """Of how arms of this kind are built: what an earlier version kept of them is not used."""
        return (2,) if self.arm.tokens or self.arm.days else ()


def prove(settings: ProofSettings, out: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Run what is missing and write `results.json` into `out`; returns the results.

    Each arm's scores are kept as soon as they are there, keyed by everything that they depend on: a killed run goes on
    where it was, and ends with the same bytes.

    Raises:
        StudyError: a setting is impossible, or the pools are too small for it.
        CmdclfError: a pool can't be read.
    """
    s = settings.checked()
    folder = Path(out).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    pool = ParquetPool(s.pools, rewrap=True, seed=s.seed)
    sources = len(set(pool.table.source[pool.table.malicious]))
    if sources < s.rotations:
        raise StudyError(
            f"rotations = {s.rotations}: the pools have {sources} sources with malicious lines, and each rotation "
            "holds out others",
            remedy="Take fewer rotations, or give pools with more sources",
        )
    parts: list[Part] = []
    for shape in (s.usual, *s.shapes):
        rotations = s.rotations if shape == s.usual else s.varied
        parts += [
            _rotation(s, pool, folder / _folder(s, rotation, shape), rotation, shape, progress)
            for rotation in range(rotations)
        ]
    results = summarise(s, parts) | {"warnings": warnings_of(parts)}
    tell(results["warnings"])
    _write(folder / "results.json", (json.dumps(results, indent=1, sort_keys=True) + "\n").encode())
    return results


def _folder(s: ProofSettings, rotation: int, shape: Shape) -> str:
    name = f"rotation-{rotation}" if shape.share_top == s.share_top else f"rotation-{rotation}-top-{shape.share_top:g}"
    return name if shape.short_head else f"{name}-any-length"


def _rotation(s: ProofSettings, pool: Pool, out: Path, rotation: int, shape: Shape, progress: bool) -> Part:
    usual = shape == s.usual
    tasks = [_Task(arm) for arm in plan_of(s, main_only=not usual, detailed=rotation in s.detailed)]
    if usual:
        tasks += [_Task(arm, shipped=True) for arm in shipped_plan(s)]
    month = prepare_month(s, pool, out, rotation, shape, progress=progress)
    with closing(month.w.store):
        builder, judged, shipped = Builder(month), Judged(month), Shipped(month)
        key, said = _month_key(month), verdicts_hash(s.verdicts)
        scores: dict[str, npt.NDArray[np.float32]] = {}
        figures: dict[str, dict[str, Any]] = {}
        with Progress(f"rotation {rotation}, arms", len(tasks), unit="arms", enabled=progress) as shown:
            for task in tasks:
                spoken = said if task.recorded else ""
                name = settings_hash(key, task.name, *task.version, spoken, GRAMS_VERSION, FEATURE_VERSION)
                file = out / "arms" / f"{name}.npz"
                held = _kept(file)
                if held is None:
                    held = _fit(task, builder, judged, shipped)
                    _keep(file, *held)
                scores[task.name], figures[task.name] = held
                shown.update()
        if usual and rotation == 0 and s.verdicts:
            write_pending(month, builder, out.parent / "pending", judged_ways(s))
        return Part(
            rotation=rotation, shape=shape, labels=month.test.labels, groups=month.groups, agreed=month.agreed,
            kinds=np.array([k or "" for k in month.test.lines["benign_group"].to_pylist()], object),
            platforms=np.array(month.test.lines["platform"].to_pylist(), object), scores=scores, figures=figures,
            about=_about(month), curves=_curves(month) if usual else {},
        )  # fmt: skip


def _fit(
    task: _Task, builder: Builder, judged: Judged, shipped: Shipped
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    built = builder.build(task.arm)
    if task.shipped:
        score = shipped.fit(built.training)
    else:
        whole = builder.scored(built.training)

        def score(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
            return whole[rows]

    test, figures = judged.scores_and_figures(score, task.arm.baseline)
    if not np.isfinite(test).all():
        raise StudyError(f"the arm '{task.name}' gives scores that are no numbers", remedy="Report this")
    return test, figures | {
        "asked": len(built.chosen),
        "verdicts": dict(sorted(built.verdicts.items())),
        "wrong": built.wrong,
        "tokens": int(builder.tokens(built.chosen).sum()) if task.arm.way != "all benign" else None,
        "training": built.training.num_rows,
        "training_malicious": int(built.training["label"].to_numpy().sum()),
    }


def _month_key(month: Month) -> str:
    """Hash of everything that an arm's figures depend on beside the arm itself."""
    s, w = month.settings, month.w
    return settings_hash(
        w.data_hash(w.train_days + w.test_days), {b: content_hash(t) for b, t in month.bases.items()},
        {b: content_hash(t) for b, t in month.splits.items()},
        content_hash(month.test.lines), content_hash(month.known), w.config.full, w.config.reduced,
        w.threshold_cosine, w.embedder.name, w.config.model.max_iter, s.rounds, s.weight, s.seed,
    )  # fmt: skip


def _about(month: Month) -> dict[str, Any]:
    """What a reader must know of a rotation's data."""
    y = month.test.labels
    kinds = month.test.lines["benign_group"].to_pylist()
    bad = sum(month.malicious[i] for i in month.distinct["command_id"].to_pylist())
    rules = month.bases["rb"]
    hits = [i for i, source in zip(rules["command_id"].to_pylist(), rules["source"].to_pylist(), strict=True)
            if source == "rules"]  # fmt: skip
    return {
        "held_out": list(month.held_out),
        "test": {"malicious": int(y.sum()), **{k: kinds.count(k) for k in ("hard", "complex", "simple")}},
        "test_rows": month.test.rows,
        "removed": month.test.removed,
        "agreed": {"malicious": int(month.agreed[y == 1].sum()), "benign": int(month.agreed[y == 0].sum())},
        "train_distinct": month.distinct.num_rows,
        "train_malicious": bad,
        "late_distinct": len(month.late.rows),
        "anomalies": month.undeduplicated.num_rows,
        "representatives": month.published.num_rows,
        "groups": int(np.sum(month.everything["representative"].to_numpy())),
        "lexicon": {"rows": month.known.num_rows, "malicious": int(month.known["label"].to_numpy().sum())},
        "rule_hits": len(hits),
        "rule_precision": float(np.mean([month.malicious[i] for i in hits])) if hits else None,
        "bases": {b: {"rows": t.num_rows, "malicious": int(t["label"].to_numpy().sum())}
                  for b, t in month.bases.items()},
    }  # fmt: skip


def _curves(month: Month) -> dict[str, Any]:
    """The published curves: all, distinct and near-distinct anomalies by day, at each scale."""
    w = month.w
    return anomaly_curves(stored_anomalies(w), stored_groups(w), w.train_days)


def _kept(file: Path) -> tuple[npt.NDArray[np.float32], dict[str, Any]] | None:
    try:
        with np.load(file, allow_pickle=False) as held:
            return held["scores"], json.loads(bytes(held["figures"]).decode())
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _keep(file: Path, scores: npt.NDArray[np.float32], figures: dict[str, Any]) -> None:
    held = io.BytesIO()
    np.savez(held, scores=scores, figures=np.frombuffer(json.dumps(figures).encode(), np.uint8))
    _write(file, held.getvalue())


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    part.write_bytes(content)
    os.replace(part, file)
