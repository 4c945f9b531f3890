"""The seam for judges: what they are asked, and what they may answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from cmdclf.labels.verdict import Verdict

__all__ = ["PAID_FOR", "Answer", "Judge", "JudgeRequest", "Unanswered"]

#: Names of the judges whose verdicts cost money: a line that one of them has answered for a model under a prompt is not
#: put to the other.
PAID_FOR = ("openai", "batch")


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """One command line to be judged. All texts are redacted already: a judge may send them anywhere.

    Args:
        command_id: identity of the unredacted line.
        platform: `windows`, `linux` or `macos`.
        text: the redacted command line, not bounded in length.
        parent: the redacted command line of the parent process, or empty.
        decoded: redacted texts that the line hides (encoded payloads, inner shells), outermost first.
    """

    command_id: str
    platform: str
    text: str
    parent: str = ""
    decoded: tuple[str, ...] = ()

    @property
    def text_sha256(self) -> str:
        """SHA-256 of the redacted text, as 64 hexadecimal characters."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request that got no verdict: the line stays pending and may be asked again.

    Args:
        command_id: which line.
        note: why, in a few words that do not differ from line to line (they are counted).
        cost_usd: what the attempt cost nevertheless.
        stop: True ends the run: no later request can be answered either (quota used up, cost ceiling reached).
    """

    command_id: str
    note: str
    cost_usd: float = 0.0
    stop: bool = False


Answer: TypeAlias = Verdict | Unanswered


@runtime_checkable
class Judge(Protocol):
    """Whoever gives verdicts.

    `name`, `model` and `prompt_sha256` together say whether two verdicts are of the same judge, so that no line is
    put to the same judge twice; None in `model` or `prompt_sha256` means that it makes no difference. A judge may have
    an attribute `answered_as`, a tuple of names: verdicts under any of them count as its own.
    """

    @property
    def name(self) -> str:
        """What the ledger's column `judge` shows."""
        ...

    @property
    def model(self) -> str | None:
        """What answers behind this judge."""
        ...

    @property
    def prompt_sha256(self) -> str | None:
        """Identity of the instructions, or of the recorded answers, that this judge works by."""
        ...

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[Answer]:
        """Answers as they come, in any order, at most one per request; a request may stay without one.

        Raises:
            JudgeError: nothing can be answered (wrong key, unknown model, server away). What was yielded before counts.
        """
        ...
