"""Streaming readers of command lines: each format becomes record batches of bounded rows and bytes."""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from cmdclf.errors import CmdclfError

__all__ = ["FORMATS", "JSON_TEXT", "LinesInput", "open_lines"]

FORMATS = ("text", "jsonl", "csv", "parquet")
#: Field metadata of a string column that holds JSON texts, which a JSON lines writer writes out as values again.
JSON_TEXT = {b"cmdclf.json": b"1"}

_EXTENSIONS = {
    ".txt": "text", ".log": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv",
    ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip
# Beyond any command line (Linux allows 128 KiB per argument, Windows 64 KiB in all), but small enough to hold.
_MAX_ROW_BYTES = 1 << 24
_MAX_BATCH_BYTES = 1 << 24
_STRING_COLUMNS = ("command_line", "platform", "parent_command_line")
_TEXT = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_binary, pa.types.is_large_binary,
    pa.types.is_null,
)  # fmt: skip
_ONE_OBJECT = "One object a line is expected; 'jq -c .' writes them so, \"jq -c '.[]'\" the elements of an array"

_Opened = tuple[pa.Schema, Iterator[pa.RecordBatch]]


class LinesInput:
    """An opened input: iterate it once for its record batches.

    Attributes:
        schema: the Arrow schema of all batches; `command_line` is among its names.
        format: `text`, `jsonl`, `csv` or `parquet`.
        name: what messages call it.
    """

    def __init__(
        self, schema: pa.Schema, format: str, name: str, batches: Iterator[pa.RecordBatch], source: BinaryIO | None
    ) -> None:
        self.schema = schema
        self.format = format
        self.name = name
        self._batches = batches
        self._source = source

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Batches in input order; one empty batch if there are no rows."""
        seen = False
        try:
            for batch in self._batches:
                seen = True
                yield batch
        finally:
            if self._source is not None and self._source is not sys.stdin.buffer:
                self._source.close()
        if not seen:
            yield pa.RecordBatch.from_pylist([], schema=self.schema)


def open_lines(path: str | Path, format: str | None = None, batch_rows: int = 8192) -> LinesInput:
    """Open command lines for streaming.

    Args:
        path: a file, or `-` for standard input.
        format: one of `text`, `jsonl`, `csv`, `parquet`; None: by extension, else by content (Parquet's magic bytes,
            a first line that is a JSON object; text otherwise).
        batch_rows: most rows of a batch; batches also end at 16 MiB of text.

    Bytes that are not UTF-8 and NULs become the text `\\xNN`. JSON lines: nested or mixed columns come as JSON text,
    marked by `JSON_TEXT`; of a pipe, all columns but the known ones. CSV columns are strings.

    Raises:
        CmdclfError: no column `command_line`, a row that cannot be read, a file that is not of its format.
    """
    path = str(path)
    name = "standard input" if path == "-" else path
    if path == "-" and sys.stdin is None:
        raise CmdclfError("it is closed", remedy="Name a file, or pipe the lines in", file=name)
    source: BinaryIO = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115 - closed with the generator
    if format is None and path != "-":
        format = _EXTENSIONS.get(Path(path).suffix.lower())
    head = b"" if format == "parquet" and path != "-" else source.readline(_MAX_ROW_BYTES + 1)
    if format is None:
        format = _sniff(head)
    try:
        lines = _opened(source, head, format, path, name, batch_rows)
    except BaseException:
        if path != "-":
            source.close()
        raise
    return lines


def _opened(source: BinaryIO, head: bytes, format: str, path: str, name: str, batch_rows: int) -> LinesInput:
    if format == "parquet":
        spool = source if path != "-" else _spooled(head, source)
        schema, batches = _open_parquet(spool, name, batch_rows)
        return LinesInput(schema, format, name, batches, spool)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise CmdclfError("the text is UTF-16", remedy="Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW", file=name)
    head = head.removeprefix(b"\xef\xbb\xbf")
    if format == "csv" and not head:
        raise CmdclfError("the file is empty", remedy="A CSV file needs a header with a column command_line", file=name)
    lines = _byte_lines(chain([head], iter(lambda: source.readline(_MAX_ROW_BYTES + 1), b"")), name)
    if format == "csv":
        schema, batches = _open_csv(lines, name, batch_rows)
    elif format == "jsonl":
        schema, batches = _open_jsonl(lines, name, batch_rows, path if path != "-" else None)
    else:
        schema, batches = _open_text(lines, batch_rows)
    return LinesInput(schema, format, name, batches, source)


def _sniff(head: bytes) -> str:
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
        # `{ echo a; }` is a shell command: only an object that parses is JSON.
        try:
            return "jsonl" if isinstance(json.loads(head.decode("utf-8-sig", "replace")), dict) else "text"
        except (ValueError, RecursionError):
            return "text"
    return "text"


def _byte_lines(lines: Iterable[bytes], name: str) -> Iterator[bytes]:
    for row, line in enumerate(lines, 1):
        if len(line) > _MAX_ROW_BYTES:
            raise CmdclfError(
                f"a line is longer than {_MAX_ROW_BYTES >> 20} MiB",
                remedy="No command line is that long: check that the file has one record a line, or give --format",
                file=name,
                row=row,
            )
        if line:
            yield line


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace").replace("\0", "\\x00")


def _clean(value: str) -> str:
    """By the text rule; JSON can also escape half of a surrogate pair, which is no Unicode text."""
    if "\0" in value:
        value = value.replace("\0", "\\x00")
    try:
        value.encode()
    except UnicodeEncodeError:
        value = value.encode("utf-8", "backslashreplace").decode()
    return value


def _in_batches(rows: Iterable[tuple[Any, int]], batch_rows: int) -> Iterator[list[Any]]:
    held: list[Any] = []
    size = 0
    for row, weight in rows:
        held.append(row)
        size += weight
        if len(held) >= batch_rows or size >= _MAX_BATCH_BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _require_command_line(columns: Iterable[str], name: str, how: str) -> None:
    columns = list(columns)
    if "command_line" not in columns:
        listed = ", ".join(columns[:20]) or "none"
        raise CmdclfError(
            f"there is no column 'command_line' (columns: {listed})",
            remedy=f"Rename the column that holds the command lines{how}",
            file=name,
        )
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise CmdclfError(f"the column '{twice[0]}' occurs twice", remedy="Rename one of them", file=name)


# --- text ---------------------------------------------------------------------------------------------------------


def _open_text(lines: Iterator[bytes], batch_rows: int) -> _Opened:
    schema = pa.schema([("command_line", pa.string())])

    def batches() -> Iterator[pa.RecordBatch]:
        stripped = (line[: -2 if line.endswith(b"\r\n") else -1 if line.endswith(b"\n") else None] for line in lines)
        for held in _in_batches(((line, len(line)) for line in stripped), batch_rows):
            yield pa.record_batch([pa.array([_text(line) for line in held], pa.string())], schema=schema)

    return schema, batches()


# --- CSV ----------------------------------------------------------------------------------------------------------


def _open_csv(lines: Iterator[bytes], name: str, batch_rows: int) -> _Opened:
    # The default, 128 KiB, is less than a command line may have; the limit is the module's, not the reader's.
    csv.field_size_limit(_MAX_ROW_BYTES)
    rows = csv.reader((_text(line) for line in lines), strict=True)
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise CmdclfError(f"the header is not CSV: {error}", remedy="Check the file", file=name, row=1) from error
    _require_command_line(header, name, ", or give --format if this is no CSV with a header")
    schema = pa.schema([(column, pa.string()) for column in header])

    def records() -> Iterator[tuple[list[str], int]]:
        number = 1
        try:
            for row in rows:
                if not row:
                    continue
                number += 1
                if len(row) != len(header):
                    raise CmdclfError(
                        f"{len(row)} fields where the header names {len(header)}",
                        remedy="Quote fields that hold commas or quotes (double a quote inside)",
                        file=name,
                        row=number,
                    )
                yield row, sum(map(len, row))
        except csv.Error as error:
            raise CmdclfError(f"not CSV: {error}", remedy="Check the quotes", file=name, row=number + 1) from error

    def batches() -> Iterator[pa.RecordBatch]:
        for held in _in_batches(records(), batch_rows):
            yield pa.record_batch([pa.array(column, pa.string()) for column in zip(*held, strict=True)], schema=schema)

    return schema, batches()


# --- JSON lines ---------------------------------------------------------------------------------------------------


def _objects(lines: Iterable[bytes], name: str) -> Iterator[tuple[int, dict[str, Any], int]]:
    for number, line in enumerate(lines, 1):
        text = line.decode("utf-8", "backslashreplace").removeprefix("\ufeff").strip()
        if not text:
            continue
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            # Undecodable bytes inside a string became \xNN, which JSON doesn't know: they need their backslash doubled.
            value = _second_try(line)
            if value is None:
                message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
                raise CmdclfError(f"not a JSON object: {message}", remedy=_ONE_OBJECT, file=name, row=number) from error
        if not isinstance(value, dict):
            raise CmdclfError("not a JSON object", remedy=_ONE_OBJECT, file=name, row=number)
        for key in _STRING_COLUMNS:
            if not isinstance(value.get(key), str | None):
                raise CmdclfError(
                    f"'{key}' is no text", remedy="Give it as one JSON string (join argv)", file=name, row=number
                )
        yield number, value, len(line)


def _second_try(line: bytes) -> Any:
    text = line.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return None
    escaped = "".join(f"\\\\x{ord(c) - 0xDC00:02x}" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)
    try:
        return json.loads(escaped.replace("\0", "\\\\x00"), strict=False)
    except (ValueError, RecursionError):
        return None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(1 << 63) <= value < 1 << 63 else "json"
    return {str: "string", float: "float"}.get(type(value), "json")


def _open_jsonl(lines: Iterator[bytes], name: str, batch_rows: int, path: str | None) -> _Opened:
    """A file is read twice, so that every row's keys and types are known; a pipe's first batch must name all keys."""
    kinds: dict[str, set[str]] = {}
    first: list[tuple[int, dict[str, Any], int]] = []
    objects = _objects(lines, name)
    held_bytes = 0
    for number, row, size in objects:
        for key, value in row.items():
            found = kinds.setdefault(key, set())
            if value is not None:
                found.add(_kind(value))
        if path is None:
            first.append((number, row, size))
            held_bytes += size
            if len(first) >= batch_rows or held_bytes >= _MAX_BATCH_BYTES:
                break
    if kinds:
        _require_command_line(kinds, name, ", or give --format text if these are plain lines")
    fields = [_field(key, found, loose=path is None) for key, found in kinds.items()]
    schema = pa.schema(fields or [pa.field("command_line", pa.string())])

    def batches() -> Iterator[pa.RecordBatch]:
        rows = chain(first, objects) if path is None else _reopened(path, name)
        for held in _in_batches((((number, row), size) for number, row, size in rows), batch_rows):
            for number, row in held:
                unknown = row.keys() - kinds.keys()
                if unknown:
                    raise CmdclfError(
                        f"the key '{min(unknown)}' was in none of the first {len(first)} rows of the pipe",
                        remedy="Save the input as a file and give that: files are read twice",
                        file=name,
                        row=number,
                    )
            yield pa.record_batch([_column([row.get(f.name) for _, row in held], f) for f in schema], schema=schema)

    return schema, batches()


def _reopened(path: str, name: str) -> Iterator[tuple[int, dict[str, Any], int]]:
    with open(path, "rb") as source:
        yield from _objects(_byte_lines(iter(lambda: source.readline(_MAX_ROW_BYTES + 1), b""), name), name)


def _field(key: str, kinds: set[str], *, loose: bool) -> pa.Field:
    if key in _STRING_COLUMNS:
        return pa.field(key, pa.string())
    arrow = {
        frozenset({"string"}): pa.string(),
        frozenset({"bool"}): pa.bool_(),
        frozenset({"int"}): pa.int64(),
        frozenset({"float"}): pa.float64(),
    }.get(frozenset(kinds))
    if loose or arrow is None:
        return pa.field(key, pa.string(), metadata=JSON_TEXT)
    return pa.field(key, arrow)


def _column(values: list[Any], field: pa.Field) -> pa.Array:
    if field.metadata and JSON_TEXT.items() <= field.metadata.items():
        texts = [None if v is None else _clean(json.dumps(v, ensure_ascii=False)) for v in values]
        return pa.array(texts, pa.string())
    if field.type == pa.string():
        return pa.array([None if v is None else _clean(v) for v in values], pa.string())
    return pa.array(values, field.type)


# --- Parquet ------------------------------------------------------------------------------------------------------


def _spooled(head: bytes, source: BinaryIO) -> BinaryIO:
    """Parquet's index stands at the end, so a pipe goes to a temporary file (on disk, removed when closed)."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115
    spool.write(head)
    while chunk := source.read(1 << 20):
        spool.write(chunk)
    spool.seek(0, io.SEEK_SET)
    return spool


def _require_text(field: pa.Field, name: str) -> None:
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if not any(known(kind) for known in _TEXT):
        raise CmdclfError(
            f"the column '{field.name}' holds {kind}, not text", remedy="Give it as strings (join argv)", file=name
        )


def _open_parquet(source: BinaryIO, name: str, batch_rows: int) -> _Opened:
    import pyarrow.parquet as pq

    remedy = "Check that it is a complete Parquet file, or give --format"
    try:
        file = pq.ParquetFile(source)
    except pa.ArrowException as error:
        raise CmdclfError(f"not Parquet: {error}", remedy=remedy, file=name) from error
    _require_command_line(file.schema_arrow.names, name, "")
    for column in set(_STRING_COLUMNS) & set(file.schema_arrow.names):
        _require_text(file.schema_arrow.field(column), name)

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from file.iter_batches(batch_size=batch_rows)
        except (pa.ArrowException, OSError) as error:
            raise CmdclfError(f"a part of the file can't be read: {error}", remedy=remedy, file=name) from error

    return file.schema_arrow, batches()
