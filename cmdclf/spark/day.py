"""A day of any size on a Spark cluster: the rules and functions of the streamed day, and its results to the bit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from cmdclf.detect.day import DETECTED, FIT_ROWS, ranked
from cmdclf.detect.daymodel import FOREST, DayModel
from cmdclf.detect.daystream import DayFound
from cmdclf.detect.forest import IsolationForestDetector
from cmdclf.detect.topk import TopK
from cmdclf.errors import StoreError
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.features.rarity import Rarity
from cmdclf.spark import workers
from cmdclf.spark.faults import translated
from cmdclf.spark.lake import DayEvents, day_events
from cmdclf.spark.session import settings
from cmdclf.store import DISTINCT

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

__all__ = ["SparkDay"]

_LINE = ("command_id", "platform", "command_line")
_ID_BITS = 128
_PARTITION_BYTES = 32 << 20  # of the lake's compressed files
_MOST_COUNTS = 32  # parts of counts, about 2 MiB each, that the driver takes

#: As large as the batches of the streamed day; and text in Arrow's plain strings, which all kernels read.
_ARROW = {
    "spark.sql.execution.arrow.maxRecordsPerBatch": 65_536,
    "spark.sql.execution.arrow.maxBytesPerBatch": 16 << 20,
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}


@dataclass
class SparkDay:
    """One day of a lake on a Spark session.

    The driver keeps the counts, the fit's sample with its matrix, and the top-k; a Python worker keeps one batch with
    its matrix and the model; Spark keeps the distinct lines, on its disks where its memory is too small.

    Args:
        spark: the session; a classic one (Spark Connect has no broadcast variables).
        lake: folder, or URL of one. A folder must be found under the same path on every executor.
        day: the day.
        partitions: into how many the distinct lines are divided; by default at least two per core, and one per 32 MiB
            of files.

    Attributes:
        seconds: stage -> wall-clock seconds.
    """

    spark: SparkSession
    lake: str
    day: date
    partitions: int | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    def anomalies(
        self, top_k: int, *, maker: FeatureMaker, forest: IsolationForestDetector, fit_rows: int = FIT_ROWS
    ) -> DayFound:
        """The isolation forest's `top_k` lines among all distinct lines of the day.

        Args:
            top_k: lines kept.
            maker: settings of the features; it is not fitted itself.
            forest: settings of the detector.
            fit_rows: size of the fit's sample.

        Raises:
            StoreError: no file of the day can be used.
            SparkJobError: a job failed.
        """
        with self._distinct() as (events, lines):
            n, rarity = self._count(lines, maker)
            if not n:
                none = pa.schema([DISTINCT.field(name) for name in _LINE]).empty_table()
                return DayFound(DETECTED.empty_table(), none, events.events, 0, 0, events.set_aside)
            sample = self._sample(lines, n, fit_rows)
            with self._timed("fit"), threadpool_limits(limits=1):
                model = DayModel(FeatureMaker(**maker.get_params()), forest).fit(sample, rarity)
            found = self._score(lines, model, top_k)
            rows = self._look_up(lines, found.column("command_id"))
        return DayFound(found, rows, events.events, n, n, events.set_aside)

    def features(self, out: str, *, maker: FeatureMaker) -> tuple[int, pa.Table]:
        """Write each distinct line of the day with its features, as a folder of Parquet files that Spark writes.

        Args:
            out: folder or URL, which must not exist.
            maker: settings of the features; it is not fitted itself.

        Returns:
            The number of lines, and SET_ASIDE.

        Raises:
            StoreError: no file of the day can be used.
            SparkJobError: a job failed, or the folder exists.
        """
        with self._distinct() as (events, lines):
            n, rarity = self._count(lines, maker)
            fitted = FeatureMaker(**maker.get_params())
            fitted.rarity_ = rarity
            columns = ", ".join(f"`{name}` float" for name in fitted.feature_names)
            schema = f"command_id string, platform string, command_line string, events bigint, {columns}"
            with self._sent(fitted) as files, self._timed("features"), translated("while it wrote the features"):
                made = lines.mapInArrow(workers.featuring(files), schema)
                made.write.mode("errorifexists").parquet(out)
        return n, events.set_aside

    # ------------------------------------------------------------------ stages

    @contextmanager
    def _distinct(self) -> Iterator[tuple[DayEvents, DataFrame]]:
        """The day's events, and DISTINCT of them, which Spark keeps until the end."""
        from pyspark import StorageLevel
        from pyspark.sql import functions as F

        with settings(self.spark, _ARROW), self._timed("check"):
            events = day_events(self.spark, self.lake, self.day)
        cores = self.spark.sparkContext.defaultParallelism
        partitions = self.partitions or max(2 * cores, math.ceil(events.file_bytes / _PARTITION_BYTES))
        with settings(self.spark, {**_ARROW, "spark.sql.shuffle.partitions": partitions}):
            text = F.concat("platform", F.char(F.lit(0)), "command_line").cast("binary")
            lines = (
                events.rows.groupBy("platform", "command_line")
                .agg(F.sum(F.coalesce("count", F.lit(1))).alias("events"))
                .select(F.substring(F.sha2(text, 256), 1, 32).alias("command_id"), "platform", "command_line", "events")
                .persist(StorageLevel.MEMORY_AND_DISK)
            )
            try:
                yield events, lines
            finally:
                with translated("to free the day's lines"):
                    lines.unpersist()

    def _count(self, lines: DataFrame, maker: FeatureMaker) -> tuple[int, Rarity]:
        with self._timed("distinct, count"), translated("while it counted the lines"):
            counted = lines.select(*_LINE).mapInArrow(
                workers.counting(maker.get_params(), FEATURE_VERSION), workers.COUNTED
            )
            if int(self.spark.conf.get("spark.sql.shuffle.partitions") or 0) > _MOST_COUNTS:
                counted = counted.repartition(_MOST_COUNTS).mapInArrow(workers.merging, workers.COUNTED)
            whole = list(workers.merging(iter(counted.toArrow().to_batches())))
        if not whole:  # Spark doesn't call a function for lines of which it knows that there are none
            return 0, FeatureMaker(**maker.get_params()).fit([]).rarity_
        return whole[0].column("lines")[0].as_py(), workers.unpack(whole[0].column("counts")[0].as_py())

    def _sample(self, lines: DataFrame, n: int, rows: int) -> pa.Table:
        """The lines with the smallest command_ids.

        These are uniform: a bound is known that so many of them, and hardly more, stay under.
        """
        from pyspark.sql import functions as F

        with self._timed("sample"), translated("while it drew the sample"):
            for share in ((rows + 6 * math.sqrt(rows) + 100) / n, 1.0):
                chosen = lines.select(*_LINE)
                if share < 1:
                    chosen = chosen.where(F.col("command_id") < format(int(share * 2**_ID_BITS), "032x"))
                schema = ", ".join(f"{name} string" for name in _LINE)
                sample = chosen.repartition(1).mapInArrow(workers.smallest(rows), schema).toArrow()
                if share >= 1 or sample.num_rows == min(rows, n):
                    break
        return sample

    def _score(self, lines: DataFrame, model: DayModel, top_k: int) -> pa.Table:
        from pyspark.sql import functions as F

        with self._sent(model) as files, self._timed("score"), translated("while it scored the lines"):
            best = (
                lines.select(*_LINE)
                .mapInArrow(workers.scoring(files, top_k), workers.SCORED)
                .orderBy(F.desc("score"), F.asc("command_id"))
                .limit(top_k)
                .toArrow()
            )
        top = TopK(top_k)
        top.push(best.column("command_id"), best.column("score").to_numpy())
        return ranked({FOREST: top})

    def _look_up(self, lines: DataFrame, ids: pa.ChunkedArray) -> pa.Table:
        from pyspark.sql import functions as F

        with self._timed("look up"), translated("while it looked up the lines"):
            given = self.spark.createDataFrame([(name,) for name in ids.to_pylist()], "command_id string")
            table = lines.select(*_LINE).join(F.broadcast(given), "command_id").toArrow()
        if table.num_rows != len(ids):
            raise StoreError(f"{len(ids) - table.num_rows} command_ids are in no partition")
        order = {name: k for k, name in enumerate(table.column("command_id").to_pylist())}
        rows = table.select(list(_LINE)).take(pa.array([order[name] for name in ids.to_pylist()], pa.int64()))
        return rows.cast(pa.schema([DISTINCT.field(name) for name in _LINE]))

    # ------------------------------------------------------------------ helpers

    @contextmanager
    def _sent(self, model: DayModel | FeatureMaker) -> Iterator[Callable[[], workers.Files]]:
        """The files of a model as a broadcast variable."""
        with TemporaryDirectory(prefix="cmdclf-") as folder:
            model.save(folder)
            files: Mapping[str, bytes] = workers.folder_files(Path(folder))
        with translated("to send the model to its executors"):
            broadcast = self.spark.sparkContext.broadcast(files)
        try:
            yield lambda: broadcast.value
        finally:
            with translated("to free the model"):
                broadcast.unpersist()

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
