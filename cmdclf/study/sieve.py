"""The sieves, day by day: lake -> distinct lines -> anomalies at both scales -> near-duplicate groups."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup import KnownGroups, RepresentativeIndex
from cmdclf.dedup.behaviour import behaviour_version
from cmdclf.detect import (
    DETECTED,
    FIT_ROWS,
    FOREST,
    SCALES,
    DayModel,
    Detector,
    EmptyDayError,
    IsolationForestDetector,
    KMeansDistanceDetector,
    PCAReconstructionDetector,
    day_anomalies,
    top_scores,
)
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.progress import Progress
from cmdclf.store import GROUPS
from cmdclf.study.workplace import Workplace, settings_hash

__all__ = ["anomaly_settings", "find_anomalies", "group_anomalies", "group_settings", "stored_groups", "take_in_days"]

_EMBED_ROWS = 8192


def take_in_days(w: Workplace) -> None:
    """Stage `lines`: each day's distinct command lines into the store."""
    days = w.train_days + w.test_days
    with Progress("distinct lines", len(days), unit="days", enabled=w.progress) as shown:
        for day in days:
            with w.store.stage("lines", day, settings=w.fingerprint(day), replaces=True) as stage:
                if not stage.done:
                    count = w.store.add_day(day, w.lake.files(day))
                    stage.rows = count.distinct
                    stage.detail = {"events": count.events, "distinct": count.distinct, "new": count.new}
            shown.update()


def _full_settings(w: Workplace, day: date) -> str:
    return settings_hash(w.fingerprint(day), w.config.full, FEATURE_VERSION, w.behaviours_version)


def _reduced_settings(w: Workplace, day: date) -> str:
    return settings_hash(w.fingerprint(day), w.config.reduced, w.embedder.name)


def anomaly_settings(w: Workplace, scale: str, day: date) -> str:
    """The hash under which a day's anomalies of one scale are stored."""
    return _full_settings(w, day) if scale == "full" else _reduced_settings(w, day)


def find_anomalies(w: Workplace) -> None:
    """Stages `anomalies.full` and `anomalies.reduced`: each training day's top scores."""
    with Progress("anomalies", len(w.train_days), unit="days", enabled=w.progress) as shown:
        for day in w.train_days:
            for scale, make in (("full", _full), ("reduced", _reduced)):
                settings = anomaly_settings(w, scale, day)
                with w.store.stage(f"anomalies.{scale}", day, settings=settings) as stage:
                    if not stage.done:
                        found, scored = make(w, day)
                        w.store.put_anomalies(day, scale, settings, found)
                        stage.rows = found.num_rows
                        stage.detail = {"scored": scored, "anomalies": found.num_rows}
            shown.update()


def _full(w: Workplace, day: date) -> tuple[pa.Table, int]:
    """Isolation forest on hand-engineered features; token rarity is against the day itself."""
    lines = w.store.lines([day])
    full = w.config.full
    forest = IsolationForestDetector(
        n_estimators=full.n_estimators, max_samples=full.max_samples, sample_rows=full.sample_rows, random_state=0
    )
    scored = 0

    def count(rows: int) -> None:
        nonlocal scored
        scored += rows

    try:
        model = DayModel(FeatureMaker(), forest).fit_lines(lines, full.sample_rows)
    except EmptyDayError:
        return DETECTED.empty_table(), 0
    return top_scores(lines, model.scores, [FOREST], full.top_k, advance=count), scored


def _reduced(w: Workplace, day: date) -> tuple[pa.Table, int]:
    """k-means distance and PCA reconstruction error on embeddings of the day's sample."""
    reduced = w.config.reduced
    sample = w.store.sample(day, reduced.sample)
    if sample.num_rows < 2:
        return DETECTED.empty_table(), sample.num_rows

    def embed(batch: pa.RecordBatch) -> npt.NDArray[np.floating]:
        vectors: npt.NDArray[np.float32] = w.embedder.embed(batch.column("command_line"))
        return vectors

    components = reduced.n_components
    detectors: dict[str, Detector] = {
        "kmeans_distance": KMeansDistanceDetector(
            n_clusters=min(reduced.n_clusters, max(sample.num_rows // 4, 1)), random_state=0
        ),
        "pca_reconstruction": PCAReconstructionDetector(
            n_components=components if components < 1 else min(int(components), sample.num_rows, w.embedder.dim)
        ),
    }
    batches = sample.to_batches(max_chunksize=_EMBED_ROWS)
    found = day_anomalies(batches, detectors, embed, reduced.top_k, fit_rows=min(reduced.sample, FIT_ROWS))
    return found, sample.num_rows


def group_settings(w: Workplace, day: date) -> str:
    """The hash under which a day's near-duplicate groups are stored.

    Groups run across days, so all earlier ones are part of it; later ones are not, and can be added without grouping
    the earlier again.
    """
    days = w.train_days[: w.train_days.index(day) + 1]
    anomalies = [anomaly_settings(w, scale, d) for d in days for scale in SCALES]
    return settings_hash(anomalies, w.threshold_cosine, w.embedder.name, behaviour_version())


def stored_groups(w: Workplace, days: Sequence[date] | None = None) -> pa.Table:
    """The near-duplicate groups of these training days, or of all, day by day."""
    chosen = w.train_days if days is None else days
    return pa.concat_tables([GROUPS.empty_table(), *(w.store.groups(group_settings(w, d), [d]) for d in chosen)])


def day_anomaly_ids(w: Workplace, day: date) -> pa.Array:
    """The distinct command_ids of a day's anomalies at both scales, in order."""
    tables = [w.store.anomalies([day], scale, anomaly_settings(w, scale, day)) for scale in SCALES]
    ids = pa.concat_tables(tables).column("command_id").combine_chunks()
    return pc.unique(ids).sort()


def group_anomalies(w: Workplace) -> None:
    """Stage `groups`: each training day's anomalies against each other and all earlier representatives."""
    index: RepresentativeIndex | None = None
    with (
        ExitStack() as held,
        Progress("near-duplicates", len(w.train_days), unit="days", enabled=w.progress) as shown,
    ):
        for number, day in enumerate(w.train_days):
            with w.store.stage("groups", day, settings=group_settings(w, day)) as stage:
                if not stage.done:
                    if index is None:
                        index = held.enter_context(_representatives(w, w.train_days[:number]))
                    lines = w.store.lines_by_id(day_anomaly_ids(w, day))
                    groups = index.group(lines, w.embed(lines), threshold=w.threshold_cosine)
                    w.store.put_groups(day, group_settings(w, day), groups)
                    stage.rows = groups.num_rows
                    stage.detail = {"lines": groups.num_rows, "representatives": len(index.known)}
            if index is not None:
                # Behind the store: a kill in between costs the next run the embedding of this day's representatives.
                index.save()
            shown.update()


def _representatives(w: Workplace, days: list[date]) -> RepresentativeIndex:
    """Those of days that an earlier run has grouped, from the index beside the store as far as it holds them."""
    groups = stored_groups(w, days)
    own = groups.filter(pc.equal(groups["command_id"], groups["representative_id"]))
    ids = pc.unique(own["command_id"].combine_chunks())

    def make(missing: pa.StringArray) -> KnownGroups:
        lines = w.store.lines_by_id(missing)
        return KnownGroups.from_lines(lines, w.embed(lines))

    index = RepresentativeIndex.open(
        w.out / "representatives", embedder=w.embedder.name, dim=w.embedder.dim, expected=ids, make=make
    )
    if index.notice and w.progress:
        sys.stderr.write(f"{index.folder}: {index.notice}\n")
    return index
