"""What a server's refusal means: try again, leave the line, stop the run, or give up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmdclf.labels._pace import retry_after_s
from cmdclf.labels.verdict import clean_reply

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAIError

__all__ = ["Fault", "explain", "fault_in", "fault_of"]

_RETRIED = (408, 409, 429)

#: Error codes that say that no further request will be paid for, whatever the status.
_QUOTA = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")

#: Error codes that are about the text that was sent. Lines that show attacks trip content filters, often in a row.
_OF_LINE = ("content_filter", "content_policy_violation", "context_length_exceeded", "invalid_prompt")


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed attempt.

    Args:
        message: what the server said, bounded and clean.
        note: the same for a count over many lines: no text that differs from line to line.
        status: HTTP status, 0 where there was no answer.
        retry: the same request may succeed later.
        retry_after_s: how long the server asks to wait, or None.
        stops: no further request can succeed, and that is nobody's mistake (quota).
        fatal: no request can succeed with these settings.
        of_line: it is this line that the server doesn't take, others may pass.
        remedy: what the user can do.
    """

    message: str
    note: str
    status: int = 0
    retry: bool = False
    retry_after_s: float | None = None
    stops: bool = False
    fatal: bool = False
    of_line: bool = False
    remedy: str = ""


def fault_of(error: OpenAIError | ValueError | RecursionError) -> Fault:
    """The meaning of an exception of the `openai` package, or of the JSON reader inside it."""
    from openai import APIConnectionError, APIStatusError, APITimeoutError

    if isinstance(error, APITimeoutError):
        return Fault("it did not answer in time", "timed out", retry=True, remedy="Raise the timeout")
    if isinstance(error, APIConnectionError):
        return Fault(
            "it can't be reached", "server not reached", retry=True, remedy="Check base_url and that the server runs"
        )
    if not isinstance(error, APIStatusError):
        # A body that is no JSON although its status was 200, and the like.
        return Fault(clean_reply(error, 300), "unreadable reply", retry=True)
    status, codes = error.status_code, [str(error.code or ""), str(error.type or "")]
    said = clean_reply(_said(error), 300)
    if quota := next((code for code in codes if code in _QUOTA), "payment required" if status == 402 else ""):
        return Fault(f"the account's quota is used up ({quota})", quota, status, stops=True)
    if status in (401, 403):
        return Fault(
            f"it refuses the key ({status}): {said}", "key refused", status, fatal=True, remedy="Check OPENAI_API_KEY"
        )
    if status == 404:
        return Fault(
            f"it doesn't know the address or the model (404): {said}",
            "not found",
            status,
            fatal=True,
            remedy="Check base_url (it usually ends in /v1) and the model's name",
        )
    if status in _RETRIED or status >= 500:
        return Fault(
            f"status {status}: {said}",
            f"status {status}",
            status,
            retry=True,
            retry_after_s=retry_after_s(error.response.headers),
        )
    return Fault(
        f"it refuses the request ({status}): {said}",
        f"refused by the server ({status})",
        status,
        of_line=any(code in _OF_LINE for code in codes),
        remedy="Check that the model knows the chosen effort and the API (--api chat or responses)",
    )


def fault_in(body: object) -> Fault | None:
    """The failure that a reply of status 200 reports, or None: some servers word their errors so, responses too."""
    if not isinstance(body, dict):
        return Fault("its reply is no JSON object", "unreadable reply", retry=True)
    error = body.get("error")
    if not isinstance(error, dict) or not error:
        failed = body.get("status") in ("failed", "cancelled")
        return Fault("it reports a failure without a cause", "failed at the server", retry=True) if failed else None
    code = clean_reply(error.get("code") or error.get("type"), 60)
    if code in _QUOTA:
        return Fault(f"the account's quota is used up ({code})", code, stops=True)
    said = clean_reply(error.get("message"), 300)
    if code in _OF_LINE:
        return Fault(said, f"refused by the server ({code})", of_line=True)
    return Fault(f"it reports a failure ({code}): {said}", "failed at the server", retry=True)


def explain(fault: Fault, base_url: str | None) -> str:
    """A sentence that names server and fault."""
    return f"the server {base_url or 'api.openai.com'} can't judge: {fault.message}"


def _said(error: APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return str(body["message"])
    return str(error.message)
