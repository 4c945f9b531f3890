"""A server's reply read as an answer. Servers differ, models err: every field may be missing or strange."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Protocol

from cmdclf.labels.judge import Answer, JudgeRequest, Unanswered
from cmdclf.labels.prompt import Prompt
from cmdclf.labels.verdict import LABELS, Verdict, clean_reply

__all__ = ["Asked", "Said", "Usage", "parse_answer", "read_reply", "said", "strict_json"]


class Asked(Protocol):
    """The judge that a reply answers for: its provenance goes into the verdict."""

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


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request or of many.

    Args:
        prompt_tokens: what was sent, cached parts included.
        completion_tokens: what was written, reasoning included, as it is billed.
        cached_tokens: the part of prompt_tokens that the server had in its cache.
        reasoning_tokens: the part of completion_tokens that nobody sees.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Said:
    """What a reply of either API comes down to.

    Args:
        content: the model's text, or None where there is no message at all.
        problem: why there can be no verdict in it (a refusal, a cut), in words that can be counted; or empty.
        model: the server's own name for what answered, or empty.
        usage: None where the server counted nothing.
    """

    content: str | None
    problem: str = ""
    model: str = ""
    usage: Usage | None = None


def said(body: object) -> Said:
    """The parts that count of a chat completion or a response, as JSON gives them; foreign text of any shape."""
    if not isinstance(body, dict):
        return Said(None, "reply without a message")
    model = clean_reply(body.get("model") if isinstance(body.get("model"), str) else "", 100)
    usage = _usage(body.get("usage"))
    if isinstance(body.get("output"), list):
        content, problem = _of_response(body)
    else:
        content, problem = _of_chat(body)
    return Said(content, problem, model, usage)


def _of_chat(body: dict[str, Any]) -> tuple[str | None, str]:
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = first.get("message")
    if not isinstance(message, dict):
        return None, "reply without a message"
    content = message.get("content") if isinstance(message.get("content"), str) else None
    if message.get("refusal"):
        return content, "refused by the model"
    end = first.get("finish_reason")
    if end == "length":
        return content, "answer cut off (max_completion_tokens)"
    if end == "content_filter":
        return content, "stopped by the server's content filter"
    return content, ""


def _of_response(body: dict[str, Any]) -> tuple[str | None, str]:
    """Text and refusals of all messages; reasoning items and tool calls are no answer."""
    messages = [item for item in body["output"] if isinstance(item, dict) and item.get("type") == "message"]
    parts = [part for item in messages if isinstance(item.get("content"), list) for part in item["content"]]
    parts = [part for part in parts if isinstance(part, dict)]
    texts = [p["text"] for p in parts if p.get("type") == "output_text" and isinstance(p.get("text"), str)]
    content = "".join(texts) if texts else None
    details = body.get("incomplete_details")
    why = details.get("reason") if isinstance(details, dict) else None
    if why == "content_filter":
        return content, "stopped by the server's content filter"
    if body.get("status") == "incomplete":
        return content, "answer cut off (max_completion_tokens)"
    if any(part.get("type") == "refusal" for part in parts):
        return content, "refused by the model"
    return content, "" if messages else "reply without a message"


def _usage(stated: object) -> Usage | None:
    """The server's count under the names of either API, or None where it is missing or strange."""
    if not isinstance(stated, dict):
        return None
    for sent, got in (("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")):
        counts = _count(stated.get(sent)), _count(stated.get(got))
        if counts[0] is not None and counts[1] is not None:
            cached = _detail(stated.get(f"{sent}_details"), "cached_tokens")
            reasoning = _detail(stated.get(f"{got}_details"), "reasoning_tokens")
            return Usage(counts[0], counts[1], min(cached, counts[0]), min(reasoning, counts[1]))
    return None


def _detail(details: object, name: str) -> int:
    return (_count(details.get(name)) or 0) if isinstance(details, dict) else 0


def _count(value: object) -> int | None:
    """A whole number that the ledger can hold."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def read_reply(reply: Said, request: JudgeRequest, judge: Asked, *, latency_s: float, note: str = "") -> Answer:
    """The verdict in a reply, or why there is none.

    Args:
        reply: what the server or a batch file said.
        request: what was asked.
        judge: whose prices, model and prompt go into the verdict.
        latency_s: from the first attempt on.
        note: goes into the verdict's note.
    """
    usage = reply.usage or _estimate(reply, request, judge)
    cost = judge.cost_usd(usage)
    if reply.problem:
        return Unanswered(request.command_id, reply.problem, cost)
    fields = parse_answer(reply.content)
    if fields is None:
        return Unanswered(request.command_id, "answer is not the JSON that was asked for", cost)
    technique = _TECHNIQUE.search(str(fields.get("technique") or "")[:200])
    notes = [
        note,
        "" if reply.usage else "tokens estimated: the server counted none",
        f"cached {usage.cached_tokens} tokens" if usage.cached_tokens else "",
        f"reasoning {usage.reasoning_tokens} tokens" if usage.reasoning_tokens else "",
        # An alias may point to another snapshot tomorrow.
        f"answered by {reply.model}" if reply.model and reply.model != judge.model else "",
    ]
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
        raw_reply=clean_reply(reply.content, 4000),
        note="; ".join(filter(None, notes)),
        injection_suspected=fields.get("injection_suspected") is True,
    )


_TECHNIQUE = re.compile(r"\bT\d{4}(?:\.\d{3})?\b")


def parse_answer(content: str | None) -> dict[str, Any] | None:
    """The answer's fields, or None where the text is no sound answer.

    The whole text must be one JSON object with a known verdict and a confidence in 0..1. Servers that enforce no form
    may put it into one code fence or behind a block of thoughts, nothing else: an object somewhere in a longer text
    could be the command line's own. A name that occurs twice makes the object unsound.
    """
    if content is None:
        return None
    text = content.strip()
    if text.startswith("<think>"):
        text = text.partition("</think>")[2].strip()
    if text.startswith("```") and text.endswith("```") and "\n" in text:
        text = text[text.index("\n") : -3]
    try:
        fields = strict_json(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.get("verdict") not in LABELS:
        return None
    confidence = fields.get("confidence")
    if isinstance(confidence, bool) or not isinstance(confidence, int | float):
        return None
    return fields if math.isfinite(confidence) and 0 <= confidence <= 1 else None


def strict_json(text: str) -> Any:
    """The value of a JSON text in which no object has a name twice: readers differ in which one they believe.

    Raises:
        ValueError, RecursionError: it is no such text.
    """
    return json.loads(text, object_pairs_hook=_distinct)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice")
    return fields


def _estimate(reply: Said, request: JudgeRequest, judge: Asked) -> Usage:
    """Tokens where the server counted none: a third of the bytes."""
    sent = sum(len(message["content"].encode()) for message in judge.prompt.messages(request))
    return Usage(sent // 3, len((reply.content or "").encode("utf-8", "replace")) // 3)
