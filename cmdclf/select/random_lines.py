"""The control: random distinct lines."""

from __future__ import annotations

from hashlib import blake2b
from heapq import nsmallest

import pyarrow as pa

from cmdclf.select.candidates import check_candidates

__all__ = ["RandomSelector"]


class RandomSelector:
    """Takes lines in the order of a seeded hash of their command_id, among all candidates, anomalous or not.

    Every distinct line is equally likely, whatever its frequency. A smaller budget's choice is the beginning of a
    larger one's, and a line chosen stays chosen when candidates are added until lines with smaller hashes push it out.
    """

    name = "random"

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label; see `Selector.select`. Another seed gives another draw."""
        ids = check_candidates(candidates, budget).column("command_id").to_pylist()
        salt = f"{seed}|".encode()
        drawn = nsmallest(budget, ids, key=lambda i: (blake2b(salt + i.encode(), digest_size=16).digest(), i))
        return pa.array(drawn, pa.string())
