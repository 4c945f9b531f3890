from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import StoreError
from cmdclf.store import VERDICT_COUNTS, VERDICTS, Store


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
