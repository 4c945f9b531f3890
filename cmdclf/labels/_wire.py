"""A request on the wire: chat completions or responses, in the strongest answer form that the server takes."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

from cmdclf.errors import JudgeError
from cmdclf.labels._server import Fault
from cmdclf.labels.judge import JudgeRequest
from cmdclf.labels.prompt import ANSWER_SCHEMA, Prompt

__all__ = ["APIS", "FORMS", "Api", "Dialect", "Form", "checked_api", "endpoint", "request_body"]

Api: TypeAlias = Literal["chat", "responses"]
APIS: tuple[Api, ...] = ("chat", "responses")

#: How the answer's form is asked for, strongest first: a schema that the server enforces, any JSON object, words alone.
Form: TypeAlias = Literal["json_schema", "json_object", "text"]
FORMS: tuple[Form, ...] = ("json_schema", "json_object", "text")

_ENDPOINTS: dict[str, str] = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}

#: A refusal that is about the answer's form, in the words of servers that don't know it.
_ABOUT_FORM = re.compile(r"response_format|json_schema|json_object|text\.format|structured|grammar|guided", re.I)
_ABOUT_LENGTH = re.compile(r"max_completion_tokens", re.I)


def checked_api(api: str) -> Api:
    """The name of one of the two APIs.

    Raises:
        JudgeError: it is neither.
    """
    for known in APIS:
        if api == known:
            return known
    raise JudgeError(f"'{api}' is no API of a judge", remedy=f"Use {' or '.join(APIS)}")


def endpoint(api: Api) -> str:
    """The path below the server's root, as batch files name it."""
    return _ENDPOINTS[api]


def request_body(
    prompt: Prompt,
    request: JudgeRequest,
    model: str,
    *,
    api: Api = "chat",
    form: Form = "json_schema",
    effort: str = "",
    max_completion_tokens: int = 4000,
    length_field: str = "max_completion_tokens",
) -> dict[str, Any]:
    """The body of one request, on the wire and in batch files alike.

    Args:
        prompt: the instructions; they ask for the answer's JSON in words too, so that every form works.
        request: the line.
        model: who is asked.
        api: `responses` asks the server not to store the line.
        form: how the answer's form is asked for.
        effort: reasoning effort, sent only where set.
        max_completion_tokens: bound for one answer, reasoning included.
        length_field: what chat completions call that bound; older servers know `max_tokens` only.
    """
    schema = {"name": "verdict", "strict": True, "schema": ANSWER_SCHEMA}
    body: dict[str, Any] = {"model": model}
    if api == "responses":
        body |= {"input": prompt.messages(request), "max_output_tokens": max_completion_tokens, "store": False}
        if form == "json_schema":
            body["text"] = {"format": {"type": form, **schema}}
        elif form == "json_object":
            body["text"] = {"format": {"type": form}}
        return body | ({"reasoning": {"effort": effort}} if effort else {})
    body |= {"messages": prompt.messages(request), length_field: max_completion_tokens}
    if form == "json_schema":
        body["response_format"] = {"type": form, "json_schema": schema}
    elif form == "json_object":
        body["response_format"] = {"type": form}
    return body | ({"reasoning_effort": effort} if effort else {})


class Dialect:
    """What one server has been found not to understand; learnt from its refusals, once for all requests."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.form: Form = "json_schema"
        self.length_field = "max_completion_tokens"

    @property
    def note(self) -> str:
        """For the ledger: nothing where the schema was enforced."""
        return "" if self.form == "json_schema" else f"the server takes no schema: asked for {self.form}"

    def settings(self) -> dict[str, Any]:
        """Arguments for `request_body`, as they are now."""
        return {"api": self.api, "form": self.form, "length_field": self.length_field}

    def learn(self, used: dict[str, Any], fault: Fault) -> bool:
        """Whether the request that was made with these settings is worth another try in weaker ones.

        Requests run side by side: where another one has learnt meanwhile, nothing more is given up.
        """
        if used != self.settings():
            return True
        if fault.status in (0, 401, 403, 404, 429) or fault.of_line:
            return False
        if _ABOUT_LENGTH.search(fault.message) and self.api == "chat" and self.length_field != "max_tokens":
            self.length_field = "max_tokens"
            return True
        if _ABOUT_FORM.search(fault.message) and self.form != FORMS[-1]:
            self.form = FORMS[FORMS.index(self.form) + 1]
            return True
        return False
