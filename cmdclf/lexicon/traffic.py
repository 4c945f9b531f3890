"""How often which template runs: a few make most of the events and, by changing parameters, of the distinct lines."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np

from cmdclf.lexicon.pools import Pool

__all__ = ["HeadPlan", "TailPlan", "plan_head", "plan_tail"]

_PROBES = 24
_MANY_PROBES = 400
_VARIED_SHARE_OF_TOP = 0.85
_REST_FRESH = 0.02
_RECENT = 16


@dataclass(slots=True)
class HeadPlan:
    """The recurring templates in the order of their rank.

    Attributes:
        rows: (n,) int64, rows of the pool's table.
        top: how many of them count as the top.
        varied: (n,) bool, templates whose parameters give ever new lines.
        fresh: (n,) float64, chance that an event of the template has new parameters.
        shares: (days, n) float64, shares of a day's head events; 0 before a template starts and after it stops.
        recent: the latest lines of each template, from which repeated events are taken.
    """

    rows: np.ndarray
    top: int
    varied: np.ndarray
    fresh: np.ndarray
    shares: np.ndarray
    recent: list[list[tuple[str, str | None]]]

    def day_lines(
        self, pool: Pool, counts: np.ndarray, rng: np.random.Generator, words: random.Random
    ) -> tuple[list[str], list[str | None], np.ndarray]:
        """The head's lines of one day, their parents, and the rank of each; `counts` (n,) events per template."""
        lines: list[str] = []
        parents: list[str | None] = []
        n_fresh = rng.binomial(counts, self.fresh)
        for rank in np.flatnonzero(counts):
            count, fresh, row, recent = int(counts[rank]), int(n_fresh[rank]), int(self.rows[rank]), self.recent[rank]
            if not recent:
                fresh = max(fresh, 1)
            new: list[tuple[str, str | None]] = [pool.draw(row, words) for _ in range(fresh)]
            recent.extend(new[-_RECENT:])
            del recent[:-_RECENT]
            new.extend(words.choices(recent, k=count - fresh))
            lines.extend(line for line, _ in new)
            parents.extend(parent for _, parent in new)
        return lines, parents, np.repeat(np.arange(len(counts)), counts)


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

    Where the pool knows weights, those with a weight, by weight. Otherwise drawn from the benign lines that are not
    `hard`, short ones preferably: the chance falls by e with every `head_length` characters (None: no preference).
    Frequent lines being simple is an assumption of the replay, hence a parameter.
    """
    table = pool.table
    weight = table.weight[benign]
    noise = rng.exponential(size=len(benign))
    if weight.any():
        rows, key = benign[weight > 0], (noise / np.maximum(weight, 1))[weight > 0]
    else:
        easy = ~table.hard[benign]
        scale = np.ones(len(benign)) if head_length is None else np.exp(-table.length[benign] / head_length)
        rows, key = benign[easy], (noise / np.maximum(scale, 1e-300))[easy]
    return np.asarray(rows[np.argsort(key, kind="stable")][:n])


def _is_varied(pool: Pool, row: int, words: random.Random, probes: int) -> bool:
    """Whether nearly all of so many draws differ: 24 tell some hundred lines from few, 400 ten thousands."""
    return len({pool.draw(row, words).command_line for _ in range(probes)}) >= probes - 1


def _top_positions(pool: Pool, rows: np.ndarray, varied: np.ndarray, top: int, words: random.Random) -> np.ndarray:
    """Positions of the top templates: mostly such that never run out of new lines, the rest in order of frequency.

    What makes an estate's distinct lines is its busiest software's changing parameters.
    """
    wanted = round(top * _VARIED_SHARE_OF_TOP)
    rich: list[int] = []
    for position in np.flatnonzero(varied):
        if len(rich) == wanted:
            break
        if _is_varied(pool, int(rows[position]), words, _MANY_PROBES):
            rich.append(int(position))
    chosen = np.array(rich, np.int64)
    for more, limit in ((np.flatnonzero(varied), wanted), (np.arange(len(rows)), top)):
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
    rng: np.random.Generator,
    words: random.Random,
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
        drift: share of the templates that start or stop within the period.
        rng, words: numbers and texts.
    """
    rows = choose_head(pool, benign, n_templates, head_length, rng)
    n = len(rows)
    top = min(top, max(1, n // 3))
    varied = np.array([_is_varied(pool, int(row), words, _PROBES) for row in rows], bool)
    chosen = _top_positions(pool, rows, varied, top, words)
    order = np.concatenate([chosen, np.setdiff1d(np.arange(n), chosen)])
    rows, varied = rows[order], varied[order]

    shares = np.tile(np.arange(1, n + 1, dtype=np.float64) ** -zipf, (days, 1))
    if days >= 3:
        for rank in np.flatnonzero(rng.random(n) < drift):
            change = int(rng.integers(1, days))
            if rng.random() < 0.5:
                shares[:change, rank] = 0
            else:
                shares[change:, rank] = 0
    total = shares.sum(axis=1, keepdims=True)
    shares = np.divide(shares, total, out=np.full_like(shares, 1 / max(n, 1)), where=total > 0)

    expected = shares.sum(axis=0) * events_per_day
    rest = slice(top, None)
    distinct_rest = float(np.sum(1 - np.exp(-expected[rest]) + _REST_FRESH * expected[rest] * varied[rest]))
    wanted = share_top / max(1 - share_top, 1e-9) * (other_distinct + distinct_rest)
    changing = float(np.sum(expected[:top] * varied[:top]))
    fresh = np.where(varied, _REST_FRESH, 0.0)
    fresh[:top] *= np.clip((wanted - top) / max(changing, 1e-9), 0, 1) / _REST_FRESH
    return HeadPlan(rows, top, varied, fresh, shares, [[] for _ in range(n)])
