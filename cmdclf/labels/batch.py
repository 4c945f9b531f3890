"""Batch files: requests as provider-ready JSON lines in parts, and whatever comes back as a judge."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cmdclf.errors import JudgeError
from cmdclf.labels._reply import Usage, read_reply
from cmdclf.labels.judge import Answer, JudgeRequest, Unanswered
from cmdclf.labels.prompt import ANSWER_SCHEMA, Prompt

__all__ = ["BATCH", "BatchJudge", "BatchParts", "Reject", "custom_id", "write_batch"]

#: The judge's name in verdicts that came through batch files.
BATCH = "batch"

_MANIFEST = "batch.json"
_ID_LENGTH, _PROMPT_LENGTH = 32, 16
#: No answer needs more; a longer row is damage or an attack on memory.
_MAX_ROW = 4 * 1024 * 1024


def custom_id(command_id: str, prompt_sha256: str) -> str:
    """What joins a result to its request: the line, and the instructions that it was asked under."""
    return f"{command_id}-{prompt_sha256[:_PROMPT_LENGTH]}"


@dataclass(frozen=True, slots=True)
class BatchParts:
    """What an export wrote: the files in order, and how many requests they hold in all."""

    files: tuple[Path, ...]
    requests: int


def write_batch(
    requests: Iterable[JudgeRequest],
    folder: str | Path,
    prompt: Prompt,
    model: str,
    *,
    effort: str = "",
    max_completion_tokens: int = 4000,
    part_lines: int = 50_000,
    part_bytes: int = 190_000_000,
) -> BatchParts:
    """Write `part-0001.jsonl` ... and `batch.json` (model, effort, prompt, counts) into the folder.

    A row is `{"custom_id", "method": "POST", "url": "/v1/chat/completions", "body"}`, as OpenAI's Batch API takes it
    (at most 50,000 rows and 200 MB a file); the same requests give the same bytes. Parts are written whole or not at
    all, and the manifest last.

    Raises:
        JudgeError: the folder holds another batch, or no model is named.
    """
    if not model:
        raise JudgeError("a batch names its model", remedy="Give --model NAME")
    if not 1 <= part_lines <= 50_000:
        raise JudgeError(f"part_lines must be 1 to 50000, not {part_lines}")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    if any(target.iterdir()):
        raise JudgeError("the folder is not empty", file=target, remedy="Name an empty or new folder")
    files: list[Path] = []
    rows: list[bytes] = []
    size = total = 0

    def flush() -> None:
        nonlocal size
        if rows:
            files.append(target / f"part-{len(files) + 1:04d}.jsonl")
            _write(files[-1], b"".join(rows))
            rows.clear()
            size = 0

    for request in requests:
        row = {
            "custom_id": custom_id(request.command_id, prompt.sha256),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": prompt.chat_body(request, model, effort=effort, max_completion_tokens=max_completion_tokens),
        }
        text = json.dumps(row, ensure_ascii=True).encode() + b"\n"
        if len(rows) >= part_lines or (rows and size + len(text) > part_bytes):
            flush()
        rows.append(text)
        size += len(text)
        total += 1
    flush()
    manifest = {
        "model": model, "effort": effort, "prompt": prompt.path.name, "prompt_sha256": prompt.sha256,
        "requests": total, "parts": [file.name for file in files],
    }  # fmt: skip
    _write(target / _MANIFEST, json.dumps(manifest, indent=1).encode() + b"\n")
    return BatchParts(tuple(files), total)


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".partial")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not taken: where it stands, why, and the beginning of it (redacted text, as it was sent)."""

    file: str
    row: int
    reason: str
    text: str


@dataclass(slots=True)
class _Found:
    """The results on one line: the first sound answer, and whether a later one contradicts it."""

    body: dict[str, Any]
    verdict: str
    file: str
    row: int
    disagrees: bool = False


@dataclass(slots=True)
class BatchJudge:
    """Verdicts from result files of a batch, in any order, partial, repeated or damaged.

    A row is the Batch API's (`custom_id`, `response.body` a chat completion, `error`), or an answer alone
    (`custom_id` with `verdict`, `confidence`, `reason`, `technique`, `injection_suspected`): anything that reads JSON
    can be the model. Nothing in a file is trusted: a row that is no JSON, is cut off, names another prompt version, was
    never asked, or says something outside the answer's form is set aside in `rejects`; where two rows contradict each
    other about a line, neither counts and the line stays pending.

    Args:
        files: result and error files.
        prompt: the instructions that were asked under; None: the bundled ones.
        model, effort: what was asked, or what really answered; for the ledger.
        usd_per_million_in, usd_per_million_out: prices; batches usually cost half.

    Attributes:
        rejects: what was not taken.
        repeated: rows that said the same about a line again.

    Raises:
        JudgeError: a file can't be read at all.
    """

    files: Sequence[str | Path]
    model: str
    prompt: Prompt = field(default_factory=Prompt)
    effort: str = ""
    usd_per_million_in: float = 0.0
    usd_per_million_out: float = 0.0
    rejects: list[Reject] = field(default_factory=list)
    repeated: int = 0
    _found: dict[str, _Found] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for file in self.files:
            self._read(Path(file))
        for command_id in [command_id for command_id, found in self._found.items() if found.disagrees]:
            found = self._found.pop(command_id)
            self._reject(found.file, found.row, "results contradict each other", command_id)

    @property
    def name(self) -> str:
        """Always `batch`; the model says who answered."""
        return BATCH

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
                yield read_reply(_namespace(found.body), request, self, latency_s=0.0)

    def refuse_unknown(self, known: Iterable[str]) -> None:
        """Set aside the answers about lines that were never asked: those not among the known command_ids."""
        asked = set(known)
        for command_id in [i for i in self._found if i not in asked]:
            found = self._found.pop(command_id)
            self._reject(found.file, found.row, "about a line that is not known here", command_id)

    def reasons(self) -> dict[str, int]:
        """Why rows were set aside, with counts, most frequent first."""
        return dict(Counter(reject.reason for reject in self.rejects).most_common())

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
        text = row.decode("utf-8", "replace")
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            return self._reject(file, number, "no JSON (damaged or cut off)", text)
        if not isinstance(record, dict) or not isinstance(record.get("custom_id"), str):
            return self._reject(file, number, "without a custom_id", text)
        command_id, _, prompt = record["custom_id"].rpartition("-")
        if len(command_id) != _ID_LENGTH or not set(command_id) <= set("0123456789abcdef"):
            return self._reject(file, number, "its custom_id is none of ours", text)
        if prompt != self.prompt.sha256[:_PROMPT_LENGTH]:
            return self._reject(file, number, "answers another prompt version", text)
        body, fault = _body(record)
        if body is None:
            return self._reject(file, number, fault, text)
        answer = read_reply(_namespace(body), JudgeRequest(command_id, "", ""), self, latency_s=0.0)
        if isinstance(answer, Unanswered):
            return self._reject(file, number, answer.note, text)
        known = self._found.setdefault(command_id, _Found(body, answer.verdict, file, number))
        if known.body is not body:
            self.repeated += 1
            known.disagrees = known.disagrees or known.verdict != answer.verdict
        return None

    def _reject(self, file: str, row: int, reason: str, text: str) -> None:
        self.rejects.append(Reject(file, row, reason, text[:300]))


def _body(record: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """A row's chat completion, made from a bare answer where it is one; else None and why."""
    if "verdict" in record:
        answer = {key: record.get(key) for key in ANSWER_SCHEMA["required"]}
        model = record.get("model")
        tokens = {"prompt_tokens": 0, "completion_tokens": 0}
        named = model if isinstance(model, str) else None
        return {"model": named, "usage": tokens, "choices": [{"message": {"content": json.dumps(answer)}}]}, ""
    response = record.get("response")
    if not isinstance(response, dict):
        error = record.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        return None, f"the provider reports an error ({str(code)[:40] if code else 'unnamed'})"
    if response.get("status_code") != 200 or not isinstance(response.get("body"), dict):
        return None, f"the provider answered with status {str(response.get('status_code'))[:10]}"
    return _plain(response["body"]), ""


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """What `read_reply` looks at, and nothing else: a result file is foreign text of any shape and depth."""
    choices, usage = body.get("choices"), body.get("usage")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = first.get("message")
    kept: dict[str, Any] = {"model": body.get("model"), "choices": []}
    if isinstance(message, dict):
        texts = {key: message.get(key) for key in ("content", "refusal") if isinstance(message.get(key), str)}
        kept["choices"] = [{"message": texts, "finish_reason": str(first.get("finish_reason"))}]
    if isinstance(usage, dict):
        kept["usage"] = {key: usage.get(key) for key in ("prompt_tokens", "completion_tokens")}
    return kept


def _namespace(value: Any) -> Any:
    """JSON as objects with attributes, as the client returns completions."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: _namespace(item) for key, item in value.items()})
    return [_namespace(item) for item in value] if isinstance(value, list) else value
