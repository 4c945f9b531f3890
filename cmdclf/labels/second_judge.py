"""Two judges, with another model or another prompt: only what both call benign is benign."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cmdclf.errors import JudgeError
from cmdclf.labels.judge import Answer, Judge, JudgeRequest, Unanswered
from cmdclf.labels.verdict import Verdict

__all__ = ["TwoJudges", "agreed"]


class TwoJudges:
    """A judge made of two: the second is asked about lines that the first calls benign; where they differ, unsure.

    `label_lines` keeps each judge's verdict under its own name and the common one under the pair's, so that the pair's
    lines are not asked again, those of either judge are not paid for twice, and agreement can be counted afterwards.

    Args:
        first: asked about every line.
        second: asked where the first says benign.
        always: ask the second about every line: any difference then gives unsure.

    Raises:
        JudgeError: both are the same judge with the same model and prompt: it would agree with itself.
    """

    def __init__(self, first: Judge, second: Judge, *, always: bool = False) -> None:
        if _identity(first) == _identity(second):
            raise JudgeError(
                "the second judge is the same as the first",
                remedy="Give it another model, another prompt, or another kind of judge",
            )
        self.first = first
        self.second = second
        self.always = always

    @property
    def judges(self) -> tuple[Judge, Judge]:
        """First and second."""
        return self.first, self.second

    @property
    def name(self) -> str:
        """Both names, with `+` where benign needs both and `&` where everything does."""
        return f"{self.first.name}{'&' if self.always else '+'}{self.second.name}"

    @property
    def model(self) -> str:
        """Both models."""
        return f"{self.first.model or ''}+{self.second.model or ''}"

    @property
    def prompt_sha256(self) -> str:
        """Of both identities together."""
        both = f"{_identity(self.first)}\0{_identity(self.second)}"
        return hashlib.sha256(both.encode("utf-8", "replace")).hexdigest()

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[Answer]:
        """The common verdicts. `label_lines` does not come here: it asks the judges itself, to keep what each said."""
        said: dict[str, Verdict] = {}
        for answer in self.first.judge(requests):
            if isinstance(answer, Unanswered):
                yield answer
            elif self.always or answer.verdict == "benign":
                said[answer.command_id] = answer
            else:
                yield self.common(answer, None)
        rest = [request for request in requests if request.command_id in said]
        for answer in self.second.judge(rest) if rest else ():
            if isinstance(answer, Unanswered):
                yield answer
            else:
                yield self.common(said[answer.command_id], answer)

    def common(self, first: Verdict, second: Verdict | None) -> Verdict:
        """The pair's verdict: the first's where the second agrees or was not asked, else unsure with who said what."""
        suspected = first.injection_suspected or (second is not None and second.injection_suspected)
        common = Verdict(
            first.command_id,
            first.verdict,
            first.confidence if second is None else min(first.confidence, second.confidence),
            self.name,
            reason=first.reason,
            technique=first.technique,
            model=self.model,
            prompt_sha256=self.prompt_sha256,
            text_sha256=first.text_sha256,
            vetoed_by=first.vetoed_by,
            injection_suspected=suspected,
        )
        if second is None or second.verdict == first.verdict:
            return common
        said = f"{self.second.name} says {second.verdict}"
        why = f"{said}: {second.vetoed_by}" if second.vetoed_by else said
        return _unsure(
            common, f"second judge:{why}"[:500] if first.verdict == "benign" else None, f"{why} {second.reason}"
        )


def _unsure(verdict: Verdict, vetoed_by: str | None, note: str) -> Verdict:
    return replace(verdict, verdict="unsure", vetoed_by=vetoed_by or verdict.vetoed_by, note=note[:500])


def _identity(judge: Judge) -> tuple[str, str | None, str | None]:
    return judge.name, judge.model, judge.prompt_sha256


def agreed(
    judges: TwoJudges, ids: Iterable[str], first: Iterable[Mapping[str, Any]], second: Iterable[Mapping[str, Any]]
) -> list[Verdict]:
    """The pair's verdicts on the lines on which all that is needed has been said.

    Args:
        judges: the pair.
        ids: command ids of the lines that still want the pair's verdict.
        first, second: rows of the ledger by either judge.
    """
    said = [{row["command_id"]: _verdict(row) for row in rows} for rows in (first, second)]
    common = []
    for ident in ids:
        one, other = said[0].get(ident), said[1].get(ident)
        if one is None or (other is None and (judges.always or one.verdict == "benign")):
            continue
        if not judges.always and one.verdict != "benign":
            other = None
        common.append(judges.common(one, other))
    return common


def _verdict(row: Mapping[str, Any]) -> Verdict:
    return Verdict(
        row["command_id"],
        row["verdict"],
        row["confidence"],
        row["judge"],
        reason=row["reason"] or "",
        technique=row["technique"] or "",
        text_sha256=row["text_sha256"] or "",
        vetoed_by=row["vetoed_by"],
    )
