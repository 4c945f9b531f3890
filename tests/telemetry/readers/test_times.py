from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.telemetry.readers.times import parse_time, parse_times

NOON = datetime(2024, 3, 5, 12, 0, 0, 250000, tzinfo=UTC)
MICROS = int(NOON.timestamp()) * 1_000_000 + 250_000


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-05T12:00:00.250Z",
        "2024-03-05 12:00:00.250",
        "2024-03-05T13:00:00.2500000+01:00",
        "2024-03-05 12:00:00.250000000+00:00",
        "1709640000250",
        "1709640000.25",
        "1709640000250000",
        "1709640000250000000",
        "133541136002500000",
        "/Date(1709640000250)/",
        " 2024-03-05 12:00:00.25 UTC ",
        "3/5/2024, 12:00:00.250 PM",
    ],
)
def test_the_forms_of_logs_give_the_same_moment(text):
    assert parse_time(text) == MICROS


def test_epoch_seconds_and_osquerys_calendar_time_are_read():
    assert parse_time("1709640000") == MICROS - 250_000
    assert parse_time("Tue Mar  5 12:00:00 2024 UTC") == MICROS - 250_000


@pytest.mark.parametrize(
    "text",
    ["", "-", "yesterday", "0", "17", "1601-01-01T00:00:00Z", "9999-12-31T23:59:59-01:00", "1e400", "2024-13-01"],
)
def test_what_is_no_plausible_time_gives_none(text):
    assert parse_time(text) is None


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=30))
def test_no_text_makes_it_raise(text):
    micros = parse_time(text)
    assert micros is None or 1980 <= datetime.fromtimestamp(micros / 1e6, UTC).year <= 2199


@settings(deadline=None, max_examples=60)
@given(st.lists(st.none() | st.sampled_from(["2024-03-05T12:00:00Z", "1709640000", "no", "2024-03-05 12:00:00", "0"])))
def test_a_column_is_read_like_its_values(values):
    got = parse_times(pa.array(values, pa.string())).cast(pa.int64()).to_pylist()
    assert got == [None if v is None else parse_time(v) for v in values]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([NOON], pa.timestamp("us", "UTC")), NOON),
        (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ns")), NOON),
        (pa.array([NOON], pa.timestamp("ms", "Europe/Berlin")), NOON),
        (pa.array([date(2024, 3, 5)]), datetime(2024, 3, 5, tzinfo=UTC)),
        (pa.array([MICROS // 1000]), NOON),
        (pa.array([MICROS / 1e6]), NOON),
        (pa.array(["2024-03-05T12:00:00.25Z"]).dictionary_encode(), NOON),
        (pa.array([datetime(1601, 1, 1)], pa.timestamp("us")), None),
        (pa.array([None]), None),
        (pa.array([[1]]), None),
    ],
)
def test_columns_of_other_types_are_read(column, expected):
    assert parse_times(column).to_pylist() == [expected]
