"""The review queue: which lines a person should look at, the most valuable look first."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.labels.kappa import own_words
from cmdclf.labels.labeller import standing_verdicts
from cmdclf.labels.person import WITHDRAWN
from cmdclf.labels.verdict import PERSON
from cmdclf.store import LINES, Store

__all__ = [
    "AUDIT",
    "QUEUE",
    "REASONS",
    "SUSPECT",
    "answer_sheet",
    "dependents",
    "known_texts",
    "representatives",
    "review_queue",
]

#: Kinds of marks in the store: lines drawn for an audit, lines that confident learning suspects.
AUDIT, SUSPECT = "audit", "suspect"

#: Why a line is in the queue, and how doubtful its verdict is for that alone, 0..1. The doubts are no measurement:
#: they order reasons. Half of its margin is added to a suspect's, a low confidence counts as what it lacks to 1.
REASONS = {
    AUDIT: 0.0,
    "withdrawn": 0.9,
    "judges disagree": 0.8,
    SUSPECT: 0.4,
    "vetoed": 0.5,
    "unsure": 0.4,
    "low confidence": 0.3,
    "pending": 0.2,
    "big group": 0.05,
}

_CONFIDENT = 0.8
_BIG_GROUP = 20

#: `depends`: distinct lines of the store that share the verdict, the line itself among them. `value` orders the queue.
QUEUE = pa.schema(
    [
        pa.field("value", pa.float64(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("depends", pa.int64(), nullable=False),
        pa.field("verdict", pa.string()),
        pa.field("judge", pa.string()),
        pa.field("model", pa.string()),
        pa.field("confidence", pa.float64()),
        pa.field("reason", pa.string()),
        pa.field("technique", pa.string()),
        pa.field("vetoed_by", pa.string()),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("command_line", pa.string(), nullable=False),
        pa.field("parent_command_line", pa.string()),
        pa.field("command_id", pa.string(), nullable=False),
    ]
)


@dataclass(slots=True)
class _Found:
    """What speaks for a look at one line."""

    reasons: dict[str, float] = field(default_factory=dict)
    place: tuple[str, int] | None = None  # in its audit

    def value(self, depends: int) -> float:
        """The doubt of all reasons together, as if independent, times the bits of how many lines depend on it."""
        certain = math.prod(1.0 - doubt for doubt in self.reasons.values())
        return (1.0 - certain) * math.log2(1 + depends)


def review_queue(store: Store, *, lines: pa.Table | None = None, only: Iterable[str] | None = None) -> pa.Table:
    """QUEUE: the lines that wait for a person; lines on which a person's verdict stands are not among them.

    Lines drawn for an audit come first, in the order of the draw, which is random: what is audited of a sample is a
    sample itself. The others go by value: how doubtful the verdict is (see REASONS), times log2(1 + lines that depend
    on it). The queue is computed from ledger, groups and marks alone, so that it is the same wherever it is asked for,
    and goes on after a break where it stood.

    Args:
        store: ledger, groups and marks.
        lines: LINES, texts of lines that the store may not hold. Lines whose text nobody knows are left out.
        only: only lines with one of these reasons.
    """
    standing = standing_verdicts(store)
    sizes = dependents(store)
    found = _reasons(store, standing, sizes)
    if only is not None:
        wanted = set(only)
        found = {i: f for i, f in found.items() if wanted & f.reasons.keys()}
    texts = known_texts(store, lines, pa.array(sorted(found), pa.string()))
    rows = []
    said = standing.select([name for name in QUEUE.names if name in standing.column_names])  # no raw replies in memory
    known = {row["command_id"]: row for row in said.to_pylist()}
    for text in texts.to_pylist():
        command_id = text["command_id"]
        one, depends = found[command_id], sizes.get(command_id, 1)
        order = sorted(one.reasons, key=lambda r: (r != AUDIT, -one.reasons[r], r))
        value = {"value": one.value(depends), "reasons": order, "depends": depends}
        verdict = known.get(command_id, {})
        rows.append({name: verdict.get(name) for name in QUEUE.names} | text | value)
    rows.sort(key=lambda r: _order(found[r["command_id"]], r["value"], r["command_id"]))
    return pa.Table.from_pylist(rows, schema=QUEUE)


def answer_sheet(queue: pa.Table) -> pa.Table:
    """The queue with an empty `verdict`, `reason` and `technique` for a person to fill in.

    What was said before stands under `said_...`, so that it can't be taken for the person's; of lines to audit it is
    left out, since a reviewer who sees the judge's verdict tends to repeat it.
    """
    blind = pa.array([AUDIT in reasons for reasons in queue["reasons"].to_pylist()], pa.bool_())
    names = ("verdict", "judge", "model", "confidence", "reason", "technique", "vetoed_by")
    for name in names:
        place = queue.schema.get_field_index(name)
        empty = pa.scalar(None, queue.schema.field(name).type)
        queue = queue.set_column(place, f"said_{name}", pc.if_else(blind, empty, queue[name]))
    for place, name in enumerate(("command_id", "verdict", "reason", "technique")):
        column = queue[name] if name == "command_id" else pa.nulls(queue.num_rows, pa.string())
        queue = queue.drop_columns([name] if name == "command_id" else []).add_column(place, name, column)
    return queue


def _order(found: _Found, value: float, command_id: str) -> tuple[bool, tuple[str, int], float, str]:
    return found.place is None, found.place or ("", 0), -value, command_id


def _reasons(store: Store, standing: pa.Table, sizes: dict[str, int]) -> dict[str, _Found]:
    """command_id -> what speaks for a look at it."""
    found: defaultdict[str, _Found] = defaultdict(_Found)
    settled: set[str] = set()
    seqs: dict[str, int] = {}
    columns = ["command_id", "seq", "judge", "verdict", "confidence", "vetoed_by", "note"]
    for row in standing.select(columns).to_pylist():
        command_id = row["command_id"]
        seqs[command_id] = row["seq"]
        reason, doubt = _of_verdict(row)
        if reason:
            found[command_id].reasons[reason] = doubt
        elif row["judge"] == PERSON:
            settled.add(command_id)
        if sizes.get(command_id, 1) >= _BIG_GROUP:
            found[command_id].reasons["big group"] = REASONS["big group"]
    for command_id in _disagreements(store):
        found[command_id].reasons["judges disagree"] = REASONS["judges disagree"]
    for command_id in representatives(store).to_pylist():
        if command_id not in seqs:
            found[command_id].reasons["pending"] = REASONS["pending"]
    for mark in store.marks(AUDIT).to_pylist():
        one, place = found[mark["command_id"]], (mark["batch"], mark["place"])
        one.reasons[AUDIT] = REASONS[AUDIT]
        one.place = min(one.place or place, place)
    for mark in store.marks(SUSPECT).to_pylist():
        if mark["seq"] in (None, seqs.get(mark["command_id"])):  # another verdict stands now: nobody suspects that one
            doubt = REASONS[SUSPECT] + 0.5 * (mark["value"] or 0.0)
            found[mark["command_id"]].reasons[SUSPECT] = min(max(doubt, 0.05), 0.95)
    return {command_id: one for command_id, one in found.items() if command_id not in settled}


def _of_verdict(row: dict[str, Any]) -> tuple[str, float]:
    """The reason that a standing verdict itself gives, and its doubt; an empty one where it gives none."""
    sure = row["confidence"]
    if row["judge"] == PERSON:
        reason = "withdrawn" if (row["note"] or "").startswith(WITHDRAWN) else ""
    elif row["vetoed_by"]:
        reason = "vetoed"
    elif row["verdict"] == "unsure":
        reason = "unsure"
    elif sure is not None and sure < _CONFIDENT:
        return "low confidence", max(1.0 - sure, 0.0)
    else:
        reason = ""
    return reason, REASONS.get(reason, 0.0)


def _disagreements(store: Store) -> list[str]:
    """Lines that one judge called benign and another malicious, by their own words; people are no part of it."""
    rows = store.verdicts_by_judge()
    rows = rows.filter(pc.not_equal(rows["judge"], PERSON))
    words: defaultdict[str, set[str]] = defaultdict(set)
    for command_id, word in zip(rows["command_id"].to_pylist(), own_words(rows).to_pylist(), strict=True):
        words[command_id].add(word)
    return [command_id for command_id, said in words.items() if {"benign", "malicious"} <= said]


def dependents(store: Store) -> dict[str, int]:
    """representative -> how many distinct lines share its verdict, itself among them.

    Groups hold only lines that were checked to do the same, see `cmdclf.dedup`.
    """
    pairs = {
        pair
        for groups in _all_groups(store)
        for pair in zip(groups["representative_id"].to_pylist(), groups["command_id"].to_pylist(), strict=True)
    }
    sizes = Counter(head for head, member in pairs if head != member)
    return {head: 1 + n for head, n in sizes.items()}


def representatives(store: Store) -> pa.StringArray:
    """command_ids, ordered, that stand for all anomalies of the store; one that no grouping knows stands for itself."""
    ids = pc.unique(store.anomalies()["command_id"])
    for groups in _all_groups(store):
        where = pc.index_in(ids, value_set=groups["command_id"].combine_chunks())
        ids = pc.unique(pc.coalesce(groups["representative_id"].combine_chunks().take(where), ids))
    return ids.take(pc.sort_indices(ids))


def _all_groups(store: Store) -> list[pa.Table]:
    return [store.groups(settings) for settings in pc.unique(store.stages()["settings"]).to_pylist()]


def known_texts(store: Store, lines: pa.Table | None, ids: pa.Array) -> pa.Table:
    """LINES of those ids whose text somebody knows, each once."""
    known = store.known_lines(ids)
    if lines is None:
        return known
    more = lines.filter(
        pc.and_(
            pc.is_in(lines["command_id"], value_set=ids),
            pc.invert(pc.is_in(lines["command_id"], value_set=known["command_id"].combine_chunks())),
        )
    )
    seen: dict[str, dict[str, str | None]] = {}
    for row in more.to_pylist():
        seen.setdefault(row["command_id"], {name: row.get(name) for name in LINES.names})
    return pa.concat_tables([known, pa.Table.from_pylist(list(seen.values()), schema=LINES)])
