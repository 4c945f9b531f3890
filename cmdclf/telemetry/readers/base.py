"""What a reader is: a log file goes in; batches of process events, rejected and skipped records come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from cmdclf.errors import TelemetryError
from cmdclf.telemetry.schema import PLATFORMS, PROCESS_EVENT

__all__ = ["MAPPABLE", "MAX_RECORD_BYTES", "RAW_CHARACTERS", "ReadOptions", "Reader", "Rejected", "Skipped"]

#: A record (JSON line, CSV row) beyond this is quarantined unread. It may be longer than a command line: it repeats it.
MAX_RECORD_BYTES = 16 << 20
#: How much of a rejected record the quarantine keeps.
RAW_CHARACTERS = 2000
#: Columns that a user may map. `argv` is a list of arguments that will be joined.
MAPPABLE = (*PROCESS_EVENT.names, "argv")


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user knows about a file and the file doesn't say.

    Args:
        columns: our column -> name of the source's column, dotted for nested JSON; an empty name switches a column off.
        platform: `windows`, `linux` or `macos` for all records, whatever the file says.
        day: the UTC day of records without a time.
        batch_rows: rows per batch, at most.

    Raises:
        TelemetryError: an unknown column or platform.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    platform: str | None = None
    day: date | None = None
    batch_rows: int = 8192

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(MAPPABLE))
        if unknown:
            raise TelemetryError(
                f"there is no column {unknown[0]!r} to map to", remedy=f"The columns are: {', '.join(MAPPABLE)}"
            )
        if self.platform is not None and self.platform not in PLATFORMS:
            raise TelemetryError(
                f"{self.platform!r} is not a platform", remedy=f"The platforms are: {', '.join(PLATFORMS)}"
            )


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that can't be read: its number from 1, why, how it began, and the archive's member it lies in."""

    offset: int
    reason: str
    raw: str
    member: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Records that are fine but no process start with a command line."""

    reason: str
    records: int = 1


class Reader(Protocol):
    """Reads one log format. A new format is one new file and one line in the registry."""

    name: str

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format, judged by its name and its first bytes (decompressed)."""

    def read(self, path: Path, options: ReadOptions) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
        """Every record of a file exactly once: in a `PROCESS_EVENT` batch, rejected, or skipped.

        Raises:
            TelemetryError: the file as a whole is damaged, or no column holds a command line.
        """
