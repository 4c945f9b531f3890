"""JSON lines (also one JSON array, or objects spread over lines, up to 256 MiB), plain, gzipped or zipped."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from cmdclf.errors import TelemetryError
from cmdclf.telemetry.readers.base import RAW_CHARACTERS, ReadOptions, Rejected, Skipped
from cmdclf.telemetry.readers.containers import lines_of, members_of
from cmdclf.telemetry.readers.normalise import EMPTY_LINE, TOO_LONG, normalise, text_array
from cmdclf.telemetry.readers.profiles import FIELDS, PROFILES, Profile, choose, mapped
from cmdclf.telemetry.schema import clean_text

__all__ = ["JsonLinesReader", "JsonRecords", "Rows", "dig", "first_record", "records_of"]

_WHOLE_BYTES = 256 << 20
_BATCH_BYTES = 32 << 20
_ABSENT = ("", "-", "?")
#: Where exports put their list of records.
_LISTS = ("Records", "records", "Events", "events", "value", "results", "rows", "data")
_SPACE = re.compile(r"[\s,]*")


def dig(record: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path of a record, or under the path as one flat key; None where there is nothing."""
    value: Any = record.get(path)
    if value is not None or "." not in path:
        return value
    value = record
    for part in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value


def _unwrapped(record: dict[str, Any]) -> dict[str, Any]:
    """The event inside the envelope of Elasticsearch (`_source`), Splunk (`result`) or Defender (`properties`)."""
    for key in ("_source", "result", "properties"):
        inner = record.get(key)
        if isinstance(inner, dict) and (key != "properties" or "AdvancedHunting" in str(record.get("category"))):
            return inner
    return record


class JsonRecords:
    """One record of a stream at a time: (number, record or None, raw text, fault)."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any] | None, str, str]]:
        number = 0
        first = True
        for line, cut in lines_of(self._stream):
            if first and line.strip():
                first = False
                if line.lstrip()[:1] == b"[" or line.strip() == b"{":
                    yield from self._whole(line)
                    return
            if not line.strip():
                continue
            number += 1
            text = line.decode("utf-8", "surrogateescape").strip()
            if cut:
                yield number, None, text, TOO_LONG
                continue
            record, fault = _parsed(text)
            yield number, record, text, fault

    def _whole(self, start: bytes) -> Iterator[tuple[int, dict[str, Any] | None, str, str]]:
        """Records of one JSON array, or of objects that are spread over lines."""
        data = start + self._stream.read(_WHOLE_BYTES + 1)
        if len(data) > _WHOLE_BYTES:
            raise TelemetryError(
                "a JSON array of more than 256 MiB would have to be held in memory",
                file=self._path,
                remedy="Turn it into JSON lines first: jq -c '.[]' FILE",
            )
        text = data.decode("utf-8", "surrogateescape")
        decoder = json.JSONDecoder()
        array = text.lstrip().startswith("[")
        at = text.index("[") + 1 if array else 0
        indent = _indent(text, at)
        number = 0
        while True:
            at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
            if at >= len(text) or (array and text[at] == "]"):
                return
            number += 1
            try:
                value, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                yield number, None, text[at : at + RAW_CHARACTERS], f"no valid JSON ({_why(error)})"
                # Go on at the next object that begins a line in the column of the first one.
                at = text.find(f"\n{indent}{{", at) + 1
                if not at:
                    return
                continue
            raw = text[at : min(end, at + RAW_CHARACTERS)]
            at = end
            records = _listed(value)
            if records is None:
                yield number, *_checked(value, raw)
                continue
            for inner in records:
                yield number, *_checked(inner, json.dumps(inner, ensure_ascii=False)[:RAW_CHARACTERS])
                number += 1
            number -= 1


def _indent(text: str, at: int) -> str:
    """What stands between the line's beginning and the first object."""
    place = text.find("{", at)
    before = text[text.rfind("\n", 0, place) + 1 : place] if place > 0 else ""
    return before if before.isspace() else ""


def _listed(value: Any) -> list[Any] | None:
    """The records inside `{"Records": [...]}` and its like, where there is no event beside them."""
    if not isinstance(value, dict) or len(value) > 5:
        return None
    for key in _LISTS:
        inner = value.get(key)
        if isinstance(inner, list) and inner and all(isinstance(r, dict) for r in inner):
            return inner
    return None


def _checked(value: Any, raw: str) -> tuple[dict[str, Any] | None, str, str]:
    return (value, raw, "") if isinstance(value, dict) else (None, raw, "a JSON value that is no object")


def _parsed(text: str) -> tuple[dict[str, Any] | None, str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return None, f"no valid JSON ({_why(error)})"
    return (value, "") if isinstance(value, dict) else (None, "a JSON value that is no object")


def _why(error: BaseException) -> str:
    # Without position and content, so that reasons can be counted.
    return error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__


class Rows:
    """Fields of records, collected until there are enough for a batch."""

    def __init__(self, options: ReadOptions, member: str) -> None:
        self._options = options
        self._member = member
        self._clear()

    def _clear(self) -> None:
        self._fields: list[Mapping[str, Any]] = []
        self._numbers: list[int] = []
        self._raw: list[str] = []
        self._size = 0

    def add(self, number: int, raw: str, fields: Mapping[str, Any]) -> bool:
        """Add one record; True when the batch is full."""
        self._fields.append(fields)
        self._numbers.append(number)
        self._raw.append(raw[:RAW_CHARACTERS])
        self._size += len(raw)
        return len(self._numbers) >= self._options.batch_rows or self._size > _BATCH_BYTES

    def batch(
        self, *, source_format: str, platform: str | None, empty_reason: str = EMPTY_LINE
    ) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
        """The collected records as events, and a fresh start."""
        columns: dict[str, pa.Array] = {}
        seen = set().union(*self._fields)
        for name in FIELDS:
            if name not in seen:
                continue
            values = [fields.get(name) for fields in self._fields]
            if name == "argv":
                lists = [
                    [clean_text(str(w)) for w in v if w is not None] if isinstance(v, list) else None for v in values
                ]
                columns[name] = pa.array(lists, pa.list_(pa.string()))
            else:
                columns[name] = text_array([None if v is None else _scalar(v) for v in values])
        numbers, raw = self._numbers, self._raw
        self._clear()
        yield from normalise(
            columns, len(numbers), options=self._options, source_format=source_format, platform=platform,
            offset=lambda row: numbers[row], raw=lambda row: raw[row], empty_reason=empty_reason, member=self._member,
        )  # fmt: skip


def _scalar(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def fields_of(record: Mapping[str, Any], profile: Profile) -> dict[str, Any]:
    """Our fields of a record: the first name of each that holds a text, a number or (arguments) a list."""
    found: dict[str, Any] = {}
    for ours, sources in profile.fields.items():
        for name in sources:
            value = dig(record, name)
            if value is None or isinstance(value, dict | bool) or (isinstance(value, str) and value in _ABSENT):
                continue
            if isinstance(value, list):
                if ours in ("argv", "command_line"):
                    found["argv"] = value
                    break
                continue
            found[ours] = value
            break
    return found


def is_start(record: Mapping[str, Any], profile: Profile) -> bool:
    """Whether a record is a process start by the profile's `only` and `never`."""
    for name, values in profile.only.items():
        value = dig(record, name)
        if value is not None and value != "" and not _among(value, values):
            return False
    return not any(_among(dig(record, name), values) for name, values in profile.never.items())


def _among(value: Any, values: frozenset[str]) -> bool:
    items = value if isinstance(value, list) else [value]
    return any(str(v).lower() in values for v in items)


def first_record(head: bytes) -> dict[str, Any] | None:
    """The first JSON object in a file's first bytes, from a line, an array or spread over lines; None without one."""
    text = head.decode("utf-8", "surrogateescape").lstrip("\ufeff \t\r\n[")
    if not text.startswith("{"):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    inner = _listed(value)
    return inner[0] if inner else (value if isinstance(value, dict) else None)


def records_of(
    path: Path, batched: Callable[[JsonRecords, str], Iterator[pa.RecordBatch | Rejected | Skipped]]
) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
    """Apply a function to the records of every member of a file; an empty file is an error."""
    empty = True
    for member in members_of(path):
        for item in batched(JsonRecords(path, member.stream), member.name):
            empty = False
            yield item
    if empty:
        raise TelemetryError("the file holds no records", file=path, remedy="Check how it was exported")


class JsonLinesReader:
    """Reads JSON records of any known product, told record by record, or mapped by dotted paths."""

    name = "jsonl"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the first thing in the file is a JSON object or an array of them."""
        if first_record(head) is not None:
            return True
        start = head.lstrip()[:2]
        suffixes = [s.lower() for s in path.suffixes[-2:]]
        return start[:1] in (b"{", b"[") and any(s in (".json", ".jsonl", ".ndjson", ".log") for s in suffixes)

    def read(self, path: Path, options: ReadOptions) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
        """Process events of a JSON file; see `Reader.read`."""
        state = _Recognised()
        yield from records_of(path, lambda records, member: _read_member(records, member, options, state))
        if state.records and not state.known:
            raise TelemetryError(
                f"no record has a field that is known to hold a command line; the first one's fields: {state.example}",
                file=path,
                remedy="Name it with --map command_line=FIELD (dotted where it is nested: process.cmd)",
            )


class _Recognised:
    def __init__(self) -> None:
        self.records = 0
        self.known = False
        self.example = ""


def _read_member(
    records: JsonRecords, member: str, options: ReadOptions, state: _Recognised
) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
    batches: dict[str, Rows] = {}
    platforms: dict[str, str | None] = {}
    unknown = 0
    profiles: dict[tuple[str, ...], Profile] = {}
    for number, outer, raw, fault in records:
        if outer is None:
            yield Rejected(number, fault, clean_text(raw[:RAW_CHARACTERS]), member)
            continue
        record = _unwrapped(outer)
        state.records += 1
        profile = _profile(record, profiles, options)
        if profile is None:
            state.example = state.example or ", ".join(map(clean_text, list(record)[:20]))
            state.known = state.known or _marked(record)
            unknown += 1
            continue
        state.known = True
        if not is_start(record, profile):
            yield Skipped("not a process start")
            continue
        rows = batches.setdefault(profile.name, Rows(options, member))
        platforms[profile.name] = profile.platform
        if rows.add(number, raw, fields_of(record, profile)):
            yield from rows.batch(source_format=_format(profile), platform=profile.platform)
    for name, rows in batches.items():
        yield from rows.batch(source_format=_format_name(name), platform=platforms[name])
    if unknown:
        yield Skipped("no field with a command line", unknown)


def _profile(record: Mapping[str, Any], cache: dict[tuple[str, ...], Profile], options: ReadOptions) -> Profile | None:
    # Only a success may be kept: the same top-level keys may hold a command line in the next record.
    key = tuple(record)
    profile = cache.get(key)
    if profile is not None and any(_holds(record, n) for n in _line_names(profile)):  # noqa: SIM102
        if not profile.needs or any(_holds(record, n) for n in profile.needs):
            return profile
    profile = mapped(choose(lambda name: _holds(record, name)), options.columns)
    if profile is not None and not any(_holds(record, n) for n in _line_names(profile)):
        return None
    if profile is not None and len(cache) < 4096:
        cache[key] = profile
    return profile


def _line_names(profile: Profile) -> tuple[str, ...]:
    return profile.fields.get("command_line", ()) + profile.fields.get("argv", ())


def _holds(record: Mapping[str, Any], name: str) -> bool:
    value = dig(record, name)
    return value is not None and not isinstance(value, dict)


def _marked(record: Mapping[str, Any]) -> bool:
    return any(dig(record, name) is not None for profile in PROFILES for name in profile.marker)


def _format(profile: Profile) -> str:
    return _format_name(profile.name)


def _format_name(name: str) -> str:
    return "jsonl" if name in ("own", "generic", "mapped") else name
