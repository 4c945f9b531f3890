"""Any labelled pool as believable daily telemetry, its truth kept aside."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import TelemetryError
from cmdclf.lexicon.activity import event_hosts, event_seconds, event_table
from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.incidents import Burst, plan_incidents
from cmdclf.lexicon.pools import Pool
from cmdclf.lexicon.split import PoolSplit, split_pool
from cmdclf.lexicon.traffic import HeadPlan, TailPlan, plan_head, plan_tail
from cmdclf.progress import Progress
from cmdclf.telemetry import Lake, command_ids

__all__ = ["ReplayReport", "ReplaySettings", "replay", "truth_path", "write_atomically"]


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


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay wrote.

    Attributes:
        events, distinct: in all.
        top: how many templates count as the top.
        top_events, top_distinct: the top templates' share of the events and of the distinct lines, 0..1.
        tail: events whose line occurs once in the period, drawn from the pool's tail.
        malicious: day -> malicious events.
        held_out: sources that were not replayed.
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


def replay(
    pool: Pool,
    lake: str | Path,
    settings: ReplaySettings | None = None,
    *,
    overwrite: bool = False,
    progress: bool = False,
    **changes: Any,
) -> ReplayReport:
    """Write a lake of daily telemetry and, beside it, `<lake>.truth.parquet`.

    The truth has one row per distinct line of the lake: command_id, command_line, platform, label, source, group_id,
    hard, head (bool: a recurring template), original_command_line (the pool's line before anything was drawn anew, so
    that verdicts on the pool can be joined; null for a lexicon). Events are drawn day by day; memory holds one day and
    the distinct lines.

    Args:
        pool: labelled lines.
        lake: folder to write; it may hold an earlier run of the same replay, which is written anew.
        settings: the shape; `changes` replace single settings (`days=5, per_day=20_000`).
        overwrite: remove what another replay left in the lake.
        progress: report on stderr.

    Raises:
        TelemetryError: impossible settings, or the lake holds something else.
        CmdclfError: the pool can't be split (see `split_pool`).
    """
    began = time.monotonic()
    s = dataclasses.replace(settings or ReplaySettings(), **changes).checked()
    root = Path(lake)
    split = split_pool(pool, hold_out=s.hold_out, rotation=s.rotation, labelled_share=s.labelled_share, seed=s.seed)
    fingerprint = hashlib.sha256(json.dumps([s.record(), pool.fingerprint], sort_keys=True).encode()).hexdigest()
    name = f"replay-{fingerprint[:12]}"
    _make_room(root, name, overwrite)
    run = _Run(pool, split, s)
    day_tables: list[pa.Table] = []
    malicious: dict[dt.date, int] = {}
    top_events = 0

    def batches(shown: Progress) -> Iterator[pa.RecordBatch]:
        nonlocal top_events
        for number in range(s.days):
            events, rows, rank = run.day(number)
            malicious[s.start + dt.timedelta(days=number)] = int(pool.table.malicious[rows].sum())
            top_events += int(((rank >= 0) & (rank < run.head.top)).sum())
            day_tables.append(_distinct(events["platform"], events["command_line"], rows, rank))
            yield from events.to_batches(max_chunksize=65_536)
            shown.update(len(events))

    with Progress("replay", s.days * s.per_day, unit="events", enabled=progress) as shown:
        # One write for all days: the lake shows the whole replay or nothing of it.
        Lake(root).write(batches(shown), name=name)
    truth, ranks = _truth(pool, day_tables)
    path = truth_path(root)
    metadata = {b"cmdclf.replay": json.dumps({"settings": s.record(), "held_out": sorted(split.held_out)}).encode()}
    write_atomically(truth.replace_schema_metadata(metadata), path)
    return ReplayReport(
        events=s.days * s.per_day,
        distinct=len(truth),
        top=run.head.top,
        top_events=top_events / (s.days * s.per_day),
        top_distinct=float(((ranks >= 0) & (ranks < run.head.top)).mean()),
        tail=run.tail.total,
        malicious=malicious,
        held_out=tuple(sorted(split.held_out)),
        dropped=dict(pool.dropped),
        seconds=time.monotonic() - began,
        truth=path,
    )


class _Run:
    """The plans of one replay and the drawing of its days."""

    def __init__(self, pool: Pool, split: PoolSplit, s: ReplaySettings) -> None:
        self.pool = pool
        self.settings = s
        rng = np.random.default_rng([s.seed, 10])
        words = random.Random(f"replay {s.seed}")
        self.estate = Estate.from_seed(s.seed, hosts=s.hosts)
        self.bursts: list[list[Burst]] = plan_incidents(
            pool, split.incidents, days=s.days, per_day=s.incident_events, rng=rng
        )
        recurring = pool.table.weight[split.benign] > 0
        rare = split.benign[~recurring]
        room = s.days * (s.per_day - s.incident_events)
        limit = min(int(s.tail_share * s.days * s.per_day), room, len(rare) * pool.repeats)
        self.head: HeadPlan = plan_head(
            pool,
            split.benign,
            days=s.days,
            events_per_day=room / s.days - limit / s.days,
            other_distinct=limit + min(s.days * s.incident_events, len(split.incidents) * pool.repeats),
            n_templates=s.head_templates,
            zipf=s.zipf,
            share_top=s.share_top,
            top=s.top,
            head_length=s.head_length,
            drift=s.drift,
            rng=rng,
            words=words,
        )
        tail_rows = np.setdiff1d(rare, self.head.rows)
        self.tail: TailPlan = plan_tail(pool, tail_rows, days=s.days, limit=limit, rng=rng)
        # Two of five templates are started by people in working hours, the others by machines at any time.
        self.human = np.random.default_rng([s.seed, 11]).random(len(pool.table)) < 0.4

    def day(self, number: int) -> tuple[pa.Table, np.ndarray, np.ndarray]:
        """One day's events in order of time, the pool row of each, and its rank in the head (-1: not in the head)."""
        s, pool = self.settings, self.pool
        rng = np.random.default_rng([s.seed, 12, number])
        words = random.Random(f"replay {s.seed} {number}")
        bursts = self.bursts[number]
        tail = self.tail.days[number]
        attacks = np.concatenate([np.zeros(0, np.int64), *(b.rows for b in bursts)])
        n_head = s.per_day - len(tail) - len(attacks)
        counts = rng.multinomial(n_head, self.head.shares[number])
        head_lines, head_parents, head_rank = self.head.day_lines(pool, counts, rng, words)
        other = np.concatenate([tail, attacks])
        other_lines, other_parents = pool.lines(other, words)
        rows = np.concatenate([self.head.rows[head_rank], other])
        rank = np.concatenate([head_rank, np.full(len(other), -1)])
        calm = len(rows) - len(attacks)

        human = self.human[rows]
        seconds = event_seconds(human, (s.start + dt.timedelta(days=number)).weekday() >= 5, rng)
        platform = pool.table.platform[rows]
        host = event_hosts(self.estate, platform, rng)
        at = calm
        for burst in bursts:
            until = at + len(burst.rows)
            seconds[at:until] = burst.second + np.sort(rng.random(until - at)) * burst.length_s
            host[at:until] = host[at]
            at = until
        order = np.argsort(seconds, kind="stable")
        midnight = dt.datetime.combine(s.start + dt.timedelta(days=number), dt.time(), dt.UTC)
        micros = int(midnight.timestamp()) * 1_000_000 + (seconds * 1e6).astype(np.int64)
        line = pa.concat_arrays([pa.array(head_lines, pa.string()), other_lines])
        parent = pa.concat_arrays([pa.array(head_parents, pa.string()), other_parents])
        events = event_table(self.estate, micros, platform, line, parent, host, human)
        return events.take(pa.array(order)), rows[order], rank[order]


def _make_room(root: Path, name: str, overwrite: bool) -> None:
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


def _distinct(platform: pa.ChunkedArray, line: pa.ChunkedArray, rows: np.ndarray, rank: np.ndarray) -> pa.Table:
    """Each line once, with the smallest pool row and the best rank of its events."""
    table = pa.table({"platform": platform, "command_line": line, "row": pa.array(rows), "rank": pa.array(rank)})
    grouped = table.group_by(["platform", "command_line"], use_threads=False)
    return grouped.aggregate([("row", "min"), ("rank", "max")]).rename_columns(
        ["platform", "command_line", "row", "rank"]
    )


def _truth(pool: Pool, days: list[pa.Table]) -> tuple[pa.Table, np.ndarray]:
    """The truth in order of command_id, and the rank of each line."""
    lines = pa.concat_tables(days)
    lines = _distinct(lines["platform"], lines["command_line"], lines["row"].to_numpy(), lines["rank"].to_numpy())
    platform, text = lines["platform"].combine_chunks(), lines["command_line"].combine_chunks()
    rows, ranks = lines["row"].to_numpy(), lines["rank"].to_numpy()
    table = pool.table
    truth = pa.table(
        {
            "command_id": command_ids(platform, text),
            "command_line": text,
            "platform": platform,
            "label": pa.array(np.where(table.malicious[rows], "malicious", "benign").astype(object), pa.string()),
            "source": pa.array(table.source[rows], pa.string()),
            "group_id": pa.array(table.group_id[rows], pa.string()),
            "hard": pa.array(table.hard[rows]),
            "head": pa.array(ranks >= 0),
            "original_command_line": pool.original(rows),
        }
    )
    order = np.argsort(truth["command_id"].to_numpy(zero_copy_only=False).astype(str), kind="stable")
    return truth.take(pa.array(order)), ranks[order]


def write_atomically(table: pa.Table, path: Path) -> None:
    """Write a Parquet file that is either complete or not there; makes its folder."""
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        pq.write_table(table, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
