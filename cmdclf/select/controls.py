"""Controls: simple ways to spend the same budget, against which a selection has to show its worth."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.select.candidates import check_candidates
from cmdclf.select.published import PublishedSelector

__all__ = ["EventsSelector", "FrequentSelector", "LongestSelector", "MatchedSelector", "lot"]


def lot(ids: list[str], seed: int) -> npt.NDArray[np.float64]:
    """(n,) float64 above 0 and below 1: each id's lot, the same in every table."""
    salt = f"{seed}|".encode()
    raw = b"".join(blake2b(salt + i.encode(), digest_size=8).digest() for i in ids)
    return (np.frombuffer(raw, ">u8").astype(np.float64) + 1.0) / (2.0**64 + 2.0)


class EventsSelector:
    """Random events: a line is the likelier to be drawn the more often it ran.

    What an analyst labels who takes events as they come. Drawn without replacement, each line's chance in proportion to
    its events.

    Source: Efraimidis and Spirakis, Weighted random sampling with a reservoir (2006).
    """

    name = "events"

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label; see `Selector.select`. Another seed gives another draw."""
        table = check_candidates(candidates, budget)
        ids = table.column("command_id").to_pylist()
        weight = np.maximum(table.column("events").to_numpy().astype(np.float64), 1e-9)
        keys = np.log(lot(ids, seed)) / weight
        return _first(table, np.argsort(-keys, kind="stable"), budget)


class FrequentSelector:
    """The lines that ran most often."""

    name = "frequent"

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label; see `Selector.select`. The seed has no effect."""
        table = check_candidates(candidates, budget)
        return _first(table, np.argsort(-table.column("events").to_numpy(), kind="stable"), budget)


class LongestSelector:
    """The longest lines: what length alone is worth, since anomalies are long."""

    name = "longest"

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label; see `Selector.select`. The seed has no effect."""
        table = check_candidates(candidates, budget)
        return _first(table, np.argsort(-table.column("length").to_numpy(), kind="stable"), budget)


class MatchedSelector:
    """Random lines as long as those of the published selection: what it is worth beyond their length.

    For each line that `PublishedSelector` takes, in its order, a line that is no anomaly: the one nearest in length
    that isn't taken yet, in a random order of lines of equal length.
    """

    name = "matched"

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label; see `Selector.select`. Another seed gives another draw."""
        table = check_candidates(candidates, budget)
        wanted = PublishedSelector().select(table, budget, seed=seed)
        length = dict(zip(table["command_id"].to_pylist(), table["length"].to_pylist(), strict=True))
        rest = table.filter(pc.is_null(table["anomaly"]))
        ids = np.array(rest["command_id"].to_pylist(), object)
        own = rest["length"].to_numpy()
        order = np.lexsort((lot(list(ids), seed), own))
        ids, own = ids[order], own[order]
        free = _Free(len(ids))
        chosen: list[str] = []
        for line in wanted.to_pylist():
            at = int(np.searchsorted(own, length[line]))
            right, left = free.right(at), free.left(at - 1)
            if right is None and left is None:
                break
            nearer_right = left is None or (right is not None and own[right] - length[line] <= length[line] - own[left])
            place = right if nearer_right else left
            assert place is not None
            free.take(place)
            chosen.append(str(ids[place]))
        return pa.array(chosen, pa.string())


class _Free:
    """Which of n places in a row are free, and the nearest free one to either side: union-find in both directions."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._up = list(range(n + 1))
        self._down = list(range(n + 1))

    def right(self, at: int) -> int | None:
        """The first free place from `at` on."""
        found = self._root(self._up, max(0, at))
        return None if found == self._n else found

    def left(self, at: int) -> int | None:
        """The last free place up to `at`."""
        if at < 0:
            return None
        # Place i stands as i + 1, so that 0 means that there is none.
        found = self._root(self._down, at + 1)
        return None if found == 0 else found - 1

    def take(self, at: int) -> None:
        self._up[at] = at + 1
        self._down[at + 1] = at

    @staticmethod
    def _root(links: list[int], at: int) -> int:
        root = at
        while links[root] != root:
            root = links[root]
        while links[at] != root:
            links[at], at = root, links[at]
        return root


def _first(table: pa.Table, order: npt.NDArray[np.intp], budget: int) -> pa.StringArray:
    return table.column("command_id").combine_chunks().take(pa.array(order[:budget]))
