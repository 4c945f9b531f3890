"""The judge of studies on labelled pools: it knows the label and errs at a stated rate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import JudgeError
from cmdclf.labels.judge import Answer, JudgeRequest, Unanswered
from cmdclf.labels.tables import content_sha256, lookup, read_table, with_command_id
from cmdclf.labels.verdict import Label, Verdict

__all__ = ["TruthJudge"]

_NOTES = {"unknown": "the pool has no label for it", "conflict": "the pool labels it both ways"}
_OPPOSITE: dict[str, Label] = {"benign": "malicious", "malicious": "benign"}


class TruthJudge:
    """Verdicts from the labels of a pool, a stated share of them flipped.

    `unknown` labels, and lines that the pool labels both ways, get `unsure`; lines that the pool doesn't hold stay
    unanswered. Whether a line's verdict is flipped depends on its command_id and the seed alone: not on the order, not
    on what else is asked.

    Args:
        truth: a table or Parquet file with `command_line`, `platform`, `label` (benign, malicious, unknown).
        noise: share of benign and malicious verdicts that are flipped, 0..1.
        seed: another seed flips other lines.

    Raises:
        JudgeError: a column is missing, a label is none of the three, or the noise is no share.
    """

    def __init__(self, truth: pa.Table | str | Path, noise: float = 0.0, seed: int = 0) -> None:
        if not 0.0 <= noise <= 1.0:
            raise JudgeError(f"the noise of a truth judge must lie in 0..1, not {noise}")
        self.truth = truth
        self.noise = noise
        self.seed = seed
        table, file = read_table(truth)
        for column in ("command_line", "platform", "label"):
            if column not in table.column_names:
                raise JudgeError(
                    f"the column '{column}' is missing from the truth",
                    file=file,
                    remedy=f"It has: {', '.join(table.column_names)}",
                )
        strange = pc.unique(table["label"].filter(pc.invert(_known(table["label"])))).to_pylist()
        if strange:
            raise JudgeError(
                f"'{strange[0]}' is no label", file=file, remedy="Labels are benign, malicious and unknown"
            )
        ids = with_command_id(table, "command_line", file)["command_id"]
        by_id = (
            pa.table({"command_id": ids, "label": table["label"]})
            .group_by("command_id")
            .aggregate([("label", "min"), ("label", "max")])
        )
        same = pc.equal(by_id["label_min"], by_id["label_max"])
        self._labels = pc.if_else(same, by_id["label_min"], "conflict").combine_chunks()
        self._ids = by_id["command_id"].combine_chunks()
        # A pool whose labels were mended is another judge: what the ledger has of the old one doesn't count for it.
        self.prompt_sha256 = content_sha256(pa.table({"id": self._ids, "label": self._labels}))

    @property
    def name(self) -> str:
        """Says the noise: `truth(noise=0.01)`."""
        return f"truth(noise={self.noise:g})"

    @property
    def model(self) -> str:
        """Says the seed, since another seed is another judge."""
        return f"seed={self.seed}"

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[Answer]:
        """One answer per request, in order."""
        labels = lookup(self._ids, self._labels, [r.command_id for r in requests])
        for request, label in zip(requests, labels, strict=True):
            if label is None:
                yield Unanswered(request.command_id, "not in the truth")
                continue
            verdict: Label = "unsure"
            note = _NOTES.get(label, "")
            if label in ("benign", "malicious"):
                flipped = _uniform(request.command_id, self.seed) < self.noise
                verdict = _OPPOSITE[label] if flipped else _OPPOSITE[_OPPOSITE[label]]
                note = "flipped by the stated noise" if flipped else ""
            yield Verdict(
                request.command_id,
                verdict,
                0.5 if verdict == "unsure" else 1.0 - self.noise,
                self.name,
                reason="label of the pool",
                model=self.model,
                prompt_sha256=self.prompt_sha256,
                note=note,
            )


def _known(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.fill_null(pc.is_in(labels, pa.array(["benign", "malicious", "unknown"])), False)


def _uniform(command_id: str, seed: int) -> float:
    """A number in 0..1 that belongs to this line and this seed."""
    digest = hashlib.sha256(f"{seed}|{command_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64
