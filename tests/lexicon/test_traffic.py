from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pyarrow as pa

from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lexicon.traffic import HeadPlan, Recent, plan_head


def planned(pool: LexiconPool, days: int = 4, **changes: float) -> HeadPlan:
    settings = {
        "days": days, "events_per_day": 2000, "other_distinct": 300, "n_templates": 40, "zipf": 1.1, "share_top": 0.45,
        "top": 10, "head_length": None, "drift": 0.0, **changes,
    }  # fmt: skip
    benign = np.flatnonzero(~pool.table.malicious)
    return plan_head(
        pool, benign, factors=lambda rows: np.ones((days, len(rows))), rng=np.random.default_rng(0), **settings
    )  # type: ignore[arg-type]


def test_a_days_events_are_those_of_the_counts(lexicon_pool: LexiconPool) -> None:
    plan = planned(lexicon_pool)
    rng, words = np.random.default_rng(1), random.Random(1)
    for _ in range(3):
        counts = rng.multinomial(2000, plan.shares[0])
        lines, parents, at, rank = plan.day_lines(lexicon_pool, counts, rng, words)
        assert np.bincount(rank, minlength=40).tolist() == counts.tolist()
        assert len(lines) == len(parents)
        for line, place in zip(lines.take(pa.array(at)).to_pylist(), rank, strict=True):
            wanted = lexicon_pool.table.group_id[plan.rows[place]].split("-")[1]
            assert line.split(" ")[0].lstrip("agentprob") == wanted


def test_most_repeated_events_are_of_the_usual_line_and_it_lasts(lexicon_pool: LexiconPool) -> None:
    plan = planned(lexicon_pool)
    rng, words = np.random.default_rng(1), random.Random(1)
    usual = []
    for _ in range(4):
        counts = rng.multinomial(4000, plan.shares[0])
        lines, _, at, rank = plan.day_lines(lexicon_pool, counts, rng, words)
        first = lines.take(pa.array(at[rank == 0])).to_pylist()
        usual.append(Counter(first).most_common(1)[0])
        assert usual[-1][1] > 0.25 * len(first)
    assert len({line for line, _ in usual}) == 1


def test_recent_lines_keep_the_first_four_and_the_latest() -> None:
    recent = Recent.none(2)
    texts = pa.array([str(i) for i in range(40)], pa.string())
    recent.add(np.array([30, 10]), 0)
    recent.keep(texts, texts)
    kept = [recent.lines.take(pa.array(recent.places[k, : recent.known[k]])).to_pylist() for k in (0, 1)]
    assert kept[0] == [*map(str, [0, 1, 2, 3]), *map(str, range(18, 30))]
    assert kept[1] == [str(i) for i in range(30, 40)]
    assert len(recent.lines) == 26
    recent.add(np.array([0, 8]), len(recent.lines))
    recent.keep(pa.concat_arrays([recent.lines, texts[:8]]), pa.concat_arrays([recent.parents, texts[:8]]))
    assert recent.lines.take(pa.array(recent.places[0])).to_pylist() == kept[0]
    second = recent.lines.take(pa.array(recent.places[1])).to_pylist()
    assert second == [str(i) for i in (30, 31, 32, 33, 36, 37, 38, 39, 0, 1, 2, 3, 4, 5, 6, 7)]


def test_a_factor_shifts_the_days_shares(lexicon_pool: LexiconPool) -> None:
    benign = np.flatnonzero(~lexicon_pool.table.malicious)

    def factors(rows: np.ndarray) -> np.ndarray:
        made = np.ones((2, len(rows)))
        made[1, ::2] = 0
        return made

    plan = plan_head(
        lexicon_pool, benign, days=2, events_per_day=100, other_distinct=10, n_templates=20, zipf=1.0, share_top=0.4,
        top=5, head_length=None, drift=0.0, factors=factors, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert np.allclose(plan.shares.sum(axis=1), 1)
    assert (plan.shares[1, ::2] == 0).all()
    assert (plan.shares[0] > 0).all()
