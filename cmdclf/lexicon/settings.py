"""What shapes a replay, what it reports, and where its files lie."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import TelemetryError

__all__ = ["ReplayReport", "ReplaySettings", "make_room", "truth_path", "write_atomically"]

#: The fingerprints of so many lines take 1 GiB.
MAX_DISTINCT = 200_000_000


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What shapes a replay.

    Attributes:
        days, per_day, start: the period; each day has exactly `per_day` events.
        seed: same seed, pool and settings give the same files, byte for byte.
        hold_out, rotation, labelled_share: see `split_pool`.
        head_templates, zipf: recurring templates and the exponent of their frequencies.
        share_top, top: share of all distinct lines that the `top` most frequent templates hold.
        head_length: preference for short recurring lines, in characters (None: none).
        tail_share: at most this share of the events are lines that occur once.
        malicious_per_day: events of incidents (None: one in a thousand, at least 3).
        drift: share of the recurring templates that start or stop within the period.
        hosts: size of the estate.
        distinct: every event is another line; see `distinct`.
    """

    days: int = 14
    per_day: int = 20_000
    start: dt.date = dt.date(2026, 1, 5)
    seed: int = 0
    hold_out: float = 1 / 3
    rotation: int = 0
    labelled_share: float = 0.5
    head_templates: int = 3000
    zipf: float = 1.1
    share_top: float = 0.45
    top: int = 100
    head_length: float | None = 60.0
    tail_share: float = 0.10
    malicious_per_day: int | None = None
    drift: float = 0.15
    hosts: int = 200
    distinct: bool = False

    @property
    def incident_events(self) -> int:
        """Malicious events per day."""
        return max(3, self.per_day // 1000) if self.malicious_per_day is None else self.malicious_per_day

    def checked(self) -> ReplaySettings:
        """The settings themselves.

        Raises:
            TelemetryError: one of them is impossible.
        """
        for name, good in (
            ("days", 1 <= self.days <= 3660),
            ("start", dt.date.max - self.start > dt.timedelta(self.days)),
            ("per_day", self.per_day >= 10),
            ("per_day", not self.distinct or self.days * self.per_day <= MAX_DISTINCT),
            ("share_top", 0 <= self.share_top < 1),
            ("tail_share", 0 <= self.tail_share <= 0.9),
            ("malicious_per_day", 0 <= self.incident_events <= self.per_day // 2),
            ("head_templates", self.head_templates >= 1),
            ("top", self.top >= 1),
            ("zipf", 0 <= self.zipf <= 10),
            ("hosts", self.hosts >= 10),
        ):
            if not good:
                raise TelemetryError(
                    f"{name} = {getattr(self, name)} is impossible for a replay",
                    remedy="See 'cmdclf replay --help' for the meaning of each number",
                )
        return self

    def record(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return {**dataclasses.asdict(self), "start": self.start.isoformat()}

    def part_name(self, pool: str) -> str:
        """The name of the lake's part: another one for other settings or another fingerprint of the pool."""
        text = json.dumps([self.record(), pool], sort_keys=True)
        return f"replay-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def metadata(self, held_out: Collection[str]) -> dict[bytes, bytes]:
        """What the truth file says of its making."""
        return {b"cmdclf.replay": json.dumps({"settings": self.record(), "held_out": sorted(held_out)}).encode()}


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay wrote.

    Attributes:
        events, distinct: in all.
        top: how many templates count as the top.
        top_events, top_distinct: the top templates' share of the events and of the distinct lines, 0..1.
        tail: events whose line occurs once in the period, drawn from the pool's tail.
        malicious: day -> malicious events.
        held_out: sources (of a lexicon: families of templates) that were not replayed.
        dropped: reason -> rows of the pool that were left out.
        seconds: time taken.
        truth: the truth file.
    """

    events: int
    distinct: int
    top: int
    top_events: float
    top_distinct: float
    tail: int
    malicious: dict[dt.date, int]
    held_out: tuple[str, ...]
    dropped: dict[str, int]
    seconds: float
    truth: Path


def truth_path(lake: str | Path) -> Path:
    """Where the truth of a replayed lake lies: beside it, never in it."""
    root = Path(lake)
    return root.with_name(root.name + ".truth.parquet")


def make_room(root: Path, name: str, overwrite: bool) -> None:
    """Raise where the lake holds anything but this replay; with `overwrite` earlier replays go."""
    present = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else []
    others = [p for p in present if p.name.split(".")[0] != name and ".tmp" not in p.relative_to(root).parts]
    if not others:
        return
    foreign = [p for p in others if not (p.name.startswith("replay-") and p.suffix == ".parquet")]
    if foreign:
        raise TelemetryError(
            "the lake holds files that no replay wrote", remedy="Name an empty folder with --lake", file=foreign[0]
        )
    if not overwrite:
        raise TelemetryError(
            "the lake holds another replay", remedy="Give --overwrite to replace it, or another --lake", file=root
        )
    for path in others:
        path.unlink()


def write_atomically(table: pa.Table, path: Path) -> None:
    """Write a Parquet file that is either complete or not there; makes its folder."""
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        pq.write_table(table, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
