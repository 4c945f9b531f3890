"""The judge behind any OpenAI-compatible server: structured output, bounded concurrency, a ceiling on cost."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from cmdclf.errors import JudgeError
from cmdclf.labels._reply import Usage, read_reply
from cmdclf.labels._server import Fault, explain, fault_of
from cmdclf.labels.judge import Answer, JudgeRequest, Unanswered
from cmdclf.labels.prompt import Prompt
from cmdclf.labels.verdict import Verdict

if TYPE_CHECKING:
    from openai import AsyncOpenAI

__all__ = ["OpenAIJudge"]

#: After so many requests in a row that failed for good, the server is taken to be away.
_GIVE_UP_AFTER = 8


class OpenAIJudge:
    """Verdicts by a language model behind `POST {base_url}/chat/completions` with strict structured output.

    A refusal, an answer that was cut off and one that isn't the JSON that was asked for leave the line unanswered, with
    a note. A used-up quota and the cost ceiling end the run: requests in flight are still taken in.

    Args:
        model: which model is asked. There is no default: providers retire names, and a label is the label of its model.
        base_url: the server, for instance `http://127.0.0.1:8000/v1`; None is OpenAI's.
        api_key: None takes the environment's `OPENAI_API_KEY`; a server of your own takes any text.
        effort: `reasoning_effort`, sent only where set; which values exist depends on the model.
        prompt: instructions; None takes the bundled ones.
        budget_usd: the ceiling over all calls of this object; needs the prices.
        usd_per_million_in, usd_per_million_out: prices per million prompt and completion tokens.
        concurrency: most requests at the same time.
        max_completion_tokens: bound for one answer, reasoning included.
        max_retries: further attempts after 408, 409, 429, 5xx, time-outs and lost connections.
        backoff_s: wait before the first retry, doubled each time; a server's `retry-after` goes before.
        max_backoff_s: no wait is longer.
        timeout_s: for one attempt.
        check_model: ask the server for its models before the first request.

    Raises:
        JudgeError: a setting is missing or impossible.
    """

    name = "openai"

    def __init__(
        self,
        model: str | None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        effort: str | None = None,
        prompt: Prompt | None = None,
        budget_usd: float | None = None,
        usd_per_million_in: float = 0.0,
        usd_per_million_out: float = 0.0,
        concurrency: int = 8,
        max_completion_tokens: int = 4000,
        max_retries: int = 5,
        backoff_s: float = 0.5,
        max_backoff_s: float = 60.0,
        timeout_s: float = 120.0,
        check_model: bool = True,
    ) -> None:
        if not model:
            raise JudgeError(
                "the setting 'model' is missing",
                remedy="Name a model that the server offers (--model NAME); 'cmdclf doctor' lists them",
            )
        if budget_usd is not None and usd_per_million_in <= 0 and usd_per_million_out <= 0:
            raise JudgeError(
                "a cost ceiling needs prices",
                remedy="Set usd_per_million_in and usd_per_million_out to the model's prices",
            )
        if budget_usd is not None and not budget_usd > 0:
            raise JudgeError(f"the setting 'budget_usd' must be above 0, not {budget_usd}")
        if concurrency < 1 or max_retries < 0 or max_completion_tokens < 1:
            raise JudgeError("concurrency and max_completion_tokens must be at least 1, max_retries at least 0")
        key = api_key or os.environ.get("OPENAI_API_KEY") or ("none" if base_url else None)
        if key is None:
            raise JudgeError(
                "no API key is set", remedy="Set the environment variable OPENAI_API_KEY, or give base_url of a server"
            )
        self.model = model
        self.base_url = base_url
        self.effort = effort or ""
        self.prompt = prompt or Prompt()
        self.budget_usd = budget_usd
        self.usd_per_million_in = usd_per_million_in
        self.usd_per_million_out = usd_per_million_out
        self.concurrency = concurrency
        self.max_completion_tokens = max_completion_tokens
        self.max_retries = max_retries
        self.backoff_s = backoff_s
        self.max_backoff_s = max_backoff_s
        self.timeout_s = timeout_s
        self.check_model = check_model
        self._api_key = key
        self._checked = False
        #: what this object has paid so far, in USD
        self.spent_usd = 0.0

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
            self.preflight()
            self._checked = True
        work = _Work(self, requests)
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

    def client(self) -> AsyncOpenAI:
        """A client of the server. Its own retries are off: they would retry a used-up quota too."""
        from openai import AsyncOpenAI

        return AsyncOpenAI(api_key=self._api_key, base_url=self.base_url, timeout=self.timeout_s, max_retries=0)

    def settings(self, request: JudgeRequest) -> dict[str, Any]:
        """The body of one request to `/chat/completions`."""
        return self.prompt.chat_body(
            request, self.model, effort=self.effort, max_completion_tokens=self.max_completion_tokens
        )

    def cost_usd(self, usage: Usage) -> float:
        """What an answer costs by the prices of this judge."""
        return (
            usage.prompt_tokens * self.usd_per_million_in + usage.completion_tokens * self.usd_per_million_out
        ) / 1_000_000

    async def _preflight(self) -> str:
        from openai import OpenAIError

        async with self.client() as client:
            try:
                page = await client.models.list()
            except (OpenAIError, ValueError, RecursionError) as error:
                fault = fault_of(error)
                if fault.status in (404, 405, 501):  # small servers have no model list; the first request will tell
                    return f"{self.model}: the server lists no models"
                raise JudgeError(explain(fault, self), remedy=fault.remedy) from None
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


class _Work:
    """The requests of one call of `judge`, on an event loop in a thread of their own."""

    def __init__(self, judge: OpenAIJudge, requests: Sequence[JudgeRequest]) -> None:
        self.judge = judge
        self.out: queue.SimpleQueue[Answer | BaseException | None] = queue.SimpleQueue()
        self._waiting = iter(requests)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._cancelled = threading.Event()
        self._stopped = False
        self._reserved_usd = 0.0
        self._failures = 0

    def run(self) -> None:
        """Ask everything; the queue ends with None or with the error that ended it."""
        end: BaseException | None = None
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass  # the caller closed the iterator and reads no further
        except BaseException as error:  # raised again in the caller's thread
            end = error
        self.out.put(end)

    def answers(self) -> Iterator[Answer]:
        """Answers until the work is done; an error that ended it is raised."""
        while (answer := self.out.get()) is not None:
            if isinstance(answer, BaseException):
                raise answer
            yield answer

    def leftovers(self) -> list[Answer]:
        """Answers that came in and nobody has taken yet."""
        rest: list[Answer] = []
        while not self.out.empty():
            answer = self.out.get()
            if isinstance(answer, Verdict | Unanswered):
                rest.append(answer)
        return rest

    def cancel(self) -> None:
        """Drop what is in flight; harmless when all is done."""
        self._cancelled.set()
        loop, task = self._loop, self._task
        if loop is not None and task is not None:
            try:
                loop.call_soon_threadsafe(task.cancel)
            except RuntimeError:
                return  # the loop has closed: nothing is in flight

    async def _main(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._cancelled.is_set():
            return
        async with self.judge.client() as client:
            workers = [asyncio.create_task(self._worker(client)) for _ in range(self.judge.concurrency)]
            try:
                await _first_error(workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _worker(self, client: AsyncOpenAI) -> None:
        while not self._stopped:
            # Answers that nobody has committed yet are lost in a kill: don't run far ahead of the caller.
            while self.out.qsize() > self.judge.concurrency:
                await asyncio.sleep(0.005)
            request = next(self._waiting, None)
            if request is None:
                return
            bound = self._bound(request)
            if not await self._afford(bound, request):
                return
            self._reserved_usd += bound
            try:
                answer = await self._ask(client, request)
            finally:
                self._reserved_usd -= bound
            self.judge.spent_usd += answer.cost_usd
            self._stopped = self._stopped or (isinstance(answer, Unanswered) and answer.stop)
            self.out.put(answer)

    async def _afford(self, bound: float, request: JudgeRequest) -> bool:
        """Whether this request keeps the run below its ceiling; waits for requests in flight where they decide it."""
        ceiling = self.judge.budget_usd
        if ceiling is None:
            return True
        while self.judge.spent_usd + self._reserved_usd + bound > ceiling:
            if self._stopped:
                return False
            if self._reserved_usd <= 1e-12:
                self._stopped = True
                self.out.put(Unanswered(request.command_id, "cost ceiling reached", stop=True))
                return False
            await asyncio.sleep(0.005)
        return not self._stopped

    def _bound(self, request: JudgeRequest) -> float:
        """The most that one request can cost, in USD: half a token per byte of prompt, and a full answer."""
        size = sum(len(message["content"].encode()) for message in self.judge.prompt.messages(request))
        return self.judge.cost_usd(Usage(size // 2 + 500, self.judge.max_completion_tokens))

    async def _ask(self, client: AsyncOpenAI, request: JudgeRequest) -> Answer:
        from openai import OpenAIError

        start = time.monotonic()
        for attempt in range(self.judge.max_retries + 1):
            try:
                completion = await client.chat.completions.create(**self.judge.settings(request))
            except (OpenAIError, ValueError, RecursionError) as error:  # the client lets json's own errors through
                fault = fault_of(error)
                if fault.stops:
                    return Unanswered(request.command_id, fault.message, stop=True)
                if fault.fatal:
                    raise JudgeError(explain(fault, self.judge), remedy=fault.remedy) from None
                if fault.retry and attempt < self.judge.max_retries:
                    await asyncio.sleep(self._wait_s(fault, attempt))
                    continue
                return self._failed(request, fault)
            self._failures = 0
            return read_reply(completion, request, self.judge, latency_s=time.monotonic() - start)
        raise AssertionError("unreachable: the last attempt returns")

    def _wait_s(self, fault: Fault, attempt: int) -> float:
        wait = self.judge.backoff_s * 2.0**attempt if fault.retry_after_s is None else fault.retry_after_s
        return max(0.0, min(wait, self.judge.max_backoff_s))

    def _failed(self, request: JudgeRequest, fault: Fault) -> Answer:
        """The line stays pending; a server that fails every time ends the run."""
        if not fault.of_line:
            self._failures += 1
        if self._failures >= _GIVE_UP_AFTER:
            raise JudgeError(
                f"{self._failures} requests in a row failed: {explain(fault, self.judge)}", remedy=fault.remedy
            )
        return Unanswered(request.command_id, fault.note)


async def _first_error(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all tasks; the first one that fails ends the waiting with its error."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()


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
