"""Batch files by the provider's own files and batches API: uploaded once, fetched when they are done."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.errors import JudgeError
from cmdclf.labels._server import fault_of
from cmdclf.labels.batch_export import MANIFEST
from cmdclf.labels.verdict import clean_reply

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["PartStatus", "fetch_batch", "submit_batch"]

_STATE = "submitted.json"
#: A batch's metadata names the part by its content, so that a batch is known again even where our note of it is lost.
_MARK = "cmdclf_part"
#: So many of the account's batches are looked through, newest first.
_LOOKED_AT = 2000


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part at the provider.

    Args:
        part: the file's name.
        batch_id: the provider's name for its batch.
        status: in the provider's words (`in_progress`, `completed`, `expired` ...).
        done, failed, total: requests, as the provider counts them.
        files: results and errors that have been fetched.
        new: whether this call submitted it.
    """

    part: str
    batch_id: str
    status: str
    done: int = 0
    failed: int = 0
    total: int = 0
    files: tuple[Path, ...] = ()
    new: bool = False


def submit_batch(folder: str | Path, client: OpenAI) -> list[PartStatus]:
    """Upload each part of an exported batch and have it answered; a part that was submitted before is left alone.

    Notes of what was done stand in `submitted.json` in the folder, written before and after each step. After a kill
    amid a step the provider's own list of batches tells whether it took place.

    Raises:
        JudgeError: the folder is no finished export, the server refuses, or nobody can say whether a part went out.
    """
    target, manifest = _opened(folder)
    state = _state(target)
    with _told(client):
        known: dict[str, str] | None = None
        statuses = []
        for part in manifest["parts"]:
            digest = _digest(target / part)
            entry = state.setdefault(part, {})
            new = False
            if not entry.get("batch_id"):
                if known is None:
                    known = _submitted_before(client, doubtful=bool(entry.get("creating")))
                if digest not in known:
                    if not entry.get("file_id"):
                        with (target / part).open("rb") as handle:
                            entry["file_id"] = client.files.create(file=(part, handle), purpose="batch").id
                        _keep(target, state)
                    entry["creating"] = True
                    _keep(target, state)
                    batch = client.batches.create(
                        input_file_id=entry["file_id"],
                        endpoint="/v1/responses" if manifest.get("api") == "responses" else "/v1/chat/completions",
                        completion_window="24h",
                        metadata={_MARK: digest},
                    )
                    known[digest], new = batch.id, True
                entry["batch_id"] = known[digest]
                entry.pop("creating", None)
                _keep(target, state)
            statuses.append(PartStatus(part, entry["batch_id"], "submitted", new=new))
    return statuses


def fetch_batch(folder: str | Path, client: OpenAI) -> list[PartStatus]:
    """What became of the parts that were submitted; results and errors are fetched into the folder, once.

    `part-0001.jsonl` gives `part-0001.results.jsonl` and `part-0001.errors.jsonl`. A file that arrives shorter than
    the server says it is isn't taken: it stays beside them with `.partial` at its end.

    Raises:
        JudgeError: nothing was submitted from this folder, the server refuses, or a file came short.
    """
    target, manifest = _opened(folder)
    state = _state(target)
    statuses = []
    with _told(client):
        for part in manifest["parts"]:
            batch_id = state.get(part, {}).get("batch_id")
            if not batch_id:
                statuses.append(PartStatus(part, "", "not submitted"))
                continue
            batch = client.batches.retrieve(batch_id)
            files = []
            for kind, file_id in (("results", batch.output_file_id), ("errors", batch.error_file_id)):
                path = target / f"{Path(part).stem}.{kind}.jsonl"
                if file_id and not path.exists():
                    _download(client, file_id, path)
                if path.exists():
                    files.append(path)
            counts: Any = batch.request_counts
            done, failed, total = (int(getattr(counts, name, 0) or 0) for name in ("completed", "failed", "total"))
            status = clean_reply(batch.status, 40)
            statuses.append(PartStatus(part, batch_id, status, done, failed, total, tuple(files)))
    if not any(found.batch_id for found in statuses):
        raise JudgeError("nothing was submitted from this folder", file=target, remedy="Use batch-submit first")
    return statuses


def _opened(folder: str | Path) -> tuple[Path, dict[str, Any]]:
    target = Path(folder)
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
        parts = manifest["parts"]
        sound = isinstance(parts, list) and all(isinstance(p, str) and Path(p).name == p for p in parts)
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        sound = False
    if not sound:
        raise JudgeError(
            f"there is no finished export here ({MANIFEST} is missing or damaged)",
            file=target,
            remedy="Name a folder that export-batch wrote",
        )
    return target, manifest


def _state(target: Path) -> dict[str, dict[str, Any]]:
    path = target / _STATE
    if not path.exists():
        return {}
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        state = None
    if not isinstance(state, dict) or not all(isinstance(entry, dict) for entry in state.values()):
        raise JudgeError(
            "the notes of what was submitted are damaged",
            file=path,
            remedy="Remove the file: the provider's list of batches says what went out",
        )
    return state


def _keep(target: Path, state: dict[str, dict[str, Any]]) -> None:
    part = target / f"{_STATE}.partial"
    with part.open("w", encoding="utf-8") as handle:
        json.dump(state, handle, indent=1)
        handle.flush()
        os.fsync(handle.fileno())
    os.replace(part, target / _STATE)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise JudgeError("a part of the batch can't be read", file=path, remedy="Export the batch again") from error


def _submitted_before(client: OpenAI, *, doubtful: bool) -> dict[str, str]:
    """Digest of a part -> its batch, by the provider's list; one that failed before it began doesn't count."""
    from openai import APIStatusError

    try:
        found: dict[str, str] = {}
        for batch in islice(client.batches.list(limit=100), _LOOKED_AT):
            digest = (batch.metadata or {}).get(_MARK)
            if digest and batch.status != "failed":
                found.setdefault(digest, batch.id)
        return found
    except APIStatusError as error:
        if error.status_code not in (404, 405, 501) or doubtful:
            raise
        return {}


def _download(client: OpenAI, file_id: str, path: Path) -> None:
    part = path.with_name(path.name + ".partial")
    with client.files.with_streaming_response.content(file_id) as response:
        response.stream_to_file(part)
    stated, size = client.files.retrieve(file_id).bytes, part.stat().st_size
    if isinstance(stated, int) and stated != size:
        raise JudgeError(
            f"the file came short: {size:,} of {stated:,} bytes", file=part, remedy="Run the same command again"
        )
    os.replace(part, path)


@contextmanager
def _told(client: OpenAI) -> Iterator[None]:
    """The server's refusals as our errors."""
    from openai import OpenAIError

    try:
        yield
    except OpenAIError as error:
        fault = fault_of(error)
        raise JudgeError(f"the server {client.base_url}: {fault.message}", remedy=fault.remedy) from None
