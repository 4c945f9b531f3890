"""One reviewer's way through the queue: the line at hand, verdicts, skipping, taking back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from cmdclf.errors import JudgeError
from cmdclf.labels.person import record_verdict, reviewer_name, withdraw_verdict
from cmdclf.labels.review import AUDIT
from cmdclf.store import Store

__all__ = ["ReviewSession"]


class ReviewSession:
    """Verdicts of one person on the lines of a queue, one after the other.

    The store is open for the moment of each verdict only, so that others can work in between. Nothing is kept but in
    the ledger: whoever begins anew gets the lines that still wait, the skipped ones among them.

    Args:
        path: the store.
        queue: what `review_queue` gave.
        reviewer: the person's name.
        lines: LINES, texts that the store may not hold.

    Attributes:
        at: place of the line at hand in the queue.
        given: (place, verdict) of the verdicts that count, in order.

    Raises:
        JudgeError: there is no proper name.
    """

    def __init__(self, path: Path, queue: pa.Table, reviewer: str, lines: pa.Table | None = None) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = queue.to_pylist()
        self.reviewer = reviewer_name(reviewer)
        self.lines = lines
        self.given: list[tuple[int, str]] = []
        self.at = 0

    @property
    def current(self) -> dict[str, Any] | None:
        """The line at hand as a row of QUEUE; None at the end."""
        return self.rows[self.at] if self.at < len(self.rows) else None

    @property
    def blind(self) -> bool:
        """Whether what was said of the line at hand should stay hidden: an audit asks for an independent verdict."""
        return self.current is not None and AUDIT in self.current["reasons"]

    @property
    def left(self) -> int:
        """How many lines of the queue have no verdict of this session."""
        return len(self.rows) - len({place for place, _ in self.given})

    def give(
        self, verdict: str, *, command_id: str | None = None, reason: str = "", technique: str = ""
    ) -> dict[str, Any]:
        """The row that the ledger now holds of the line at hand; the next line comes to hand.

        Args:
            verdict: benign, malicious or unsure.
            command_id: the line that the person saw: a key that is pressed twice must not judge a line unseen.
            reason, technique: in the person's words.

        Raises:
            JudgeError: the queue is at its end, another line is at hand by now, or there is no such verdict.
            StoreError: the store is open in another process. Nothing has changed then.
        """
        current = self.current
        if current is None or command_id not in (None, current["command_id"]):
            raise JudgeError("another line is at hand by now", remedy="Look at it first")
        with Store.open(self.path) as store:
            history = record_verdict(
                store,
                current["command_id"],
                verdict,
                self.reviewer,
                reason=reason,
                technique=technique,
                lines=self.lines,
            )
        self.given.append((self.at, verdict))
        self.at += 1
        row: dict[str, Any] = history.slice(history.num_rows - 1).to_pylist()[0]
        return row

    def skip(self) -> None:
        """The next line comes to hand, this one waits."""
        self.at = min(self.at + 1, len(self.rows))

    def undo(self) -> bool:
        """Take the last verdict back and have its line at hand again; False where there is none.

        Raises:
            JudgeError: somebody else's verdict stands on the line by now.
            StoreError: the store is open in another process. Nothing has changed then.
        """
        if not self.given:
            return False
        place = self.given[-1][0]
        with Store.open(self.path) as store:
            withdraw_verdict(store, self.rows[place]["command_id"], self.reviewer)
        self.given.pop()
        self.at = place
        return True
