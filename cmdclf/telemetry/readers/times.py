"""Times as logs write them -> microseconds since 1970 in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["parse_time", "parse_times"]

_TYPE = pa.timestamp("us", tz="UTC")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Earlier or later times are a clock that was never set, or a number that isn't a time.
_FIRST_US = 315_532_800_000_000  # 1980-01-01
_LAST_US = 7_258_118_400_000_000  # 2200-01-01
_NUMBER = re.compile(r"[0-9]{1,20}(?:\.[0-9]*)?(?:[eE]\+?[0-9]{1,2})?")
_DOT_NET = re.compile(r"/Date\(([0-9]{1,17})(?:[+-][0-9]{4})?\)/")
_LONG_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
#: Month first is certain here: only that custom writes AM and PM.
_OTHER_FORMATS = (
    "%a %b %d %H:%M:%S %Y UTC", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y, %I:%M:%S %p", "%m/%d/%Y %I:%M:%S.%f %p",
    "%m/%d/%Y, %I:%M:%S.%f %p", "%b %d, %Y @ %H:%M:%S.%f", "%b %d, %Y %I:%M:%S %p",
)  # fmt: skip


def _from_number(value: float | int) -> int | None:
    """Microseconds from an epoch in s, ms, us or ns, or a Windows FILETIME; the size tells which."""
    if value < 1e11:
        micros = value * 1_000_000
    elif value < 1e14:
        micros = value * 1000
    elif value < 1e17:
        micros = value
    elif value < 2e17:  # FILETIME: 100 ns since 1601
        micros = value // 10 - 11_644_473_600_000_000
    else:
        micros = value // 1000
    return _plausible(int(micros))


def _plausible(micros: int) -> int | None:
    return micros if _FIRST_US <= micros < _LAST_US else None


def parse_time(text: str) -> int | None:
    """Microseconds since 1970-01-01 UTC, or None where the text isn't a plausible time (1980 to 2199).

    Reads ISO 8601 with or without zone (without one: UTC), Sysmon's UtcTime, epoch seconds, milliseconds,
    microseconds and nanoseconds, Windows FILETIME, .NET's /Date(ms)/, osquery's calendarTime, US forms with AM/PM.
    """
    text = text.strip()
    if not text or len(text) > 64 or not text.isascii():
        return None
    if _NUMBER.fullmatch(text):
        return _from_number(int(text) if text.isdigit() else float(text))
    dot_net = _DOT_NET.fullmatch(text)
    if dot_net:
        return _plausible(int(dot_net.group(1)) * 1000)
    moment = _from_text(_LONG_FRACTION.sub(r"\1", text))
    if moment is None:
        return None
    try:
        aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    since = aware - _EPOCH
    return _plausible((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds)


def _from_text(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        pass
    for form in _OTHER_FORMATS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    return None


def parse_times(values: pa.Array) -> pa.TimestampArray:
    """Times of a column of any type, as `timestamp[us, UTC]`; null where absent or not a plausible time."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_null(kind):
        return pa.nulls(len(values), _TYPE)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _bounded(_from_timestamps(values))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        micros = [None if v is None or v != v else _from_number(v) for v in values.to_pylist()]
        return pa.array(micros, pa.int64()).cast(_TYPE)
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        return pa.nulls(len(values), _TYPE)
    return _from_strings(values.cast(pa.string()))


def _from_timestamps(values: pa.Array) -> pa.TimestampArray:
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("s"))
    # A naive time counts as UTC; `cast` to a zone keeps the instant. Nanoseconds are cut off.
    return (
        values.cast(pa.timestamp("us"), safe=False).cast(_TYPE)
        if values.type.tz is None
        else values.cast(_TYPE, safe=False)
    )


def _bounded(values: pa.TimestampArray) -> pa.TimestampArray:
    micros = values.cast(pa.int64())
    good = pc.and_(pc.greater_equal(micros, _FIRST_US), pc.less(micros, _LAST_US))
    return pc.if_else(good, values, pa.scalar(None, _TYPE))


def _from_strings(values: pa.StringArray) -> pa.TimestampArray:
    # Arrow reads ISO columns at once, but refuses a column where a single value differs: then each is read by itself.
    for target in (pa.timestamp("ns"), pa.timestamp("ns", tz="UTC")):
        try:
            return _bounded(_from_timestamps(values.cast(target)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            continue
    micros = [None if v is None else parse_time(v) for v in values.to_pylist()]
    return pa.array(micros, pa.int64()).cast(_TYPE)
