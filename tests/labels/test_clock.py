"""A clock that jumps back changes no verdict that counts: rows are ordered by their number, not by their time."""

from datetime import UTC, datetime, timedelta

from cmdclf.labels import Verdict, label_lines, standing_verdicts, verdicts_table
from cmdclf.labels.labeller import judge_verdicts
from cmdclf.labels.verdict import PERSON

from .openai_server import answer, completion, openai_server
from .test_openai_judge import judge_at

NOW = datetime(2026, 11, 2, tzinfo=UTC)


def said(command_id, verdict, judge, hours, text_sha256="0" * 64):
    return Verdict(
        command_id, verdict, 0.9, judge, model="m", prompt_sha256="p", judged_at=NOW + timedelta(hours=hours),
        text_sha256=text_sha256,
    )  # fmt: skip


def test_the_later_row_counts_although_its_time_is_earlier(store):
    for verdict, hours in (("malicious", 0), ("unsure", 5), ("benign", -48)):
        store.append_verdicts(verdicts_table([said("a" * 32, verdict, "openai", hours)]))
    assert store.verdicts()["verdict"].to_pylist() == ["benign"]
    assert standing_verdicts(store)["verdict"].to_pylist() == ["benign"]
    assert store.verdict_history("a" * 32)["verdict"].to_pylist() == ["malicious", "unsure", "benign"]
    assert sum(row["lines"] for row in store.verdict_counts().to_pylist()) == 1


def test_a_persons_word_stands_whatever_the_clock_said_before_and_after(store):
    store.append_verdicts(verdicts_table([said("a" * 32, "benign", PERSON, -48)]))
    store.append_verdicts(verdicts_table([said("a" * 32, "malicious", "openai", 48)]))
    assert standing_verdicts(store)["verdict"].to_pylist() == ["benign"]


def test_of_verdicts_under_several_names_the_later_row_is_the_judges(store):
    class Either:
        name, model, prompt_sha256, answered_as = "openai", "m", "p", ("openai", "batch")

    rows = [
        said("a" * 32, "benign", "batch", 9),
        said("b" * 32, "unsure", "openai", 9),
        said("a" * 32, "unsure", "openai", 0),
    ]
    store.append_verdicts(verdicts_table(rows))
    found = judge_verdicts(store, Either(), None)
    assert dict(zip(found["command_id"].to_pylist(), found["verdict"].to_pylist(), strict=True)) == {
        "a" * 32: "unsure", "b" * 32: "unsure",
    }  # fmt: skip


def test_a_line_answered_in_the_clocks_future_is_not_asked_again(store, lines_of):
    lines = lines_of("whoami")
    with openai_server(lambda *_: completion(answer())) as server:
        judge = judge_at(server)
        [command_id] = lines["command_id"].to_pylist()
        verdict = Verdict(
            command_id, "unsure", 0.5, "openai", model=judge.model, prompt_sha256=judge.prompt_sha256,
            judged_at=NOW + timedelta(days=4000), text_sha256="0" * 64,
        )  # fmt: skip
        store.append_verdicts(verdicts_table([verdict]))
        assert label_lines(store, judge, lines).new == 0
        assert server.bodies == []
