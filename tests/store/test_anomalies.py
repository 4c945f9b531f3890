from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from cmdclf.errors import StoreError
from cmdclf.store import ANOMALIES, GROUPS

DAY, NEXT = date(2026, 3, 1), date(2026, 3, 2)


def _scores(*ids: str, detector: str = "forest") -> pa.Table:
    return pa.table(
        {
            "command_id": list(ids),
            "detector": [detector] * len(ids),
            "score": [float(len(ids) - i) for i in range(len(ids))],
            "rank": list(range(1, len(ids) + 1)),
        }
    )


def test_anomalies_come_back_with_their_key_in_order_of_rank(store):
    store.put_anomalies(NEXT, "full", "s1", _scores("b", "a"))
    store.put_anomalies(DAY, "reduced", "s1", _scores("c", detector="kmeans"))
    table = store.anomalies()
    assert table.schema == ANOMALIES
    assert table.to_pylist()[0] == {
        "day": DAY,
        "scale": "reduced",
        "detector": "kmeans",
        "command_id": "c",
        "score": 1.0,
        "rank": 1,
        "settings": "s1",
    }
    assert table.column("command_id").to_pylist() == ["c", "b", "a"]


def test_anomalies_of_one_day_scale_and_settings_are_replaced_and_others_kept(store):
    store.put_anomalies(DAY, "full", "s1", _scores("a", "b"))
    store.put_anomalies(DAY, "full", "s2", _scores("c"))
    store.put_anomalies(NEXT, "full", "s1", _scores("d"))
    store.put_anomalies(DAY, "full", "s1", _scores("e"))
    assert store.anomalies(settings="s1").column("command_id").to_pylist() == ["e", "d"]
    assert store.anomalies([DAY], settings="s2").column("command_id").to_pylist() == ["c"]
    assert store.anomalies([NEXT]).column("command_id").to_pylist() == ["d"]
    assert store.anomalies(scale="reduced").num_rows == 0
    assert store.anomalies([]).num_rows == 0


def test_anomalies_without_a_column_or_with_nulls_are_refused(store):
    with pytest.raises(StoreError, match="lack the column 'rank'"):
        store.put_anomalies(DAY, "full", "s", _scores("a").drop_columns(["rank"]))
    with pytest.raises(StoreError, match="'score' holds 1 nulls"):
        store.put_anomalies(DAY, "full", "s", _scores("a").set_column(2, "score", pa.nulls(1, pa.float64())))
    with pytest.raises(StoreError, match="'rank' is not int32"):
        store.put_anomalies(DAY, "full", "s", _scores("a").set_column(3, "rank", pa.array(["first"])))


def test_groups_are_kept_per_day_and_settings(store):
    table = pa.table(
        {
            "command_id": ["b", "a"],
            "representative_id": ["a", "a"],
            "level": ["cosine", "exact"],
            "cosine": [0.97, None],
        }
    )
    store.put_groups(DAY, "s", table)
    store.put_groups(NEXT, "s", table.slice(0, 1))
    store.put_groups(NEXT, "s", table.slice(0, 1))
    stored = store.groups("s")
    assert stored.schema == GROUPS
    assert stored.column("command_id").to_pylist() == ["a", "b", "b"]
    assert stored.column("cosine").to_pylist() == [None, 0.97, 0.97]
    assert store.groups("s", [NEXT]).num_rows == 1
    assert store.groups("other").num_rows == 0
