"""Near-duplicate groups, the ledger as a review queue, and a person's verdict."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import StoreError
from cmdclf.labels import Verdict, guard, standing_verdicts, verdicts_table
from cmdclf.labels.requests import requests_for
from cmdclf.labels.verdict import PERSON, Label, clean_reply
from cmdclf.store import Store
from cmdclf.study.views.anomalies import newest_anomalies
from cmdclf.study.views.folder import looked_up, newest_stages

__all__ = ["day_anomaly_lines", "group_members", "group_rows", "record_review", "review_queue", "vetoed_lines"]

_STATES = ("vetoed", "unsure", "pending", "malicious", "benign")


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


def review_queue(store: Store) -> pa.Table:
    """state, verdict, judge, confidence float64, reason, vetoed_by, platform, command_line, command_id.

    Every line that has a verdict or represents a near-duplicate group; `state` is vetoed, unsure, pending (no verdict),
    malicious or benign, and the table goes in that order: first what a person's look is worth most for.
    """
    verdicts = standing_verdicts(store)
    grouped = [r["settings"] for r in newest_stages(store) if r["stage"] == "groups"]
    heads = [store.groups(s)["representative_id"].combine_chunks() for s in sorted(set(grouped))]
    ids = pc.unique(pa.concat_arrays([verdicts["command_id"].combine_chunks(), *heads])).sort()
    lines = _known(store, ids)
    at = lines["command_id"]
    verdict, veto = (looked_up(at, verdicts, c).to_pylist() for c in ("verdict", "vetoed_by"))
    state = ["vetoed" if w else v or "pending" for v, w in zip(verdict, veto, strict=True)]
    table = pa.table(
        {
            "state": pa.array(state, pa.string()),
            **{c: looked_up(at, verdicts, c) for c in ("verdict", "judge", "confidence", "reason", "vetoed_by")},
            "platform": lines["platform"],
            "command_line": lines["command_line"],
            "command_id": at,
        }
    )
    return table.take(pa.array(sorted(range(len(state)), key=lambda i: (_STATES.index(state[i]), i)), pa.int64()))


def vetoed_lines(store: Store) -> pa.Table:
    """vetoed_by, judge, reason, platform, command_line, command_id of the lines whose latest verdict was vetoed."""
    queue = review_queue(store)
    columns = ["vetoed_by", "judge", "reason", "platform", "command_line", "command_id"]
    return queue.filter(pc.equal(queue["state"], "vetoed")).select(columns)


def record_review(folder: Path, command_id: str, verdict: Label, *, technique: str = "", reason: str = "") -> pa.Table:
    """VERDICTS: the line's whole history, after a person's verdict was appended to the ledger as judge `person`.

    A person's `benign` isn't vetoed: whoever reviews sees what the guard says. What it says is kept in `note`.

    Raises:
        StoreError: the line isn't in the store, or the store is open in another process.
    """
    with Store.open(folder / "study.duckdb") as store:
        lines = store.lines_by_id([command_id])
        warnings = guard(lines)["reasons"][0].as_py()
        row = Verdict(
            command_id,
            verdict,
            1.0,
            PERSON,
            reason=clean_reply(reason.strip(), 2000),
            technique=clean_reply(technique.strip(), 40),
            text_sha256=requests_for(lines)[0].text_sha256,
            note=f"despite {', '.join(warnings)}"[:500] if warnings and verdict == "benign" else "",
        )
        store.append_verdicts(verdicts_table([row]))
        return store.verdict_history(command_id)


def _known(store: Store, ids: pa.Array) -> pa.Table:
    """LINES of those ids that the store has: a ledger may hold verdicts on lines of other studies."""
    try:
        return store.lines_by_id(ids)
    except StoreError:
        kept = [b.column("command_id").filter(pc.is_in(b.column("command_id"), value_set=ids)) for b in store.lines()]
        return store.lines_by_id(pa.chunked_array(kept, pa.string()))
