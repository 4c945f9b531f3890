"""What is measured of a fitted arm in its month."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.classify import auc
from cmdclf.proof.month import BASELINES, Month
from cmdclf.study.config import Baseline

__all__ = ["EVENTS_A_DAY", "Judged"]

#: The events that false alerts per day are given for.
EVENTS_A_DAY = 50_000_000
_LATE_FPR = 1e-3

#: Rows of a month's lines in, (n,) scores out.
Scores = Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]


@dataclass
class Judged:
    """The tests of a month, for any number of models."""

    month: Month

    @cached_property
    def rows(self) -> npt.NDArray[np.int64]:
        """(n,) places of the incident test's lines."""
        return self.month.rows(self.month.test.lines["command_id"])

    @cached_property
    def _splits(self) -> dict[Baseline, tuple[npt.NDArray[np.int64], npt.NDArray[np.int8]]]:
        """The baselines' labels on lines of the test days that the training days don't hold."""
        seen = self.month.distinct["command_id"].combine_chunks()
        found = {}
        for name in BASELINES:
            table = self.month.splits[name]
            fresh = table.filter(pc.invert(pc.is_in(table["command_id"], value_set=seen)))
            fresh = fresh.filter(pc.is_in(fresh["source"], value_set=pa.array(["rules", "frequent"])))
            found[name] = (self.month.rows(fresh["command_id"]), fresh["label"].to_numpy())
        return found

    def scores_and_figures(self, scores: Scores, baseline: Baseline) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """((n,) scores of the incident test, figures of the days after training).

        Figures: `time_split_auc` as published; `late_fpr`: the share of the test days' benign events that score at
        least as high as nine tenths of the incident test's malicious lines; `alerts_a_day`: that share of 50 million
        events; `late_tpr`: the share of malicious test lines found where one benign event in 1,000 alerts.
        """
        month = self.month
        test = scores(self.rows)
        bad = month.test.labels == 1
        late = month.late
        benign = ~late.malicious
        later, events = scores(late.rows)[benign], late.events[benign].astype(np.float64)
        threshold = np.quantile(test[bad], 0.1, method="lower")
        share = float(events[later >= threshold].sum() / events.sum())
        order = np.argsort(-later, kind="stable")
        spent = np.cumsum(events[order]) / events.sum()
        at = int(np.searchsorted(spent, _LATE_FPR, side="right"))
        limit = later[order][min(at, len(later) - 1)]
        rows, labels = self._splits[baseline]
        both = 0 < int(labels.sum()) < len(labels)
        return test.astype(np.float32), {
            "time_split_auc": round(auc(labels, scores(rows)), 6) if both else None,
            "late_fpr": share,
            "alerts_a_day": round(share * EVENTS_A_DAY),
            "late_tpr": float((test[bad] > limit).mean()),
        }
