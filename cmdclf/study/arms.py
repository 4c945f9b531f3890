"""What each arm asks the judge about, and the training set that comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.classify import Classifier, add_benign
from cmdclf.detect import SCALES
from cmdclf.features import FEATURE_VERSION
from cmdclf.labels import Judge, standing_verdicts
from cmdclf.select import PublishedSelector, get_selector
from cmdclf.study.candidates import anomalous_candidates, random_candidates, with_scores
from cmdclf.study.config import Arm, Baseline
from cmdclf.study.judges import ask
from cmdclf.study.workplace import Workplace, arm_name, content_hash, kept, settings_hash

__all__ = ["ArmSet", "arm_stage", "build_arms", "fit_classifier"]

#: LINES table -> (n, f) matrix, computed once per line and remembered.
Matrix = Callable[[pa.Table], npt.NDArray[np.float32]]


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


def fit_classifier(
    w: Workplace, training: pa.Table, matrix: Matrix, seed: int, *, folds: int | None = None
) -> Classifier:
    """A classifier fitted on TRAINING rows, calibrated on groups that were held out (`folds` 0: not calibrated)."""
    from cmdclf.classify import training_arrays

    y, weight, groups = training_arrays(training)
    model = w.config.model
    classifier = Classifier(
        max_iter=model.max_iter,
        learning_rate=model.learning_rate,
        max_leaf_nodes=model.max_leaf_nodes,
        min_samples_leaf=model.min_samples_leaf,
        l2_regularization=model.l2_regularization,
        max_features=model.max_features,
        folds=model.folds if folds is None else folds,
        random_state=seed,
    )
    return classifier.fit(matrix(training), y, sample_weight=weight, groups=groups)


def build_arms(w: Workplace, bases: dict[Baseline, pa.Table], matrix: Matrix, judge: Judge) -> list[ArmSet]:
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
                    arms.append(_mined(w, baseline, base, seed, candidates, matrix, judge))
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
    verdicts = _verdicts(w, judge, chosen)
    counts = {v: sum(1 for x in verdicts if x == v) for v in ("benign", "malicious", "unsure", "pending")}
    benign = lines.filter(pa.array([v == "benign" for v in verdicts], pa.bool_()))
    training, relabelled = add_benign(base, benign, source=f"judged:{arm}", weight=w.config.model.added_weight)
    return ArmSet(baseline, arm, seed, training, chosen, counts, relabelled)


def _verdicts(w: Workplace, judge: Judge, ids: pa.StringArray) -> list[str]:
    """The verdict on each id that counts for this study, `pending` where there is none."""
    found = standing_verdicts(w.store, ids, judge)
    known = dict(zip(found["command_id"].to_pylist(), found["verdict"].to_pylist(), strict=True))
    return [known.get(i, "pending") for i in ids.to_pylist()]


def _mined(
    w: Workplace, baseline: Baseline, base: pa.Table, seed: int, candidates: pa.Table, matrix: Matrix, judge: Judge
) -> ArmSet:
    """Ask, in rounds, about what the classifier of the moment calls most malicious among the representatives."""
    labels = w.config.labels
    selector = get_selector("mined", top_share=labels.mined_share)
    chosen: list[str] = []
    current = ArmSet(baseline, "mined", seed, base, pa.array([], pa.string()))
    left = candidates
    for number in range(labels.rounds):
        budget = labels.budget * (number + 1) // labels.rounds - len(chosen)
        if budget < 1 or left.num_rows == 0:
            continue
        training = current.training

        def pick(training: pa.Table = training, left: pa.Table = left, budget: int = budget) -> pa.Table:
            # Mining needs the order alone, which calibration leaves as it is.
            classifier = fit_classifier(w, training, matrix, seed, folds=0)
            scored = with_scores(left, classifier.predict_proba(matrix(left))[:, 1])
            return pa.table({"command_id": selector.select(scored, budget, seed=seed)})

        # Kept, so that a run that goes on, or has nothing to do, need not fit this classifier again.
        key = settings_hash(
            w.config.model, w.config.labels.mined_share, content_hash(training), content_hash(left), budget, seed,
            w.data_hash(w.train_days), FEATURE_VERSION, w.behaviours_version, w.embedder.name,
        )  # fmt: skip
        file = w.out / "work" / f"{baseline}-mined-{key}.parquet"
        chosen += kept(file, pick)["command_id"].to_pylist()
        current = _chosen(w, baseline, "mined", base, seed, pa.array(chosen, pa.string()), judge)
        left = left.filter(pc.invert(pc.is_in(left["command_id"], value_set=current.chosen)))
    return current
