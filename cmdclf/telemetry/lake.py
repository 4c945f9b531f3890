"""The lake: Parquet files `day=YYYY-MM-DD/*.parquet`, the one contract between readers, DuckDB and Spark."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import TelemetryError
from cmdclf.telemetry.schema import PROCESS_EVENT

__all__ = ["QUARANTINE", "Lake", "LakeWriter"]

#: What could not be read: which record of which file, why, and how it began.
QUARANTINE = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("raw", pa.string(), nullable=False),
    ]
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_US_PER_DAY = 86_400_000_000
_BUFFER_BYTES = 64 << 20
_OPEN_WRITERS = 100


class Lake:
    """A folder of process events by day.

    Args:
        root: the folder; it is made at the first write.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def days(self) -> list[date]:
        """The days that hold at least one file, in order."""
        found = []
        for folder in self.root.glob("day=*"):
            with contextlib.suppress(ValueError):
                day = date.fromisoformat(folder.name.removeprefix("day="))
                if any(folder.glob("*.parquet")):
                    found.append(day)
        return sorted(found)

    def files(self, day: date) -> list[Path]:
        """The Parquet files of a day, in order of their names; empty where the lake has no such day."""
        return sorted(self._folder(day).glob("*.parquet"))

    def batches(self, day: date | None = None, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Process events as record batches of at most 65,536 rows, day by day, in the order of the files.

        Args:
            day: one day only; None reads all of them.
            columns: names of `PROCESS_EVENT`; None reads all of them.

        Raises:
            TelemetryError: a file is damaged or isn't a file of process events.
        """
        for one in self.days() if day is None else [day]:
            for path in self.files(one):
                try:
                    with pq.ParquetFile(path) as file:
                        missing = set(columns or PROCESS_EVENT.names) - set(file.schema_arrow.names)
                        if missing:
                            raise TelemetryError(
                                f"the columns {sorted(missing)} are missing",
                                file=path,
                                remedy="Only `cmdclf ingest` and `cmdclf replay` should write into a lake",
                            )
                        yield from file.iter_batches(columns=list(columns or PROCESS_EVENT.names))
                except (pa.ArrowInvalid, OSError) as error:
                    raise TelemetryError(
                        f"a file of the lake is damaged ({_first_line(error)})",
                        file=path,
                        remedy="Remove it and ingest its source again",
                    ) from error

    def write(self, batches: Iterable[pa.RecordBatch], *, name: str) -> dict[date, int]:
        """Write process events, each into the folder of its UTC day; all of them or, on any error, none.

        Args:
            batches: batches with the columns of `PROCESS_EVENT`, in any order of time.
            name: names the part; an earlier part of the same name is replaced on all days.

        Returns:
            Rows written per day.

        Raises:
            TelemetryError: the name can't be a file name, or a batch doesn't have the columns.
            OSError: the disk is full or refuses; the lake is as it was before.
        """
        with LakeWriter(self, name) as writer:
            for batch in batches:
                writer.write(batch)
        return writer.days

    def parts(self, name: str) -> list[Path]:
        """All files of a part, on all days, its quarantine included."""
        found = [*self.root.glob(f"day=*/{name}.parquet"), *self.root.glob(f"day=*/{name}.seg*.parquet")]
        rejected = [*self.root.glob(f"quarantine/{name}.parquet"), *self.root.glob(f"quarantine/{name}.seg*.parquet")]
        return sorted([*found, *rejected])

    def _folder(self, day: date) -> Path:
        return self.root / f"day={day.isoformat()}"


class LakeWriter:
    """Context manager that collects one part's events and rejected records and puts them into the lake at its end.

    Until the block ends nothing is visible in the lake; files are written aside, flushed to the disk and renamed. An
    exception, in the block or while renaming, leaves the lake as it was. Memory: 64 MiB of waiting batches.
    """

    def __init__(self, lake: Lake, name: str) -> None:
        if not _NAME.fullmatch(name) or ".seg" in name:
            raise TelemetryError(f"{name!r} can't name a part of a lake", remedy="Use letters, digits, '-' and '_'")
        self.lake = lake
        self.name = name
        self.days: dict[date, int] = {}
        self.quarantined = 0
        self.replaced = False
        self._waiting: dict[int, list[pa.RecordBatch]] = {}
        self._waiting_bytes = 0
        self._writers: dict[Path, pq.ParquetWriter] = {}
        self._finished: list[Path] = []
        self._segment = 0
        self._aside = lake.root / ".tmp" / f"{name}.{socket.gethostname()}.{os.getpid()}"

    def __enter__(self) -> LakeWriter:
        self._sweep()
        shutil.rmtree(self._aside, ignore_errors=True)
        self._aside.mkdir(parents=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._flush()
                self._close()
                self._commit()
                self.days = dict(sorted(self.days.items()))
        finally:
            for writer in self._writers.values():  # left open by an error, and that error is the one to report
                with contextlib.suppress(OSError, pa.ArrowException):
                    writer.close()
            shutil.rmtree(self._aside, ignore_errors=True)
            with contextlib.suppress(OSError):
                self._aside.parent.rmdir()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add process events; `PROCESS_EVENT`'s columns are needed, others are dropped."""
        if not batch.num_rows:
            return
        missing = set(PROCESS_EVENT.names) - set(batch.schema.names)
        if missing:
            raise TelemetryError(f"a batch for the lake lacks the columns {sorted(missing)}")
        try:
            batch = batch.select(PROCESS_EVENT.names).cast(PROCESS_EVENT)
        except (pa.ArrowException, ValueError) as error:
            raise TelemetryError(f"a batch for the lake isn't of the schema of process events ({error})") from error
        micros = batch.column("event_time").cast(pa.int64()).to_numpy(zero_copy_only=False)
        days = np.floor_divide(micros, _US_PER_DAY)
        for day in np.unique(days).tolist():
            rows = np.flatnonzero(days == day)
            # `take` copies: a zero-copy slice would hold its whole batch in memory while it waits.
            share = batch if len(rows) == batch.num_rows else batch.take(pa.array(rows))
            self._waiting.setdefault(day, []).append(share)
            self._waiting_bytes += share.nbytes
            as_date = _date(day)
            self.days[as_date] = self.days.get(as_date, 0) + len(rows)
        if self._waiting_bytes > _BUFFER_BYTES:
            self._flush()

    def reject(self, rows: pa.RecordBatch) -> None:
        """Add rejected records (columns of `QUARANTINE`)."""
        self._writer(self._aside / "quarantine.parquet", QUARANTINE).write_batch(rows)
        self.quarantined += rows.num_rows

    def _flush(self) -> None:
        for day in sorted(self._waiting):
            as_date = _date(day)
            path = self._aside / f"day={as_date.isoformat()}.{self._segment}.parquet"
            self._writer(path, PROCESS_EVENT).write_table(pa.Table.from_batches(self._waiting.pop(day), PROCESS_EVENT))
            if len(self._writers) >= _OPEN_WRITERS:  # a log with wild dates must not exhaust the file handles
                self._close()
                self._segment += 1
        self._waiting_bytes = 0

    def _writer(self, path: Path, schema: pa.Schema) -> pq.ParquetWriter:
        if path not in self._writers:
            if path in self._finished:
                path = path.with_name(f"{path.stem}.{self._segment}.parquet")
            if path not in self._writers:
                self._writers[path] = pq.ParquetWriter(path, schema, compression="zstd")
        return self._writers[path]

    def _close(self) -> None:
        for path in list(self._writers):
            self._writers.pop(path).close()
            self._finished.append(path)

    def _target(self, path: Path, taken: set[Path]) -> Path:
        if path.name.startswith("quarantine"):
            folder = self.lake.root / "quarantine"
        else:
            folder = self.lake.root / path.name.split(".")[0]
        target = folder / f"{self.name}.parquet"
        number = 0
        while target in taken:
            number += 1
            target = folder / f"{self.name}.seg{number}.parquet"
        taken.add(target)
        return target

    def _commit(self) -> None:
        old = self.lake.parts(self.name)
        self.replaced = bool(old)
        for path in self._finished:
            _sync(path)
        taken: set[Path] = set()
        moves = [(path, self._target(path, taken)) for path in self._finished]
        new_folders = [t.parent for _, t in moves if not t.parent.exists()]
        done: list[tuple[Path, Path | None]] = []
        try:
            for path, target in moves:
                target.parent.mkdir(parents=True, exist_ok=True)
                backup = self._backup(target)
                os.replace(path, target)
                done.append((target, backup))
            for folder in {target.parent for _, target in moves} | {self.lake.root}:
                _sync(folder)
        except BaseException:
            for target, backup in reversed(done):
                if backup is None:
                    target.unlink(missing_ok=True)
                else:
                    os.rename(backup, target)
            for folder in new_folders:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            raise
        for path in old:
            if path not in taken:
                path.unlink()
                with contextlib.suppress(OSError):  # the folder still holds other parts
                    path.parent.rmdir()

    def _backup(self, target: Path) -> Path | None:
        """A second name for a file that is about to be replaced, so that a failing commit can put it back."""
        if not target.exists():
            return None
        backup = self._aside / f"backup-{target.parent.name}-{target.name}"
        try:
            os.link(target, backup)
        except OSError:  # a file system without hard links
            shutil.copy2(target, backup)
        return backup

    def _sweep(self) -> None:
        """Remove what a killed process of this machine left behind."""
        host = re.escape(socket.gethostname())
        for folder in self._aside.parent.glob("*"):
            match = re.fullmatch(rf".*\.{host}\.(\d+)", folder.name)
            if match and not _alive(int(match.group(1))):
                shutil.rmtree(folder, ignore_errors=True)


def _date(day: int) -> date:
    try:
        return date(1970, 1, 1) + timedelta(days=day)
    except OverflowError:
        raise TelemetryError("an event's time is beyond the year 9999 or before the year 1") from None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0][:200]
