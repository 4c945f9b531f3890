"""The judge that a study names."""

from __future__ import annotations

from typing import Literal, cast

import pyarrow as pa

from cmdclf.errors import JudgeError
from cmdclf.labels import (
    Judge,
    LabelReport,
    OpenAIJudge,
    RecordedJudge,
    TruthJudge,
    TwoJudges,
    label_lines,
    standing_verdicts,
)
from cmdclf.store import Store
from cmdclf.study.config import Labels

__all__ = ["ask", "make_judge", "verdicts_on"]


def make_judge(labels: Labels) -> Judge:
    """The judge of these settings.

    Raises:
        JudgeError: its file or its settings are faulty.
    """
    if labels.judge == "truth":
        return TruthJudge(str(labels.truth), noise=labels.noise)
    if labels.judge == "openai":
        first = _model(labels, labels.model)
        return TwoJudges(first, _model(labels, labels.second_model)) if labels.second_model else first
    match = cast(Literal["exact", "masked"], labels.match)
    return RecordedJudge(str(labels.recorded), column=labels.text, match=match)


def _model(labels: Labels, model: str) -> OpenAIJudge:
    return OpenAIJudge(
        model,
        base_url=labels.base_url or None,
        api="responses" if labels.api == "responses" else "chat",
        effort=labels.effort or None,
        budget_usd=labels.budget_usd or None,
        usd_per_million_in=labels.usd_per_million_in,
        usd_per_million_out=labels.usd_per_million_out,
        usd_per_million_cached=None if labels.usd_per_million_cached < 0 else labels.usd_per_million_cached,
        concurrency=labels.concurrency,
    )


def ask(store: Store, judge: Judge, lines: pa.Table, *, progress: bool) -> LabelReport:
    """Label these LINES; verdicts that the ledger has are not asked for again.

    Raises:
        JudgeError: the judge gave up before the end (out of budget or quota); what it answered is in the ledger.
    """
    report = label_lines(store, judge, lines, progress=progress)
    if report.stopped:
        raise JudgeError(
            f"the judge stopped with {report.pending:,} of {report.asked:,} lines unanswered: {report.stopped}",
            remedy="The verdicts so far are kept; run the study again to go on from there",
        )
    return report


def verdicts_on(store: Store, judge: Judge, ids: pa.StringArray) -> list[str]:
    """The verdict on each id that counts for this judge's study, `pending` where there is none."""
    found = standing_verdicts(store, ids, judge)
    known = dict(zip(found["command_id"].to_pylist(), found["verdict"].to_pylist(), strict=True))
    return [known.get(i, "pending") for i in ids.to_pylist()]
