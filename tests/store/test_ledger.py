from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import StoreError
from cmdclf.store import REVIEW_MARKS, VERDICT_COSTS, VERDICT_COUNTS, VERDICTS, Store
from cmdclf.store.migrations import MIGRATIONS, migrate


def _rows(*rows: tuple[str, str, str], **more) -> pa.Table:
    ids, verdicts, judges = zip(*rows, strict=True)
    return pa.table(
        {"command_id": ids, "verdict": verdicts, "judge": judges} | {k: [v] * len(rows) for k, v in more.items()}
    )


def test_the_latest_verdict_of_a_line_counts_and_its_history_stays(store):
    store.append_verdicts(_rows(("b", "benign", "llm"), ("a", "unsure", "llm"), confidence=0.9, cost_usd=0.5))
    store.append_verdicts(_rows(("b", "malicious", "person"), note="seen it"))
    latest = store.verdicts()
    assert latest.schema == VERDICTS
    assert latest.select(["command_id", "verdict", "judge"]).to_pylist() == [
        {"command_id": "a", "verdict": "unsure", "judge": "llm"},
        {"command_id": "b", "verdict": "malicious", "judge": "person"},
    ]
    assert store.verdicts(["b", "unknown"]).num_rows == 1
    assert store.verdicts(judge="llm").column("verdict").to_pylist() == ["unsure", "benign"]
    history = store.verdict_history("b")
    assert history.column("verdict").to_pylist() == ["benign", "malicious"]
    assert history.column("confidence").to_pylist() == [0.9, None]


def test_two_verdicts_for_one_line_in_one_batch_keep_their_order(store):
    store.append_verdicts(_rows(("a", "benign", "llm"), ("a", "malicious", "llm"), ("a", "unsure", "llm")))
    assert store.verdicts().column("verdict").to_pylist() == ["unsure"]


def test_verdicts_are_counted_by_judge_verdict_and_veto(store):
    store.append_verdicts(_rows(("a", "benign", "llm"), ("b", "benign", "llm"), cost_usd=0.25))
    store.append_verdicts(_rows(("c", "unsure", "llm"), vetoed_by="rule:certutil"))
    store.append_verdicts(_rows(("a", "malicious", "person")))
    counts = store.verdict_counts()
    assert counts.schema == VERDICT_COUNTS
    assert [tuple(row.values()) for row in counts.to_pylist()] == [
        ("llm", "benign", False, 1, 0.25),
        ("llm", "unsure", True, 1, 0.0),
        ("person", "malicious", False, 1, 0.0),
    ]


def test_a_verdict_without_a_time_gets_the_stores(tmp_path):
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    then = datetime(2025, 1, 1, tzinfo=UTC)
    with Store.open(tmp_path / "s", clock=lambda: now) as store:
        store.append_verdicts(_rows(("a", "benign", "llm")))
        store.append_verdicts(_rows(("b", "benign", "llm"), judged_at=then))
        assert store.verdicts().column("judged_at").to_pylist() == [now, then]


def test_a_clock_that_jumps_back_changes_no_verdict(tmp_path):
    clock = iter(datetime(2026, 3, day, tzinfo=UTC) for day in (9, 1, 5))
    with Store.open(tmp_path / "s", clock=lambda: next(clock)) as store:
        for verdict in ("benign", "malicious", "unsure"):
            store.append_verdicts(_rows(("a", verdict, "llm")))
        assert store.verdicts()["verdict"].to_pylist() == ["unsure"]
        assert store.verdict_history("a")["judged_at"].to_pylist() == [
            datetime(2026, 3, day, tzinfo=UTC) for day in (9, 1, 5)
        ]
    with Store.open(tmp_path / "s") as store:
        assert store.verdicts()["verdict"].to_pylist() == ["unsure"]
        assert [b["verdict"].to_pylist() for b in store.verdict_batches()] == [["benign", "malicious", "unsure"]]


def test_a_ledger_of_an_older_store_keeps_its_rows_and_their_order(tmp_path):
    path = tmp_path / "old.duckdb"
    with duckdb.connect(str(path)) as connection:
        migrate(connection, MIGRATIONS[:4])
        connection.execute(
            "insert into verdict(command_id, verdict, judge, judged_at)"
            " values ('a', 'benign', 'llm', now()), ('a', 'malicious', 'person', now())"
        )
    with Store.open(path) as store:
        store.append_verdicts(_rows(("a", "unsure", "person"), reviewer="Ada", supersedes=2))
        history = store.verdict_history("a")
        assert history.schema == VERDICTS
        assert history["seq"].to_pylist() == [1, 2, 3]
        assert history["reviewer"].to_pylist() == [None, None, "Ada"]
        assert history["supersedes"].to_pylist() == [None, None, 2]
        assert store.marks().num_rows == 0


def test_costs_count_superseded_rows_too_by_utc_day_and_model(store):
    at = datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-1)))  # in UTC the next day
    paid = {"cost_usd": 0.5, "prompt_tokens": 100, "completion_tokens": 10, "judged_at": at, "model": "m"}
    store.append_verdicts(_rows(("a", "benign", "llm"), latency_s=2.0, **paid))
    store.append_verdicts(_rows(("a", "malicious", "llm"), latency_s=4.0, **paid))
    store.append_verdicts(_rows(("b", "benign", "person"), judged_at=at))
    costs = store.verdict_costs()
    assert costs.schema == VERDICT_COSTS
    assert [tuple(row.values()) for row in costs.to_pylist()] == [
        (date(2026, 3, 2), "llm", "m", 2, 200, 20, 1.0, 3.0),
        (date(2026, 3, 2), "person", "", 1, 0, 0, 0.0, 0.0),
    ]


def test_each_judges_latest_word_on_a_line(store):
    for verdict, model in (("benign", "m1"), ("malicious", "m1"), ("unsure", "m2")):
        store.append_verdicts(_rows(("a", verdict, "llm"), model=model))
    store.append_verdicts(_rows(("a", "benign", "person"), reviewer="Ada"))
    store.append_verdicts(_rows(("a", "malicious", "person"), reviewer="Bo"))
    assert store.verdicts_by_judge()["seq"].to_pylist() == [2, 3, 4, 5]


def test_marks_are_replaced_by_kind_and_batch_and_keep_their_order(store):
    store.put_marks("audit", "1", pa.table({"command_id": ["b", "a"], "value": [0.5, None]}))
    store.put_marks("suspect", "1", pa.table({"command_id": ["c"]}))
    store.put_marks("audit", "1", pa.table({"command_id": ["z", "a", "b"], "seq": [3, 2, 1]}))
    assert store.marks("audit")["command_id"].to_pylist() == ["z", "a", "b"]
    assert store.marks().schema == REVIEW_MARKS
    assert store.marks().num_rows == 4
    with pytest.raises(StoreError, match="lack the column 'command_id'"):
        store.put_marks("audit", "1", pa.table({"seq": [1]}))
    assert store.marks("audit").num_rows == 3


def test_rows_that_are_no_verdicts_are_refused_as_a_whole(store):
    with pytest.raises(StoreError, match="'harmless' is no verdict"):
        store.append_verdicts(_rows(("a", "benign", "llm"), ("b", "harmless", "llm")))
    with pytest.raises(StoreError, match="lack the column 'judge'"):
        store.append_verdicts(_rows(("a", "benign", "llm")).drop_columns(["judge"]))
    assert store.verdicts().num_rows == 0


def test_a_paid_verdict_survives_the_rollback_of_the_stage_around_it(store):
    with pytest.raises(KeyError), store.stage("label", settings="s"):  # noqa: PT012
        store.append_verdicts(_rows(("a", "benign", "llm")))
        assert store.verdicts().num_rows == 1
        raise KeyError
    assert store.verdicts().num_rows == 1
    assert store.stages().num_rows == 0


@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.sampled_from(["benign", "malicious", "unsure"])),
            min_size=1,
            max_size=5,
        ),
        max_size=5,
    )
)
def test_the_ledger_behaves_like_a_list_whatever_the_batches(batches):
    flat = [row for batch in batches for row in batch]
    with Store.open(":memory:") as store:
        for batch in batches:
            store.append_verdicts(_rows(*((i, v, "j") for i, v in batch)))
        latest = store.verdicts()
        assert dict(zip(latest["command_id"].to_pylist(), latest["verdict"].to_pylist(), strict=True)) == dict(flat)
        for i in "abc":
            assert store.verdict_history(i)["verdict"].to_pylist() == [v for j, v in flat if j == i]
