"""A day of any size on one machine: distinct lines, counts, fit, scores; each stage in a stream, each resumed.

Which lines are scored by which thread, how they are cut into parts and where an earlier run was killed don't change a
bit of the result: counts are added, the fit takes the smallest command_ids, scores depend on their line alone, and
ties are ordered.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from cmdclf.detect.day import (
    DETECTED,
    FIT_ROWS,
    Detector,
    Scores,
    SmallestIds,
    detector_scores,
    fit_detectors,
    ranked,
    top_scores,
)
from cmdclf.detect.daymodel import FOREST, DayModel, count_lines
from cmdclf.detect.forest import IsolationForestDetector
from cmdclf.detect.topk import TopK
from cmdclf.detect.workfolder import WorkFolder, file_keys, settings_key
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.features.rarity import Rarity
from cmdclf.progress import Progress
from cmdclf.store import Part, Parts, distinct_parts, part_batches, sample_parts

__all__ = ["DayFound", "StreamedDay"]

_PARTS_VERSION = 1
_LINE = ("command_id", "platform", "command_line")


@dataclass(frozen=True, slots=True)
class DayFound:
    """A day's anomalies and how they came about.

    Attributes:
        found: DETECTED, by detector and rank.
        lines: `command_id, platform, command_line` of each row of `found`.
        events: process events of the day that were processed.
        distinct: distinct lines.
        scored: lines that were scored.
        set_aside: SET_ASIDE.
    """

    found: pa.Table
    lines: pa.Table
    events: int
    distinct: int
    scored: int
    set_aside: pa.Table


@dataclass
class StreamedDay:
    """One day's lake files, worked through in a work folder.

    Memory does not grow with the day: DuckDB's limit while lines are made distinct; afterwards per thread one batch
    (at most 65,536 lines and 16 MiB of text) with its matrix, the sample that is fitted, and the top-k.

    Args:
        files: the day's lake files.
        work: an entered WorkFolder; what it holds of the same files and settings is used again.
        memory_mb: DuckDB's limit.
        threads: how many work at once; by default one for each core that this process may use.
        progress: show rows per second and time left of each stage.

    Attributes:
        seconds: stage -> wall-clock seconds in this run.
        cpu_seconds: stage -> seconds of all cores in this run.
    """

    files: Sequence[Path]
    work: WorkFolder
    memory_mb: int = 2048
    threads: int | None = None
    progress: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)

    def full_scale(
        self, top_k: int, *, maker: FeatureMaker, forest: IsolationForestDetector, fit_rows: int = FIT_ROWS
    ) -> DayFound:
        """The isolation forest's `top_k` lines among all distinct lines of the day.

        Args:
            top_k: lines kept.
            maker: settings of the features; it is not fitted itself.
            forest: settings of the detector; it is not fitted itself.
            fit_rows: size of the fit's sample.

        Raises:
            StoreError: no file of the day can be used, or the disk is full.
        """
        key, parts = self._distinct()
        if not parts.rows:
            return self._result(DETECTED.empty_table(), parts, parts)
        settings = (FEATURE_VERSION, maker.rules.version, maker.buckets, forest.get_params(), fit_rows)
        key = settings_key(key, *settings)
        with threadpool_limits(limits=1):  # the threads here use the cores
            model = self._model(self.work.stage("model", key), parts, DayModel(maker, forest), fit_rows)
            folder = self.work.stage("score", settings_key(key, "full", top_k))
            found = self._scored(parts, model.scores, [FOREST], top_k, folder)
        return self._result(found, parts, parts)

    def reduced_scale(
        self,
        top_k: int,
        *,
        day: date,
        sample: int,
        seed: int,
        embed: Callable[[pa.Array], npt.NDArray[np.float32]],
        embedder: str,
        detectors: Mapping[str, Detector],
        settings: object = None,
        fit_rows: int = FIT_ROWS,
    ) -> DayFound:
        """Each detector's `top_k` lines of a sample of the day, by embeddings that are made batch by batch.

        Args:
            top_k: lines kept per detector.
            day: names the day in the draw.
            sample: how many lines are drawn, as by `Store.sample`.
            seed: of the draw.
            embed: lines -> (n, d) float32.
            embedder: names what `embed` gives.
            detectors: they are fitted here, on at most `fit_rows` lines.
            settings: what the detectors' results depend on, as JSON can hold it.
            fit_rows: most lines of the fit.
        """
        key, parts = self._distinct()
        key = settings_key(key, day.isoformat(), sample, seed)
        folder = self.work.stage("sample", key)
        with self._timed("sample"):
            drawn = Parts.load(folder) or sample_parts(
                parts, folder, day, sample, seed=seed, memory_mb=self.memory_mb, threads=self.threads,
                progress=self.progress,
            )  # fmt: skip
        if drawn.rows < 2:
            return self._result(DETECTED.empty_table(), parts, drawn)

        def featurise(batch: pa.RecordBatch) -> npt.NDArray[np.float32]:
            return embed(batch.column("command_line"))

        with threadpool_limits(limits=1):
            with self._timed("fit"), Progress("fit", drawn.rows, unit="lines", enabled=self.progress) as shown:
                smallest = SmallestIds(min(sample, fit_rows))
                for part in drawn.files:
                    for batch in part_batches(part.path, _LINE):
                        smallest.push(batch)
                        shown.update(batch.num_rows)
                fit_detectors(detectors, featurise, smallest.table())
            folder = self.work.stage("score", settings_key(key, "reduced", embedder, settings, fit_rows, top_k))
            found = self._scored(drawn, detector_scores(detectors, featurise), list(detectors), top_k, folder)
        return self._result(found, parts, drawn)

    # ------------------------------------------------------------------ stages

    def _distinct(self) -> tuple[str, Parts]:
        key = settings_key(_PARTS_VERSION, file_keys(self.files))
        folder = self.work.stage("distinct", key)
        with self._timed("distinct"):
            return key, Parts.load(folder) or distinct_parts(
                self.files, folder, memory_mb=self.memory_mb, threads=self.threads, progress=self.progress
            )

    def _model(self, folder: Path, parts: Parts, model: DayModel, fit_rows: int) -> DayModel:
        if folder.is_dir():
            return DayModel.load(folder)
        with self._timed("count"):
            smallest = SmallestIds(fit_rows)
            whole = Rarity(model.maker.buckets)
            adding = threading.Lock()

            def count(_: Part, batches: Iterator[pa.RecordBatch]) -> None:
                rarity = count_lines(batches, model.maker, smallest)
                with adding:  # at once, or a long day would keep one per part
                    whole.merge(rarity)

            self._each_part("count", parts.files, count)
        with self._timed("fit"):
            model.fit(smallest.table(), whole)
            partial = folder.with_name(folder.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            model.save(partial)
            partial.rename(folder)
        return model

    def _scored(self, parts: Parts, score: Scores, detectors: Sequence[str], top_k: int, folder: Path) -> pa.Table:
        folder.mkdir(exist_ok=True)

        def keep(part: Part, batches: Iterator[pa.RecordBatch]) -> None:
            write_top(folder / part.path.name, top_scores(batches, score, detectors, top_k))

        with self._timed("score"):
            left = [part for part in parts.files if not (folder / part.path.name).exists()]
            self._each_part("score", left, keep)
            tops = {name: TopK(top_k) for name in detectors}
            for part in parts.files:
                table = pq.read_table(folder / part.path.name)
                for name, top in tops.items():
                    rows = table.filter(pc.equal(table.column("detector"), name))
                    top.push(rows.column("command_id"), rows.column("score").to_numpy())
            return ranked(tops)

    def _result(self, found: pa.Table, parts: Parts, scored: Parts) -> DayFound:
        with self._timed("look up"):
            lines = scored.lines_by_id(found.column("command_id"))
        return DayFound(found, lines, parts.events, parts.rows, scored.rows, parts.set_aside)

    # ------------------------------------------------------------------ threads

    def _each_part(
        self, label: str, files: Sequence[Part], work: Callable[[Part, Iterator[pa.RecordBatch]], None]
    ) -> None:
        """`work` on each part, several at once; each reads its own batches, so that no queue can fill."""
        stop = threading.Event()
        told = threading.Lock()
        with (
            Progress(label, sum(part.rows for part in files), unit="lines", enabled=self.progress) as shown,
            ThreadPoolExecutor(self.threads or _cores()) as pool,
        ):

            def batches(part: Part) -> Iterator[pa.RecordBatch]:
                for batch in part_batches(part.path, _LINE):
                    if stop.is_set():
                        raise InterruptedError("another part failed")
                    yield batch
                    with told:
                        shown.update(batch.num_rows)

            jobs = [pool.submit(lambda part: work(part, batches(part)), part) for part in files]
            try:
                wait(jobs, return_when=FIRST_EXCEPTION)
                for job in jobs:
                    if job.done() and job.exception() is not None:
                        raise job.exception()  # type: ignore[misc]
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            for spent, since in (
                (self.seconds, time.perf_counter() - wall),
                (self.cpu_seconds, time.process_time() - cpu),
            ):
                spent[stage] = spent.get(stage, 0.0) + since


def write_top(path: Path, top: pa.Table) -> None:
    """A part's result; the file appears when it is whole."""
    partial = path.with_suffix(".partial")
    pq.write_table(top, partial)
    partial.rename(path)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
