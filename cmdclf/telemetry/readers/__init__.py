"""One reader per log format, and the registry that finds the one for a file."""

from __future__ import annotations

from pathlib import Path

from cmdclf.errors import TelemetryError
from cmdclf.telemetry.readers.base import Reader, ReadOptions, Rejected, Skipped
from cmdclf.telemetry.readers.containers import looks_binary, read_head
from cmdclf.telemetry.readers.csv import CsvReader
from cmdclf.telemetry.readers.jsonl import JsonLinesReader
from cmdclf.telemetry.readers.parquet import ParquetReader
from cmdclf.telemetry.readers.windows_event import WindowsEventReader

__all__ = ["READERS", "ReadOptions", "Reader", "Rejected", "Skipped", "detect_format", "get_reader"]

#: In the order in which they are asked: the more particular format first.
READERS: dict[str, Reader] = {
    reader.name: reader for reader in (ParquetReader(), WindowsEventReader(), JsonLinesReader(), CsvReader())
}

_KNOWN_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"ElfFile\x00",
        "a binary Windows event log (.evtx)",
        "Convert it to JSON lines first, for example with evtx_dump",
    ),
    (b"SQLite format 3\x00", "a SQLite database", "Export the table as CSV"),
    (b"ARROW1", "an Arrow file", "Write it as Parquet"),
    (b"Obj\x01", "an Avro file", "Write it as Parquet"),
    (b"ORC", "an ORC file", "Write it as Parquet"),
    (b"BZh", "compressed with bzip2", "Decompress it first"),
    (b"\xfd7zXZ\x00", "compressed with xz", "Decompress it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "Decompress it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "Unpack it first"),
)


def get_reader(name: str) -> Reader:
    """The reader of a format by its name.

    Raises:
        TelemetryError: there is no such format.
    """
    if name not in READERS:
        raise TelemetryError(f"there is no format {name!r}", remedy=f"The formats are: auto, {', '.join(READERS)}")
    return READERS[name]


def detect_format(path: str | Path) -> Reader:
    """The reader for a file, by its first bytes and its name.

    Raises:
        TelemetryError: the file is empty, damaged, or of no known format.
    """
    path = Path(path)
    head = read_head(path)
    if not head.strip():
        raise TelemetryError("the file is empty", file=path, remedy="Check how it was exported")
    for reader in READERS.values():
        if reader.sniff(path, head):
            return reader
    for magic, what, remedy in _KNOWN_OTHERS:
        if head.startswith(magic):
            raise TelemetryError(f"the file is {what}, which is not read directly", file=path, remedy=remedy)
    if looks_binary(head):
        raise TelemetryError(
            "the file is binary data of no known format",
            file=path,
            remedy=f"Supported are {', '.join(READERS)}; text formats also as .gz or .zip",
        )
    raise TelemetryError(
        "the file's format isn't recognised: no JSON, and no header with a column that holds a command line",
        file=path,
        remedy="Name it: --format csv --map command_line=COLUMN (or --format jsonl)",
    )
