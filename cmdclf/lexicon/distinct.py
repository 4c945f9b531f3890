"""A day in which every event is another line: what full scale is measured on.

Templates keep their order of frequency, but a template can't run more often than it has different lines; what it
leaves goes to those that never run out. The day is written chunk by chunk, one chunk drawn while another is written.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import TelemetryError
from cmdclf.lexicon.activity import event_seconds, event_table, platform_codes
from cmdclf.lexicon.estate import Estate
from cmdclf.lexicon.fleet import Fleet
from cmdclf.lexicon.pools import Pool
from cmdclf.lexicon.settings import ReplayReport, ReplaySettings, truth_path
from cmdclf.lexicon.split import PoolSplit
from cmdclf.lexicon.traffic import choose_head
from cmdclf.progress import Progress
from cmdclf.telemetry import Lake, command_ids

__all__ = ["replay_distinct", "shares_within"]

_CHUNK = 125_000
_REPEATED = ["platform", "label", "source", "group_id", "original_command_line"]
#: Half of a template's lines: drawing by chance, the last ones are hard to find.
_USABLE = 0.5


def shares_within(wanted: np.ndarray, limits: np.ndarray, total: int) -> np.ndarray:
    """(n,) int64 counts that add up to `total`, in proportion to `wanted` (n,) and none above its limit (n,).

    What does not fit goes to the others in proportion. `wanted` is positive, limits are whole numbers.

    Raises:
        TelemetryError: the limits add up to less.
    """
    if limits.sum() < total:
        raise TelemetryError(
            f"the pool gives about {int(limits.sum()):,} different lines, not {total:,}",
            remedy="Ask for fewer events a day, or give a pool whose lines vary more",
        )
    counts = np.zeros(len(wanted))
    open_ = limits > 0
    while open_.any():
        left = total - counts[~open_].sum()
        counts[open_] = wanted[open_] / wanted[open_].sum() * left
        over = open_ & (counts > limits)
        if not over.any():
            break
        counts[over] = limits[over]
        open_ &= ~over
    whole = np.floor(counts).astype(np.int64)
    # Limits are whole, so the largest rests have room for one more.
    whole[np.argsort(whole - counts, kind="stable")[: total - int(whole.sum())]] += 1
    return whole


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Events of one chunk, and which place of the plan each is of."""

    events: pa.Table
    place: np.ndarray
    day: int


class _Day:
    """The plan of all days and the drawing of their chunks, in order."""

    def __init__(self, pool: Pool, split: PoolSplit, s: ReplaySettings) -> None:
        self.pool, self.settings = pool, s
        rng = np.random.default_rng([s.seed, 20])
        self.estate = Estate.from_seed(s.seed, hosts=s.hosts)
        self.code = platform_codes(pool.table.platform)
        fleet = Fleet(self.estate, s.seed)
        self.placement = fleet.placement(pool.table)
        self.human, self.updater = fleet.people(pool.table), fleet.updaters(pool.table)
        head = choose_head(pool, split.benign, s.head_templates, s.head_length, rng)
        rare = rng.permutation(np.setdiff1d(split.benign, head))
        total = s.days * s.per_day
        bits = pool.bits(head)
        rich = bits >= np.log2(total) + 6
        # The top are such that never run out; a lexicon without them shares what there is.
        order = np.argsort(~rich, kind="stable")
        self.top = min(s.top, max(1, len(head) // 3), max(1, int(rich.sum())))
        top, rest = head[order[: self.top]], head[np.sort(order[self.top :])]
        benign = np.concatenate([top, rest, rare])
        wanted = np.arange(1, len(benign) + 1, dtype=np.float64) ** -s.zipf
        inside = np.arange(len(benign)) < self.top
        for mask, share in ((inside, s.share_top), (~inside, 1 - s.share_top)):
            wanted[mask] *= share / max(wanted[mask].sum(), 1e-300)
        n_malicious = s.days * s.incident_events
        attacks = rng.permutation(split.incidents)
        counts = shares_within(wanted, self._limits(benign, total), total - n_malicious)
        bad = shares_within(np.ones(len(attacks)), self._limits(attacks, total), n_malicious)
        self.rows = np.concatenate([benign, attacks])
        # What is still to come of each benign and each malicious row.
        self.left = [counts, bad]
        self.assembly, self.programs = pool.programs(self.rows)
        spare = pool.bits(benign) >= np.log2(total) + 6
        self.spare = self.programs[: len(benign)][spare]
        # Which place of `rows` a program belongs to: the machine may take another one than asked for.
        self.place = np.zeros(len(self.assembly), np.int64)
        self.place[self.programs] = np.arange(len(self.rows))
        self.kinds = np.zeros(len(self.assembly), np.int64)
        self.kinds[self.programs] = self.code[self.rows]
        self.seen = np.zeros(1 << max(10, int(np.ceil(np.log2(total * 4 / 3)))), np.uint32)
        self.names = {
            name: pa.array(column, pa.string())
            for name, column in (("source", pool.table.source), ("group_id", pool.table.group_id))
        }

    def _limits(self, rows: np.ndarray, total: int) -> np.ndarray:
        bits = self.pool.bits(rows)
        return np.floor(np.where(bits < 1, 1, _USABLE * np.exp2(np.minimum(bits, np.log2(total) + 2)))).clip(1)

    @property
    def chunks(self) -> int:
        """How many chunks all days have."""
        return self.settings.days * self.per_day

    @property
    def per_day(self) -> int:
        """How many chunks a day has."""
        return max(1, -(-self.settings.per_day // _CHUNK))

    def draw(self, number: int) -> _Chunk:
        """Chunk `number`; they are to be drawn in order."""
        s = self.settings
        rng = np.random.default_rng([s.seed, 22, number])
        day, part = divmod(number, self.per_day)
        date = s.start + dt.timedelta(days=day)
        size, bad = (n * (part + 1) // self.per_day - n * part // self.per_day for n in (s.per_day, s.incident_events))
        counts = []
        for left, wanted in zip(self.left, (size - bad, bad), strict=True):
            counts.append(rng.multivariate_hypergeometric(left, wanted, method="marginals"))
            left -= counts[-1]
        place = np.repeat(np.arange(len(self.rows)), np.concatenate(counts))
        rows = self.rows[place]
        seconds = event_seconds(self.human[rows], date.weekday() >= 5, rng, self.updater[rows])
        # Lines of the same second come in any order.
        place, seconds = (x[np.argsort(seconds, kind="stable")] for x in (place, seconds))
        programs = self.programs[place]
        line, parent = self.assembly.write_distinct(
            programs, int(rng.integers(2**62)), kinds=self.kinds, spare=self.spare, seen=self.seen
        )
        place = self.place[programs]
        rows = self.rows[place]
        midnight = int(dt.datetime.combine(date, dt.time(), dt.UTC).timestamp()) * 1_000_000
        micros = midnight + (seconds * 1e6).astype(np.int64)
        code = self.code[rows]
        host = self.placement.draw(rows, np.zeros(len(rows)), np.ones(len(rows)), rng)
        events = event_table(self.estate, micros, code, line, parent, host, self.human[rows], rows, rng)
        return _Chunk(events, place, day)

    def truth(self, chunk: _Chunk) -> pa.Table:
        """The truth of a chunk, in the order of its events."""
        table, rows = self.pool.table, self.rows[chunk.place]
        line, platform = chunk.events["command_line"].combine_chunks(), chunk.events["platform"].combine_chunks()
        index = pa.array(rows)
        return pa.table(
            {
                "command_id": command_ids(platform, line),
                "command_line": line,
                "platform": platform,
                "label": pa.array(["benign", "malicious"]).take(pa.array(table.malicious[rows].astype(np.int8))),
                "source": self.names["source"].take(index),
                "group_id": self.names["group_id"].take(index),
                "hard": pa.array(table.hard[rows]),
                "head": pa.array(chunk.place < self.top),
                "original_command_line": self.pool.original(rows),
            }
        )


def replay_distinct(
    pool: Pool, split: PoolSplit, lake: Path, s: ReplaySettings, *, name: str, progress: bool = False
) -> ReplayReport:
    """Write `days` x `per_day` events, no two of the same line, and their truth beside the lake.

    Events are in order of time within a chunk of about 125,000; each chunk spans the whole day. The truth has its rows
    in the order of the events; `head` says the top templates. Memory: about 0.6 GiB and 5 to 11 bytes a line.

    Raises:
        TelemetryError: the pool doesn't give so many different lines.
    """
    began = time.monotonic()
    plan = _Day(pool, split, s)
    malicious = {s.start + dt.timedelta(days=k): 0 for k in range(s.days)}
    path = truth_path(lake)
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    top = 0
    writer: pq.ParquetWriter | None = None

    def batches(shown: Progress) -> Iterator[pa.RecordBatch]:
        nonlocal top, writer
        with ThreadPoolExecutor(1) as pencil:
            waiting = pencil.submit(plan.draw, 0)
            for number in range(plan.chunks):
                chunk = waiting.result()
                if number + 1 < plan.chunks:
                    waiting = pencil.submit(plan.draw, number + 1)
                truth = plan.truth(chunk)
                if writer is None:
                    schema = truth.schema.with_metadata(s.metadata(split.held_out))
                    writer = pq.ParquetWriter(partial, schema, compression="zstd", use_dictionary=_REPEATED)
                writer.write_table(truth)
                del truth  # before the next chunk's, not after
                top += int((chunk.place < plan.top).sum())
                bad = pool.table.malicious[plan.rows[chunk.place]]
                malicious[s.start + dt.timedelta(days=chunk.day)] += int(bad.sum())
                yield from chunk.events.to_batches()
                shown.update(len(chunk.events))

    try:
        with Progress("replay", s.days * s.per_day, unit="events", enabled=progress) as shown:
            Lake(lake).write(batches(shown), name=name)
        if writer is not None:
            writer.close()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    total = s.days * s.per_day
    return ReplayReport(
        events=total,
        distinct=total,
        top=plan.top,
        top_events=top / total,
        top_distinct=top / total,
        tail=0,
        malicious=malicious,
        held_out=tuple(sorted(split.held_out)),
        dropped=dict(pool.dropped),
        seconds=time.monotonic() - began,
        truth=path,
    )
