"""What the loopback server can say: sound answers in either API's form, and every failure that a judge must survive."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cmdclf.errors import JudgeError

__all__ = ["MODES", "Failure", "Reply", "answer", "as_response", "completion", "fault"]

#: What can go wrong on request, and what that is.
MODES: dict[str, str] = {
    "429": "too many requests, with retry-after and rate-limit headers",
    "500": "an error of the server",
    "slow": "an answer that comes late",
    "truncated": "a reply whose JSON is cut in the middle",
    "cut-off": "an answer that ends at the bound on its length",
    "refusal": "the model refuses",
    "wrong-label": "a verdict outside the schema",
    "html": "a web page instead of JSON",
    "quota": "insufficient_quota",
    "drop": "the connection ends without a reply; in a batch the row is missing",
    "cut-file": "a batch's result file that ends in the middle of a row",
}


@dataclass
class Reply:
    """One HTTP answer: a JSON value or text; status 0 ends the connection without one."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def answer(
    verdict: str = "benign",
    confidence: Any = 0.9,
    reason: str = "looks fine",
    technique: str = "",
    injection: bool = False,
) -> str:
    """What a model writes."""
    return json.dumps(
        {
            "injection_suspected": injection,
            "reason": reason,
            "technique": technique,
            "verdict": verdict,
            "confidence": confidence,
        }
    )


def completion(
    content: str | None,
    *,
    model: str,
    finish: str = "stop",
    refusal: str | None = None,
    usage: tuple[int, int] | None = (100, 20),
    **headers: str,
) -> Reply:
    """A chat completion around what a model wrote; a header's `_` stands for `-`."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
    }
    if usage:
        body["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
    return Reply(body, headers=headers)


def fault(status: int, code: str | None = None, message: str = "no", **headers: str) -> Reply:
    """An error as OpenAI words it."""
    return Reply({"error": {"message": message, "type": "error", "param": None, "code": code}}, status, headers)


def as_response(chat: Reply) -> Reply:
    """A chat completion as the responses API words it; anything else as it is."""
    body = chat.body
    if not isinstance(body, dict) or "choices" not in body or not body["choices"]:
        return chat
    choice = body["choices"][0]
    message, cut = choice["message"], choice["finish_reason"] != "stop"
    content = [{"type": "output_text", "text": message["content"], "annotations": []}]
    if message["refusal"]:
        content = [{"type": "refusal", "refusal": message["refusal"]}]
    why = {"length": "max_output_tokens"}.get(choice["finish_reason"], choice["finish_reason"])
    made: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": body["model"],
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": why} if cut else None,
        "error": None,
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content},
        ],
    }
    if "usage" in body:
        usage = body["usage"]
        made["usage"] = {
            "input_tokens": usage["prompt_tokens"],
            "output_tokens": usage["completion_tokens"],
            "total_tokens": usage["total_tokens"],
            "input_tokens_details": usage["prompt_tokens_details"],
            "output_tokens_details": usage["completion_tokens_details"],
        }
    return Reply(made, chat.status, chat.headers)


@dataclass(frozen=True, slots=True)
class Failure:
    """When which failure happens; requests are counted from 1.

    Args:
        mode: one of `MODES`.
        every: each so-manieth request; 0 leaves it to `share`.
        share: this share of the requests, drawn by their number and the seed.
        after: not among the first so many.
        times: in the first so many requests after those only; 0 sets no end.
        seed: another seed draws others.

    Raises:
        JudgeError: the mode isn't known or a number is impossible.
    """

    mode: str
    every: int = 1
    share: float = 1.0
    after: int = 0
    times: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise JudgeError(f"'{self.mode}' is no failure of the loopback server", remedy=f"Use {', '.join(MODES)}")
        if self.every < 1 or not 0 <= self.share <= 1 or self.after < 0 or self.times < 0:
            raise JudgeError("a failure's every is at least 1, share lies in 0..1, after and times are at least 0")

    @classmethod
    def parse(cls, text: str) -> Failure:
        """From `MODE`, `MODE:every=5`, `MODE:share=0.1,after=20,times=3,seed=7`.

        Raises:
            JudgeError: it can't be read so.
        """
        mode, _, rest = text.partition(":")
        settings: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            name, _, value = part.partition("=")
            kind = {"every": int, "share": float, "after": int, "times": int, "seed": int}.get(name)
            try:
                settings[name] = kind(value) if kind else None
            except ValueError:
                kind = None
            if kind is None:
                raise JudgeError(
                    f"'{part}' says nothing about a failure", remedy="For instance: --fail 429:every=5,after=10,times=3"
                )
        return cls(mode, **settings)

    def hits(self, number: int) -> bool:
        """Whether the request of this number fails."""
        place = number - self.after
        if place < 1 or (self.times and place > self.times) or place % self.every:
            return False
        drawn = hashlib.sha256(f"{self.seed}|{self.mode}|{number}".encode()).digest()
        return int.from_bytes(drawn[:8], "big") / 2.0**64 < self.share

    def applied(self, reply: Reply, model: str) -> Reply:
        """What goes out instead of a sound reply."""
        if self.mode == "429":
            waits = {
                "retry-after-ms": "20",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "20ms",
            }
            return Reply(fault(429, "rate_limit_exceeded", "slow down").body, 429, waits)
        if self.mode == "500":
            return fault(500, "server_error", "the server had an error")
        if self.mode == "quota":
            return fault(429, "insufficient_quota", "you exceeded your current quota")
        if self.mode == "html":
            return Reply("<html><body><h1>502 Bad Gateway</h1></body></html>", 200, {"content-type": "text/html"})
        if self.mode == "drop":
            return Reply(None, 0)
        if self.mode == "truncated":
            whole = json.dumps(reply.body)
            return Reply(whole[: len(whole) // 2], reply.status, reply.headers)
        if self.mode == "cut-off":
            return completion(answer()[:30], model=model, finish="length")
        if self.mode == "refusal":
            return completion(None, model=model, refusal="I can't help with that.")
        if self.mode == "wrong-label":
            return completion(answer("harmless"), model=model)
        return reply
