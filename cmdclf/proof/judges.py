"""Judges of a proof: the pools' labels with errors, a judge that errs where it hurts most, recorded verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from cmdclf.proof.month import Month
from cmdclf.proof.verdicts import verdicts_on
from cmdclf.select import lot

__all__ = ["HostileJudge", "NoisyJudge", "ProofJudge", "RecordedVerdicts"]


class ProofJudge(Protocol):
    """Whatever answers for lines of a month, best first."""

    def judge(self, ids: Sequence[str]) -> list[str]:
        """(n,) benign, malicious, unsure or pending."""
        ...


class NoisyJudge:
    """The truth, a share of it flipped; which lines depends on them and the seed alone."""

    def __init__(self, month: Month, noise: float) -> None:
        self._malicious = month.malicious
        self._noise = noise
        self._seed = month.settings.seed

    def judge(self, ids: Sequence[str]) -> list[str]:
        """(n,) benign or malicious."""
        names = list(ids)
        flipped = lot(names, self._seed + 1_000_003) < self._noise
        return ["malicious" if self._malicious[i] != flip else "benign" for i, flip in zip(names, flipped, strict=True)]


class HostileJudge:
    """The truth, but malicious lines pass as benign: as many as the share of the lines asked, the first ones first.

    A selection that puts first what looks most malicious is hit where it hurts most.
    """

    def __init__(self, month: Month, share: float, budget: int) -> None:
        self._malicious = month.malicious
        self._allowed = round(share * budget)
        self._passed: set[str] = set()

    def judge(self, ids: Sequence[str]) -> list[str]:
        """(n,) benign or malicious; the allowance is for all calls together, a line's answer never changes."""
        answers = []
        for i in ids:
            if self._malicious[i] and i not in self._passed and len(self._passed) < self._allowed:
                self._passed.add(i)
            answers.append("malicious" if self._malicious[i] and i not in self._passed else "benign")
        return answers


class RecordedVerdicts:
    """Verdicts that were recorded on the pools' own lines; `pending` where there is none.

    Args:
        month: its truth joins a replayed line to the pool's own.
        truth: lines that have a verdict are answered by the truth instead: what is left between both is what the
            verdicts' errors cost.
    """

    def __init__(self, month: Month, *, truth: bool = False) -> None:
        columns = (month.truth[c].combine_chunks() for c in ("platform", "original_command_line"))
        said = verdicts_on(month.settings.verdicts, *columns)
        self._said = {i: v for i, v in zip(month.truth["command_id"].to_pylist(), said, strict=True) if v is not None}
        self._malicious = month.malicious if truth else None

    def judge(self, ids: Sequence[str]) -> list[str]:
        """(n,) benign, malicious, unsure or pending."""
        if self._malicious is None:
            return [self._said.get(i, "pending") for i in ids]
        return [("malicious" if self._malicious[i] else "benign") if i in self._said else "pending" for i in ids]
