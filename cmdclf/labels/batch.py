"""Batch files back: whatever answered them as a judge, and nothing in them believed unseen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmdclf.errors import JudgeError
from cmdclf.labels._rejects import Reject, Rejects
from cmdclf.labels._reply import Said, Usage, parse_answer, read_reply, said, strict_json
from cmdclf.labels.batch_export import custom_id
from cmdclf.labels.judge import PAID_FOR, Answer, JudgeRequest, Unanswered
from cmdclf.labels.prompt import ANSWER_SCHEMA, Prompt

__all__ = ["BATCH", "BatchJudge"]

#: The judge's name in verdicts that came through batch files.
BATCH = "batch"

_ID_LENGTH = 32
#: No answer needs more; a longer row is damage or an attack on memory.
_MAX_ROW = 4 * 1024 * 1024

_CONTRADICTION = "results contradict each other"


@dataclass(slots=True)
class _Found:
    """The first sound result on a line, and whether a later one contradicts it."""

    reply: Said
    says: tuple[str, bool]
    file: str
    row: int
    disagrees: bool = False


@dataclass(slots=True)
class BatchJudge:
    """Verdicts from result and error files of a batch, in any order, partial, repeated or damaged.

    A row is the Batch API's (`custom_id`, `response.body` a chat completion or a response, `error`), or an answer alone
    (`custom_id` with `verdict`, `confidence`, `reason`, `technique`, `injection_suspected`): anything that reads JSON
    can be the model. Nothing in a file is trusted: a row that is no JSON, is cut off, names another prompt version, was
    never asked, or says something outside the answer's form is set aside; where two rows contradict each other about a
    line, neither counts and the line stays pending.

    Args:
        files: result and error files.
        model, effort: what was asked, or what really answered; for the ledger.
        prompt: the instructions that were asked under; None: the bundled ones.
        usd_per_million_in, usd_per_million_out: prices; batches usually cost half.
        rejects: where rows go that are not taken.

    Attributes:
        repeated: rows that said the same about a line again.
        failed: lines about which only an error or an unsound answer came back.

    Raises:
        JudgeError: a file can't be read at all.
    """

    files: Sequence[str | Path]
    model: str
    prompt: Prompt = field(default_factory=Prompt)
    effort: str = ""
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    rejects: Rejects = field(default_factory=Rejects)
    repeated: int = 0
    failed: set[str] = field(default_factory=set)
    _found: dict[str, _Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for file in self.files:
            self._read(Path(file))
        for command_id in [command_id for command_id, found in self._found.items() if found.disagrees]:
            self._drop(command_id, _CONTRADICTION)
            self.failed.add(command_id)
        self.failed -= self._found.keys()

    @property
    def name(self) -> str:
        """Always `batch`; the model says who answered."""
        return BATCH

    @property
    def answered_as(self) -> tuple[str, ...]:
        """Lines that the same model has answered live under this prompt are settled."""
        return PAID_FOR

    @property
    def prompt_sha256(self) -> str:
        """Of the instructions, the answer's schema and the bound on length."""
        return self.prompt.sha256

    @property
    def command_ids(self) -> list[str]:
        """The lines that have an answer, in the order of the files."""
        return list(self._found)

    def cost_usd(self, usage: Usage) -> float:
        """What an answer costs by the prices of this judge."""
        paid = usage.prompt_tokens * self.usd_per_million_in + usage.completion_tokens * self.usd_per_million_out
        return paid / 1_000_000

    def judge(self, requests: Sequence[JudgeRequest]) -> Iterator[Answer]:
        """One answer per request, in order."""
        for request in requests:
            found = self._found.get(request.command_id)
            if found is None:
                yield Unanswered(request.command_id, "no result in the batch")
            else:
                yield read_reply(found.reply, request, self, latency_s=0.0)

    def refuse_unknown(self, known: Iterable[str], reason: str = "about a line that is not known here") -> None:
        """Set aside the answers about lines that are not among the known command_ids."""
        asked = set(known)
        for command_id in [i for i in self._found if i not in asked]:
            self._drop(command_id, reason)

    def refuse_contradictions(self, ledger: Mapping[str, str]) -> None:
        """Set aside the answers that contradict what this model said before under this prompt: the ledger's stands.

        Args:
            ledger: command_id -> the verdict as it was given, before vetoes.
        """
        for command_id in [i for i, found in self._found.items() if ledger.get(i, found.says[0]) != found.says[0]]:
            self._drop(command_id, "contradicts the verdict in the ledger")

    def _read(self, path: Path) -> None:
        try:
            with path.open("rb") as handle:
                number = 0
                while row := handle.readline(_MAX_ROW):
                    number += 1
                    whole = row.endswith(b"\n") or len(row) < _MAX_ROW
                    while not row.endswith(b"\n") and len(row) == _MAX_ROW and (more := handle.readline(_MAX_ROW)):
                        if more.endswith(b"\n"):
                            break
                    if row.strip():
                        self._take(path.name, number, row if whole else b"")
        except OSError as error:
            raise JudgeError(
                f"the file can't be read ({error.strerror or error})", file=path, remedy="Check the path"
            ) from error

    def _take(self, file: str, number: int, row: bytes) -> None:
        text = row.decode("utf-8-sig" if number == 1 else "utf-8", "replace")
        try:
            record = strict_json(text)
        except (ValueError, RecursionError):
            return self._reject(file, number, "no JSON (damaged or cut off)", text)
        if not isinstance(record, dict) or not isinstance(record.get("custom_id"), str):
            return self._reject(file, number, "without a custom_id", text)
        command_id, _, _ = record["custom_id"].rpartition("-")
        if len(command_id) != _ID_LENGTH or not set(command_id) <= set("0123456789abcdef"):
            return self._reject(file, number, "its custom_id is none of ours", text)
        if record["custom_id"] != custom_id(command_id, self.prompt.sha256):
            return self._reject(file, number, "answers another prompt version", text)
        if not record.keys() & {"verdict", "response", "error"}:
            return self._reject(file, number, "neither an answer nor an error", text)
        reply, fault = _reply_of(record)
        answer = parse_answer(reply.content) if reply is not None and not reply.problem else None
        if reply is None or answer is None:
            self.failed.add(command_id)
            if reply is not None:
                asked = JudgeRequest(command_id, "", "")
                unsound = read_reply(reply, asked, self, latency_s=0.0)
                fault = unsound.note if isinstance(unsound, Unanswered) else fault
            return self._reject(file, number, fault, text)
        says = answer["verdict"], answer.get("injection_suspected") is True
        known = self._found.get(command_id)
        if known is None:
            self._found[command_id] = _Found(reply, says, file, number)
        elif known.says == says:
            self.repeated += 1
        else:
            known.disagrees = True
            self._reject(file, number, _CONTRADICTION, text)
        return None

    def _drop(self, command_id: str, reason: str) -> None:
        found = self._found.pop(command_id)
        self._reject(found.file, found.row, reason, f"{command_id}: {found.reply.content}")

    def _reject(self, file: str, row: int, reason: str, text: str) -> None:
        self.rejects.add(Reject(file, row, reason, text))


def _reply_of(record: dict[str, Any]) -> tuple[Said | None, str]:
    """What a row's model said, made from a bare answer where it is one; else None and why."""
    if "verdict" in record:
        model = record.get("model")
        answer = {key: record.get(key) for key in ANSWER_SCHEMA["required"]}
        return Said(json.dumps(answer), model=model[:100] if isinstance(model, str) else "", usage=Usage(0, 0)), ""
    response = record.get("response")
    if not isinstance(response, dict):
        error = record.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        return None, f"the provider reports an error ({str(code)[:40] if code else 'unnamed'})"
    if response.get("status_code") != 200 or not isinstance(response.get("body"), dict):
        return None, f"the provider answered with status {str(response.get('status_code'))[:10]}"
    return said(response["body"]), ""
