"""One verdict on one command line, with the provenance that the ledger keeps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

import pyarrow as pa

from cmdclf.store import LEDGER_ROW

__all__ = ["LABELS", "PERSON", "VERDICT", "Label", "Verdict", "clean_reply", "verdicts_table"]

Label = Literal["benign", "malicious", "unsure"]
LABELS: tuple[Label, ...] = get_args(Label)

#: The ledger's row as Arrow, stricter than the ledger itself: a verdict always names its text and its time.
VERDICT = pa.schema([f.with_nullable(f.nullable and f.name not in ("text_sha256", "judged_at")) for f in LEDGER_ROW])

#: The name of the judge in verdicts that people gave; they outrank those of any other judge.
PERSON = "person"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one judge said about one command line; the fields are the ledger's columns.

    Args:
        command_id: which line.
        verdict: `benign`, `malicious` or `unsure`.
        confidence: how sure the judge is of this verdict, 0..1.
        judge: the judge's name, for instance `openai`, `recorded(NAME)`, `truth(noise=0.01)`.
        reason: a few words by the judge.
        technique: an ATT&CK id (`T1059.001`), or empty.
        model: what answered behind the judge, where there is such a thing.
        effort: the reasoning effort that was asked for, or empty.
        prompt_sha256: of the prompt and the answer's schema, or empty.
        prompt_tokens, completion_tokens: as the server counted them.
        cost_usd: by the prices that the judge was given.
        latency_s: from the first attempt to the answer.
        judged_at: when, in UTC.
        raw_reply: what the judge said, word for word (bounded).
        text_sha256: of the redacted text that was judged; the labeller fills it in.
        vetoed_by: the check that turned `benign` into `unsure`, or None.
        note: anything that a reader of the ledger should know.
        reviewer: who gave it, where a person did.
        supersedes: `seq` of the row that a person overrides, or None.
        injection_suspected: the judge believes that the line tries to instruct it. Not a column of the ledger: the
            labeller makes a veto of it.
    """

    command_id: str
    verdict: Label
    confidence: float
    judge: str
    reason: str = ""
    technique: str = ""
    model: str = ""
    effort: str = ""
    prompt_sha256: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0
    judged_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    raw_reply: str = ""
    text_sha256: str = ""
    vetoed_by: str | None = None
    note: str = ""
    reviewer: str = ""
    supersedes: int | None = None
    injection_suspected: bool = False

    def __post_init__(self) -> None:
        if self.verdict not in LABELS:
            raise ValueError(f"'{self.verdict}' is no verdict: it must be one of {', '.join(LABELS)}")
        if not 0.0 <= self.confidence <= 1.0:  # also refuses NaN
            raise ValueError(f"a confidence must lie in 0..1, not {self.confidence}")


def verdicts_table(verdicts: Iterable[Verdict]) -> pa.Table:
    """The verdicts as rows of the ledger, in order: a table with the schema `VERDICT`."""
    rows = list(verdicts)
    return pa.table(
        {name: pa.array([getattr(v, name) for v in rows], VERDICT.field(name).type) for name in VERDICT.names},
        schema=VERDICT,
    )


def clean_reply(text: object, max_chars: int) -> str:
    """A judge's words as storable text: valid UTF-8, without NUL, at most `max_chars` characters.

    A reply is foreign text: JSON can carry lone surrogates and NULs, which neither Arrow nor the store takes.
    """
    if text is None:
        return ""
    return str(text)[:max_chars].encode("utf-8", "replace").decode("utf-8").replace("\0", "\\x00")[:max_chars]
