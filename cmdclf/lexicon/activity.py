"""When, where and by whom a command line is run in an estate."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.images import images
from cmdclf.telemetry import PLATFORMS, PROCESS_EVENT

__all__ = ["event_hosts", "event_seconds", "event_table", "platform_codes"]

_DAY_SECONDS = 86_400


def platform_codes(platform: np.ndarray) -> np.ndarray:
    """(n,) int64 places of the platforms' names in `PLATFORMS`."""
    return np.asarray(np.select([platform == name for name in PLATFORMS], range(len(PLATFORMS))), np.int64)


def event_seconds(human: np.ndarray, weekend: bool, rng: np.random.Generator) -> np.ndarray:
    """(n,) float64 seconds of the day: people work around two peaks, machines (and weekends) spread evenly."""
    n = len(human)
    peak = np.where(rng.random(n) < 0.5, 10.25, 14.5) * 3600
    working = np.clip(peak + rng.normal(0, 1.4 * 3600, n), 0, _DAY_SECONDS - 1)
    anytime = rng.random(n) * _DAY_SECONDS
    return np.asarray(np.where(human & (not weekend), working, anytime))


def event_hosts(estate: Estate, code: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) int64 indices into the estate's hosts of each event's platform; some hosts are much busier than others."""
    size = np.array([len(estate.hosts[p]) for p in PLATFORMS])[code]
    drawn = (rng.random(len(code)) ** 1.5 * size).astype(np.int64)
    return np.asarray(np.minimum(drawn, size - 1))


def event_table(
    estate: Estate,
    micros: np.ndarray,
    code: np.ndarray,
    line: pa.StringArray,
    parent: pa.StringArray,
    host: np.ndarray,
    human: np.ndarray,
) -> pa.Table:
    """Process events (schema `PROCESS_EVENT`) of one day.

    Args:
        estate: hosts and users.
        micros: (n,) int64 microseconds since 1970, UTC.
        code: (n,) int64, see `platform_codes`.
        line, parent: (n,) command lines and their parents'.
        host: (n,) see `event_hosts`.
        human: (n,) bool, run by the host's main user rather than by the system.
    """
    names = [estate.hosts[p] for p in PLATFORMS]
    offset = np.cumsum([0, *(len(group) for group in names)])[code]
    people = len(estate.users)
    # Sensors record Windows accounts with their domain.
    accounts = [f"{estate.netbios}\\{user}" for user in estate.users] + list(estate.users)
    accounts += ["NT AUTHORITY\\SYSTEM", "root", "root"]
    person = (host + offset) % people + np.where(code == 0, 0, people)
    user = np.where(human, person, 2 * people + code)
    n = len(micros)
    return pa.table(
        {
            "event_time": pa.array(micros, pa.timestamp("us", tz="UTC")),
            "platform": pa.array(PLATFORMS, pa.string()).take(pa.array(code)),
            "command_line": line,
            "image": images(line, code == 0),
            "parent_image": images(parent, code == 0),
            "parent_command_line": parent,
            "user": pa.array(accounts, pa.string()).take(pa.array(user)),
            "host": pa.array([h for group in names for h in group], pa.string()).take(pa.array(host + offset)),
            "source_format": pa.repeat("replay", n),
            "quoting": pa.repeat("native", n),
            "count": pa.array(np.ones(n, np.int32)),
        },
        schema=PROCESS_EVENT,
    )
