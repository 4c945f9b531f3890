"""The stage runner: one study from lake to results, going on where an earlier run stopped."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.classify import (
    Featuriser,
    aggregated_baseline,
    describe_training,
    export_model,
    regex_baseline,
    verify_model,
)
from cmdclf.classify.folder import replace_folder
from cmdclf.classify.grams import GRAMS_VERSION
from cmdclf.classify.neighbours import Neighbours
from cmdclf.errors import ModelIntegrityError, StudyError
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.labels import Judge
from cmdclf.progress import Progress
from cmdclf.store import Store
from cmdclf.study.arms import ArmSet, arm_stage, build_arms
from cmdclf.study.cautions import known_answers, missing_days, shared_sources, tell
from cmdclf.study.config import Baseline, StudyConfig
from cmdclf.study.fitted import LineReads, fit_arm
from cmdclf.study.judges import make_judge
from cmdclf.study.labelled import read_labelled
from cmdclf.study.results import write_results
from cmdclf.study.sieve import find_anomalies, group_anomalies, take_in_days
from cmdclf.study.tests import (
    Test,
    decontaminate,
    incident_tests,
    measure,
    time_split_test,
    training_union,
)
from cmdclf.study.workplace import Workplace, content_hash, kept, settings_hash

__all__ = ["label_baselines", "open_workplace", "run_study"]


def open_workplace(config: StudyConfig, out: str | Path, *, progress: bool = True, part: str = "") -> Workplace:
    """The study's surroundings, with its store open in `out` (made when missing)."""
    folder = Path(out).resolve()
    (folder / part).mkdir(parents=True, exist_ok=True)
    return Workplace(config, folder, Store.open(folder / "study.duckdb"), progress, part)


def run_study(
    config: StudyConfig, out: str | Path, *, judge: Judge | None = None, progress: bool = True, part: str = ""
) -> dict[str, Any]:
    """Run all stages and write `results.json`, `report.html`, `arms/` and `model/` into `out`; returns the results.

    Every stage is keyed by its settings and data: a second call with nothing changed does no work, a killed one goes on
    at the stage that it was in, and no label is asked for twice.

    What weakens the results without stopping the run is said on stderr and in `warnings` of the results: days that the
    lake lacks, a test that shares sources with training, a budget beyond the candidates, a judge that leaves half of
    the lines.

    Args:
        config: from `load_study`.
        out: folder of this study's store and results.
        judge: instead of the one that the study names (for tests and notebooks).
        progress: report on stderr.
        part: write models and results into this folder below `out`, and leave those of the whole study alone.

    Raises:
        StudyError: the lake has too few days, or a baseline has only one class.
        JudgeError: the judge can't go on; what it answered is kept.
    """
    w = open_workplace(config, out, progress=progress, part=part)
    started = datetime.now(UTC)
    with w.store:
        warnings = missing_days(w) + shared_sources(config) + known_answers(config)
        tell(warnings)
        take_in_days(w)
        find_anomalies(w)
        group_anomalies(w)
        bases, splits = label_baselines(w)
        reads = LineReads(_featuriser(w))
        judge = judge or make_judge(config.labels)
        arms = build_arms(w, bases, reads, judge)
        tests = _tests(w, arms, splits)
        for arm in arms:
            _fit_and_measure(w, arm, tests[arm.baseline], reads)
        results = write_results(w, arms, judge, warnings)
        tell(results["warnings"][len(warnings) :])
        _place_model(w)
        w.store.put_run(
            config.name,
            settings=settings_hash(config),
            started_at=started,
            detail={"arms": len(arms), "out": w.out.name},
        )
    return results


def label_baselines(w: Workplace) -> tuple[dict[Baseline, pa.Table], dict[Baseline, pa.Table]]:
    """Training sets of the baselines, and their labels on the test days; stage `baseline.NAME`."""
    bases: dict[Baseline, pa.Table] = {}
    splits: dict[Baseline, pa.Table] = {}
    for name in w.config.baselines:
        for days, held in ((w.train_days, bases), (w.test_days, splits)):
            part = "train" if held is bases else "test"
            settings = settings_hash(w.data_hash(days), _baseline_settings(w, name), w.rules.version, name, part)
            file = w.out / "work" / f"{name}-{part}-{settings}.parquet"
            held[name] = kept(file, lambda name=name, days=days: _label_by(w, name, days))  # type: ignore[misc]
        labels = set(bases[name]["label"].to_pylist())
        if len(labels) < 2:
            raise StudyError(
                f"the baseline '{name}' has only {'malicious' if 1 in labels else 'benign'} lines on the training days",
                remedy="Take more days, other rules (model.rules), or a lower model.benign_min_events",
            )
    return bases, splits


def _baseline_settings(w: Workplace, name: Baseline) -> list[Any]:
    """What a baseline's labels depend on beside data and rules."""
    model = w.config.model
    both = [model.benign_min_events, model.max_benign, model.max_malicious]
    return both if name == "rb" else [*both, model.benign_max_length, model.labelled]


def _label_by(w: Workplace, name: Baseline, days: list[Any]) -> pa.Table:
    model = w.config.model
    limits = {"max_benign": model.max_benign, "max_malicious": model.max_malicious, "seed": 0}
    lines = w.store.lines(days)
    if name == "rb":
        return regex_baseline(lines, w.rules, benign_min_events=model.benign_min_events, **limits)
    return aggregated_baseline(
        lines,
        w.rules,
        [read_labelled(file) for file in model.labelled],
        benign_min_events=model.benign_min_events,
        benign_max_length=model.benign_max_length,
        **limits,
    )


def _featuriser(w: Workplace) -> Featuriser:
    """Features with token rarity of the training days, and the embedder."""
    maker = FeatureMaker().fit(w.store.lines(w.train_days))
    return Featuriser(maker, w.embedder, embedder_source=w.config.reduced.embedder)


def _tests(w: Workplace, arms: list[ArmSet], splits: dict[Baseline, pa.Table]) -> dict[Baseline, list[Test]]:
    """Each baseline's tests; the incident tests are the same for all arms of both baselines."""
    everything = training_union([a.training for a in arms])
    incidents = [decontaminate(w, t, everything) for t in incident_tests(w.config.data.incident)]
    tests: dict[Baseline, list[Test]] = {}
    for baseline in w.config.baselines:
        mine = training_union([a.training for a in arms if a.baseline == baseline])
        tests[baseline] = [*incidents, decontaminate(w, time_split_test(baseline, splits[baseline]), mine)]
    return tests


def _fit_and_measure(w: Workplace, arm: ArmSet, tests: list[Test], reads: LineReads) -> None:
    """Stage `arm.NAME.seedN`: fit, score the tests, keep the scores and the exported model."""
    folder = w.results / "arms" / f"{arm.name}-seed{arm.seed}"
    settings = _arm_settings(w, arm, tests)
    stage_name = arm_stage(w, arm)
    # The folder may hold half of a run with other settings that was killed: only its own mark says whose files it has.
    mark = folder / "settings.txt"
    whose = mark.read_text(encoding="utf-8") if mark.exists() else ""
    if whose != settings or not _is_sound(folder / "model"):
        w.store.forget_stage(stage_name)
    with w.store.stage(stage_name, settings=settings, replaces=True) as stage:
        if stage.done:
            return
        with Progress(f"fitting {arm.name}, seed {arm.seed}", enabled=w.progress) as shown:
            fitted = fit_arm(w, arm.training, reads, arm.seed)
            shown.update(arm.training.num_rows)
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(settings, encoding="utf-8")
        metrics: dict[str, Any] = {}
        for test in tests:
            scores = fitted.scores(test.lines, reads)
            metrics[test.name] = measure(test, scores, n_bootstrap=w.config.bootstrap)
            scored = test.lines.append_column("score", pa.array(scores, pa.float64()))
            pq.write_table(scored, folder / f"{test.name}.parquet")
        # What exactly this arm learned from, for whoever wants to audit or refit it.
        pq.write_table(arm.training, folder / "training.parquet")
        shutil.rmtree(folder / "model", ignore_errors=True)
        export_model(
            folder / "model",
            fitted.classifier,
            fitted.featuriser(reads),
            name=f"{w.config.name}/{arm.name}",
            provenance=_provenance(w, arm),
            metrics={name: {k: m.get(k) for k in ("auc", "auc_ci95", "tpr_at_fpr")} for name, m in metrics.items()},
            neighbours=Neighbours.of_training(
                arm.training, lambda rows: reads.featuriser.embedding_of(reads.matrix(rows)), seed=arm.seed
            ),
        )
        stage.rows = arm.training.num_rows
        stage.detail = {"tests": metrics, "arm": _describe(arm)}


def _arm_settings(w: Workplace, arm: ArmSet, tests: list[Test]) -> str:
    """Hash of everything that an arm's model and figures depend on; which arm is exported is not part of it."""
    model = w.config.model
    trees = [
        model.max_iter, model.learning_rate, model.max_leaf_nodes, model.min_samples_leaf, model.l2_regularization,
        model.max_features, model.folds, model.grams, GRAMS_VERSION, arm.seed,
    ]  # fmt: skip
    # Token rarity is counted on all lines of the training days, not only on those that the arm learns from.
    features = [w.data_hash(w.train_days), FEATURE_VERSION, w.behaviours_version, w.embedder.name]
    measured = [[t.name, t.rows, t.removed, content_hash(t.lines)] for t in tests]
    return settings_hash(
        w.config.name, trees, features, content_hash(arm.training), _describe(arm), measured, w.config.bootstrap
    )


def _describe(arm: ArmSet) -> dict[str, Any]:
    return {
        "train": describe_training(arm.training, added=arm.source) | {"relabelled": arm.relabelled},
        "asked": len(arm.chosen),
        "verdicts": arm.verdicts,
    }


def _provenance(w: Workplace, arm: ArmSet) -> dict[str, Any]:
    return {
        "study": w.config.name,
        "arm": arm.name,
        "seed": arm.seed,
        "train_days": [d.isoformat() for d in (w.train_days[0], w.train_days[-1])],
        **_describe(arm),
    }


def _is_sound(model: Path) -> bool:
    """Whether the model folder is there and every byte of it is what was exported."""
    try:
        verify_model(model)
    except ModelIntegrityError:
        return False
    return True


def _place_model(w: Workplace) -> None:
    """The exported arm of the first seed as `model/`, swapped in whole."""
    source = w.results / "arms" / f"{w.config.model.export}-seed{w.config.seeds[0]}" / "model"
    target, fresh = w.results / "model", w.results / "model.new"
    if _is_sound(target) and (target / "manifest.json").read_bytes() == (source / "manifest.json").read_bytes():
        return
    manifest = json.loads((source / "manifest.json").read_text(encoding="utf-8"))
    # Recorded first: a kill in between records it twice, the other order would never record it.
    w.store.put_model(str(manifest["name"]), manifest)
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh)
    replace_folder(fresh, target)
