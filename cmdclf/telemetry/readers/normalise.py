"""Columns of a log, whatever their types -> process events, with a reason for every row that is none."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.telemetry.readers.base import RAW_CHARACTERS, ReadOptions, Rejected, Skipped
from cmdclf.telemetry.readers.times import parse_times
from cmdclf.telemetry.schema import MAX_LINE_BYTES, PROCESS_EVENT, clean_array, clean_text

__all__ = ["EMPTY_LINE", "NO_TIME", "TOO_LONG", "as_text", "normalise", "text_array"]

EMPTY_LINE = "no command line"
TOO_LONG = "a command line of more than 1 MiB"
NO_TIME = "no time: give the day with --day YYYY-MM-DD, or name the column with --map event_time=NAME"
BAD_TIME = "a time that can't be read: see the record; --map event_time= with --day YYYY-MM-DD ignores it"
NO_PLATFORM = "the platform can't be told: give --platform windows, linux or macos"
BAD_COUNT = "a count that is no whole number from 1 to 2147483647"

_WINDOWS_PATH = r'^\s*"?(?:[A-Za-z]:[\\/]|\\|%[A-Za-z()]+%\\)'
_MACOS_PATH = r'^\s*["\']?/(?:Applications|Users|System|Library|Volumes|private)/'
_LINUX_IMAGE = r"^/"
_LINUX_LINE = r'^\s*["\']?/(?:usr|bin|sbin|opt|home|etc|var|lib|lib32|lib64|tmp|root|srv|snap|run|proc|dev|mnt|nix)/'
_PLATFORM_NAMES = (
    (r"(?i)^\s*(?:darwin|mac|osx|os x)", "macos"),
    (r"(?i)^\s*(?:win|microsoft)", "windows"),
    (
        r"(?i)^\s*lin|linux|gnu|ubuntu|debian|centos|rhel|red ?hat|fedora|suse|amazon|amzn|alpine|^arch|rocky|oracle",
        "linux",
    ),
)


def text_array(values: list[str | None]) -> pa.StringArray:
    """Python strings as an Arrow array; lone surrogates, which Arrow refuses, are escaped."""
    try:
        return pa.array(values, pa.string())
    except (UnicodeEncodeError, pa.ArrowException):
        return pa.array([None if v is None else clean_text(v) for v in values], pa.string())


def as_text(values: pa.Array) -> pa.StringArray:
    """Any column as storable text; values that are no text or number (lists, structs) become null."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type) or pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.string())
    return clean_array(values)


class _Verdicts:
    """One reason per row: none, skipped, or rejected. The first reason stands."""

    def __init__(self, rows: int) -> None:
        self.reason = np.zeros(rows, np.int16)
        self._reasons: list[tuple[str, bool]] = [("", False)]

    def give(self, mask: np.ndarray, reason: str, *, reject: bool) -> None:
        rows = mask & (self.reason == 0)
        if rows.any():
            self._reasons.append((reason, reject))
            self.reason[rows] = len(self._reasons) - 1

    def outcomes(self) -> Iterator[tuple[str, bool, np.ndarray]]:
        for number, (reason, reject) in enumerate(self._reasons[1:], 1):
            yield reason, reject, np.flatnonzero(self.reason == number)


def normalise(
    columns: Mapping[str, pa.Array],
    rows: int,
    *,
    options: ReadOptions,
    source_format: str,
    offset: Callable[[int], int],
    raw: Callable[[int], str],
    platform: str | None = None,
    not_a_start: np.ndarray | None = None,
    empty_reason: str = EMPTY_LINE,
    member: str = "",
) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
    """Process events of one batch, and a reason for each row that isn't one.

    Args:
        columns: our column names and helpers (`profiles.FIELDS`) -> (rows,) arrays of any type.
        rows: how many records the batch has.
        options: what the user said.
        source_format: for rows that don't name their own.
        offset: row in the batch -> record number from 1 in the file, for rejected rows.
        raw: row in the batch -> the record as text, for rejected rows.
        platform: the format's platform, used where neither the user nor the record says one.
        not_a_start: (rows,) bool, records of another kind; they are skipped.
        empty_reason: why rows without a command line are skipped.
        member: the member of an archive that the rows come from.
    """
    if not rows:
        return
    verdicts = _Verdicts(rows)
    if not_a_start is not None:
        verdicts.give(not_a_start, "not a process start", reject=False)

    def text(name: str) -> pa.StringArray:
        return as_text(columns[name]) if name in columns else pa.nulls(rows, pa.string())

    image = _joined_path(text("image"), text("image_name"))
    parent_image = _joined_path(text("parent_image"), text("parent_image_name"))
    lines = text("command_line")
    parents = _absent_if_blank(text("parent_command_line"))
    platforms = _platforms(options.platform, text("platform"), platform, (image, parent_image), (lines, parents))
    lines, argv_given, argv_used = _with_argv(lines, columns, platforms)

    verdicts.give(_blank(lines), empty_reason, reject=False)
    for long in (lines, parents):
        verdicts.give(_flags(pc.greater(pc.binary_length(long), MAX_LINE_BYTES)), TOO_LONG, reject=True)
    times = _times(columns.get("event_time"), rows, options, verdicts)
    verdicts.give(_flags(pc.is_null(platforms)), NO_PLATFORM, reject=True)
    counts = _counts(columns.get("count"), rows, verdicts)

    quoting = _choice(text("quoting"), ("native", "joined"))
    joined = argv_used | (argv_given & _flags(pc.is_in(platforms, pa.array(["linux", "macos"]))))
    made = pc.if_else(pa.array(joined), "joined", "native")
    sources = pc.coalesce(_absent_if_blank(text("source_format")), pa.scalar(source_format))
    kept = np.flatnonzero(verdicts.reason == 0)
    if len(kept):
        batch = [
            times, platforms, lines, image, parent_image, parents,
            _joined_user(text("user"), text("user_domain")), _absent_if_blank(text("host")),
            sources, pc.coalesce(quoting, made), counts,
        ]  # fmt: skip
        take = pa.array(kept)
        arrays = batch if len(kept) == rows else [a.take(take) for a in batch]
        yield pa.RecordBatch.from_arrays(arrays, schema=PROCESS_EVENT)
    for reason, reject, which in verdicts.outcomes():
        if reject:
            for row in which.tolist():
                yield Rejected(offset(row), reason, clean_text(raw(row)[:RAW_CHARACTERS]), member)
        else:
            yield Skipped(reason, len(which))


def _flags(mask: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), dtype=bool)


def _blank(values: pa.StringArray) -> np.ndarray:
    return ~_flags(pc.greater(pc.binary_length(pc.utf8_trim_whitespace(values)), 0))


def _absent_if_blank(values: pa.StringArray) -> pa.StringArray:
    if values.null_count == len(values):
        return values
    return pc.if_else(pa.array(_blank(values)), pa.scalar(None, pa.string()), values)


def _choice(values: pa.StringArray, allowed: tuple[str, ...]) -> pa.StringArray:
    if values.null_count == len(values):
        return values
    known = pc.is_in(values, pa.array(allowed))
    return pc.if_else(known, values, pa.scalar(None, pa.string()))


def _platforms(
    option: str | None,
    column: pa.StringArray,
    default: str | None,
    images: tuple[pa.StringArray, pa.StringArray],
    lines: tuple[pa.StringArray, pa.StringArray],
) -> pa.StringArray:
    rows = len(lines[0])
    if option is not None:
        return pa.array([option] * rows, pa.string())
    nothing = pa.nulls(rows, pa.string())
    found = nothing
    if column.null_count < rows:
        for pattern, name in _PLATFORM_NAMES:
            found = _fill(found, pc.match_substring_regex(column, pattern), name)
    if default is not None:
        return pc.coalesce(found, pa.scalar(default))
    # The shape of a path tells: of the image first, of the parent's, then of how the two command lines begin.
    for image in images:
        if found.null_count and image.null_count < rows:
            found = _fill(found, pc.match_substring_regex(image, _WINDOWS_PATH + r"|(?i:\.exe)$"), "windows")
            found = _fill(found, pc.match_substring_regex(image, _MACOS_PATH), "macos")
            found = _fill(found, pc.match_substring_regex(image, _LINUX_IMAGE), "linux")
    for line in lines:
        if found.null_count and line.null_count < rows:
            for pattern, name in ((_WINDOWS_PATH, "windows"), (_MACOS_PATH, "macos"), (_LINUX_LINE, "linux")):
                found = _fill(found, pc.match_substring_regex(line, pattern), name)
    return found


def _fill(found: pa.StringArray, mask: pa.BooleanArray, name: str) -> pa.StringArray:
    return pc.if_else(pc.and_(pc.is_null(found), pc.fill_null(mask, False)), pa.scalar(name), found)


def _with_argv(
    lines: pa.StringArray, columns: Mapping[str, pa.Array], platforms: pa.StringArray
) -> tuple[pa.StringArray, np.ndarray, np.ndarray]:
    """Lines with gaps filled from argument lists; which rows had such a list, and which were filled from it."""
    argv = columns.get("argv")
    listed = columns.get("command_line")
    if listed is not None and _is_list(listed.type):  # `--map command_line=argv`
        argv = listed
    nowhere = np.zeros(len(lines), bool)
    if argv is None or not _is_list(argv.type):
        return lines, nowhere, nowhere
    given = _flags(pc.greater(pc.list_value_length(argv), 0))
    gaps = given & _blank(lines)
    if gaps.any():
        texts = lines.to_pylist()
        for row in np.flatnonzero(gaps).tolist():
            words = [clean_text(w if isinstance(w, bytes) else str(w)) for w in argv[row].as_py() if w is not None]
            windows = platforms[row].as_py() == "windows"
            texts[row] = subprocess.list2cmdline(words) if windows else shlex.join(words)
        lines = text_array(texts)
    return lines, given, gaps


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _times(column: pa.Array | None, rows: int, options: ReadOptions, verdicts: _Verdicts) -> pa.TimestampArray:
    times = pa.nulls(rows, PROCESS_EVENT.field("event_time").type) if column is None else parse_times(column)
    if not times.null_count:
        return times
    absent = np.ones(rows, bool)
    if column is not None:
        text = as_text(column)
        absent = _blank(text) | _flags(pc.is_in(text, pa.array(["-", "0", "0.0"])))
    missing = _flags(pc.is_null(times))
    verdicts.give(missing & ~absent, BAD_TIME, reject=True)
    if options.day is None:
        verdicts.give(missing & absent, NO_TIME, reject=True)
        return times
    midnight = datetime(options.day.year, options.day.month, options.day.day, tzinfo=UTC)
    return pc.coalesce(times, pa.scalar(midnight, times.type))


def _counts(column: pa.Array | None, rows: int, verdicts: _Verdicts) -> pa.Int32Array:
    ones = pa.array(np.ones(rows, np.int32))
    if column is None or pa.types.is_null(column.type):
        return ones
    values = [_count(v) for v in column.to_pylist()]
    verdicts.give(np.array([v == 0 for v in values], bool), BAD_COUNT, reject=True)
    return pa.array(values, pa.int32())


def _count(value: Any) -> int:
    """The count; 1 where there is none, 0 where it is no count."""
    if value is None or value == "":
        return 1
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0
    return int(number) if number == number and 1 <= number <= 2**31 - 1 and number == int(number) else 0


def _joined_path(folder: pa.StringArray, name: pa.StringArray) -> pa.StringArray:
    """Full paths from a folder and a name; products differ in whether the folder ends with the name already."""
    folder, name = _absent_if_blank(folder), _absent_if_blank(name)
    if name.null_count == len(name):
        return folder
    if folder.null_count == len(folder):
        return name
    full = []
    for left, right in zip(folder.to_pylist(), name.to_pylist(), strict=True):
        if left is None or right is None or left.lower().endswith(right.lower()) or "/" in right or "\\" in right:
            full.append(left or right)
        else:
            mark = "\\" if "\\" in left else "/"
            full.append(left.rstrip(mark) + mark + right)
    return pa.array(full, pa.string())


def _joined_user(user: pa.StringArray, domain: pa.StringArray) -> pa.StringArray:
    user, domain = _absent_if_blank(user), _absent_if_blank(domain)
    if domain.null_count == len(domain):
        return user
    qualified = pc.binary_join_element_wise(domain, user, "\\")
    return pc.if_else(pc.fill_null(pc.match_substring(user, "\\"), False), user, pc.coalesce(qualified, user))
