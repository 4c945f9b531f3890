"""What each arm asks the judge about, and the training set that comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.classify import add_benign
from cmdclf.detect import SCALES
from cmdclf.labels import Judge
from cmdclf.select import PublishedSelector, get_selector
from cmdclf.study.candidates import anomalous_candidates, random_candidates
from cmdclf.study.config import Arm, Baseline
from cmdclf.study.fitted import LineReads
from cmdclf.study.judges import ask, verdicts_on
from cmdclf.study.mined import mine
from cmdclf.study.workplace import Workplace, arm_name

__all__ = ["ArmSet", "arm_stage", "build_arms"]


@dataclass(frozen=True, slots=True)
class ArmSet:
    """One arm of one seed, ready to be fitted.

    Attributes:
        baseline, arm, seed: which one.
        training: TRAINING rows.
        chosen: command_ids that the arm asked the judge about, best first.
        verdicts: how they were answered: benign, malicious, unsure, pending.
        relabelled: lines that the baseline had as malicious and the judge called benign.
    """

    baseline: Baseline
    arm: Arm
    seed: int
    training: pa.Table
    chosen: pa.StringArray
    verdicts: dict[str, int] = field(default_factory=dict)
    relabelled: int = 0

    @property
    def name(self) -> str:
        """`ab+full`, or `ab` for the baseline alone."""
        return arm_name(self.baseline, self.arm)

    @property
    def source(self) -> str:
        """What TRAINING's `source` says of the lines that this arm added."""
        return f"judged:{self.arm}"


def arm_stage(w: Workplace, arm: ArmSet) -> str:
    """The name of the stage that fits and measures this arm."""
    return f"{w.part + ':' if w.part else ''}arm.{arm.name}.seed{arm.seed}"


def build_arms(w: Workplace, bases: dict[Baseline, pa.Table], reads: LineReads, judge: Judge) -> list[ArmSet]:
    """All arms of all seeds: choose, have judged, add what is benign."""
    candidates = anomalous_candidates(w)
    arms: list[ArmSet] = []
    for seed in w.config.seeds:
        for baseline in w.config.baselines:
            base = bases[baseline]
            for arm in w.config.arms:
                if arm == "base":
                    arms.append(ArmSet(baseline, arm, seed, base, pa.array([], pa.string())))
                elif arm == "mined":
                    arms.append(_mined(w, baseline, base, seed, candidates, reads, judge))
                else:
                    arms.append(_chosen(w, baseline, arm, base, seed, _select(w, arm, candidates, seed), judge))
    return arms


def _select(w: Workplace, arm: Arm, candidates: pa.Table, seed: int) -> pa.StringArray:
    budget = w.config.labels.budget
    if arm == "random":
        return get_selector("random").select(random_candidates(w, budget, seed), budget, seed=seed)
    detectors = SCALES[arm] if arm in ("full", "reduced") else None
    return PublishedSelector(detectors).select(candidates, budget, seed=seed)


def _chosen(
    w: Workplace, baseline: Baseline, arm: Arm, base: pa.Table, seed: int, chosen: pa.StringArray, judge: Judge
) -> ArmSet:
    lines = w.store.lines_by_id(chosen)
    ask(w.store, judge, lines, progress=w.progress)
    verdicts = verdicts_on(w.store, judge, chosen)
    benign = lines.filter(pa.array([v == "benign" for v in verdicts], pa.bool_()))
    training, relabelled = add_benign(base, benign, source=f"judged:{arm}", weight=w.config.model.added_weight)
    return ArmSet(baseline, arm, seed, training, chosen, _counts(verdicts), relabelled)


def _mined(
    w: Workplace, baseline: Baseline, base: pa.Table, seed: int, candidates: pa.Table, reads: LineReads, judge: Judge
) -> ArmSet:
    training, chosen, verdicts = mine(w, base, seed, candidates, reads, judge)
    said = dict(zip(chosen, verdicts, strict=True))
    malicious = base.filter(pc.equal(base["label"], 1))["command_id"].to_pylist()
    return ArmSet(
        baseline, "mined", seed, training, pa.array(chosen, pa.string()), _counts(verdicts),
        sum(said.get(i) == "benign" for i in malicious),
    )  # fmt: skip


def _counts(verdicts: list[str]) -> dict[str, int]:
    return {v: sum(1 for x in verdicts if x == v) for v in ("benign", "malicious", "unsure", "pending")}
