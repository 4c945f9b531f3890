"""Verdicts on command lines: judges, the guard before and after them, and the ledger's work."""

from __future__ import annotations

from cmdclf.labels.guard import guard, injection_kinds
from cmdclf.labels.judge import Answer, Judge, JudgeRequest, Unanswered
from cmdclf.labels.labeller import LabelReport, label_lines, standing_verdicts
from cmdclf.labels.openai_judge import OpenAIJudge
from cmdclf.labels.recorded import RecordedJudge
from cmdclf.labels.second_judge import TwoJudges
from cmdclf.labels.truth import TruthJudge
from cmdclf.labels.verdict import VERDICT, Verdict, verdicts_table

__all__ = [
    "VERDICT",
    "Answer",
    "Judge",
    "JudgeRequest",
    "LabelReport",
    "OpenAIJudge",
    "RecordedJudge",
    "TruthJudge",
    "TwoJudges",
    "Unanswered",
    "Verdict",
    "guard",
    "injection_kinds",
    "label_lines",
    "standing_verdicts",
    "verdicts_table",
]
