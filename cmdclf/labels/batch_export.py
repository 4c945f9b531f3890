"""Batch files out: requests as provider-ready JSON lines in parts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cmdclf.errors import JudgeError
from cmdclf.labels._wire import Api, Form, endpoint, request_body
from cmdclf.labels.judge import JudgeRequest
from cmdclf.labels.prompt import Prompt

__all__ = ["MANIFEST", "MOST_BYTES", "MOST_LINES", "BatchParts", "custom_id", "write_batch"]

#: Written last: a folder without it holds an export that was not finished.
MANIFEST = "batch.json"

#: What OpenAI's Batch API takes in one file.
MOST_LINES, MOST_BYTES = 50_000, 200_000_000

_PROMPT_LENGTH = 16


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
    api: Api = "chat",
    form: Form = "json_schema",
    effort: str = "",
    max_completion_tokens: int = 4000,
    part_lines: int = MOST_LINES,
    part_bytes: int = 190_000_000,
) -> BatchParts:
    """Write `part-0001.jsonl` ... and `batch.json` (model, API, prompt, counts) into the folder.

    A row is `{"custom_id", "method": "POST", "url": "/v1/chat/completions" or "/v1/responses", "body"}`, as OpenAI's
    Batch API takes it; the same requests give the same bytes. Parts are written whole or not at all, and the manifest
    last: what an export that was killed left there is written again.

    Raises:
        JudgeError: the folder holds anything else, no model is named, or a part would be larger than providers take.
    """
    if not model:
        raise JudgeError("a batch names its model", remedy="Give --model NAME")
    if not 1 <= part_lines <= MOST_LINES:
        raise JudgeError(f"part_lines must be 1 to {MOST_LINES}, not {part_lines}")
    if not 1 <= part_bytes <= MOST_BYTES:
        raise JudgeError(f"part_bytes must be 1 to {MOST_BYTES}, not {part_bytes}")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    _clear(target)
    parts = _Parts(target, part_lines, part_bytes)
    try:
        for request in requests:
            body = request_body(
                prompt, request, model, api=api, form=form, effort=effort, max_completion_tokens=max_completion_tokens
            )
            name = custom_id(request.command_id, prompt.sha256)
            row = {"custom_id": name, "method": "POST", "url": endpoint(api), "body": body}
            parts.add(json.dumps(row, ensure_ascii=True).encode() + b"\n")
        parts.finish()
    finally:
        parts.drop()
    manifest = {
        "model": model, "api": api, "form": form, "effort": effort, "prompt": prompt.path.name,
        "prompt_sha256": prompt.sha256, "requests": parts.total, "parts": [file.name for file in parts.files],
    }  # fmt: skip
    part = target / f"{MANIFEST}.partial"
    part.write_bytes(json.dumps(manifest, indent=1).encode() + b"\n")
    os.replace(part, target / MANIFEST)
    return BatchParts(tuple(parts.files), parts.total)


def _clear(target: Path) -> None:
    """Remove what an unfinished export left; refuse a folder with anything else in it."""
    names = sorted(path.name for path in target.iterdir())
    if MANIFEST in names or any(not (n.startswith("part-") or n == f"{MANIFEST}.partial") for n in names):
        raise JudgeError("the folder is not empty", file=target, remedy="Name an empty or new folder")
    for name in names:
        (target / name).unlink()


class _Parts:
    """Files that are begun when the one before is full."""

    def __init__(self, target: Path, part_lines: int, part_bytes: int) -> None:
        self.target, self.part_lines, self.part_bytes = target, part_lines, part_bytes
        self.files: list[Path] = []
        self.total = 0
        self._lines = self._bytes = 0
        self._open: BinaryIO | None = None

    def add(self, row: bytes) -> None:
        if len(row) > self.part_bytes:
            raise JudgeError(f"one request takes {len(row)} bytes, more than part_bytes ({self.part_bytes})")
        if self._lines >= self.part_lines or self._bytes + len(row) > self.part_bytes:
            self.finish()
        if self._open is None:
            self._open = self._partial().open("wb")
        self._open.write(row)
        self._lines += 1
        self._bytes += len(row)
        self.total += 1

    def finish(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
            self.files.append(self.target / f"part-{len(self.files) + 1:04d}.jsonl")
            os.replace(self._partial(len(self.files)), self.files[-1])
            self._lines = self._bytes = 0

    def drop(self) -> None:
        """Close and remove a part that was not finished."""
        if self._open is not None:
            self._open.close()
            self._partial().unlink(missing_ok=True)

    def _partial(self, number: int | None = None) -> Path:
        return self.target / f"part-{number or len(self.files) + 1:04d}.jsonl.partial"
