"""CSV and TSV files with a header, plain, gzipped or zipped."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from cmdclf.errors import TelemetryError
from cmdclf.telemetry.readers.base import RAW_CHARACTERS, ReadOptions, Rejected, Skipped
from cmdclf.telemetry.readers.containers import lines_of, members_of
from cmdclf.telemetry.readers.normalise import TOO_LONG, normalise, text_array
from cmdclf.telemetry.readers.parquet import columns_of, profile_of, starts
from cmdclf.telemetry.readers.profiles import Profile, choose
from cmdclf.telemetry.schema import MAX_LINE_BYTES, clean_text

__all__ = ["CsvReader"]

_DELIMITERS = ",\t;|"
_BATCH_BYTES = 32 << 20
_SUFFIXES = (".csv", ".tsv")


class CsvReader:
    """Reads delimited text with a header row; the delimiter (comma, tab, semicolon, bar) is told by the header.

    Python's csv module and not Arrow's: a row with too few fields, an unclosed quote or a wild byte must cost that row
    alone and keep its number, where Arrow gives up the file.
    """

    name = "csv"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the name ends like CSV, or the first line is a header with a known command-line column."""
        suffixes = [s.lower() for s in path.suffixes[-2:]]
        if b"\0" in head[:1024]:
            return False
        if any(s in _SUFFIXES for s in suffixes):
            return True
        first = head.split(b"\n", 1)[0].decode("utf-8", "replace").strip()
        names = {n.lower() for n in _fields(first, _delimiter(first))}
        return len(names) > 1 and choose(lambda name: name.lower() in names) is not None

    def read(self, path: Path, options: ReadOptions) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
        """Process events of a CSV file; see `Reader.read`. Blank lines are no records."""
        # The module's bound on a field is process-wide and 128 KiB by default: a command line may be longer.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
        anything = False
        for member in members_of(path):
            rows = _Rows(member.stream)
            header = rows.header()
            if header is None:
                continue
            anything = True
            profile = profile_of(path, header, options)
            yield from _read_member(rows, header, profile, options, member.name)
        if not anything:
            raise TelemetryError("the file is empty", file=path, remedy="Check how it was exported")


class _TooLong(Exception):
    """A physical line beyond the limit; the csv module never sees it."""


class _Lines:
    """Decoded lines for the csv module; it remembers what the module took for the current row, and can take it back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = lines_of(stream)
        self._again: list[str] = []
        self.taken: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._again:
            text = self._again.pop()
        else:
            line, cut = next(self._lines)
            text = line.decode("utf-8", "surrogateescape")
            if cut:
                raise _TooLong(text)
        self.taken.append(text)
        return text

    def put_back(self, lines: list[str]) -> None:
        self._again.extend(reversed(lines))


class _Rows:
    """Rows of one stream as (fields, "", "") or, where there is no such row, as (None, reason, raw text)."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = _Lines(stream)
        self._delimiter = ","

    def header(self) -> list[str] | None:
        try:
            for first in self._lines:
                if first.strip():
                    self._delimiter = _delimiter(first)
                    return [clean_text(n).strip() for n in _fields(first.rstrip("\r\n"), self._delimiter)]
        except _TooLong:
            return []
        return None

    def __iter__(self) -> Iterator[tuple[list[str] | None, str, str]]:
        # Strict: where a quote isn't closed or stands alone the module would otherwise change or swallow command lines.
        rows = csv.reader(self._lines, delimiter=self._delimiter, strict=True)
        taken = self._lines.taken
        while True:
            taken.clear()
            try:
                row = next(rows, None)
            except csv.Error as error:
                # An open quote may have swallowed good rows: only the line that opened it is lost.
                first, *others = taken
                self._lines.put_back(others)
                long = len(first) > MAX_LINE_BYTES
                yield None, TOO_LONG if long else f"a row that is no valid CSV ({error})", first
                continue
            except _TooLong as error:
                if not taken:
                    yield None, TOO_LONG, str(error)
                    continue
                first, *others = taken
                self._lines.put_back(others)
                yield None, "a row that is no valid CSV (a quote is open before a line of more than 16 MiB)", first
                yield None, TOO_LONG, str(error)
                continue
            if row is None:
                return
            if row:
                yield row, "", ""


def _read_member(
    rows: _Rows, header: list[str], profile: Profile, options: ReadOptions, member: str
) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
    width = len(header)
    waiting: list[list[str]] = []
    numbers: list[int] = []
    size = number = 0
    for row, fault, text in rows:
        number += 1
        if row is None:
            yield Rejected(number, fault, clean_text(text[:RAW_CHARACTERS]), member)
            continue
        if len(row) > width and any(row[width:]):
            yield Rejected(number, f"a row with more than the header's {width} fields", _as_line(row), member)
            continue
        if len(row) < width and len(row) < _needed(header, profile):
            yield Rejected(number, f"a row with fewer than the header's {width} fields", _as_line(row), member)
            continue
        waiting.append(row)
        numbers.append(number)
        size += sum(map(len, row))
        if len(waiting) >= options.batch_rows or size >= _BATCH_BYTES:
            yield from _batch(waiting, numbers, header, profile, options, member)
            waiting, numbers, size = [], [], 0
    yield from _batch(waiting, numbers, header, profile, options, member)


def _needed(header: list[str], profile: Profile) -> int:
    """How many fields a row needs so that its command line can be there: a shorter row is damaged, not just ragged."""
    lower = [h.lower() for h in header]
    places = [lower.index(n.lower()) for n in profile.fields["command_line"] if n.lower() in lower]
    return max(places, default=0) + 1


def _batch(
    rows: list[list[str]], numbers: list[int], header: list[str], profile: Profile, options: ReadOptions, member: str
) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
    wanted = {n.lower() for names in profile.fields.values() for n in names} | {
        n.lower() for n in (*profile.only, *profile.never)
    }
    flat: dict[str, pa.Array] = {}
    for place, name in enumerate(header):
        if name.lower() in wanted and name.lower() not in flat:
            flat[name.lower()] = text_array([row[place] if place < len(row) else None for row in rows])
    yield from normalise(
        columns_of(flat, profile),
        len(rows),
        options=options,
        source_format="csv" if profile.name in ("own", "generic", "mapped") else profile.name,
        offset=lambda row: numbers[row],
        raw=lambda row: _as_line(rows[row]),
        platform=profile.platform,
        not_a_start=~starts(flat, profile, len(rows)) if rows else np.zeros(0, bool),
        member=member,
    )


def _as_line(row: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow([clean_text(f[:2000]) for f in row[:200]])
    return out.getvalue()[:2000]


def _delimiter(first: str) -> str:
    return max(_DELIMITERS, key=first.count)


def _fields(first: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([first], delimiter=delimiter), [])
    except csv.Error:
        return []
