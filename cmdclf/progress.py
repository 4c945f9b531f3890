"""Progress of long work on stderr: rows per second and time left."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TextIO

__all__ = ["Progress", "duration"]


def duration(seconds: float) -> str:
    """Seconds as people read them: `8.1 s`, `2 min 05 s`, `1 h 12 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Progress:
    """Context manager that reports how far a piece of work has come.

    On a terminal one line is redrawn; elsewhere a line is written every ten seconds, so that logs stay short.

    Args:
        label: what is being done.
        total: how many units there are in all, or None when that is not known.
        unit: what is counted.
        enabled: False writes nothing at all.
        stream: where to write; standard error by default.
    """

    def __init__(
        self,
        label: str,
        total: int | None = None,
        *,
        unit: str = "rows",
        enabled: bool = True,
        stream: TextIO | None = None,
    ) -> None:
        # A judge's name may come from a file, and terminals obey control characters.
        self.label = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in label)
        self.total = total
        self.unit = unit
        self.enabled = enabled
        self.done = 0
        self._stream = sys.stderr if stream is None else stream
        self._tty = self._stream.isatty()
        self._start = time.monotonic()
        self._shown = self._start

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.enabled and (self._tty or time.monotonic() - self._start > 1):
            self._show(last=True)

    def update(self, n: int = 1) -> None:
        """Count `n` further units as done."""
        self.done += n
        if not self.enabled:
            return
        now = time.monotonic()
        if now - self._shown >= (0.2 if self._tty else 10):
            self._shown = now
            self._show()

    def _show(self, *, last: bool = False) -> None:
        spent = max(time.monotonic() - self._start, 1e-9)
        rate = self.done / spent
        text = f"{self.label}: {self.done:,}"
        if self.total is not None:
            text += f" of {self.total:,}"
        text += f" {self.unit}, {rate:,.{0 if rate >= 10 else 1}f} {self.unit}/s"
        if last:
            text += f", {duration(spent)}"
        elif self.total and rate > 0:
            text += f", {duration(max(self.total - self.done, 0) / rate)} left"
        if self._tty:
            self._stream.write("\r\x1b[2K" + text + ("\n" if last else ""))
        else:
            self._stream.write(text + "\n")
        self._stream.flush()
