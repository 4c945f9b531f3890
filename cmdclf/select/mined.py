"""Hard-negative mining: what the current classifier calls most malicious, one of each near-duplicate group."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import StudyError
from cmdclf.select.candidates import anomalous_representatives, check_candidates

__all__ = ["MinedSelector"]


class MinedSelector:
    """Takes the highest classifier scores, among the most anomalous representatives or among all.

    If such a line turns out benign, it is one of the false alerts that the classifier would raise first, and its label
    is worth most. (Mining hard negatives: K.-K. Sung and T. Poggio, "Example-based learning for view-based human face
    detection", IEEE TPAMI 20, 1998.)

    Args:
        top_share: the pool is this share of the anomalous representatives, by anomaly score; it is
            never smaller than the budget. 1.0 looks at all of them, which pays when the budget is large.
        among: `anomalies`, or `all` representatives, anomalous or not; `top_share` has no meaning then.
    """

    name = "mined"

    def __init__(self, top_share: float = 0.2, *, among: str = "anomalies") -> None:
        if not 0 < top_share <= 1:
            raise ValueError(f"top_share is {top_share}: it must be above 0 and at most 1")
        if among not in ("anomalies", "all"):
            raise ValueError(f"among is '{among}': it must be anomalies or all")
        self.top_share = top_share
        self.among = among

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label, best first; see `Selector.select`. The seed has no effect.

        Raises:
            StudyError: a candidate has no classifier score.
        """
        table = check_candidates(candidates, budget)
        everything = self.among == "all"
        table = table.filter(table["representative"]) if everything else anomalous_representatives(table)
        lacking = pc.sum(pc.is_null(table.column("classifier_score"), nan_is_null=True)).as_py() or 0
        if lacking:
            raise StudyError(
                f"mining needs the current classifier's score: {lacking} of {table.num_rows} candidates have none",
                remedy="Train a first classifier before this selection, or choose 'published'",
            )
        share = 1.0 if everything else self.top_share
        size = max(budget, math.ceil(share * table.num_rows))
        pool = table.sort_by([("anomaly", "descending"), ("command_id", "ascending")]).slice(0, size)
        order = [("classifier_score", "descending"), ("anomaly", "descending"), ("command_id", "ascending")]
        return pool.sort_by(order).slice(0, budget).column("command_id").combine_chunks()
