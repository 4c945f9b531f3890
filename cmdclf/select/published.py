"""The published selection: each detector's top anomalies, one of each near-duplicate group."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.select.candidates import anomalous_representatives, check_candidates

__all__ = ["PublishedSelector"]


class PublishedSelector:
    """Takes anomalous representatives by falling anomaly score, in turn from each of the detectors.

    The detectors take turns (in the order of their names), each with the best line of its own that is not taken yet, so
    that the budget is shared evenly between them; what one detector does not use falls to the others.

    Args:
        detectors: only these detectors; None means all that occur.
    """

    name = "published"

    def __init__(self, detectors: tuple[str, ...] | None = None) -> None:
        self.detectors = detectors

    def select(self, candidates: pa.Table, budget: int, *, seed: int = 0) -> pa.StringArray:
        """The command_ids to label, best first; see `Selector.select`. The seed has no effect."""
        table = anomalous_representatives(check_candidates(candidates, budget))
        table = table.sort_by([("anomaly", "descending"), ("command_id", "ascending")])
        owners = table.column("detectors").to_pylist()
        names = self.detectors or tuple(sorted({name for row in owners for name in row}))
        queues = [iter([place for place, row in enumerate(owners) if name in row]) for name in names]
        chosen: dict[int, None] = {}
        while queues and len(chosen) < budget:
            waiting = []
            for queue in queues:
                place = next((p for p in queue if p not in chosen), None)
                if place is not None:
                    waiting.append(queue)
                    if len(chosen) < budget:
                        chosen[place] = None
            queues = waiting
        return pc.take(table.column("command_id").combine_chunks(), pa.array(list(chosen), pa.int64()))
