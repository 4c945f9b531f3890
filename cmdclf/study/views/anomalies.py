"""A day's anomalies, and why a line is one of them."""

from __future__ import annotations

from datetime import date
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.features import FeatureMaker
from cmdclf.lines import decode_layers
from cmdclf.rules import RuleSet
from cmdclf.store import LINES_WITH_COUNTS, Store
from cmdclf.study.views.folder import looked_up, newest_stages

__all__ = ["fired_checks", "newest_anomalies", "top_anomalies", "unusual_features"]

#: MAD of a normal distribution times this is its standard deviation.
_MAD = 1.4826
#: Rows of a day against which a line's features are compared.
_COMPARED = 20_000


def newest_anomalies(store: Store) -> pa.Table:
    """ANOMALIES of the settings with which each day and scale was last worked on."""
    newest = {r["settings"] for r in newest_stages(store) if r["stage"].startswith("anomalies.")}
    found = store.anomalies()
    return found.filter(pc.is_in(found["settings"], value_set=pa.array(sorted(newest), pa.string())))


def top_anomalies(store: Store, day: date, scale: str, detector: str, k: int) -> pa.Table:
    """rank int32, score float64, platform, events int64, verdict, command_line, command_id: a detector's top k.

    `verdict` is the latest one in the ledger, null where there is none.
    """
    found = newest_anomalies(store)
    for column, value in (("day", day), ("scale", scale), ("detector", detector)):
        found = found.filter(pc.equal(found[column], value))
    found = found.sort_by("rank").slice(0, k)
    ids = found["command_id"]
    lines = store.lines_by_id(ids)
    wanted = pc.unique(ids)
    parts = [b.filter(pc.is_in(b.column("command_id"), value_set=wanted)) for b in store.lines([day])]
    counts = pa.Table.from_batches(parts, schema=LINES_WITH_COUNTS)
    verdicts = store.verdicts(wanted)
    return pa.table(
        {
            "rank": found["rank"],
            "score": found["score"],
            "platform": lines["platform"],
            "events": looked_up(ids, counts, "events"),
            "verdict": looked_up(ids, verdicts, "verdict"),
            "command_line": lines["command_line"],
            "command_id": ids,
        }
    )


def fired_checks(line: str, platform: str) -> pa.Table:
    """check, title, category, level, technique, seen_in: the behavioural checks that a line or its layers trip.

    `seen_in` is `line`, or the kind of the first decoded layer that shows it.
    """
    rules = _behaviours()
    layers = decode_layers(line, platform)
    texts = pa.array([line, *(layer.text for layer in layers)], pa.string())
    matched = rules.match(texts, pa.array([platform] * len(texts), pa.string()))
    places = ["line", *(layer.kind for layer in layers)]
    rows = [
        {
            "check": rule.id,
            "title": rule.title,
            "category": rule.category,
            "level": rule.level,
            "technique": ", ".join(rule.technique),
            "seen_in": places[int(np.flatnonzero(matched[:, column])[0])],
        }
        for column, rule in enumerate(rules.rules)
        if matched[:, column].any()
    ]
    names = ("check", "title", "category", "level", "technique", "seen_in")
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in names]))


def unusual_features(store: Store, day: date, command_id: str, n: int = 12) -> pa.Table:
    """feature, meaning, value, day_median, deviation: where a line lies farthest from the day's median, farthest first.

    `deviation` counts robust standard deviations: 1.4826 times the median absolute deviation of at most 20,000 lines of
    the day (the store's sample), or the ordinary standard deviation where more than half of the lines agree. Token
    rarity is against the day itself, as in the study. Features at the median are left out.
    """
    maker = FeatureMaker().fit(store.lines([day]))
    rows = maker.matrix(store.sample(day, _COMPARED)).astype(np.float64)
    value = maker.matrix(store.lines_by_id([command_id]))[0].astype(np.float64)
    median = np.median(rows, axis=0)
    spread = _MAD * np.median(np.abs(rows - median), axis=0)
    spread = np.where(spread > 0, spread, rows.std(axis=0))
    deviation = (value - median) / np.where(spread > 0, spread, 1.0)
    order = [i for i in np.argsort(-np.abs(deviation), kind="stable") if deviation[i] != 0][:n]
    features = maker.describe()
    return pa.table(
        {
            "feature": pa.array([features[i].name for i in order], pa.string()),
            "meaning": pa.array([features[i].meaning for i in order], pa.string()),
            "value": value[order],
            "day_median": median[order],
            "deviation": deviation[order],
        }
    )


@cache
def _behaviours() -> RuleSet:
    return RuleSet.bundled("behaviours")
