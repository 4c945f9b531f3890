"""Slowing down before a server has to say no: what its rate-limit headers allow, and for how long it says no."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

__all__ = ["Pace", "duration_s", "retry_after_s"]

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|us|µs|ns|h|m|s)")


def duration_s(text: str) -> float | None:
    """Seconds in a header such as `6m0s`, `120ms`, `1.5s` or `30` (seconds); None for anything else."""
    text = text.strip().lower()[:64]
    if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after`; a date counts from the reply's own `date`."""
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(header, "")) / unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return seconds
    try:
        until, now = (parsedate_to_datetime(headers[name]) for name in ("retry-after", "date"))
        return max((until - now).total_seconds(), 0.0)
    except (KeyError, ValueError, TypeError, IndexError):
        return None


@dataclass(slots=True)
class _Limit:
    """One of the server's two budgets as it last stated it, less what was sent since."""

    left: float
    stated_at: float
    full_at: float  # when the server says the whole budget is there again
    per_s: float  # how much comes back each second until then

    def wait_s(self, need: float, now: float) -> float:
        """Seconds until this much is there."""
        short = need - self.left - self.per_s * (now - self.stated_at)
        if short <= 0:
            return 0.0
        return min(short / self.per_s if self.per_s > 0 else float("inf"), self.full_at - now)


class Pace:
    """When the next request may go.

    `x-ratelimit-remaining-*`, `-limit-*` and `-reset-*` (requests and tokens) say what a server will still take. A
    request that would go beyond waits until enough has come back; the server's `retry-after` holds all requests.

    Args:
        max_wait_s: no wait is longer: a limit per day must not look like a hung run.
        clock, sleep: seconds, and how to spend them.
    """

    def __init__(
        self,
        max_wait_s: float = 60.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.max_wait_s = max_wait_s
        self.clock = clock
        self.sleep = sleep
        #: how long requests were held back in all
        self.waited_s = 0.0
        self._limits: dict[str, _Limit] = {}
        self._held_until = 0.0

    def saw(self, headers: Mapping[str, str]) -> None:
        """Take in a reply's headers; those that are missing or strange say nothing."""
        now = self.clock()
        for kind in ("requests", "tokens"):
            try:
                left = float(headers[f"x-ratelimit-remaining-{kind}"])
            except (KeyError, ValueError):
                continue
            reset = duration_s(headers.get(f"x-ratelimit-reset-{kind}", ""))
            if reset is None or not 0 <= left < float("inf"):
                continue
            try:
                whole = float(headers.get(f"x-ratelimit-limit-{kind}", ""))
            except ValueError:
                whole = left
            missing = max(whole - left, 0.0)
            self._limits[kind] = _Limit(left, now, now + reset, missing / reset if reset > 0 else 0.0)

    def hold(self, seconds: float) -> None:
        """Let no request go for so long."""
        self._held_until = max(self._held_until, self.clock() + min(seconds, self.max_wait_s))

    async def before(self, tokens: float) -> None:
        """Return when a request of about so many tokens may go, and count it."""
        start = self.clock()
        while (wait := self._wait_s(tokens)) > 0 and self.clock() - start < self.max_wait_s:
            wait = min(wait, self.max_wait_s)
            self.waited_s += wait
            await self.sleep(wait)
        for kind, need in (("requests", 1.0), ("tokens", tokens)):
            if kind in self._limits:
                self._limits[kind].left -= need

    def _wait_s(self, tokens: float) -> float:
        now = self.clock()
        waits = [self._held_until - now]
        for kind, need in (("requests", 1.0), ("tokens", tokens)):
            if (limit := self._limits.get(kind)) is None:
                continue
            if now >= limit.full_at:
                del self._limits[kind]  # what it said is over; the next reply says more
                continue
            waits.append(limit.wait_s(need, now))
        return max(waits)
