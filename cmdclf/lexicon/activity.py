"""When, where and by whom a command line is run in an estate."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.images import images
from cmdclf.lexicon.parents import with_parents
from cmdclf.telemetry import PLATFORMS, PROCESS_EVENT

__all__ = ["event_seconds", "event_table", "platform_codes"]

_DAY_SECONDS = 86_400


def platform_codes(platform: np.ndarray) -> np.ndarray:
    """(n,) int64 places of the platforms' names in `PLATFORMS`."""
    return np.asarray(np.select([platform == name for name in PLATFORMS], range(len(PLATFORMS))), np.int64)


def event_seconds(
    human: np.ndarray, weekend: bool, rng: np.random.Generator, updater: np.ndarray | None = None
) -> np.ndarray:
    """(n,) float64 seconds of the day.

    People work around two peaks; machines, and people at weekends, are spread evenly; half of what installs software
    runs in the small hours.
    """
    n = len(human)
    peak = np.where(rng.random(n) < 0.5, 10.25, 14.5) * 3600
    working = np.clip(peak + rng.normal(0, 1.4 * 3600, n), 0, _DAY_SECONDS - 1)
    anytime = rng.random(n) * _DAY_SECONDS
    if updater is not None:
        at_night = updater & (rng.random(n) < 0.5)
        anytime = np.where(at_night, 3600 * (1 + 4 * rng.random(n)), anytime)
    return np.asarray(np.where(human & (not weekend), working, anytime))


def event_table(
    estate: Estate,
    micros: np.ndarray,
    code: np.ndarray,
    line: pa.StringArray,
    parent: pa.StringArray,
    host: np.ndarray,
    human: np.ndarray,
    rows: np.ndarray,
    rng: np.random.Generator,
    at: np.ndarray | None = None,
) -> pa.Table:
    """Process events (schema `PROCESS_EVENT`) of one day.

    Args:
        estate: hosts and users.
        micros: (n,) int64 microseconds since 1970, UTC.
        code: (n,) int64, see `platform_codes`.
        line, parent: command lines and their parents'; a missing parent becomes one that fits.
        host: (n,) int64 index into the estate's hosts of the platform.
        human: (n,) bool, run by the host's main user rather than by the system.
        rows: (n,) int64 the template of each.
        rng: all chances.
        at: (n,) int64 which of `line` and `parent` each event has; None: each its own.
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
    windows = code == 0
    if at is not None:
        windows = np.zeros(len(line), bool)
        windows[at] = code == 0
    image, parent_image = images(line, windows), images(parent, windows)
    if at is not None:
        index = pa.array(at)
        line, parent, image, parent_image = (x.take(index) for x in (line, parent, image, parent_image))
    parent, parent_image = with_parents(parent, parent_image, code, human, rows, rng)
    return pa.table(
        {
            "event_time": pa.array(micros, pa.timestamp("us", tz="UTC")),
            "platform": pa.array(PLATFORMS, pa.string()).take(pa.array(code)),
            "command_line": line,
            "image": image,
            "parent_image": parent_image,
            "parent_command_line": parent,
            "user": pa.array(accounts, pa.string()).take(pa.array(user)),
            "host": pa.array([h for group in names for h in group], pa.string()).take(pa.array(host + offset)),
            "source_format": pa.repeat("replay", n),
            "quoting": pa.repeat("native", n),
            "count": pa.array(np.ones(n, np.int32)),
        },
        schema=PROCESS_EVENT,
    )
