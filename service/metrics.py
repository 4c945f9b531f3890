"""Counters for Prometheus. BentoML's own take any path that was asked for as a label, a stranger's included."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["Metrics"]

_PATHS = frozenset({"/score", "/explain", "/metrics", "/docs.json"})
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """Requests by endpoint and status, seconds by endpoint, scored lines by verdict; of one worker."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cmdclf_requests", "Requests by endpoint and status", ["endpoint", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "cmdclf_request_seconds", "Time to answer", ["endpoint"], buckets=_SECONDS, registry=self._registry
        )
        self._lines = Counter("cmdclf_lines", "Command lines scored", ["verdict"], registry=self._registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        """Count one request; a path that isn't ours counts as `other`."""
        endpoint = path if path in _PATHS else "other"
        self._requests.labels(endpoint, str(status)).inc()
        self._seconds.labels(endpoint).observe(seconds)

    def verdicts(self, verdicts: Iterable[tuple[str, int]]) -> None:
        """Count scored lines, given as (verdict, lines)."""
        for verdict, lines in verdicts:
            self._lines.labels(verdict).inc(lines)

    def page(self) -> tuple[bytes, str]:
        """The text for Prometheus and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST
