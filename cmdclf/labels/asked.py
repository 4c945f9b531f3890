"""Which lines are out in batch files: nobody pays for a line twice while an answer may still come back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cmdclf.store import Store

__all__ = ["AskedLines"]

_PER_ROW = 1000


class AskedLines:
    """A journal beside the store: `STORE.asked.jsonl`.

    A row says that lines went out in a batch (`asked`, with batch, model and prompt), or that something about them came
    back (`back`), be it an answer or an error. It is only ever appended to. A row that can't be read (a kill amid the
    writing, a damaged file) is left out and counted.

    Args:
        path: the journal; None keeps none, for a store in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.damaged = 0

    @classmethod
    def of(cls, store: Store) -> AskedLines:
        """The journal that belongs to a store."""
        return cls(None if store.path is None else store.path.with_name(store.path.name + ".asked.jsonl"))

    def add(self, ids: Iterable[str], *, batch: str, model: str, prompt_sha256: str) -> None:
        """These lines go out. Called before the batch is complete: a kill may leave lines out, never unrecorded."""
        self._append("asked", ids, {"batch": batch, "model": model, "prompt_sha256": prompt_sha256})

    def back(self, ids: Iterable[str], *, prompt_sha256: str) -> None:
        """Something about these lines has come back, whoever answered: they are not out any more."""
        self._append("back", ids, {"prompt_sha256": prompt_sha256})

    def out(self, *, model: str, prompt_sha256: str, but_batch: str = "") -> dict[str, str]:
        """The lines that are out under this model and prompt, with the batch; lines of one batch may be left aside."""
        out: dict[str, str] = {}
        for row in self._rows():
            if row["prompt_sha256"] != prompt_sha256:
                continue
            if "back" in row:
                for command_id in row["back"]:
                    out.pop(command_id, None)
            elif row.get("model") == model and row.get("batch") != but_batch:
                out |= dict.fromkeys(row["asked"], str(row.get("batch")))
        return out

    def ever(self, *, prompt_sha256: str) -> set[str] | None:
        """All lines that ever went out under this prompt, whoever was to answer; None where none is recorded."""
        found: set[str] = set()
        for row in self._rows():
            if row["prompt_sha256"] == prompt_sha256:
                found.update(row.get("asked", ()))
        return found or None

    def _append(self, event: str, ids: Iterable[str], more: dict[str, str]) -> None:
        wanted = list(ids)
        if self.path is None or not wanted:
            return
        rows = [{event: wanted[i : i + _PER_ROW], **more} for i in range(0, len(wanted), _PER_ROW)]
        with self.path.open("ab") as handle:
            # A row that a kill cut off must not swallow the next one.
            handle.write(b"\n" + b"".join(json.dumps(row).encode() + b"\n" for row in rows))
            handle.flush()
            os.fsync(handle.fileno())

    def _rows(self) -> Iterator[dict[str, Any]]:
        self.damaged = 0
        if self.path is None or not self.path.exists():
            return
        with self.path.open("rb") as handle:
            for line in handle:
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    ids = row.get("asked", row.get("back"))
                    sound = isinstance(row["prompt_sha256"], str) and all(isinstance(i, str) for i in ids)
                except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
                    sound = False
                if sound:
                    yield row
                else:
                    self.damaged += 1
