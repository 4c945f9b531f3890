"""When, where and by whom a command line is run in an estate."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.render import image_of
from cmdclf.telemetry import PLATFORMS, PROCESS_EVENT

__all__ = ["event_hosts", "event_seconds", "event_table"]

_DAY_SECONDS = 86_400


def _platform_code(platform: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(platform == "windows", 0, np.where(platform == "linux", 1, 2)))


def event_seconds(human: np.ndarray, weekend: bool, rng: np.random.Generator) -> np.ndarray:
    """(n,) float64 seconds of the day: people work around two peaks, machines (and weekends) spread evenly."""
    n = len(human)
    peak = np.where(rng.random(n) < 0.5, 10.25, 14.5) * 3600
    working = np.clip(peak + rng.normal(0, 1.4 * 3600, n), 0, _DAY_SECONDS - 1)
    anytime = rng.random(n) * _DAY_SECONDS
    return np.asarray(np.where(human & (not weekend), working, anytime))


def event_hosts(estate: Estate, platform: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) int64 indices into the estate's hosts of each event's platform; some hosts are much busier than others."""
    size = np.array([len(estate.hosts[p]) for p in PLATFORMS])[_platform_code(platform)]
    drawn = (rng.random(len(platform)) ** 1.5 * size).astype(np.int64)
    return np.asarray(np.minimum(drawn, size - 1))


def event_table(
    estate: Estate,
    micros: np.ndarray,
    platform: np.ndarray,
    line: pa.StringArray,
    parent: pa.StringArray,
    host: np.ndarray,
    human: np.ndarray,
) -> pa.Table:
    """Process events (schema `PROCESS_EVENT`) of one day.

    Args:
        estate: hosts and users.
        micros: (n,) int64 microseconds since 1970, UTC.
        platform: (n,) object array of str.
        line, parent: (n,) command lines and their parents'.
        host: (n,) see `event_hosts`.
        human: (n,) bool, run by the host's main user rather than by the system.
    """
    code = _platform_code(platform)
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
            "platform": pa.array(platform, pa.string()),
            "command_line": line,
            "image": _images(line, platform),
            "parent_image": _images(parent, platform),
            "parent_command_line": parent,
            "user": pa.array(accounts, pa.string()).take(pa.array(user)),
            "host": pa.array([h for group in names for h in group], pa.string()).take(pa.array(host + offset)),
            "source_format": pa.array(["replay"] * n, pa.string()),
            "quoting": pa.array(["native"] * n, pa.string()),
            "count": pa.array(np.ones(n, np.int32)),
        },
        schema=PROCESS_EVENT,
    )


def _images(lines: pa.StringArray, platform: np.ndarray) -> pa.StringArray:
    """The program of each line, worked out once per distinct line."""
    encoded = lines.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    texts = encoded.dictionary.to_pylist()
    where = np.full(len(texts), "windows", object)
    known = ~np.isnan(codes.astype(np.float64))
    where[codes[known].astype(np.int64)] = platform[known]
    images = [image_of(text, kind) for text, kind in zip(texts, where, strict=True)]
    return pa.array(images, pa.string()).take(encoded.indices)
