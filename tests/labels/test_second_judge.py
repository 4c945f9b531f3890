import pytest

from cmdclf.errors import JudgeError
from cmdclf.labels import TwoJudges, label_lines, standing_verdicts
from cmdclf.labels.judge import Judge, JudgeRequest, Unanswered

from .test_labeller import PRECISE, Saying, texts


class Silent(Saying):
    """Has no quota left."""

    def judge(self, requests):
        for request in requests:
            self.seen.append(request)
            yield Unanswered(request.command_id, "no quota", stop=True)


def by_judge(store, judge):
    rows = store.verdicts(None, judge=judge.name, model=judge.model, prompt_sha256=judge.prompt_sha256)
    return [row["verdict"] for row in rows.to_pylist()]


def test_what_both_call_benign_is_benign_and_both_verdicts_are_kept(store, lines_of):
    pair = TwoJudges(Saying(name="a", cost_usd=0.5), Saying(name="b", cost_usd=0.25))
    report = label_lines(store, pair, lines_of("whoami"))
    assert (report.asked, report.benign, report.unsure, report.new, report.cost_usd) == (1, 1, 0, 1, 0.75)
    assert [by_judge(store, judge) for judge in (pair.first, pair.second, pair)] == [["benign"]] * 3


@pytest.mark.parametrize("other", ["malicious", "unsure"])
def test_disagreement_about_benign_gives_unsure_and_says_who_said_what(store, lines_of, other):
    pair = TwoJudges(Saying(name="a"), Saying(other, name="b"))
    assert label_lines(store, pair, lines_of("whoami")).unsure == 1
    (row,) = standing_verdicts(store, judge=pair).to_pylist()
    assert row["vetoed_by"] == f"second judge:b says {other}"
    assert standing_verdicts(store).to_pylist()[0]["verdict"] == "unsure"


def test_the_second_is_asked_only_about_what_the_first_calls_benign(store, lines_of):
    pair = TwoJudges(Saying("malicious", name="a"), Saying(name="b"))
    assert label_lines(store, pair, lines_of("whoami")).malicious == 1
    assert pair.second.seen == []
    vetoed = TwoJudges(Saying(name="c"), Saying(name="d"))
    assert label_lines(store, vetoed, lines_of(PRECISE)).vetoed == 1
    assert vetoed.second.seen == []


def test_always_asks_both_and_any_difference_is_unsure(store, lines_of):
    pair = TwoJudges(Saying("malicious", name="a"), Saying("benign", name="b"), always=True)
    assert label_lines(store, pair, lines_of("whoami")).unsure == 1
    assert len(pair.second.seen) == 1


def test_a_run_without_the_seconds_answer_stays_pending_and_is_not_paid_for_twice(store, lines_of):
    first = Saying(name="a")
    report = label_lines(store, TwoJudges(first, Silent(name="b")), lines_of("whoami"))
    assert (report.pending, report.stopped) == (1, "no quota")
    assert label_lines(store, TwoJudges(first, Saying(name="b")), lines_of("whoami")).benign == 1
    assert len(texts(first)) == 1


def test_the_pair_is_a_judge_of_its_own(store, lines_of):
    pair = TwoJudges(Saying(name="a"), Saying("unsure", name="b"))
    assert isinstance(pair, Judge)
    (answer,) = pair.judge([JudgeRequest("0" * 32, "linux", "id")])
    assert (answer.verdict, answer.judge) == ("unsure", "a+b")
    label_lines(store, pair, lines_of("id"))
    label_lines(store, pair, lines_of("id"))
    assert len(pair.first.seen) == 2


def test_a_judge_cannot_second_itself():
    with pytest.raises(JudgeError, match="same"):
        TwoJudges(Saying(), Saying())
