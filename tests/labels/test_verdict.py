from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.labels import VERDICT, Verdict, verdicts_table
from cmdclf.labels.verdict import clean_reply


def test_verdicts_become_rows_in_order_and_none_becomes_an_empty_table():
    when = datetime(2026, 11, 24, tzinfo=UTC)
    table = verdicts_table(
        [Verdict("b", "unsure", 0.5, "j", judged_at=when, vetoed_by="x"), Verdict("a", "benign", 1, "j")]
    )
    assert table.schema == VERDICT
    assert table["command_id"].to_pylist() == ["b", "a"]
    assert table["judged_at"][0].as_py() == when
    assert table["vetoed_by"].to_pylist() == ["x", None]
    assert verdicts_table([]).schema == VERDICT


def test_the_ledger_keeps_every_field(store):
    verdict = Verdict(
        "a" * 32, "malicious", 0.25, "j", reason="r", technique="T1105", model="m", effort="low", note="n"
    )
    store.append_verdicts(verdicts_table([verdict]))
    [row] = store.verdicts().to_pylist()
    for name in VERDICT.names:
        assert row[name] == getattr(verdict, name)


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_a_confidence_outside_0_to_1_is_refused(confidence):
    with pytest.raises(ValueError, match=r"0\.\.1"):
        Verdict("a", "benign", confidence, "j")


def test_a_word_that_is_no_verdict_is_refused():
    with pytest.raises(ValueError, match="harmless"):
        Verdict("a", "harmless", 1.0, "j")


@given(st.one_of(st.none(), st.integers(), st.text(st.characters(codec=None)), st.lists(st.text())), st.integers(1, 50))
def test_any_reply_becomes_bounded_storable_text(value, bound):
    text = clean_reply(value, bound)
    text.encode("utf-8")
    assert "\0" not in text
    assert len(text) <= bound
