"""Verdicts in a file that somebody may have damaged: sound rows as a table, the others named and set aside."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import JudgeError
from cmdclf.labels.verdict import LABELS, PERSON
from cmdclf.store import LEDGER_ROW
from cmdclf.telemetry import PLATFORMS, command_id

__all__ = ["LedgerFile", "RowAside", "read_ledger_file", "unknown_rows"]

#: No verdict needs more; a longer row is damage or an attack on memory.
_MAX_ROW = 4 * 1024 * 1024
_SHOWN = 300
_HEX = set("0123456789abcdef")
_NUMBERS = {
    "confidence": 1.0, "p_malicious": 100.0, "prompt_tokens": 2.0**53, "completion_tokens": 2.0**53,
    "cost_usd": math.inf, "latency_s": math.inf, "seq": 2.0**53, "supersedes": 2.0**53,
}  # fmt: skip
_WHOLE = ("prompt_tokens", "completion_tokens", "seq", "supersedes")
_TEXTS = ("platform", "process_command_line", "command_line", "parent_command_line", *(
    f.name for f in LEDGER_ROW if pa.types.is_string(f.type)
))  # fmt: skip


@dataclass(frozen=True, slots=True)
class RowAside:
    """A row that was not taken: its number from 1 (None: nobody can say), why, and how it begins."""

    row: int | None
    reason: str
    text: str
    rows: int = 1

    def record(self, file: str) -> dict[str, Any]:
        """As JSON values."""
        return {"file": file, "row": self.row, "rows": self.rows, "reason": self.reason, "text": self.text}


@dataclass(slots=True)
class LedgerFile:
    """What a file of verdicts gave.

    Attributes:
        path: the file.
        rows: the sound rows in the order of the file, only columns that verdicts have and at least one row fills.
        aside: the others.
    """

    path: Path
    rows: pa.Table
    aside: list[RowAside] = field(default_factory=list)

    def reasons(self) -> dict[str, int]:
        """Why rows were set aside, with counts, most frequent first."""
        counts: Counter[str] = Counter()
        for one in self.aside:
            counts[one.reason] += one.rows
        return dict(counts.most_common())

    def standing(self) -> pa.Table:
        """The rows, and of an export with its history (column `seq`) only the one that stood on each line.

        That is a person's last word, or else the last of any judge; the order is `seq`, no clock.
        """
        if "seq" not in self.rows.column_names or "command_id" not in self.rows.column_names:
            return self.rows
        best: dict[str, tuple[bool, int, int]] = {}
        judges = self.rows["judge"] if "judge" in self.rows.column_names else pa.nulls(self.rows.num_rows, pa.string())
        keys = zip(self.rows["command_id"].to_pylist(), judges.to_pylist(), self.rows["seq"].to_pylist(), strict=True)
        for row, (line, judge, seq) in enumerate(keys):
            rank = (judge == PERSON, seq or 0, row)
            best[line] = max(best.get(line, rank), rank)
        return self.rows.take(pa.array(sorted(rank[2] for rank in best.values()), pa.int64()))

    def ledger_rows(self) -> pa.Table:
        """LEDGER_ROW of all rows in the order in which they were written (`seq`), with their whole provenance.

        `supersedes` counts in the ledger that the file came from, so that it becomes part of the note.

        Raises:
            JudgeError: the file is no export with its history: rows lack a judge, a line or a number.
        """
        needed = ("seq", "command_id", "judge", "judged_at")
        for name in needed:
            if name not in self.rows.column_names or self.rows[name].null_count:
                raise JudgeError(
                    f"this is no ledger with its history, '{name}' is missing", file=self.path,
                    remedy="Make one with 'cmdclf label export --history', or import it without --history",
                )  # fmt: skip
        rows = self.rows.sort_by("seq")
        columns = {f.name: _column(rows, f.name, f.type) for f in LEDGER_ROW}
        notes = zip(columns["note"].to_pylist(), columns["supersedes"].to_pylist(), strict=True)
        moved = [
            note if old is None else f"{note or ''}; superseded row {old} there".strip("; ") for note, old in notes
        ]
        columns |= {"note": pa.array(moved, pa.string()), "supersedes": pa.nulls(rows.num_rows, pa.int64())}
        return pa.table(columns, schema=LEDGER_ROW)


def _column(rows: pa.Table, name: str, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    return rows[name].cast(kind) if name in rows.column_names else pa.nulls(rows.num_rows, kind)


def read_ledger_file(path: Path, column: str | None = None, *, unanswered: bool = False) -> LedgerFile:
    """Read a Parquet or JSON lines file of verdicts, an export of the ledger or another's.

    A row is set aside that is no JSON object, names no line, names one whose text is another line's, holds no verdict,
    or a value of the wrong kind or size. Of a Parquet file with a damaged page the rows from there to the end of their
    row group are lost.

    Args:
        path: the file.
        column: which column holds the command lines, where it is neither command_line nor process_command_line.
        unanswered: rows with an empty verdict are no damage, but left out (an answer sheet).

    Raises:
        JudgeError: nothing of it can be read.
    """
    try:
        with path.open("rb") as handle:
            head = handle.read(4)
    except OSError as error:
        raise JudgeError(
            f"the file can't be read ({error.strerror or error})", file=path, remedy="Check the path"
        ) from error
    if not head:
        raise JudgeError("the file is empty", file=path, remedy="It should hold one row per line")
    found = LedgerFile(path, pa.table({}))
    texts = (column,) if column else ("command_line", "process_command_line")
    sound: list[dict[str, Any]] = []
    for number, record in (_parquet if head == b"PAR1" else _json_lines)(path, found.aside):
        if unanswered and record.get("verdict") in (None, ""):
            continue
        fault = _fault(record, texts)
        if fault:
            found.aside.append(RowAside(number, fault, _begin(record)))
        else:
            sound.append(record)
    if not sound and found.aside:
        first = found.aside[0]
        raise JudgeError(
            f"no row of it is a verdict; {first.reason}", file=path, row=first.row,
            remedy="It should be Parquet, or one JSON object per line, with verdict and command_id, or command_line"
            " and platform",
        )  # fmt: skip
    names = [
        n for n in dict.fromkeys([*texts, *_TEXTS, *_NUMBERS, "judged_at"]) if any(r.get(n) is not None for r in sound)
    ]
    found.rows = pa.table({n: pa.array([r.get(n) for r in sound], _kind(n)) for n in names})
    return found


def _kind(name: str) -> pa.DataType:
    if name == "judged_at":
        return LEDGER_ROW.field(name).type
    if name in _NUMBERS:
        return pa.int64() if name in _WHOLE else pa.float64()
    return pa.string()


def _json_lines(path: Path, aside: list[RowAside]) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as handle:
        number = 0
        while row := handle.readline(_MAX_ROW):
            number += 1
            if len(row) == _MAX_ROW and not row.endswith(b"\n"):
                while (more := handle.readline(_MAX_ROW)) and not more.endswith(b"\n"):
                    pass
                aside.append(RowAside(number, "longer than any verdict", row[:_SHOWN].decode("utf-8", "replace")))
                continue
            if not row.strip():
                continue
            try:
                record = json.loads(row)
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict):
                yield number, record
            else:
                text = row[:_SHOWN].decode("utf-8", "replace")
                aside.append(RowAside(number, "no JSON object (damaged or cut off)", text))


def _parquet(path: Path, aside: list[RowAside]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise JudgeError(
            f"this is no whole Parquet file ({str(error).splitlines()[0]})", file=path, remedy="Export it again"
        ) from error
    with file:
        begin = 0
        for group in range(file.num_row_groups):
            size, read = file.metadata.row_group(group).num_rows, 0
            try:
                for batch in file.iter_batches(1024, row_groups=[group]):
                    batch.validate(full=True)
                    for record in batch.to_pylist():
                        read += 1
                        yield begin + read, record
            except (pa.ArrowException, OSError, ValueError) as error:
                text = (str(error).splitlines() or [""])[0][:_SHOWN]
                aside.append(RowAside(begin + read + 1, "a damaged page", text, size - read))
            begin += size


def _fault(record: dict[str, Any], texts: tuple[str, ...]) -> str:
    """Why the row is no sound verdict, or an empty text. It is put in order on the way (case, spaces, times)."""
    for name in (*_TEXTS, *texts):
        value = record.get(name)
        if value is not None and not isinstance(value, str):
            return f"'{name}' is no text"
        if value is not None and not _storable(value):
            return f"'{name}' is no valid Unicode"
    verdict = (record.get("verdict") or "").strip().lower()
    if verdict not in LABELS:
        return "the verdict is missing or unknown"
    record["verdict"] = verdict
    for name, top in _NUMBERS.items():
        value = record.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return f"'{name}' is no number"
        if not 0 <= value <= top or (name in _WHOLE and value != int(value)):
            return f"'{name}' is impossible"
        record[name] = int(value) if name in _WHOLE else float(value)
    return _time_fault(record) or _identity_fault(record, texts)


def _storable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _time_fault(record: dict[str, Any]) -> str:
    when = record.get("judged_at")
    if isinstance(when, str):
        try:
            when = datetime.fromisoformat(when)
        except ValueError:
            return "'judged_at' is no time"
    if when is not None and not isinstance(when, datetime):
        return "'judged_at' is no time"
    record["judged_at"] = when if when is None or when.tzinfo else when.replace(tzinfo=UTC)
    return ""


def _identity_fault(record: dict[str, Any], texts: tuple[str, ...]) -> str:
    text = next((record[name] for name in texts if record.get(name) is not None), None)
    platform, stated = record.get("platform"), record.get("command_id")
    if stated is not None:
        stated = record["command_id"] = stated.strip().lower()
        if len(stated) != 32 or set(stated) - _HEX:
            return "its command_id is none"
    if platform is not None and platform not in PLATFORMS:
        return "an unknown platform"
    if text is None or platform is None:
        return "" if stated is not None else "it names no line: neither command_id nor command_line and platform"
    own = command_id(platform, text)
    if stated not in (None, own):
        return "its command_id belongs to another command line"
    record["command_id"] = own
    return ""


def _begin(record: dict[str, Any]) -> str:
    return str({k: str(v)[:100] for k, v in list(record.items())[:20]})[:_SHOWN].encode("utf-8", "replace").decode()


def unknown_rows(rows: pa.Table, ledger: Iterable[pa.RecordBatch]) -> pa.Table:
    """Those of the LEDGER_ROWs that the ledger's batches don't hold yet, each once; notes make no difference."""
    names = [name for name in LEDGER_ROW.names if name not in ("supersedes", "note")]

    def keys(batch: pa.Table | pa.RecordBatch) -> list[bytes]:
        return [hashlib.sha256(repr(tuple(row.values())).encode()).digest() for row in batch.select(names).to_pylist()]

    have = {key for batch in ledger for key in keys(batch)}
    keep = []
    for key in keys(rows):
        keep.append(key not in have)
        have.add(key)
    return rows.filter(pa.array(keep, pa.bool_()))
