"""A day of the lake as a Spark frame, in any condition: what is damaged or too long is set aside and counted."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from cmdclf.errors import StoreError
from cmdclf.spark import workers
from cmdclf.spark.faults import SparkJobError, translated
from cmdclf.store import SET_ASIDE
from cmdclf.store.salvage import MAX_PLATFORM_BYTES, NO_LINE, TOO_LONG, SetAside, checked_footer
from cmdclf.telemetry import MAX_LINE_BYTES, Lake

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["DayEvents", "day_events", "lake_days"]

_EVENT = "platform string, command_line string, count bigint"
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")


@dataclass(frozen=True, slots=True)
class DayEvents:
    """Process events of a day.

    Attributes:
        rows: `platform, command_line, count`, all of them usable.
        events: their number.
        set_aside: SET_ASIDE, as the streamed day names it.
        file_bytes: size of the files.
    """

    rows: DataFrame
    events: int
    set_aside: pa.Table
    file_bytes: int


@dataclass(frozen=True, slots=True)
class _File:
    name: str  # as the user knows it
    url: str  # as Spark takes it, without escapes
    size: int
    path: Path | None  # where this machine and, by agreement, every executor finds it


def is_remote(lake: str) -> bool:
    """Whether the lake is named by a URL that only Spark can open."""
    return bool(_URL.match(lake)) and not lake.startswith("file:")


def _local(lake: str) -> str:
    return re.sub("^file:(//)?", "", lake)


def lake_days(spark: SparkSession, lake: str) -> list[date]:
    """The days that the lake holds, in order."""
    if not is_remote(lake):
        return Lake(_local(lake)).days()
    days = set()
    for url, _ in _listed(spark, f"{_escaped(lake.rstrip('/'))}/day=*"):
        with suppress(ValueError):
            days.add(date.fromisoformat(url.split("/")[-2].removeprefix("day=")))
    return sorted(days)


def _day_files(spark: SparkSession, lake: str, day: date) -> list[_File]:
    if not is_remote(lake):
        return [
            _File(str(path), f"file://{os.path.abspath(path)}", path.stat().st_size, Path(os.path.abspath(path)))
            for path in Lake(_local(lake)).files(day)
        ]
    found = _listed(spark, f"{_escaped(lake.rstrip('/'))}/day={day.isoformat()}")
    return [_File(url, url, size, None) for url, size in sorted(found)]


def _listed(spark: SparkSession, pattern: str) -> list[tuple[str, int]]:
    """URL and size of the Parquet files; what is not selected (their content) is not read."""
    with translated("to list the lake's files"):
        try:
            files = spark.read.format("binaryFile").option("pathGlobFilter", "*.parquet").load(pattern)
            return [(_slashes(row[0]), row[1]) for row in files.select("path", "length").collect()]
        except Exception as error:
            if "PATH_NOT_FOUND" in str(error):
                return []
            raise


def _escaped(path: str) -> str:
    """The path with the glob characters of Hadoop escaped."""
    return "".join(f"\\{c}" if c in "*?[]{}\\" else c for c in path)


def day_events(spark: SparkSession, lake: str, day: date) -> DayEvents:
    """The usable process events of a day, after one pass that looks at all of it.

    Spark reads whole files. Files of the local or a shared disk that are damaged, or that would have Spark hold many
    long lines at once, are read by our own code on the executors, which keeps what can be read.

    Args:
        spark: the session.
        lake: folder, or URL of one.
        day: the day.

    Raises:
        StoreError: not one of the day's files can be used.
        SparkJobError: a job failed.
    """
    files = _day_files(spark, lake, day)
    whole, copied, aside = _sorted_out(files)
    events, whole, more, found = _checked(spark, whole)
    aside += found
    copied += more
    copied_events, found = _copied(spark, copied)
    aside += found
    if files and not whole and not copied:
        raise StoreError(
            f"no file of the day can be used, the first is {aside[0].reason}",
            remedy="Remove it and ingest its source again",
            file=aside[0].file,
        )
    table = pa.Table.from_pylist([asdict(row) for row in aside], schema=SET_ASIDE).sort_by(
        [("file", "ascending"), ("reason", "ascending")]
    )
    rows = _usable(spark, whole, copied)
    return DayEvents(rows, events + copied_events, table, sum(file.size for file in files))


def _sorted_out(files: Sequence[_File]) -> tuple[list[_File], list[_File], list[SetAside]]:
    """Files for Spark's reader, files for ours, and what can't be used; by their footers."""
    whole, copied, aside = [], [], []
    for file in files:
        if file.path is None:
            whole.append(file)
            continue
        rows, large, fault = checked_footer(file.path)
        if fault:
            aside.append(SetAside(file.name, fault, rows or None))
        elif large or file.path.name[0] in "._":  # which Spark would leave out without a word
            copied.append(file)
        else:
            whole.append(file)
    return whole, copied, aside


def _checked(spark: SparkSession, files: Sequence[_File]) -> tuple[int, list[_File], list[_File], list[SetAside]]:
    """Events, the files that Spark can read, those that it can't but we may, and what is set aside."""
    if not files:
        return 0, [], [], []
    try:
        groups = [(list(files), _counted(spark, files))]
    except SparkJobError:  # at least one is damaged: look at each
        groups, failed = [], []
        for file in files:
            try:
                groups.append(([file], _counted(spark, [file])))
            except SparkJobError as error:
                failed.append((file, error.message))
    else:
        failed = []
    events, usable, ours, aside = 0, [], [], []
    for group, counts in groups:
        for file in group:
            found = counts.get(file.url)
            if found is None:  # a file without rows
                usable.append(file)
                continue
            if found["broken"]:
                failed.append((file, "damaged (text that is not UTF-8)"))
                continue
            usable.append(file)
            events += found["events"]
            aside += [
                SetAside(file.name, reason, found[name])
                for name, reason in (("long", TOO_LONG), ("without", NO_LINE))
                if found[name]
            ]
    for file, message in failed:
        if file.path is None:
            aside.append(SetAside(file.name, f"damaged ({message})", None))
        else:
            ours.append(file)
    return events, usable, ours, aside


def _counted(spark: SparkSession, files: Sequence[_File]) -> dict[str, Any]:
    """URL -> numbers of events, of rows too long or without a line, and of rows whose text is damaged."""
    from pyspark.sql import functions as F

    complete, short = _complete(), _short()
    number = F.coalesce("count", F.lit(1))
    valid = F.coalesce(F.is_valid_utf8("platform"), F.lit(True)) & F.coalesce(
        F.is_valid_utf8("command_line"), F.lit(True)
    )
    with translated("to read the day's files"):
        rows = (
            _read(spark, files)
            .groupBy(F.col("_metadata.file_path").alias("file"))
            .agg(
                F.coalesce(F.sum(F.when(complete & short, number)), F.lit(0)).alias("events"),
                F.count(F.when(complete & ~short, 1)).alias("long"),
                F.count(F.when(~complete, 1)).alias("without"),
                F.count(F.when(~valid, 1)).alias("broken"),
            )
            .collect()
        )
    counts = {_slashes(unquote(row["file"])): row.asDict() for row in rows}
    unknown = set(counts) - {file.url for file in files}
    if unknown:  # their rows would be in the frame, but in no count
        raise SparkJobError(f"Spark names a file that it was not given: {min(unknown)}")
    return counts


def _slashes(url: str) -> str:
    """Spark says file:/a of what we name file:///a."""
    return re.sub("^file:/+", "file:///", url)


def _read(spark: SparkSession, files: Sequence[_File]) -> DataFrame:
    reader = spark.read.schema(_EVENT).option("ignoreCorruptFiles", "false").option("ignoreMissingFiles", "false")
    return reader.parquet(*(_escaped(file.url) for file in files))


def _complete() -> Column:
    from pyspark.sql import functions as F

    named = F.coalesce(F.octet_length("platform") <= MAX_PLATFORM_BYTES, F.lit(False))
    return F.col("command_line").isNotNull() & named


def _short() -> Column:
    from pyspark.sql import functions as F

    return F.octet_length("command_line") <= MAX_LINE_BYTES


def _usable(spark: SparkSession, whole: Sequence[_File], copied: Sequence[_File]) -> DataFrame:
    frames = []
    if whole:
        frames.append(_read(spark, whole).where(_complete() & _short()).select("platform", "command_line", "count"))
    if copied:
        frames.append(_paths(spark, copied).mapInArrow(workers.salvaged_rows, workers.COPIED))
    if not frames:
        return spark.createDataFrame([], _EVENT)
    return frames[0] if len(frames) == 1 else frames[0].unionByName(frames[1])


def _copied(spark: SparkSession, files: Sequence[_File]) -> tuple[int, list[SetAside]]:
    if not files:
        return 0, []
    names = {str(file.path): file.name for file in files}
    with translated("to read the day's damaged files"):
        rows = _paths(spark, files).mapInArrow(workers.lost_rows, workers.LOST).collect()
    aside = [SetAside(names[row["file"]], row["reason"], row["rows"]) for row in rows if row["reason"] is not None]
    return sum(row["events"] for row in rows if row["reason"] is None), aside


def _paths(spark: SparkSession, files: Sequence[_File]) -> DataFrame:
    return spark.createDataFrame([(str(file.path),) for file in files], "file string").repartition(len(files))
