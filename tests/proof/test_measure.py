"""What is measured of a fitted arm, on a month made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.proof.measure import EVENTS_A_DAY, Judged
from cmdclf.proof.month import Late

#: Ten lines: 0 to 3 are the incident test (0 and 1 malicious), 4 to 7 the test days, 8 and 9 other training lines.
IDS = [f"id{n}" for n in range(10)]


def _labelled(ids, labels, sources):
    return pa.table({"command_id": ids, "label": pa.array(labels, pa.int8()), "source": sources})


def _month(events=(90, 9, 1, 5), malicious=(False, False, False, True)):
    lines = pa.table({"command_id": IDS[:4]})
    rows = {i: n for n, i in enumerate(IDS)}
    # id4 was seen in training; id7 was labelled by an expert: neither is part of the time split.
    split = _labelled([*IDS[4:8], "id9"], [0, 0, 1, 1, 1], ["frequent", "frequent", "rules", "labelled", "rules"])
    return SimpleNamespace(
        test=SimpleNamespace(lines=lines, labels=np.array([1, 1, 0, 0], np.int8)),
        late=Late(np.arange(4, 8), np.array(events), np.array(malicious)),
        splits={"ab": split, "rb": split.filter(pa.array([True, True, False, False, False]))},
        distinct=pa.table({"command_id": ["id4", "id8"]}),
        rows=lambda ids: np.array([rows[i] for i in (ids if isinstance(ids, list) else ids.to_pylist())]),
    )


def _scores(*values):
    return lambda rows: np.array(values)[rows]


def test_late_alerts_are_events_of_benign_lines_at_least_as_high_as_nine_tenths_of_the_incident():
    # The tenth part of two malicious lines is below the lower one: 0.6.
    test, figures = Judged(_month()).scores_and_figures(_scores(0.9, 0.6, 0.1, 0.2, 0.1, 0.6, 0.7, 0.99, 0, 0.8), "ab")
    assert test.dtype == np.float32
    assert test == pytest.approx([0.9, 0.6, 0.1, 0.2])
    assert figures["late_fpr"] == pytest.approx(10 / 100)
    assert figures["alerts_a_day"] == EVENTS_A_DAY / 10


def test_late_tpr_is_what_is_found_above_one_benign_event_in_a_thousand():
    month = _month(events=(9989, 10, 1, 5))
    both = Judged(month).scores_and_figures(_scores(0.9, 0.65, 0, 0, 0.1, 0.6, 0.7, 0.99, 0, 0), "ab")[1]
    # One event in 10,000 at 0.7 may alert; the ten at 0.6 may not: whatever is above 0.6 is found.
    assert both["late_tpr"] == 1.0
    one = Judged(month).scores_and_figures(_scores(0.9, 0.6, 0, 0, 0.1, 0.6, 0.7, 0.99, 0, 0), "ab")[1]
    assert one["late_tpr"] == 0.5
    flood = Judged(_month(events=(1, 1, 998, 5))).scores_and_figures(
        _scores(0.7, 0.6, 0, 0, 0.1, 0.6, 0.7, 0.99, 0, 0), "ab"
    )[1]
    assert flood["late_tpr"] == 0.0


def test_malicious_events_of_the_test_days_are_no_false_alerts():
    figures = [
        Judged(_month(events=(90, 9, 1, many))).scores_and_figures(_scores(0.9, 0.9, 0, 0, 0, 0, 0, 1, 0, 0), "ab")[1]
        for many in (1, 10**6)
    ]
    assert figures[0] == figures[1]
    assert figures[0]["late_fpr"] == 0.0


def test_the_time_split_is_of_new_lines_that_the_baseline_itself_labels():
    # id5 (benign) against id6 and id9 (malicious): one pair right, one wrong.
    scores = _scores(0.9, 0.8, 0, 0, 1.0, 0.5, 0.4, 0.0, 0, 0.6)
    assert Judged(_month()).scores_and_figures(scores, "ab")[1]["time_split_auc"] == 0.5
    assert Judged(_month()).scores_and_figures(scores, "rb")[1]["time_split_auc"] is None
