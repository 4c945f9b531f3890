"""The judge behind any OpenAI-compatible server: structured output, bounded concurrency, a ceiling on cost."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cmdclf.errors import JudgeError
from cmdclf.labels._pace import Pace
from cmdclf.labels._reply import Usage
from cmdclf.labels._server import explain, fault_of
from cmdclf.labels._wire import Dialect, checked_api
from cmdclf.labels._work import Work
from cmdclf.labels.judge import PAID_FOR, Answer, JudgeRequest
from cmdclf.labels.prompt import Prompt

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

__all__ = ["MODEL_VARIABLE", "OpenAIJudge", "chosen_model"]

#: The environment's setting for the model where none is named: the one place for a default.
MODEL_VARIABLE = "CMDCLF_MODEL"


def chosen_model(named: str | None) -> str:
    """The model that is named, else the environment's `CMDCLF_MODEL`.

    The package has no default of its own: providers retire names, and a label is the label of its model.

    Raises:
        JudgeError: neither names one.
    """
    model = named or os.environ.get(MODEL_VARIABLE, "")
    if not model:
        raise JudgeError(
            "the setting 'model' is missing",
            remedy=f"Name a model that the server offers (--model NAME, or the environment's {MODEL_VARIABLE});"
            " 'cmdclf doctor' lists them",
        )
    return model


class OpenAIJudge:
    """Verdicts by a language model behind an OpenAI-compatible server, with strict structured output.

    A server that knows no JSON schema is asked for any JSON object from then on, and one that doesn't know that either
    in words alone; the verdicts' notes say so. A refusal, an answer that was cut off and one that isn't the JSON that
    was asked for leave the line unanswered, with a note. Rate-limit headers slow the requests down before the server
    has to refuse any. A used-up quota and the cost ceiling end the run: requests in flight are still taken in.

    Args:
        model: which model is asked; None takes the environment's `CMDCLF_MODEL`.
        base_url: the server, for instance `http://127.0.0.1:8000/v1`; None is OpenAI's.
        api_key: None takes the environment's `OPENAI_API_KEY`; a server of your own takes any text.
        api: `chat` (`/chat/completions`, which every server has) or `responses`.
        effort: reasoning effort, sent only where set; which values exist depends on the model.
        prompt: instructions; None takes the bundled ones.
        budget_usd: the ceiling over all calls of this object; needs the prices.
        usd_per_million_in, usd_per_million_out: prices per million prompt and completion tokens.
        usd_per_million_cached: price of prompt tokens that the server had in its cache; None: as any other.
        concurrency: most requests at the same time.
        max_completion_tokens: bound for one answer, reasoning included.
        max_retries: further attempts after 408, 409, 429, 5xx, time-outs and lost connections.
        backoff_s: wait before the first retry, doubled each time; a server's `retry-after` goes before.
        max_backoff_s: no wait is longer, neither before a retry nor for a rate limit.
        timeout_s: for one attempt.
        check_model: ask the server for its models before the first request.

    Attributes:
        spent_usd: what this object has paid so far.
        usage: the tokens that servers counted for it so far.
        offer: what the server said about the model, once asked.

    Raises:
        JudgeError: a setting is missing or impossible.
    """

    name = "openai"
    #: Verdicts of the same model under the same prompt that came through batch files are not paid for again.
    answered_as = PAID_FOR

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        api: str = "chat",
        effort: str | None = None,
        prompt: Prompt | None = None,
        budget_usd: float | None = None,
        usd_per_million_in: float = 0.0,
        usd_per_million_out: float = 0.0,
        usd_per_million_cached: float | None = None,
        concurrency: int = 8,
        max_completion_tokens: int = 4000,
        max_retries: int = 5,
        backoff_s: float = 0.5,
        max_backoff_s: float = 60.0,
        timeout_s: float = 120.0,
        check_model: bool = True,
    ) -> None:
        if budget_usd is not None and usd_per_million_in <= 0 and usd_per_million_out <= 0:
            raise JudgeError(
                "a cost ceiling needs prices",
                remedy="Set usd_per_million_in and usd_per_million_out to the model's prices",
            )
        if budget_usd is not None and not budget_usd > 0:
            raise JudgeError(f"the setting 'budget_usd' must be above 0, not {budget_usd}")
        if concurrency < 1 or max_retries < 0 or max_completion_tokens < 1:
            raise JudgeError("concurrency and max_completion_tokens must be at least 1, max_retries at least 0")
        self.model = chosen_model(model)
        self.dialect = Dialect(checked_api(api))
        self.base_url = base_url
        self.effort = effort or ""
        self.prompt = prompt or Prompt()
        self.budget_usd = budget_usd
        self.usd_per_million_in = usd_per_million_in
        self.usd_per_million_out = usd_per_million_out
        self.usd_per_million_cached = usd_per_million_in if usd_per_million_cached is None else usd_per_million_cached
        self.concurrency = concurrency
        self.max_completion_tokens = max_completion_tokens
        self.max_retries = max_retries
        self.backoff_s = backoff_s
        self.max_backoff_s = max_backoff_s
        self.timeout_s = timeout_s
        self.check_model = check_model
        self._api_key = _key(api_key, base_url)
        self._checked = False
        self.pace = Pace(max_backoff_s)
        self.spent_usd = 0.0
        self.usage = Usage(0, 0)
        self.offer = ""

    def __repr__(self) -> str:
        return f"OpenAIJudge(model={self.model!r}, base_url={self.base_url!r})"  # never the key

    @property
    def prompt_sha256(self) -> str:
        """Of the instructions, the answer's schema and the bound on length."""
        return self.prompt.sha256

    def preflight(self) -> str:
        """One sentence on the model as the server lists it.

        Raises:
            JudgeError: the server can't be reached, refuses the key, or doesn't list the model (says what it lists).
        """
        return asyncio.run(self._preflight()) if not _in_loop() else _in_thread(self._preflight)

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[Answer]:
        """Answers as they come, at most one per request.

        The requests run in a thread of their own, so that this works inside a notebook's event loop and the caller can
        commit while the server thinks. Closing the iterator cancels what is in flight.

        Raises:
            JudgeError: nothing can be answered: wrong key, unknown model, server away.
        """
        if not requests:
            return
        if self.check_model and not self._checked:
            self.offer = self.preflight()
            self._checked = True
        work = Work(self, requests)
        thread = threading.Thread(target=work.run, name="cmdclf-judge", daemon=True)
        thread.start()
        try:
            yield from work.answers()
        except KeyboardInterrupt:
            # What has come in meanwhile is paid for: hand it over before the interrupt goes its way.
            work.cancel()
            thread.join()
            yield from work.leftovers()
            raise
        finally:
            work.cancel()
            thread.join()

    def files_client(self) -> OpenAI:
        """A client for the server's files and batches; it retries what can be retried."""
        from openai import OpenAI

        return OpenAI(api_key=self._api_key, base_url=self.base_url, timeout=self.timeout_s, max_retries=2)

    def client(self) -> AsyncOpenAI:
        """A client of the server. Its own retries are off: they would retry a used-up quota too."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(api_key=self._api_key, base_url=self.base_url, timeout=self.timeout_s, max_retries=0)

    def cost_usd(self, usage: Usage) -> float:
        """What an answer costs by the prices of this judge."""
        fresh = usage.prompt_tokens - usage.cached_tokens
        paid = fresh * self.usd_per_million_in + usage.cached_tokens * self.usd_per_million_cached
        return (paid + usage.completion_tokens * self.usd_per_million_out) / 1_000_000

    async def _preflight(self) -> str:
        from openai import OpenAIError

        async with self.client() as client:
            try:
                page = await client.models.list()
            except (OpenAIError, ValueError, RecursionError) as error:
                fault = fault_of(error)
                if fault.status in (404, 405, 501):  # small servers have no model list; the first request will tell
                    return f"{self.model}: the server lists no models"
                raise JudgeError(explain(fault, self.base_url), remedy=fault.remedy) from None
        listed = {model.id: model for model in getattr(page, "data", None) or [] if getattr(model, "id", None)}
        if self.model not in listed:
            names = sorted(listed)
            there = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
            raise JudgeError(
                f"the server offers no model '{self.model}'",
                remedy=f"It offers: {there}" if names else "It offers none at all",
            )
        end = getattr(listed[self.model], "shutdown_date", None)
        return f"{self.model}: offered by the server" + (f", which shuts it down on {end}" if end else "")


def _key(api_key: str | None, base_url: str | None) -> str:
    key = api_key or os.environ.get("OPENAI_API_KEY") or ("none" if base_url else None)
    if key is None:
        raise JudgeError(
            "no API key is set", remedy="Set the environment variable OPENAI_API_KEY, or give base_url of a server"
        )
    return key


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(job: Any) -> str:
    """The result of a coroutine function that is run where no event loop is running yet."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return str(pool.submit(lambda: asyncio.run(job())).result())
