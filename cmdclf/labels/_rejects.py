"""Rows that were not taken: counted, and set aside in a file as they are met, however many there are."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

__all__ = ["Reject", "Rejects"]

#: So many are kept in memory too; the file holds all of them.
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not taken: where it stands, why, and the row itself."""

    file: str
    row: int
    reason: str
    text: str


class Rejects:
    """The rows that an import set aside.

    Args:
        path: JSON lines with file, row, reason and the row's text; None writes none. The file appears when `close` is
            called, and only if there was a row.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self.first: list[Reject] = []
        self._open: TextIO | None = None

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, reject: Reject) -> None:
        """Count the row and set it aside."""
        self.counts[reject.reason] += 1
        if len(self.first) < _KEPT:
            self.first.append(reject)
        if self.path is None:
            return
        if self._open is None:
            self._open = self._part().open("w", encoding="utf-8")
        row = {"file": reject.file, "row": reject.row, "reason": reject.reason, "text": reject.text}
        self._open.write(json.dumps(row, ensure_ascii=True) + "\n")

    def close(self) -> None:
        """Put the file in its place."""
        if self._open is not None and self.path is not None:
            self._open.close()
            self._open = None
            os.replace(self._part(), self.path)

    def _part(self) -> Path:
        assert self.path is not None
        return self.path.with_name(self.path.name + ".part")
