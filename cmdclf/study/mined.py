"""Our own arm: know the lexicon, audit the rules, then ask in rounds about what the classifier calls most malicious.

Why so: `docs/RESULTS.md`, where this arm stands beside the published ones and a dozen controls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.classify import add_benign, add_malicious, without_hits
from cmdclf.classify.grams import GRAMS_VERSION
from cmdclf.classify.training import RULE_HITS, with_known
from cmdclf.dedup import near_duplicates
from cmdclf.features import FEATURE_VERSION
from cmdclf.labels import Judge
from cmdclf.select import CANDIDATES, MinedSelector, RandomSelector
from cmdclf.study.candidates import random_candidates, with_scores
from cmdclf.study.fitted import LineReads, fit_ranker
from cmdclf.study.judges import ask, verdicts_on
from cmdclf.study.known import LEXICON, lexicon_rows
from cmdclf.study.workplace import Workplace, content_hash, kept, settings_hash

__all__ = ["mine"]

#: Of the highest scores so many times the round's lines are looked at for near-duplicates: more where too few are left.
_LOOKED_AT = (5, 20, 80)
SOURCE = "judged:mined"


def mine(
    w: Workplace, base: pa.Table, seed: int, anomalies: pa.Table, reads: LineReads, judge: Judge
) -> tuple[pa.Table, list[str], list[str]]:
    """(TRAINING rows, the command_ids asked about, their verdicts).

    The bundled lexicon's lines train it as well (`model.lexicon_lines` of each template). Of the budget a share
    (`labels.audit`) goes to random hits of the rules, one of each near-duplicate group. Where the judge calls most of
    them benign, and attacks are known without the rules, hits that nobody confirmed leave the training set. The rest
    asks, in rounds with retraining, about the highest scores among the anomalies and a draw of the distinct lines
    (`labels.mined_pool`), one of each group. What is malicious is added as well.

    Args:
        w: the study.
        base: TRAINING rows of the baseline.
        seed: of the draws.
        anomalies: CANDIDATES, the anomalies' representatives.
        reads: features and counts of lines.
        judge: who is asked.

    Raises:
        JudgeError: the judge can't go on; what it answered is kept.
    """
    labels = w.config.labels
    hits = base.filter(pc.equal(base["source"], RULE_HITS))
    chosen = _kept(w, "audit", [content_hash(base), labels.audit, labels.budget, seed],
                   lambda: _audit(w, hits, round(labels.budget * labels.audit), seed))  # fmt: skip
    verdicts = _asked(w, judge, chosen)
    answers = Counter(verdicts)
    base = with_known(base, lexicon_rows(w.out / "work", w.config.model.lexicon_lines))
    start = without_hits(base) if answers["benign"] > answers["malicious"] else base
    training = _with_verdicts(w, start, chosen, verdicts)
    # A line of the lexicon that occurs here may be asked about: the verdict counts more.
    settled = start.filter(pc.not_equal(start["source"], LEXICON))["command_id"].combine_chunks()
    pool = pa.concat_tables([_drawn(w, anomalies, seed), anomalies])
    pool = pool.filter(pc.invert(pc.is_in(pool["command_id"], value_set=settled))).sort_by("command_id")
    audited = len(chosen)
    for number in range(labels.rounds):
        size = audited + (labels.budget - audited) * (number + 1) // labels.rounds - len(chosen)
        if size < 1:
            continue
        key = [content_hash(training), content_hash(pool.select(["command_id"])), chosen, size, seed, w.config.model]
        chosen = chosen + _kept(w, "mined", key, _round(w, training, pool, chosen, size, seed, reads))
        verdicts = _asked(w, judge, chosen)
        training = _with_verdicts(w, start, chosen, verdicts)
    return training, chosen, verdicts


def _drawn(w: Workplace, anomalies: pa.Table, seed: int) -> pa.Table:
    """CANDIDATES: `labels.mined_pool` random distinct lines, those that are among the anomalies left out."""
    size = w.config.labels.mined_pool
    if not size:
        return CANDIDATES.empty_table()
    table = random_candidates(w, size, seed).cast(CANDIDATES)
    if table.num_rows > size:
        table = table.filter(pc.is_in(table["command_id"], value_set=RandomSelector().select(table, size, seed=seed)))
    known = anomalies["command_id"].combine_chunks()
    return table.filter(pc.invert(pc.is_in(table["command_id"], value_set=known)))


def _round(
    w: Workplace, training: pa.Table, pool: pa.Table, chosen: list[str], size: int, seed: int, reads: LineReads
) -> Callable[[], list[str]]:
    """What chooses the next lines: the best of each group that no line asked about belongs to."""

    def choose() -> list[str]:
        left = pool.filter(pc.invert(pc.is_in(pool["command_id"], value_set=pa.array(chosen, pa.string()))))
        scored = with_scores(left, fit_ranker(w, training, reads, seed)(left))
        order = [("classifier_score", "descending"), ("command_id", "ascending")]
        scored = scored.sort_by(order)
        keys = ["command_id", "platform", "command_line"]
        asked = w.store.lines_by_id(pa.array(chosen, pa.string())).select(keys)
        for times in _LOOKED_AT:
            best = scored.slice(0, times * size)
            heads = _heads(w, pa.concat_tables([best.select(keys), asked.cast(best.select(keys).schema)]))
            done = {heads[i] for i in chosen}
            first: dict[str, str] = {}
            for i in best["command_id"].to_pylist():
                first.setdefault(heads[i], i)
            keep = [first[heads[i]] == i and heads[i] not in done for i in best["command_id"].to_pylist()]
            if sum(keep) >= size or best.num_rows == scored.num_rows:
                break
        best = best.filter(pa.array(keep, pa.bool_()))
        found: list[str] = MinedSelector(1.0, among="all").select(best, size).to_pylist()
        return found

    return choose


def _audit(w: Workplace, hits: pa.Table, size: int, seed: int) -> list[str]:
    """Random hits, one of each group."""
    if not hits.num_rows or not size:
        return []
    heads = _heads(w, hits)
    one = hits.filter(pa.array([heads[i] == i for i in hits["command_id"].to_pylist()]))
    n = one.num_rows
    table = pa.table(
        {
            "command_id": one["command_id"], "platform": one["platform"], "command_line": one["command_line"],
            "detectors": pa.array([[]] * n, pa.list_(pa.string())), "scale": pa.nulls(n, pa.string()),
            "anomaly": pa.nulls(n, pa.float64()), "group": one["command_id"],
            "representative": pa.array([True] * n), "events": pa.array(np.ones(n, np.int64)),
            "length": pc.utf8_length(one["command_line"]).cast(pa.int32()),
            "classifier_score": pa.nulls(n, pa.float64()),
        },
        schema=CANDIDATES,
    )  # fmt: skip
    drawn: list[str] = RandomSelector().select(table, size, seed=seed).to_pylist()
    return drawn


def _heads(w: Workplace, lines: pa.Table) -> dict[str, str]:
    """command_id -> representative of its group among these lines."""
    groups = near_duplicates(lines, w.embed(lines), threshold=w.threshold_cosine)
    return dict(zip(groups["command_id"].to_pylist(), groups["representative_id"].to_pylist(), strict=True))


def _asked(w: Workplace, judge: Judge, chosen: list[str]) -> list[str]:
    ids = pa.array(chosen, pa.string())
    if chosen:
        ask(w.store, judge, w.store.lines_by_id(ids), progress=w.progress)
    return verdicts_on(w.store, judge, ids)


def _with_verdicts(w: Workplace, start: pa.Table, chosen: list[str], verdicts: list[str]) -> pa.Table:
    lines = w.store.lines_by_id(pa.array(chosen, pa.string()))
    weight = w.config.model.added_weight
    benign, malicious = (
        lines.filter(pa.array([v == label for v in verdicts], pa.bool_())) for label in ("benign", "malicious")
    )
    training, _ = add_benign(start, benign, source=SOURCE, weight=weight)
    return add_malicious(training, malicious, source=SOURCE, weight=weight)


def _kept(w: Workplace, name: str, key: list[object], make: Callable[[], list[str]]) -> list[str]:
    """The choice in a file, so that a run that goes on, or has nothing to do, need not fit a ranker again."""
    settings = settings_hash(
        key, w.data_hash(w.train_days), FEATURE_VERSION, GRAMS_VERSION, w.behaviours_version, w.embedder.name,
        w.threshold_cosine, w.config.labels.mined_pool,
    )  # fmt: skip
    file = w.out / "work" / f"{name}-{settings}.parquet"
    ids: list[str] = kept(file, lambda: pa.table({"command_id": pa.array(make(), pa.string())}))[
        "command_id"
    ].to_pylist()
    return ids
