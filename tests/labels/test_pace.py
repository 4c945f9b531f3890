import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.labels._pace import Pace, duration_s, retry_after_s


class Time:
    """A clock that only moves when somebody sleeps."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time():
    return Time()


def pace_of(time, max_wait_s=60.0):
    return Pace(max_wait_s, clock=time, sleep=time.sleep)


def limits(kind="requests", *, left, reset, limit=None):
    stated = {f"x-ratelimit-remaining-{kind}": str(left), f"x-ratelimit-reset-{kind}": reset}
    return stated | ({f"x-ratelimit-limit-{kind}": str(limit)} if limit else {})


def go(pace, times=1, tokens=10.0):
    async def all_of_them():
        for _ in range(times):
            await pace.before(tokens)

    asyncio.run(all_of_them())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1), ("6m0s", 360), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("30", 30), ("0", 0), ("", None), ("soon", None),
     ("5 s", None), ("-1s", None), ("1s junk", None), ("nan", None), ("1e9s", None)],
)  # fmt: skip
def test_a_reset_is_read_in_the_forms_that_servers_use(text, seconds):
    assert duration_s(text) == pytest.approx(seconds) if seconds is not None else duration_s(text) is None


@given(st.text(max_size=200))
def test_any_header_is_seconds_or_nothing(text):
    seconds = duration_s(text)
    assert seconds is None or seconds >= 0
    wait = retry_after_s({"retry-after": text, "date": text})
    assert wait is None or 0 <= wait < float("inf")


def test_retry_after_knows_milliseconds_seconds_and_dates_by_the_servers_clock():
    assert retry_after_s({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after_s({"retry-after": "9"}) == 9
    dated = {"retry-after": "Mon, 02 Nov 2026 10:00:30 GMT", "date": "Mon, 02 Nov 2026 10:00:00 GMT"}
    assert retry_after_s(dated) == 30
    assert retry_after_s({"retry-after": dated["retry-after"]}) is None
    assert retry_after_s({}) is None


def test_without_headers_nothing_waits(time):
    go(pace_of(time), 100)
    assert time.slept == []


def test_what_the_server_said_is_left_is_spent_and_the_next_request_waits_until_it_is_reset(time):
    pace = pace_of(time)
    pace.saw(limits(left=3, reset="12s"))
    go(pace, 3)
    assert time.slept == []
    go(pace)
    assert time.slept == [12.0]
    assert pace.waited_s == 12.0
    go(pace, 50)
    assert time.slept == [12.0]  # the window is over; only the next reply says more


def test_where_the_whole_budget_is_known_a_request_waits_only_until_its_share_is_back(time):
    pace = pace_of(time)
    pace.saw(limits("tokens", left=0, limit=1000, reset="10s"))
    go(pace, 1, tokens=200)
    assert sum(time.slept) == pytest.approx(2.0)
    go(pace, 1, tokens=300)
    assert sum(time.slept) == pytest.approx(5.0)


def test_a_request_larger_than_the_budget_goes_when_the_budget_is_whole(time):
    pace = pace_of(time)
    pace.saw(limits("tokens", left=0, limit=100, reset="10s"))
    go(pace, 1, tokens=5000)
    assert sum(time.slept) == pytest.approx(10.0)


def test_a_limit_per_day_is_not_waited_out(time):
    pace = pace_of(time, max_wait_s=5.0)
    pace.saw(limits(left=0, reset="24h"))
    go(pace)
    assert sum(time.slept) == 5.0


def test_a_refusal_holds_all_requests(time):
    pace = pace_of(time)
    pace.hold(3.0)
    pace.hold(1.0)
    go(pace, 2)
    assert time.slept == [3.0]


@given(st.dictionaries(st.sampled_from([*limits(left=1, reset="1s", limit=1)]), st.text(max_size=12)))
def test_strange_headers_never_stop_a_run(headers):
    time = Time()
    pace = pace_of(time, max_wait_s=1.0)
    pace.saw(headers)
    go(pace, 3)
    assert sum(time.slept) <= 6.0
