"""The request's lines, checked entry by entry; no message repeats any of what was sent."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

__all__ = ["ENTRIES_SCHEMA", "MAX_EXPLAINED", "MAX_LINES", "MAX_LINE_BYTES", "PLATFORMS", "BadEntries", "to_batch"]

MAX_LINES = 1000
#: `/explain` decodes and scores each line several times.
MAX_EXPLAINED = 100
MAX_LINE_BYTES = 1 << 20
PLATFORMS = ("windows", "linux", "macos")

_COLUMNS = ("command_line", "platform", "parent_command_line")
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_OBJECT = {
    "type": "object",
    "required": ["command_line"],
    "properties": {
        "command_line": {"type": "string", "description": "as the sensor recorded it"},
        "platform": {"type": "string", "enum": list(PLATFORMS), "description": "guessed from the line when absent"},
        "parent_command_line": {"type": "string"},
    },
}
#: JSON schema of `lines`, for /docs.json.
ENTRIES_SCHEMA: dict[str, Any] = {
    "title": "Lines",
    "type": "array",
    "minItems": 1,
    "maxItems": MAX_LINES,
    "items": {"anyOf": [{"type": "string"}, _OBJECT]},
}


class BadEntries(ValueError):
    """What the caller sent can't be scored; the message says which line and why, and never holds any of it."""


def to_batch(lines: Any, most: int = MAX_LINES) -> pa.RecordBatch:
    """The lines as a batch of command_line, platform and parent_command_line (strings; the last two may be null).

    Checked by hand, since a validation library logs what it refuses.

    Args:
        lines: what the request holds as `lines`: texts, or objects with `command_line` and, where known, `platform`
            and `parent_command_line`. Other keys are ignored.
        most: how many entries are allowed.

    Raises:
        BadEntries: says which line is wrong and how, counted from 1.
    """
    if not isinstance(lines, list):
        raise BadEntries("'lines' must be a list")
    if not 1 <= len(lines) <= most:
        raise BadEntries(f"'lines' holds {len(lines)} entries, 1 to {most} are allowed")
    rows = [_row(entry, number) for number, entry in enumerate(lines, 1)]
    columns = zip(*rows, strict=True)
    return pa.record_batch(
        {name: pa.array(values, pa.string()) for name, values in zip(_COLUMNS, columns, strict=True)}
    )


def _row(entry: Any, number: int) -> tuple[str, str | None, str | None]:
    if isinstance(entry, str):
        return _text(entry, "command_line", number), None, None
    if not isinstance(entry, dict):
        raise BadEntries(f"line {number}: must be a text or an object with 'command_line'")
    line, platform, parent = entry.get("command_line"), entry.get("platform"), entry.get("parent_command_line")
    if line is None:
        raise BadEntries(f"line {number}: 'command_line' is missing")
    return (
        _text(line, "command_line", number),
        None if platform is None else _platform(_text(platform, "platform", number), number),
        None if parent is None else _text(parent, "parent_command_line", number),
    )


def _platform(value: str, number: int) -> str:
    platform = value.strip().lower()
    if platform not in PLATFORMS:
        raise BadEntries(f"line {number}: 'platform' must be one of {', '.join(PLATFORMS)}, or absent")
    return platform


def _text(value: Any, name: str, number: int) -> str:
    if not isinstance(value, str):
        raise BadEntries(f"line {number}: '{name}' must be a text")
    # A character takes at most four bytes, so most lines need not be encoded to be measured.
    if len(value) > MAX_LINE_BYTES // 4 and len(value.encode("utf-8", "surrogatepass")) > MAX_LINE_BYTES:
        raise BadEntries(f"line {number}: '{name}' is longer than {MAX_LINE_BYTES:,} bytes")
    if "\0" in value or (not value.isascii() and _HALF_A_PAIR.search(value)):
        raise BadEntries(
            f"line {number}: '{name}' holds a NUL or half of a surrogate pair, which is no text: send such bytes as "
            r"the four characters \xNN, as 'cmdclf score' writes them"
        )
    return value
