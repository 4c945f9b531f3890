"""Any supported log -> lake, with every record accounted for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from cmdclf.errors import TelemetryError
from cmdclf.telemetry.lake import QUARANTINE, Lake, LakeWriter
from cmdclf.telemetry.readers import ReadOptions, Rejected, Skipped, detect_format, get_reader
from cmdclf.telemetry.schema import clean_text

__all__ = ["IngestReport", "ingest", "ingest_file", "log_files"]

_REJECTED_PER_BATCH = 1024


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What became of a file's records: `read == written + sum(skipped.values()) + quarantined`.

    Attributes:
        file: the file as it was named.
        format: the reader that read it.
        read: records in the file.
        written: process events now in the lake.
        skipped: reason -> records that are no process start with a command line.
        quarantined: records that couldn't be read.
        days: UTC day -> process events written.
        quarantine_reasons: reason -> records.
        replaced: the same content was in the lake already and was replaced.
    """

    file: str
    format: str
    read: int
    written: int
    skipped: dict[str, int]
    quarantined: int
    days: dict[date, int]
    quarantine_reasons: dict[str, int]
    replaced: bool = False


def log_files(paths: Iterable[str | Path], *, lake: Lake | None = None) -> Iterator[Path]:
    """The files named, and for a folder all files in it and below, in order; hidden ones are left out.

    A lake that lies in such a folder isn't a log: its own files are left out too.
    """
    inside = None if lake is None else lake.root.resolve()
    for path in map(Path, paths):
        if path.is_dir():
            inner = (p for p in path.rglob("*") if p.is_file())
            shown = sorted(p for p in inner if not any(x.startswith(".") for x in p.relative_to(path).parts))
            yield from (p for p in shown if inside is None or inside not in p.resolve().parents)
        else:
            yield path


def ingest(
    paths: Iterable[str | Path],
    lake: Lake,
    *,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
    platform: str | None = None,
    day: date | None = None,
    on_error: Callable[[Path, TelemetryError], None] | None = None,
) -> list[IngestReport]:
    """Put log files into the lake, file by file; a file whose content is there already is replaced, not doubled.

    Args:
        paths: files, or folders whose files are meant.
        lake: where to.
        format: a reader's name, or `auto`.
        columns: our column -> the source's, dotted for nested JSON.
        platform: of all records, whatever they say.
        day: UTC day for records without a time.
        on_error: called for a file that can't be read, and the work goes on; without it the error is raised.

    Raises:
        TelemetryError: an option is wrong, or a file can't be read (of such a file nothing is stored).
        OSError: the lake can't be written; it holds the files before this one.
    """
    options = ReadOptions(columns=dict(columns or {}), platform=platform, day=day)
    if format != "auto":
        get_reader(format)
    reports = []
    for path in log_files(paths, lake=lake):
        try:
            reports.append(ingest_file(path, lake, format=format, options=options))
        except TelemetryError as error:
            if on_error is None:
                raise
            on_error(path, error)
    return reports


def ingest_file(path: Path, lake: Lake, *, format: str = "auto", options: ReadOptions | None = None) -> IngestReport:
    """Put one log file into the lake: all of it, or nothing where it is damaged.

    The part's name is the SHA-256 of the file's content. The options are left out of it on purpose: a file that is
    ingested again with `--platform`, because its first try went to quarantine, must replace that try.
    """
    options = options or ReadOptions()
    name = _content_hash(path)
    reader = detect_format(path) if format == "auto" else get_reader(format)
    skipped: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    read = 0
    waiting: list[Rejected] = []
    with LakeWriter(lake, name) as writer:
        for item in reader.read(path, options):
            if isinstance(item, Rejected):
                read += 1
                reasons[item.reason] += 1
                waiting.append(item)
                if len(waiting) >= _REJECTED_PER_BATCH:
                    writer.reject(_quarantine(path, waiting))
                    waiting = []
            elif isinstance(item, Skipped):
                read += item.records
                skipped[item.reason] += item.records
            else:
                read += item.num_rows
                writer.write(item)
        if waiting:
            writer.reject(_quarantine(path, waiting))
    if not read:
        raise TelemetryError("the file holds no records", file=path, remedy="Check how it was exported")
    return IngestReport(
        file=str(path),
        format=reader.name,
        read=read,
        written=sum(writer.days.values()),
        skipped=dict(sorted(skipped.items())),
        quarantined=writer.quarantined,
        days=writer.days,
        quarantine_reasons=dict(sorted(reasons.items())),
        replaced=writer.replaced,
    )


def _quarantine(path: Path, rejected: list[Rejected]) -> pa.RecordBatch:
    rows = {
        "file": [clean_text(f"{path}!{r.member}" if r.member else str(path)) for r in rejected],
        "offset": [r.offset for r in rejected],
        "reason": [clean_text(r.reason) for r in rejected],
        "raw": [clean_text(r.raw) for r in rejected],
    }
    return pa.RecordBatch.from_pydict(rows, schema=QUARANTINE)


def _content_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise TelemetryError(
            f"the file can't be opened ({error.strerror})", file=path, remedy="Check the path and its permissions"
        ) from error
