"""Coverage: lines that leave no other line far from a labelled one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.select.candidates import check_candidates

__all__ = ["CoverageSelector"]


class CoverageSelector:
    """Greedy k-center on embeddings: each next line is the one farthest from all taken so far.

    Args:
        embed: lines (n,) -> (n, dim) float32, unit rows.

    Source: Sener and Savarese, Active learning for convolutional neural networks: a core-set approach (2018); the
    greedy algorithm is Gonzalez (1985). Time: budget * n * dim multiplications.
    """

    name = "coverage"

    def __init__(self, embed: Callable[[pa.Table], npt.NDArray[np.float32]] | None = None) -> None:
        self._embed = embed or _bundled

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label, in order; see `Selector.select`. The seed draws the first line."""
        table = check_candidates(candidates, budget)
        table = table.filter(table["representative"])
        n = table.num_rows
        if not n or not budget:
            return pa.array([], pa.string())
        vectors = np.ascontiguousarray(self._embed(table), np.float32)
        at = int(np.random.default_rng(seed).integers(n))
        nearest = np.full(n, -np.inf, np.float32)
        chosen: list[int] = []
        for _ in range(min(budget, n)):
            chosen.append(at)
            np.maximum(nearest, vectors @ vectors[at], out=nearest)
            nearest[at] = np.inf
            at = int(nearest.argmin())
        return table.column("command_id").combine_chunks().take(pa.array(chosen))


def _bundled(lines: pa.Table) -> npt.NDArray[np.float32]:
    from cmdclf.features import load_embedder

    vectors: npt.NDArray[np.float32] = load_embedder("bundled").embed(lines.column("command_line").combine_chunks())
    return vectors
