"""The requests of one call of the judge: an event loop in a thread of its own, so many requests at a time."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cmdclf.errors import JudgeError
from cmdclf.labels._reply import Usage, read_reply, said
from cmdclf.labels._server import Fault, explain, fault_in, fault_of
from cmdclf.labels._wire import request_body
from cmdclf.labels.judge import Answer, JudgeRequest, Unanswered
from cmdclf.labels.verdict import Verdict

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from cmdclf.labels.openai_judge import OpenAIJudge

__all__ = ["Work"]

#: After so many requests in a row that failed for good, the server is taken to be away.
_GIVE_UP_AFTER = 8

#: So many bytes are one token, about; a bound for the pace, not for the bill.
_BYTES_PER_TOKEN = 4


class Work:
    """The requests of one call of `judge`."""

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
            size = sum(len(message["content"].encode()) for message in self.judge.prompt.messages(request))
            bound = self._bound_usd(size)
            if not await self._afford(bound, request):
                return
            self._reserved_usd += bound
            try:
                answer = await self._ask(client, request, size / _BYTES_PER_TOKEN)
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

    def _bound_usd(self, size: int) -> float:
        """The most that one request can cost: half a token per byte of prompt, and a full answer."""
        return self.judge.cost_usd(Usage(size // 2 + 500, self.judge.max_completion_tokens))

    async def _ask(self, client: AsyncOpenAI, request: JudgeRequest, tokens: float) -> Answer:
        start = time.monotonic()
        dialect, pace = self.judge.dialect, self.judge.pace
        attempt = 0
        while True:
            await pace.before(tokens)
            if self._stopped:  # another request met a used-up quota while this one waited
                return Unanswered(request.command_id, "not reached")
            used = dialect.settings()
            body, fault = await self._attempt(client, request, used)
            if fault is None:
                reply = said(body)
                self._failures = 0
                self.judge.usage += reply.usage or Usage(0, 0)
                return read_reply(
                    reply, request, self.judge, latency_s=time.monotonic() - start, note=self.judge.dialect.note
                )
            if fault.stops:
                return Unanswered(request.command_id, fault.message, stop=True)
            if dialect.learn(used, fault):
                continue  # ends: there are fewer settings to give up than attempts
            if fault.fatal:
                raise JudgeError(explain(fault, self.judge.base_url), remedy=fault.remedy)
            if not fault.retry or attempt >= self.judge.max_retries:
                return self._failed(request, fault)
            wait = self._wait_s(fault, attempt)
            attempt += 1
            if fault.retry_after_s is not None:
                pace.hold(wait)  # it holds for all requests alike
            else:
                await pace.sleep(wait)

    async def _attempt(
        self, client: AsyncOpenAI, request: JudgeRequest, used: Mapping[str, Any]
    ) -> tuple[object, Fault | None]:
        """The reply's JSON, and what is wrong with it."""
        from openai import APIStatusError, OpenAIError

        judge = self.judge
        sent = request_body(
            judge.prompt,
            request,
            judge.model,
            effort=judge.effort,
            max_completion_tokens=judge.max_completion_tokens,
            **used,
        )
        resource: Any = client.responses if used["api"] == "responses" else client.chat.completions
        try:
            raw = await resource.with_raw_response.create(**sent)
            judge.pace.saw(raw.headers)
            body = json.loads(raw.content)
        except (OpenAIError, ValueError, RecursionError) as error:
            if isinstance(error, APIStatusError):
                judge.pace.saw(error.response.headers)
            return None, fault_of(error)
        return body, fault_in(body)

    def _wait_s(self, fault: Fault, attempt: int) -> float:
        wait = self.judge.backoff_s * 2.0**attempt if fault.retry_after_s is None else fault.retry_after_s
        return max(0.0, min(wait, self.judge.max_backoff_s))

    def _failed(self, request: JudgeRequest, fault: Fault) -> Answer:
        """The line stays pending; a server that fails every time ends the run."""
        if not fault.of_line:
            self._failures += 1
        if self._failures >= _GIVE_UP_AFTER:
            raise JudgeError(
                f"{self._failures} requests in a row failed: {explain(fault, self.judge.base_url)}",
                remedy=fault.remedy,
            )
        return Unanswered(request.command_id, fault.note)


async def _first_error(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for all tasks; the first one that fails ends the waiting with its error."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
