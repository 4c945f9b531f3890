"""Auditing a judge: a random sample of its benign verdicts, and what people found of it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import JudgeError
from cmdclf.labels.audit import exact_interval, lower_bound, sample_size
from cmdclf.labels.person import WITHDRAWN
from cmdclf.labels.review import AUDIT
from cmdclf.labels.verdict import PERSON
from cmdclf.store import Store

__all__ = ["AuditResult", "audit_results", "benign_verdicts", "draw_sample"]


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What people said of one sample of benign verdicts.

    Attributes:
        batch: which draw.
        drawn: lines in the sample.
        audited: of these, how many a person has judged.
        right: of these, how many the person calls benign too.
        malicious, unsure: what the person called the others; an unsure one doesn't count as right.
        interval: exact two-sided 95 % interval of the share that is right.
        low: with 95 % confidence at least this share is right (one-sided).
    """

    batch: str
    drawn: int
    audited: int
    right: int
    malicious: int
    unsure: int
    interval: tuple[float, float]
    low: float

    @property
    def precision(self) -> float:
        """The share that is right, NaN while nothing is audited."""
        return self.right / self.audited if self.audited else math.nan

    def missing(self, bound: float) -> int:
        """How many further verdicts, all of them right, it takes to show `bound` at 95 % confidence."""
        return max(sample_size(bound, errors=self.audited - self.right) - self.audited, 0)

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "batch": self.batch, "drawn": self.drawn, "audited": self.audited, "right": self.right,
            "malicious": self.malicious, "unsure": self.unsure, "interval": list(self.interval), "low": self.low,
        }  # fmt: skip


def benign_verdicts(store: Store, judge: str | None = None) -> pa.Table:
    """VERDICTS that are benign among each line's latest by a judge that is no person, ordered by command_id.

    What people said later is left aside: whether the judge was right is just what they tell.
    """
    rows = store.verdicts_by_judge()
    rows = rows.filter(pc.not_equal(rows["judge"], PERSON) if judge is None else pc.equal(rows["judge"], judge))
    latest = rows.group_by("command_id", use_threads=False).aggregate([("seq", "max")])["seq_max"]
    rows = rows.filter(pc.is_in(rows["seq"], value_set=latest.combine_chunks()))
    return rows.filter(pc.equal(rows["verdict"], "benign")).sort_by("command_id")


def draw_sample(store: Store, n: int, seed: int = 0, judge: str | None = None) -> pa.Table:
    """VERDICTS of n benign verdicts drawn at random without replacement; they are marked for review in this order.

    A line's place depends on its id and the seed alone (the smallest salted hashes are drawn, bottom-k sampling), so
    that the same call gives the same sample, and a larger one begins with the smaller.

    Args:
        store: open for writing.
        n: size of the sample; all verdicts where there are fewer.
        seed: another seed draws others.
        judge: only verdicts of the judge of this name.

    Raises:
        JudgeError: n is not positive, or there is no benign verdict to draw from.
    """
    if n < 1:
        raise JudgeError(f"a sample of {n} lines can't be drawn", remedy="Give a positive number")
    rows = benign_verdicts(store, judge)
    if not rows.num_rows:
        raise JudgeError("there is no benign verdict to audit", remedy="Have lines labelled first")
    keys = [hashlib.sha256(f"{seed}|{i}".encode()).digest() for i in rows["command_id"].to_pylist()]
    drawn = rows.take(pa.array(sorted(range(len(keys)), key=keys.__getitem__)[:n], pa.int64()))
    batch = f"seed={seed}" if judge is None else f"judge={judge} seed={seed}"
    store.put_marks(AUDIT, batch, drawn.select(["command_id", "seq"]))
    return drawn


def audit_results(store: Store) -> list[AuditResult]:
    """Every drawn sample against what people say of its lines now, by batch."""
    marks = store.marks(AUDIT)
    people = store.verdicts(marks["command_id"].combine_chunks(), judge=PERSON)
    said = {
        row["command_id"]: row["verdict"] for row in people.to_pylist() if not (row["note"] or "").startswith(WITHDRAWN)
    }
    results = []
    for batch in pc.unique(marks["batch"]).to_pylist():
        ids = marks.filter(pc.equal(marks["batch"], batch))["command_id"].to_pylist()
        words = [said[i] for i in ids if i in said]
        counts = {verdict: words.count(verdict) for verdict in ("benign", "malicious", "unsure")}
        right, n = counts["benign"], len(words)
        results.append(
            AuditResult(
                batch, len(ids), n, right, counts["malicious"], counts["unsure"],
                exact_interval(right, n), lower_bound(right, n),
            )
        )  # fmt: skip
    return results
