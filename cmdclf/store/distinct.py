"""A day's distinct lines out of the lake into parts, by DuckDB in bounded memory; and a sample of them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from cmdclf.errors import StoreError
from cmdclf.progress import Progress
from cmdclf.store.database import _translated
from cmdclf.store.lines import DRAW, sample_salt
from cmdclf.store.longlines import LONG_BYTES, write_long_lines
from cmdclf.store.parts import SET_ASIDE, Parts, literal
from cmdclf.store.salvage import MAX_PLATFORM_BYTES, NO_LINE, TOO_LONG, SetAside, checked_footer, salvage
from cmdclf.telemetry import MAX_LINE_BYTES

__all__ = ["distinct_parts", "sample_parts"]

#: A part of so many bytes holds one to two million lines.
_PART_BYTES = 100_000_000
_ROW_GROUP_ROWS = 131_072  # two batches

_NAMED = f"coalesce(strlen(platform) <= {MAX_PLATFORM_BYTES}, false)"
_COMPLETE = f"(command_line is not null and {_NAMED})"
_FITS = f"strlen(command_line) <= {MAX_LINE_BYTES}"
_SHORT = f"strlen(command_line) <= {LONG_BYTES}"
_EVENTS = "read_parquet($files, hive_partitioning = false, union_by_name = true, filename = true)"

# Reads all that the next query reads, so a damaged page shows here.
_CHECK = f"""
select filename, coalesce(sum(coalesce(count, 1)) filter ({_COMPLETE} and {_FITS}), 0)::bigint as events,
       count(*) filter ({_COMPLETE} and {_FITS} and not {_SHORT}) as long,
       count(*) filter ({_COMPLETE} and not {_FITS}) as too_long, count(*) filter (not {_COMPLETE}) as without
from {_EVENTS} group by filename order by filename
"""  # noqa: S608

# The id is made after the aggregation: once a line, not once an event.
_DISTINCT = f"""
select sha256(platform || chr(0) || command_line)[1:32] as command_id, platform, command_line, events
from (
    select platform, command_line, sum(coalesce(count, 1))::bigint as events
    from {_EVENTS} where {_COMPLETE} and {_SHORT} group by platform, command_line
)
"""  # noqa: S608

_SAMPLE = f"""
select command_id, platform, command_line, events
from (select *, {DRAW} as draw from read_parquet($files, hive_partitioning = false))
where draw <= $bound order by draw, command_id limit $n
"""  # noqa: S608


def distinct_parts(
    files: Sequence[Path],
    folder: Path,
    *,
    memory_mb: int = 2048,
    threads: int | None = None,
    progress: bool = False,
) -> Parts:
    """Each (platform, command_line) of the files once, with the sum of its events, as Parquet files in a new folder.

    The folder appears when it is whole. A file that is damaged gives what can be read of it; that, lines longer than
    1 MiB and rows without a line or platform are set aside and counted. Which line is in which part, and how many parts
    there are, may differ from run to run; the lines and their events don't.

    Args:
        files: lake files of one day.
        folder: must not exist; its parent is made.
        memory_mb: what DuckDB may use before it spills into the folder. The aggregation needs about the size of the
            distinct text times 1.6 in memory or, beyond the limit, on the disk.
        threads: of DuckDB; its default is one per core.
        progress: show rows per second and time left.

    Raises:
        StoreError: not one of the files can be used, or the disk is full.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    usable, total, aside = _usable(files, partial)
    with _connected(partial, memory_mb, threads) as connection:
        long: set[Path] = set()
        events, usable, found = _checked(connection, usable, partial, long)
        aside += found
        if files and not usable:
            shutil.rmtree(partial, ignore_errors=True)
            raise StoreError(
                f"no file of the day can be used, the first is {aside[0].reason}",
                remedy="Remove it and ingest its source again",
                file=aside[0].file,
            )
        if usable:
            with Progress("distinct", total, enabled=progress) as shown:
                _write(connection, _DISTINCT, {"files": [literal(path) for path, _ in usable]}, partial, shown)
    if long:
        write_long_lines(sorted(long), partial / "long.parquet")
    set_aside = pa.Table.from_pylist([asdict(row) for row in aside], schema=SET_ASIDE).sort_by(
        [("file", "ascending"), ("reason", "ascending")]
    )
    return _placed(partial, folder, events, set_aside)


def sample_parts(
    parts: Parts,
    folder: Path,
    day: date,
    n: int,
    *,
    seed: int = 0,
    memory_mb: int = 2048,
    threads: int | None = None,
    progress: bool = False,
) -> Parts:
    """The n lines of the parts that `Store.sample` draws from the same day and lines, as parts in a new folder.

    One pass: as the hashes are uniform, a bound is known that n of them stay under and hardly more, so that only these
    rows are sorted. (The pass is repeated without a bound should fewer have come.)
    """
    partial = folder.with_name(folder.name + ".partial")
    for share in ((n + 6 * math.sqrt(n) + 100) / max(parts.rows, 1), 1.0):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        bound = min(int(share * 2**64), 2**64 - 1)
        if parts.files:
            values = {
                "files": [literal(part.path) for part in parts.files],
                "salt": sample_salt(day, seed),
                "bound": bound,
                "n": n,
            }
            with (
                _connected(partial, memory_mb, threads) as connection,
                Progress("sample", parts.rows, enabled=progress) as shown,
            ):
                _write(connection, _SAMPLE, values, partial, shown)
        sampled = Parts.of_folder(partial, events=parts.events, set_aside=parts.set_aside)
        if sampled.rows == min(n, parts.rows):
            break
    return _placed(partial, folder, parts.events, parts.set_aside)


def _placed(partial: Path, folder: Path, events: int, set_aside: pa.Table) -> Parts:
    for inside in ("spill", "salvaged"):
        shutil.rmtree(partial / inside, ignore_errors=True)
    Parts.of_folder(partial, events=events, set_aside=set_aside).save()
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    placed = Parts.load(folder)
    assert placed is not None
    return placed


def _connected(partial: Path, memory_mb: int, threads: int | None) -> duckdb.DuckDBPyConnection:
    config: dict[str, str] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{memory_mb}MiB",
        "temp_directory": str(partial / "spill"),
        "preserve_insertion_order": "false",  # keeping it would hold what has been read but not yet written
    }
    if threads is not None:
        config["threads"] = str(threads)
    with _translated(partial):
        connection = duckdb.connect(config=config)
        connection.execute("set enable_progress_bar = true; set enable_progress_bar_print = false")
    return connection


def _usable(files: Sequence[Path], partial: Path) -> tuple[list[tuple[Path, str]], int, list[SetAside]]:
    """(file to read, file it stands for) of those with a whole footer; the rows they declare; what is set aside."""
    usable: list[tuple[Path, str]] = []
    aside: list[SetAside] = []
    total = 0
    for file in files:
        if not file.is_file():
            raise StoreError("the lake's file is missing", remedy="Ingest the day again", file=file)
        rows, copy, fault = checked_footer(file)
        if fault:
            aside.append(SetAside(str(file), fault, rows or None))
        elif copy:
            usable.append((_salvaged(file, partial, aside), str(file)))
            total += rows
        else:
            usable.append((file, str(file)))
            total += rows
    return usable, total, aside


def _salvaged(file: Path, partial: Path, aside: list[SetAside]) -> Path:
    folder = partial / "salvaged"
    folder.mkdir(exist_ok=True)
    copy = folder / f"{len(list(folder.iterdir()))}.parquet"
    aside += salvage(file, copy)
    return copy


def _checked(
    connection: duckdb.DuckDBPyConnection, usable: list[tuple[Path, str]], partial: Path, long: set[Path]
) -> tuple[int, list[tuple[Path, str]], list[SetAside]]:
    """Events to be counted, the files that DuckDB can read (copies in place of damaged ones), what is set aside.

    The files with very long lines are added to `long`.
    """
    if not usable:
        return 0, [], []
    try:
        events, aside = _counted(connection, usable, partial, long)
        return events, usable, aside
    except StoreError as error:
        if isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
    events, readable, aside = 0, [], []
    for path, name in usable:
        for attempt in ("as it is", "copied"):
            try:
                count, found = _counted(connection, [(path, name)], partial, long)
            except StoreError as error:
                if isinstance(error.__cause__, duckdb.OutOfMemoryException):
                    raise
                if attempt == "copied" or path != Path(name):
                    aside.append(SetAside(name, f"damaged ({error.message})", None))
                    break
                path = _salvaged(path, partial, aside)
            else:
                events, aside = events + count, aside + found
                readable.append((path, name))
                break
    return events, readable, aside


def _counted(
    connection: duckdb.DuckDBPyConnection, usable: list[tuple[Path, str]], partial: Path, long: set[Path]
) -> tuple[int, list[SetAside]]:
    names = {str(path): name for path, name in usable}
    with _translated(partial):
        rows = connection.execute(_CHECK, {"files": [literal(path) for path, _ in usable]}).fetchall()
    aside = [
        SetAside(names[file], reason, count)
        for file, _, _, too_long, without in rows
        for reason, count in ((TOO_LONG, too_long), (NO_LINE, without))
        if count
    ]
    long |= {Path(file) for file, _, lengthy, _, _ in rows if lengthy}
    return sum(row[1] for row in rows), aside


def _write(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any], folder: Path, shown: Progress
) -> None:
    """COPY the query's rows into Parquet files of the folder, one or more per thread."""
    target = str(folder / "lines").replace("'", "''")
    copy = (
        f"copy ({query}) to '{target}' (format parquet, compression snappy, per_thread_output true, "
        f"file_size_bytes {_PART_BYTES}, row_group_size {_ROW_GROUP_ROWS}, row_group_size_bytes '64MB')"
    )
    with _translated(folder), ThreadPoolExecutor(1) as pool:
        job = pool.submit(lambda: connection.execute(copy, dict(values)).fetchall())
        try:
            while not wait([job], timeout=0.5).done:
                share = max(connection.query_progress(), 0.0) / 100
                shown.update(max(int(share * (shown.total or 0)) - shown.done, 0))
        except BaseException:
            connection.interrupt()
            raise
        job.result()
    shown.update(max((shown.total or 0) - shown.done, 0))
    for path in (folder / "lines").glob("*.parquet"):
        path.rename(folder / path.name)
    (folder / "lines").rmdir()
