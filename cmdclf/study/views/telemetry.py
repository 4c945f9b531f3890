"""What the days hold: events, distinct lines, platforms, frequencies, lengths."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.store import LINES_WITH_COUNTS, Store
from cmdclf.study.views.folder import newest_stages

__all__ = ["day_counts", "frequencies", "length_histogram", "platform_counts", "platform_shares", "top_lines"]


def day_counts(store: Store, results: Mapping[str, Any]) -> pa.Table:
    """day date32, role (training or test), events, distinct, new int64: one row per day of the study.

    `new` are the lines that no earlier day of the store has.
    """
    rows = {r["day"]: json.loads(r["detail"]) for r in newest_stages(store) if r["stage"] == "lines"}
    first_test = date.fromisoformat(results["data"]["test_days"][0])
    days = sorted(rows)
    return pa.table(
        {
            "day": pa.array(days, pa.date32()),
            "role": pa.array(["test" if d >= first_test else "training" for d in days], pa.string()),
            **{name: pa.array([rows[d][name] for d in days], pa.int64()) for name in ("events", "distinct", "new")},
        }
    )


def platform_counts(store: Store) -> pa.Table:
    """day date32, platform, events, lines int64: what each day saw of each platform."""
    rows = []
    for day in store.days():
        events: Counter[str] = Counter()
        lines: Counter[str] = Counter()
        for batch in store.lines([day]):
            counted = pa.table(
                {"platform": batch.column("platform"), "events": batch.column("events")}
            ).group_by("platform")  # fmt: skip
            for row in counted.aggregate([("events", "sum"), ("events", "count")]).to_pylist():
                events[row["platform"]] += row["events_sum"]
                lines[row["platform"]] += row["events_count"]
        rows += [{"day": day, "platform": p, "events": events[p], "lines": lines[p]} for p in sorted(events)]
    kinds = [("day", pa.date32()), ("platform", pa.string()), ("events", pa.int64()), ("lines", pa.int64())]
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds))


def top_lines(store: Store, days: Sequence[date] | None, k: int) -> pa.Table:
    """LINES_WITH_COUNTS: the k lines with most events on these days (None: all), ties by command_id."""
    order = [("events", "descending"), ("command_id", "ascending")]
    held: pa.Table = LINES_WITH_COUNTS.empty_table()
    for batch in store.lines(days):
        held = pa.concat_tables([held, pa.Table.from_batches([batch])]).sort_by(order).slice(0, k)
    return held


def frequencies(store: Store, days: Sequence[date] | None = None) -> pa.Table:
    """events, lines int64: how many distinct lines were seen exactly so many times, rarest first."""
    counted: Counter[int] = Counter()
    for batch in store.lines(days):
        for pair in pc.value_counts(batch.column("events")).to_pylist():
            counted[pair["values"]] += pair["counts"]
    seen = sorted(counted)
    return pa.table({"events": pa.array(seen, pa.int64()), "lines": pa.array([counted[s] for s in seen], pa.int64())})


def length_histogram(lines: pa.Table, *, per_octave: int = 2) -> pa.Table:
    """from, to float64 (characters), lines int64, share float64: lengths, in bins of equal width on a log axis."""
    lengths = pc.utf8_length(lines["command_line"]).to_numpy().astype(np.float64)
    top = int(np.ceil(np.log2(max(lengths.max(initial=1), 2)) * per_octave)) + 1
    edges = 2.0 ** (np.arange(top + 1) / per_octave)
    counts, _ = np.histogram(np.maximum(lengths, 1), edges)
    return pa.table(
        {"from": edges[:-1], "to": edges[1:], "lines": pa.array(counts, pa.int64()), "share": _shares(counts)}
    )


def platform_shares(lines: pa.Table) -> pa.Table:
    """platform, lines int64, share float64: which platforms these lines are from, by name."""
    counted: Counter[str] = Counter(lines["platform"].to_pylist())
    names = sorted(counted)
    counts = np.array([counted[name] for name in names], np.int64)
    return pa.table({"platform": pa.array(names, pa.string()), "lines": pa.array(counts), "share": _shares(counts)})


def _shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.asarray(counts / max(counts.sum(), 1), np.float64)
