"""Near-duplicate groups, and the verdicts that a veto changed."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.labels import standing_verdicts
from cmdclf.store import Store
from cmdclf.study.views.anomalies import newest_anomalies
from cmdclf.study.views.folder import looked_up

__all__ = ["day_anomaly_lines", "group_members", "group_rows", "vetoed_lines"]


def day_anomaly_lines(store: Store, day: date) -> pa.Table:
    """LINES of a day's distinct anomalies of all scales and detectors, ordered by command_id."""
    found = newest_anomalies(store)
    return store.lines_by_id(pc.unique(found.filter(pc.equal(found["day"], day))["command_id"]).sort())


def group_rows(lines: pa.Table, groups: pa.Table) -> pa.Table:
    """members int64, masked, cosine int64 (how many of them joined at that level), platform, command_line,
    representative_id: one row per near-duplicate group, the largest first.

    Args:
        lines: LINES, every line of the groups.
        groups: what `dedup.near_duplicates` gave for them.
    """
    sizes: Counter[str] = Counter(groups["representative_id"].to_pylist())
    levels: Counter[tuple[str, str]] = Counter()
    for command_id, head, level in zip(
        *(groups[c].to_pylist() for c in ("command_id", "representative_id", "level")), strict=True
    ):
        levels[head, level] += command_id != head
    heads = sorted(sizes, key=lambda i: (-sizes[i], i))
    ids = pa.chunked_array([pa.array(heads, pa.string())])
    return pa.table(
        {
            "members": pa.array([sizes[i] for i in heads], pa.int64()),
            "masked": pa.array([levels[i, "masked"] for i in heads], pa.int64()),
            "cosine": pa.array([levels[i, "cosine"] for i in heads], pa.int64()),
            "platform": looked_up(ids, lines, "platform"),
            "command_line": looked_up(ids, lines, "command_line"),
            "representative_id": ids,
        }
    )


def group_members(lines: pa.Table, groups: pa.Table, representative_id: str) -> pa.Table:
    """level, cosine, command_line, command_id of one group's members, the representative first, then the nearest.

    `level` says how a member joined: exact, masked or cosine; of the representative it is `representative`.
    """
    mine = groups.filter(pc.equal(groups["representative_id"], representative_id))
    ids = mine["command_id"]
    table = pa.table(
        {
            "level": pc.if_else(pc.equal(ids, representative_id), "representative", mine["level"]),
            "cosine": mine["cosine"],
            "command_line": looked_up(ids, lines, "command_line"),
            "command_id": ids,
            "other": pc.not_equal(ids, representative_id).cast(pa.int8()),
        }
    )
    order = [("other", "ascending"), ("cosine", "descending"), ("command_id", "ascending")]
    return table.sort_by(order).drop_columns(["other"])


def vetoed_lines(store: Store) -> pa.Table:
    """vetoed_by, judge, reason, platform, command_line, command_id of the lines whose standing verdict was vetoed."""
    verdicts = standing_verdicts(store)
    verdicts = verdicts.filter(pc.is_valid(verdicts["vetoed_by"]))
    lines = store.known_lines(verdicts["command_id"])
    at = lines["command_id"]
    return pa.table(
        {
            **{c: looked_up(at, verdicts, c) for c in ("vetoed_by", "judge", "reason")},
            **{c: lines[c] for c in ("platform", "command_line", "command_id")},
        }
    )
