"""Uncertainty sampling, and two selections that share a budget."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import StudyError
from cmdclf.select.candidates import check_candidates
from cmdclf.select.published import PublishedSelector
from cmdclf.select.selector import Selector

__all__ = ["HalvesSelector", "UncertainSelector"]


class UncertainSelector:
    """The lines whose probability is nearest to one half: the current classifier knows least about them.

    Source: Lewis and Gale, A sequential algorithm for training text classifiers (1994).
    """

    name = "uncertain"

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label; see `Selector.select`. The seed has no effect.

        Raises:
            StudyError: a candidate has no classifier score.
        """
        table = check_candidates(candidates, budget)
        table = table.filter(table["representative"])
        scores = table.column("classifier_score")
        lacking = pc.sum(pc.is_null(scores, nan_is_null=True)).as_py() or 0
        if lacking:
            raise StudyError(
                f"uncertainty needs the current classifier's score: {lacking} of {table.num_rows} candidates have none",
                remedy="Train a first classifier before this selection, or choose 'published'",
            )
        order = np.argsort(np.abs(scores.to_numpy() - 0.5), kind="stable")[:budget]
        return table.column("command_id").combine_chunks().take(pa.array(order))


class HalvesSelector:
    """Takes in turn from two selections; by default half uncertain and half anomalous lines.

    Source: Ongun et al., Living-off-the-land command detection using active learning (RAID 2021), who spend each
    round's labels so.

    Args:
        first, second: the selections; what both want counts once, and a smaller one leaves its share to the other.
    """

    name = "halves"

    def __init__(self, first: Selector | None = None, second: Selector | None = None) -> None:
        self.first = UncertainSelector() if first is None else first
        self.second = PublishedSelector() if second is None else second

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label, best first; see `Selector.select`.

        Raises:
            StudyError: one of the two does.
        """
        queues = [iter(s.select(candidates, budget, seed=seed).to_pylist()) for s in (self.first, self.second)]
        chosen: dict[str, None] = {}
        while queues and len(chosen) < budget:
            waiting = []
            for queue in queues:
                line = next((i for i in queue if i not in chosen), None)
                if line is not None:
                    waiting.append(queue)
                    if len(chosen) < budget:
                        chosen[line] = None
            queues = waiting
        return pa.array(list(chosen), pa.string())
