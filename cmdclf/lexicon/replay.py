"""Any labelled pool as believable daily telemetry, its truth kept aside."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cmdclf.lexicon.activity import event_seconds, event_table, platform_codes
from cmdclf.lexicon.calendar import day_factors
from cmdclf.lexicon.distinct import replay_distinct
from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.fleet import Fleet
from cmdclf.lexicon.incidents import Burst, plan_incidents
from cmdclf.lexicon.pools import Pool
from cmdclf.lexicon.settings import ReplayReport, ReplaySettings, make_room, truth_path, write_atomically
from cmdclf.lexicon.split import PoolSplit, split_pool
from cmdclf.lexicon.traffic import HeadPlan, TailPlan, plan_head, plan_tail
from cmdclf.progress import Progress
from cmdclf.telemetry import Lake, command_ids

__all__ = ["ReplayReport", "ReplaySettings", "replay", "truth_path", "write_atomically"]


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
    name = s.part_name(pool.fingerprint)
    make_room(root, name, overwrite)
    if s.distinct:
        return replay_distinct(pool, split, root, s, name=name, progress=progress)
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
    write_atomically(truth.replace_schema_metadata(s.metadata(split.held_out)), path)
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
        table = pool.table
        self.code = platform_codes(table.platform)
        self.estate = Estate.from_seed(s.seed, hosts=s.hosts)
        fleet = Fleet(self.estate, s.seed)
        self.placement = fleet.placement(table)
        self.human, self.updater = fleet.people(table), fleet.updaters(table)
        self.bursts: list[list[Burst]] = plan_incidents(
            pool, split.incidents, fleet=fleet, days=s.days, per_day=s.incident_events, rng=rng
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
            factors=lambda rows: day_factors(s.start, s.days, self.human[rows], self.updater[rows]),
            rng=rng,
        )
        tail_rows = np.setdiff1d(rare, self.head.rows)
        self.tail: TailPlan = plan_tail(pool, tail_rows, days=s.days, limit=limit, rng=rng)

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
        head_lines, head_parents, head_at, head_rank = self.head.day_lines(pool, counts, rng, words)
        other = np.concatenate([tail, attacks])
        other_lines, other_parents = pool.lines(other, words)
        rows = np.concatenate([self.head.rows[head_rank], other])
        rank = np.concatenate([head_rank, np.full(len(other), -1)])
        human, code = self.human[rows], self.code[rows]
        weekend = (s.start + dt.timedelta(days=number)).weekday() >= 5
        seconds = event_seconds(human, weekend, rng, self.updater[rows])
        low, high = np.zeros(len(rows)), np.ones(len(rows))
        low[: len(head_rank)] = self.head.rollouts.low[number, head_rank]
        high[: len(head_rank)] = self.head.rollouts.high[number, head_rank]
        host = self.placement.draw(rows, low, high, rng)
        start = len(rows) - len(attacks)
        for burst in bursts:
            until = start + len(burst.rows)
            seconds[start:until], host[start:until] = burst.seconds, burst.hosts
            start = until
        order = np.argsort(seconds, kind="stable")
        midnight = dt.datetime.combine(s.start + dt.timedelta(days=number), dt.time(), dt.UTC)
        micros = int(midnight.timestamp()) * 1_000_000 + (seconds * 1e6).astype(np.int64)
        line = pa.concat_arrays([head_lines, other_lines])
        parent = pa.concat_arrays([head_parents, other_parents])
        at = np.concatenate([head_at, len(head_lines) + np.arange(len(other))])
        micros, code, host, human, rows, rank, at = (x[order] for x in (micros, code, host, human, rows, rank, at))
        return event_table(self.estate, micros, code, line, parent, host, human, rows, rng, at), rows, rank


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
