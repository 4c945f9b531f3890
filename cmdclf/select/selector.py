"""The seam: candidates and a budget in, chosen lines out."""

from __future__ import annotations

from typing import Protocol

import pyarrow as pa

__all__ = ["Selector"]


class Selector(Protocol):
    """A way to spend a labelling budget."""

    @property
    def name(self) -> str:
        """What `get_selector` calls it."""
        ...

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label, best first.

        Deterministic, whatever the order of the candidates; no id twice; at most `budget` of them, fewer only where
        there are no more that qualify.

        Args:
            candidates: CANDIDATES.
            budget: the most lines that may be chosen.
            seed: for selectors that draw; the others ignore it.
        """
        ...
