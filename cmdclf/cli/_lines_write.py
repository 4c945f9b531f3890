"""Streaming writer of record batches as text, JSON lines, CSV or Parquet; a file appears only when it is complete."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import pyarrow as pa

from cmdclf.cli._lines_read import JSON_TEXT
from cmdclf.errors import CmdclfError

__all__ = ["LinesWriter"]

_EXTENSIONS = {
    ".txt": "text", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".parquet": "parquet",
    ".pq": "parquet",
}  # fmt: skip
# What JSON leaves as it is but a terminal obeys or shows in a misleading way: DEL, C1 controls, line separators, bidi.
_ESCAPES = {
    c: f"\\u{c:04x}"
    for c in (*range(0x7F, 0xA0), *range(0x200E, 0x2010), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}
_CONTROLS = {**{c: f"\\x{c:02x}" for c in range(0x20)}, **_ESCAPES}
_LINE_BREAKS = {ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"}


class LinesWriter:
    """A context manager that writes record batches of one schema.

    Args:
        path: a file, or `-` for standard output.
        format: `text`, `jsonl`, `csv` or `parquet`; None: by extension, `jsonl` on standard output.
        text_columns: the columns that plain text shows, separated by tabs; those an input lacks are left out.
        text_row: makes the whole text of a row out of those columns instead, harmless on a terminal.

    Nested values are JSON in CSV and text. JSON output escapes control characters; CSV and text do so on a terminal.

    Raises:
        CmdclfError: the format can't be told from the name, or Parquet is to go to a terminal.
    """

    def __init__(
        self,
        path: str | Path,
        format: str | None = None,
        *,
        text_columns: tuple[str, ...] = ("command_line",),
        text_row: Callable[[dict[str, Any]], str] | None = None,
    ) -> None:
        self._path = None if str(path) == "-" else Path(path)
        if format is None:
            format = "jsonl" if self._path is None else _EXTENSIONS.get(self._path.suffix.lower())
        if format is None:
            raise CmdclfError(
                "the output's format can't be told from its name",
                remedy="End it in .jsonl, .csv, .parquet or .txt, or give --out-format",
                file=self._path,
            )
        self.format = format
        self.rows = 0
        self._text_columns = text_columns
        self._text_row = text_row
        self._stream: BinaryIO | None = None
        self._parquet: Any = None
        self._partial: Path | None = None
        self._header_written = False

    def __enter__(self) -> LinesWriter:
        """Open the output; a file is written under a passing name first."""
        if self._path is None:
            if sys.stdout is None:
                raise CmdclfError("it is closed", remedy="Give --out FILE", file="standard output")
            if self.format == "parquet" and sys.stdout.isatty():
                raise CmdclfError(
                    "Parquet is not for a terminal", remedy="Give --out FILE.parquet or --out-format jsonl"
                )
            self._stream = sys.stdout.buffer
        else:
            self._partial = self._path.with_name(f".{self._path.name}.{os.getpid()}.partial")
            with self._named():
                self._stream = open(self._partial, "wb")
        self._tty = self._path is None and sys.stdout.isatty()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish the output and give it its name; after an error remove what was written."""
        assert self._stream is not None
        try:
            with self._named():
                if self._parquet is not None and kind is None:
                    self._parquet.close()
                self._stream.flush()
                if self._partial is not None and kind is None:
                    os.fsync(self._stream.fileno())
                    self._stream.close()
                    self._partial.replace(self._path or "")
        finally:
            if self._parquet is not None:
                # Or its destructor would try to write the footer into the closed file and complain on stderr.
                self._parquet.is_open = False
            if self._partial is not None:
                _close_quietly(self._stream)
                self._partial.unlink(missing_ok=True)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append the batch's rows; all batches must have the first one's columns."""
        assert self._stream is not None, "used outside its with block"
        self.rows += batch.num_rows
        write = {"parquet": self._write_parquet, "jsonl": self._write_jsonl, "csv": self._write_csv}
        with self._named():
            write.get(self.format, self._write_text)(batch)
            if self._path is None:
                self._stream.flush()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An error of the operating system names the output, and not the passing name of its file."""
        try:
            yield
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, error.strerror, str(self._path or "standard output")) from error

    def _write_parquet(self, batch: pa.RecordBatch) -> None:
        import pyarrow.parquet as pq

        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._stream, batch.schema, compression="zstd")
        self._parquet.write_batch(batch)

    def _write_jsonl(self, batch: pa.RecordBatch) -> None:
        raw = {f.name for f in batch.schema if f.metadata and JSON_TEXT.items() <= f.metadata.items()}
        out: list[str] = []
        for row in batch.to_pylist():
            for name in raw:
                if row[name] is not None:
                    row[name] = json.loads(row[name])
            out.append(_json(row).translate(_ESCAPES))
        self._put("".join(f"{line}\n" for line in out))

    def _write_csv(self, batch: pa.RecordBatch) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._header_written:
            writer.writerow(batch.schema.names)
            self._header_written = True
        columns = [[_flat(v) for v in column.to_pylist()] for column in batch.columns]
        rows = zip(*columns, strict=True)
        if self._tty:
            writer.writerows([v.translate(_CONTROLS) for v in row] for row in rows)
        else:
            writer.writerows(rows)
        self._put(text.getvalue())

    def _write_text(self, batch: pa.RecordBatch) -> None:
        if self._text_row is not None:
            self._put("".join(map(self._text_row, batch.select(self._text_columns).to_pylist())))
            return
        columns = [batch.column(c).to_pylist() for c in self._text_columns if c in batch.schema.names]
        # A line break inside a value would make two lines of one row.
        escapes = _CONTROLS if self._tty else _LINE_BREAKS if len(columns) > 1 else {10: "\\n", 13: "\\r"}
        self._put(
            "".join("\t".join(_flat(v).translate(escapes) for v in row) + "\n" for row in zip(*columns, strict=True))
        )

    def _put(self, text: str) -> None:
        assert self._stream is not None
        self._stream.write(text.encode("utf-8", "backslashreplace"))


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    """Values that JSON doesn't know: bytes by the text rule, times in ISO 8601."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return value


def _flat(value: Any) -> str:
    """A CSV field: null is empty, nested values are JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return _json(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(_plain(value)) if not isinstance(value, int | float) else repr(value)


def _close_quietly(stream: BinaryIO) -> None:
    try:
        stream.close()
    except OSError:
        # The disk is full: the error that brought us here says so already, the partial file goes anyway.
        return
