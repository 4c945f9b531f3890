"""A server's completion read as an answer. Servers differ, models err: every field may be missing or strange."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Protocol

from cmdclf.labels.judge import Answer, JudgeRequest, Unanswered
from cmdclf.labels.prompt import Prompt
from cmdclf.labels.verdict import LABELS, Verdict, clean_reply

__all__ = ["Asked", "Usage", "read_reply"]


class Asked(Protocol):
    """The judge that a completion answers for: its provenance goes into the verdict."""

    @property
    def name(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def effort(self) -> str: ...
    @property
    def prompt(self) -> Prompt: ...
    @property
    def prompt_sha256(self) -> str: ...
    def cost_usd(self, usage: Usage) -> float: ...


_TECHNIQUE = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; reasoning tokens count as completion tokens, as they are billed."""

    prompt_tokens: int
    completion_tokens: int


def read_reply(completion: Any, request: JudgeRequest, judge: Asked, *, latency_s: float) -> Answer:
    """The verdict in a completion, or why there is none.

    Args:
        completion: a chat completion as the client returned it (it validates nothing), or a batch file's body.
        request: what was asked.
        judge: whose prices, model and prompt go into the verdict.
        latency_s: from the first attempt on.
    """
    choices = getattr(completion, "choices", None) or []
    message = getattr(choices[0], "message", None) if choices else None
    content = getattr(message, "content", None)
    usage, estimated = _usage(completion, request, judge, content)
    cost = judge.cost_usd(usage)
    if message is None:
        return Unanswered(request.command_id, "reply without a message", cost)
    if getattr(message, "refusal", None):
        return Unanswered(request.command_id, "refused by the model", cost)
    reason_to_end = getattr(choices[0], "finish_reason", None)
    if reason_to_end == "length":
        return Unanswered(request.command_id, "answer cut off (max_completion_tokens)", cost)
    if reason_to_end == "content_filter":
        return Unanswered(request.command_id, "stopped by the server's content filter", cost)
    fields = _fields(content)
    if fields is None:
        return Unanswered(request.command_id, "answer is not the JSON that was asked for", cost)
    technique = _TECHNIQUE.search(str(fields.get("technique") or ""))
    return Verdict(
        request.command_id,
        fields["verdict"],
        float(fields["confidence"]),
        judge.name,
        reason=clean_reply(fields.get("reason"), 500),
        technique=technique.group() if technique else "",
        model=judge.model,
        effort=judge.effort,
        prompt_sha256=judge.prompt_sha256,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost_usd=cost,
        latency_s=latency_s,
        raw_reply=clean_reply(content, 4000),
        note="; ".join(
            note
            for note in (
                "tokens estimated: the server counted none" if estimated else "",
                _answered_by(completion, judge),
            )
            if note
        ),
        injection_suspected=fields.get("injection_suspected") is True,
    )


def _fields(content: object) -> dict[str, Any] | None:
    """The answer's fields, or None where it is no sound answer."""
    if not isinstance(content, str):
        return None
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.get("verdict") not in LABELS:
        return None
    confidence = fields.get("confidence")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        return None
    return fields if math.isfinite(confidence) and 0 <= confidence <= 1 else None


def _usage(completion: Any, request: JudgeRequest, judge: Asked, content: object) -> tuple[Usage, bool]:
    """The tokens as counted by the server, else estimated from the bytes (a third of them)."""
    stated = getattr(completion, "usage", None)
    tokens = [getattr(stated, name, None) for name in ("prompt_tokens", "completion_tokens")]
    if all(isinstance(count, int) and count >= 0 for count in tokens):
        return Usage(int(tokens[0] or 0), int(tokens[1] or 0)), False
    sent = sum(len(message["content"].encode()) for message in judge.prompt.messages(request))
    got = len(content.encode("utf-8", "replace")) if isinstance(content, str) else 0
    return Usage(sent // 3, got // 3), True


def _answered_by(completion: Any, judge: Asked) -> str:
    """The server's own name for the model where it differs: an alias may point to another snapshot tomorrow."""
    name = clean_reply(getattr(completion, "model", None), 100)
    return f"answered by {name}" if name and name != judge.model else ""
