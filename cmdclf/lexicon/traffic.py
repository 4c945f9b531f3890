"""How often which template runs: a few make most of the events and, by changing parameters, of the distinct lines."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cmdclf.lexicon.pools import Pool
from cmdclf.lexicon.rollouts import Rollouts, plan_rollouts

__all__ = ["HeadPlan", "Recent", "TailPlan", "plan_head", "plan_tail"]

_VARIED_BITS = 8  # some hundred lines or more
_RICH_BITS = 16  # more than a month repeats
_VARIED_SHARE_OF_TOP = 0.85
_REST_FRESH = 0.02
_RECENT = 16
_LASTING = 4
#: Most repeated events are of a template's usual line: the first of 16 has 63 % of them. That fits the shares of lines
#: seen once and of the 100 most frequent lines in recorded Windows telemetry (benchmarks/replay.py).
_USUAL = 6


@dataclass(slots=True)
class HeadPlan:
    """The recurring templates in the order of their rank.

    Attributes:
        rows: (n,) int64, rows of the pool's table.
        top: how many of them count as the top.
        varied: (n,) bool, templates whose parameters give ever new lines.
        fresh: (n,) float64, chance that an event of the template has new parameters.
        shares: (days, n) float64, shares of a day's head events; 0 before a template comes and after it went.
        rollouts: on which part of their hosts the templates run on each day.
        recent: what repeated events are taken from.
    """

    rows: np.ndarray
    top: int
    varied: np.ndarray
    fresh: np.ndarray
    shares: np.ndarray
    rollouts: Rollouts
    recent: Recent

    def day_lines(
        self, pool: Pool, counts: np.ndarray, rng: np.random.Generator, words: random.Random
    ) -> tuple[pa.StringArray, pa.StringArray, np.ndarray, np.ndarray]:
        """The head's events of one day; `counts` (n,) events per template.

        Returns:
            Lines and their parents; which of them each event has; the rank of each event.
        """
        fresh = rng.binomial(counts, self.fresh)
        fresh = np.where((counts > 0) & (self.recent.known == 0), np.maximum(fresh, 1), fresh)
        ranks = np.repeat(np.arange(len(counts)), fresh)
        new = pool.draws(self.rows[ranks], words)
        old = self.recent.lines, self.recent.parents
        lines, parents = (pa.concat_arrays([a, b]) for a, b in zip(old, new, strict=True))
        self.recent.add(fresh, len(old[0]))
        again = np.repeat(np.arange(len(counts)), counts - fresh)
        place = (rng.random(len(again)) ** _USUAL * self.recent.known[again]).astype(np.int64)
        at = np.concatenate([np.arange(len(old[0]), len(lines)), self.recent.places[again, place]])
        self.recent.keep(lines, parents)
        return lines, parents, at, np.concatenate([ranks, again])


@dataclass(slots=True)
class Recent:
    """The usual lines of each template, which are the first ones, and its latest.

    Attributes:
        places: (n, 16) int64, which of `lines` these are.
        known: (n,) int64, how many of them there are.
        lines, parents: the texts.
    """

    places: np.ndarray
    known: np.ndarray
    lines: pa.StringArray
    parents: pa.StringArray

    @classmethod
    def none(cls, n: int) -> Recent:
        """No line of `n` templates yet."""
        empty = pa.array([], pa.string())
        return cls(np.zeros((n, _RECENT), np.int64), np.zeros(n, np.int64), empty, empty)

    def add(self, fresh: np.ndarray, start: int) -> None:
        """Templates' new lines, `fresh` (n,) of each in turn, come to places from `start` on; old ones go."""
        ends = start + np.cumsum(fresh)
        for rank in np.flatnonzero(fresh):
            new = np.arange(ends[rank] - fresh[rank], ends[rank])
            all_ = np.concatenate([self.places[rank, : self.known[rank]], new])
            if len(all_) > _RECENT:
                all_ = np.concatenate([all_[:_LASTING], all_[_LASTING - _RECENT :]])
            self.known[rank] = len(all_)
            self.places[rank, : len(all_)] = all_

    def keep(self, lines: pa.StringArray, parents: pa.StringArray) -> None:
        """Of all texts, those that can be taken again."""
        used = np.arange(_RECENT) < self.known[:, None]
        places, inverse = np.unique(self.places[used], return_inverse=True)
        self.places[used] = inverse
        index = pa.array(places)
        self.lines, self.parents = lines.take(index), parents.take(index)


@dataclass(frozen=True, slots=True)
class TailPlan:
    """For each day the rows of benign templates that run once then."""

    days: list[np.ndarray]

    @property
    def total(self) -> int:
        """How many events the tail has in all."""
        return sum(len(day) for day in self.days)


def plan_tail(pool: Pool, rows: np.ndarray, *, days: int, limit: int, rng: np.random.Generator) -> TailPlan:
    """Spread the rows (each `pool.repeats` times) over the days, at most `limit` events in all."""
    repeated = rng.permutation(np.repeat(rows, pool.repeats))[:limit]
    return TailPlan([np.asarray(part) for part in np.array_split(repeated, days)])


def choose_head(
    pool: Pool, benign: np.ndarray, n: int, head_length: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Rows of the recurring templates, most frequent first.

    Where the pool knows weights, templates with a weight; otherwise benign lines that are not `hard`. Heavy ones come
    first preferably, and short ones: the chance falls by e with every `head_length` characters (None: no preference).
    Frequent lines being short and simple is an assumption of the replay, hence a parameter.
    """
    table = pool.table
    weight = table.weight[benign]
    noise = rng.exponential(size=len(benign))
    recurring = weight > 0 if weight.any() else ~table.hard[benign]
    scale = np.ones(len(benign)) if head_length is None else np.exp(-table.length[benign] / head_length)
    key = noise / np.maximum(np.maximum(weight, 1) * scale, 1e-300)
    rows, key = benign[recurring], key[recurring]
    return np.asarray(rows[np.argsort(key, kind="stable")][:n])


def _top_positions(bits: np.ndarray, top: int) -> np.ndarray:
    """Positions of the top templates: mostly such that never run out of new lines, the rest in order of frequency.

    What makes an estate's distinct lines is its busiest software's changing parameters.
    """
    wanted = round(top * _VARIED_SHARE_OF_TOP)
    chosen = np.flatnonzero(bits >= _RICH_BITS)[:wanted]
    for more, limit in ((np.flatnonzero(bits >= _VARIED_BITS), wanted), (np.arange(len(bits)), top)):
        chosen = np.concatenate([chosen, np.setdiff1d(more, chosen)[: limit - len(chosen)]])
    return np.sort(chosen)


def plan_head(
    pool: Pool,
    benign: np.ndarray,
    *,
    days: int,
    events_per_day: float,
    other_distinct: int,
    n_templates: int,
    zipf: float,
    share_top: float,
    top: int,
    head_length: float | None,
    drift: float,
    factors: Callable[[np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> HeadPlan:
    """Ranks, shares and the chance of new parameters, so that the top templates hold `share_top` of the distinct lines.

    Args:
        pool: where lines come from.
        benign: (m,) candidate rows.
        days: length of the period.
        events_per_day: the head's events of one day.
        other_distinct: distinct lines of tail and incidents over the whole period.
        n_templates, zipf: how many templates recur, and the exponent of their frequencies.
        share_top, top: the share of the distinct lines that the `top` most frequent templates are to hold.
        head_length: see `choose_head`.
        drift: share of the templates that come or go within the period.
        factors: rows -> (days, rows) float64, how much more or less each runs on each day (see `day_factors`).
        rng: all chances.
    """
    rows = choose_head(pool, benign, n_templates, head_length, rng)
    n = len(rows)
    top = min(top, max(1, n // 3))
    bits = pool.bits(rows)
    varied = bits >= _VARIED_BITS
    chosen = _top_positions(bits, top)
    order = np.concatenate([chosen, np.setdiff1d(np.arange(n), chosen)])
    rows, varied = rows[order], varied[order]

    rollouts = plan_rollouts(pool.table.platform[rows], days=days, drift=drift, rng=rng)
    shares = np.arange(1, n + 1, dtype=np.float64) ** -zipf * rollouts.share * factors(rows)
    total = shares.sum(axis=1, keepdims=True)
    shares = np.divide(shares, total, out=np.full_like(shares, 1 / max(n, 1)), where=total > 0)

    expected = shares.sum(axis=0) * events_per_day
    rest = slice(top, None)
    distinct_rest = float(np.sum(1 - np.exp(-expected[rest]) + _REST_FRESH * expected[rest] * varied[rest]))
    wanted = share_top / max(1 - share_top, 1e-9) * (other_distinct + distinct_rest)
    changing = float(np.sum(expected[:top] * varied[:top]))
    fresh = np.where(varied, _REST_FRESH, 0.0)
    fresh[:top] *= np.clip((wanted - top) / max(changing, 1e-9), 0, 1) / _REST_FRESH
    return HeadPlan(rows, top, varied, fresh, shares, rollouts, Recent.none(n))
