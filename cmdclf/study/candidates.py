"""The table that the selectors choose from, made of the stored anomalies and groups; and the random control's pool."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.detect import SCALES
from cmdclf.select import CANDIDATES
from cmdclf.study.sieve import anomaly_settings, stored_groups
from cmdclf.study.workplace import Workplace

__all__ = ["anomalous_candidates", "random_candidates", "with_scores"]


def stored_anomalies(w: Workplace) -> pa.Table:
    """All anomalies of the training days at both scales, with these settings."""
    tables = [
        w.store.anomalies([day], scale, anomaly_settings(w, scale, day)) for day in w.train_days for scale in SCALES
    ]
    return pa.concat_tables(tables)


def anomalous_candidates(w: Workplace) -> pa.Table:
    """CANDIDATES: the representatives of the training days' anomalies, ordered by command_id.

    A representative speaks for its group: it carries the detectors and the best anomaly score of all its members, so
    that a line found at one scale is not lost because an earlier day's twin was found at the other.
    """
    found = stored_anomalies(w)
    groups = stored_groups(w)
    head = dict(zip(groups["command_id"].to_pylist(), groups["representative_id"].to_pylist(), strict=True))
    best: dict[str, float] = defaultdict(float)
    owners: dict[str, set[str]] = defaultdict(set)
    scales: dict[str, set[str]] = defaultdict(set)
    top = {"full": w.config.full.top_k, "reduced": w.config.reduced.top_k}
    for command_id, scale, detector, rank in zip(
        *(found[c].to_pylist() for c in ("command_id", "scale", "detector", "rank")), strict=True
    ):
        group = head[command_id]
        best[group] = max(best[group], 1 - (rank - 1) / top[scale])
        owners[group].add(detector)
        scales[group].add(scale)
    ids = sorted(best)
    lines = w.store.lines_by_id(pa.array(ids, pa.string()))
    events = _events(w, ids)
    return pa.table(
        {
            "command_id": lines["command_id"],
            "platform": lines["platform"],
            "command_line": lines["command_line"],
            "detectors": pa.array([sorted(owners[i]) for i in ids], pa.list_(pa.string())),
            "scale": pa.array(["both" if len(scales[i]) > 1 else next(iter(scales[i])) for i in ids], pa.string()),
            "anomaly": pa.array([best[i] for i in ids], pa.float64()),
            "group": pa.array(ids, pa.string()),
            "representative": pa.array([True] * len(ids)),
            "events": pa.array(events, pa.int64()),
            "length": pc.utf8_length(lines["command_line"]).cast(pa.int32()),
            "classifier_score": pa.nulls(len(ids), pa.float64()),
        },
        schema=CANDIDATES,
    )


def _events(w: Workplace, ids: list[str]) -> list[int]:
    """Events of these lines on the training days."""
    counts = dict.fromkeys(ids, 0)
    wanted = pa.array(ids, pa.string())
    for batch in w.store.lines(w.train_days):
        rows = batch.filter(pc.is_in(batch.column("command_id"), value_set=wanted))
        counts.update(zip(rows.column("command_id").to_pylist(), rows.column("events").to_pylist(), strict=True))
    return [counts[i] for i in ids]


def random_candidates(w: Workplace, size: int, seed: int) -> pa.Table:
    """CANDIDATES: a uniform draw of at least `size` (or all) distinct lines of the training days, for the control.

    Only a share of the store's lines is read into memory: those whose salted hash is below a bound that lets through
    four times `size` on average.
    """
    total = sum(batch.num_rows for batch in w.store.lines(w.train_days))
    share = min(1.0, 4 * (size + 50) / max(total, 1))
    parts = [
        batch.filter(pa.array(_below(batch.column("command_id"), share, seed))) for batch in w.store.lines(w.train_days)
    ]
    table = pa.Table.from_batches(parts, schema=parts[0].schema) if parts else None
    if table is None:
        return CANDIDATES.empty_table()
    n = table.num_rows
    return pa.table(
        {
            "command_id": table["command_id"],
            "platform": table["platform"],
            "command_line": table["command_line"],
            "detectors": pa.array([[]] * n, pa.list_(pa.string())),
            "scale": pa.nulls(n, pa.string()),
            "anomaly": pa.nulls(n, pa.float64()),
            "group": pa.nulls(n, pa.string()),
            "representative": pa.array([True] * n),
            "events": table["events"],
            "length": pc.utf8_length(table["command_line"]).cast(pa.int32()),
            "classifier_score": pa.nulls(n, pa.float64()),
        },
        schema=CANDIDATES,
    )


def _below(ids: pa.Array, share: float, seed: int) -> npt.NDArray[np.bool_]:
    if share >= 1:
        return np.ones(len(ids), bool)
    bound = int(share * 2**64)
    salt = hashlib.sha256(f"random|{seed}".encode()).digest()[:8]
    key = int.from_bytes(salt, "big")
    # A command_id is a hash already: its first 64 bits, turned by the seed, are uniform.
    return np.array([(int(i[:16], 16) ^ key) < bound for i in ids.to_pylist()], bool)


def with_scores(candidates: pa.Table, scores: npt.NDArray[np.floating]) -> pa.Table:
    """The candidates with the current classifier's probability of malicious, (n,), in their order."""
    at = candidates.column_names.index("classifier_score")
    return candidates.set_column(at, CANDIDATES.field(at), pa.array(scores, pa.float64()))
