import asyncio
import threading
import time

import pytest

from cmdclf.errors import JudgeError
from cmdclf.labels import JudgeRequest, OpenAIJudge, Unanswered, Verdict

from .openai_server import MODEL, Reply, answer, completion, fault, openai_server


def judge_at(server, **settings):
    quick = {"api_key": "sk-secret", "backoff_s": 0.001, "max_backoff_s": 0.01, "max_retries": 2, "concurrency": 4}
    return OpenAIJudge(settings.pop("model", MODEL), base_url=server.url, **(quick | settings))


def requests(count, text="whoami"):
    return [JudgeRequest(f"{i:032x}", "windows", f"{text} /n {i}") for i in range(count)]


def ask(judge, count=1):
    return list(judge.judge(requests(count)))


def test_a_verdict_carries_model_prompt_tokens_cost_and_the_raw_reply():
    written = answer("malicious", 0.75, "fetches code", "T1105")
    with openai_server(lambda *_: completion(written, usage=(1000, 100))) as server:
        judge = judge_at(server, usd_per_million_in=2.0, usd_per_million_out=10.0, effort="low")
        [verdict] = ask(judge)
    assert isinstance(verdict, Verdict)
    assert (verdict.verdict, verdict.confidence, verdict.technique) == ("malicious", 0.75, "T1105")
    assert (verdict.judge, verdict.model, verdict.effort) == ("openai", MODEL, "low")
    assert (verdict.prompt_tokens, verdict.completion_tokens) == (1000, 100)
    assert verdict.cost_usd == pytest.approx(0.003)
    assert verdict.raw_reply == written
    assert verdict.prompt_sha256 == judge.prompt.sha256
    assert verdict.latency_s > 0


def test_the_request_asks_for_strict_structured_output_and_names_effort_only_where_set():
    with openai_server() as server:
        ask(judge_at(server))
        ask(judge_at(server, effort="high"))
    plain, with_effort = server.bodies
    form = plain["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["additionalProperties"] is False
    assert sorted(form["json_schema"]["schema"]["required"]) == sorted(form["json_schema"]["schema"]["properties"])
    assert "reasoning_effort" not in plain
    assert "temperature" not in plain
    assert "max_tokens" not in plain
    assert with_effort["reasoning_effort"] == "high"


def test_a_missing_model_is_an_error_that_names_the_setting():
    for missing in (None, ""):
        with pytest.raises(JudgeError, match="'model'"):
            OpenAIJudge(missing, base_url="http://127.0.0.1:1/v1")


def test_without_a_key_openais_own_server_is_not_asked_and_a_local_one_is():
    with pytest.raises(JudgeError, match="OPENAI_API_KEY"):
        OpenAIJudge(MODEL)
    with openai_server() as server:
        assert len(list(OpenAIJudge(MODEL, base_url=server.url).judge(requests(1)))) == 1


def test_a_model_that_the_server_does_not_offer_is_refused_before_anything_is_asked_and_the_offer_is_named():
    with openai_server() as server:
        with pytest.raises(JudgeError, match=f"no-such-model.*{MODEL}"):
            ask(judge_at(server, model="no-such-model"))
        assert server.bodies == []


def test_preflight_accepts_servers_without_a_model_list_and_works_inside_an_event_loop():
    with openai_server() as server:

        async def inside():
            return judge_at(server).preflight()

        assert "offered" in asyncio.run(inside())
        server.models = None
        assert "lists no models" in judge_at(server).preflight()
        assert len(ask(judge_at(server))) == 1


def test_preflight_tells_when_the_model_will_be_shut_down():
    with openai_server() as server:
        server.models = [MODEL]
        server.model_fields = {"shutdown_date": "2027-01-14"}
        assert "2027-01-14" in judge_at(server).preflight()


def test_preflight_of_a_server_that_offers_nothing_or_is_away_is_an_error():
    with openai_server() as server:
        server.models = []
        with pytest.raises(JudgeError, match="none at all"):
            judge_at(server).preflight()
    with pytest.raises(JudgeError, match="base_url"):
        OpenAIJudge(MODEL, base_url="http://127.0.0.1:9/v1", api_key="x").preflight()


def test_a_429_with_retry_after_is_tried_again():
    def script(server, line, body):
        return fault(429, "rate_limit_exceeded", retry_after="0") if len(server.bodies) == 1 else completion(answer())

    with openai_server(script) as server:
        [verdict] = ask(judge_at(server))
        assert verdict.verdict == "benign"
        assert len(server.bodies) == 2


def test_the_wait_is_the_servers_or_doubles_and_never_exceeds_the_bound():
    from cmdclf.labels._server import Fault
    from cmdclf.labels._work import Work

    judge = OpenAIJudge(MODEL, base_url="http://127.0.0.1:9/v1", backoff_s=0.5, max_backoff_s=3.0)
    work = Work(judge, [])
    waits = [work._wait_s(Fault("", "", retry=True), attempt) for attempt in range(5)]
    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert work._wait_s(Fault("", "", retry_after_s=1.5), 0) == 1.5
    assert work._wait_s(Fault("", "", retry_after_s=3600.0), 0) == 3.0


def test_a_used_up_quota_stops_the_run_without_retries_and_keeps_what_was_answered():
    def script(server, line, body):
        return fault(429, "insufficient_quota") if len(server.bodies) > 3 else completion(answer())

    with openai_server(script) as server:
        answers = ask(judge_at(server, concurrency=1), 50)
        assert len(server.bodies) == 4
    assert [type(a) for a in answers] == [Verdict] * 3 + [Unanswered]
    assert answers[-1].stop
    assert "quota" in answers[-1].note


def test_a_server_that_fails_now_and_then_leaves_only_those_lines_pending():
    def script(server, line, body):
        return fault(500) if line["command_line"].endswith((" 3", " 7")) else completion(answer())

    with openai_server(script) as server:
        answers = ask(judge_at(server, max_retries=1), 20)
        assert len(server.bodies) == 22
    unanswered = {a.command_id: a.note for a in answers if isinstance(a, Unanswered)}
    assert unanswered == {f"{3:032x}": "status 500", f"{7:032x}": "status 500"}
    assert sum(isinstance(a, Verdict) for a in answers) == 18


def test_a_server_that_always_fails_ends_the_run_with_an_error_that_names_it():
    with openai_server(lambda *_: fault(503, message="overloaded")) as server:
        with pytest.raises(JudgeError, match=r"in a row failed.*127\.0\.0\.1.*overloaded"):
            ask(judge_at(server, max_retries=0, concurrency=2), 500)
        assert len(server.bodies) < 20


def test_a_server_that_is_not_there_is_an_error_with_a_remedy():
    judge = OpenAIJudge(MODEL, base_url="http://127.0.0.1:9/v1", max_retries=0, check_model=False)
    with pytest.raises(JudgeError, match="base_url"):
        ask(judge, 30)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_key_or_unknown_address_is_an_error_at_once_and_shows_no_key(status):
    with openai_server(lambda *_: fault(status, message="go away")) as server:
        with pytest.raises(JudgeError) as error:
            ask(judge_at(server), 100)
        assert len(server.bodies) <= 4
    assert "sk-secret" not in str(error.value)
    assert "sk-secret" not in repr(judge_at(server))


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        (completion(None, refusal="I can't help with that"), "refused by the model"),
        (completion('{"verdict": "ben', finish="length"), "cut off"),
        (completion(None, finish="content_filter"), "content filter"),
        (completion("```json\n{}\n```"), "not the JSON"),
        (completion("[1, 2"), "not the JSON"),
        (completion("[" * 100_000), "not the JSON"),
        (completion("[]"), "not the JSON"),
        (completion(None), "not the JSON"),
        (completion(answer("harmless")), "not the JSON"),
        (completion(answer(confidence=7)), "not the JSON"),
        (completion(answer(confidence="high")), "not the JSON"),
        (completion(answer(confidence=float("nan"))), "not the JSON"),
        (completion(answer(confidence=True)), "not the JSON"),
        (Reply({"choices": []}), "without a message"),
        (Reply({}), "without a message"),
        (Reply([1]), ""),
        (Reply("<html>"), ""),
        (fault(400, message="context length exceeded"), "refused by the server"),
    ],
)
def test_a_reply_without_a_sound_verdict_leaves_the_line_pending_with_a_note(reply, note):
    with openai_server(lambda *_: reply) as server:
        [only] = ask(judge_at(server, max_retries=0))
    assert isinstance(only, Unanswered)
    assert note in only.note
    assert not only.stop


def test_missing_usage_is_estimated_and_said_so():
    with openai_server(lambda *_: completion(answer(), usage=None)) as server:
        [verdict] = ask(judge_at(server, usd_per_million_in=1.0))
    assert verdict.prompt_tokens > 100
    assert verdict.cost_usd > 0
    assert "estimated" in verdict.note


def test_another_model_name_in_the_reply_is_noted():
    with openai_server(lambda *_: completion(answer(), model="small-judge-2026-01-01")) as server:
        [verdict] = ask(judge_at(server))
    assert (verdict.model, verdict.note) == (MODEL, "answered by small-judge-2026-01-01")


def test_a_reply_with_surrogates_and_nul_becomes_storable_text():
    written = (
        '{"injection_suspected":false,"reason":"a\\ud800b\\u0000c","technique":"x","verdict":"unsure","confidence":1}'
    )
    with openai_server(lambda *_: completion(written)) as server:
        [verdict] = ask(judge_at(server))
    assert verdict.reason == "a?b\\x00c"
    assert verdict.technique == ""
    verdict.raw_reply.encode()


def test_no_more_requests_run_at_the_same_time_than_allowed():
    meeting = threading.Barrier(3)

    def script(server, line, body):
        meeting.wait(timeout=20)  # passes only if three requests are in flight together
        return completion(answer())

    with openai_server(script) as server:
        assert len(ask(judge_at(server, concurrency=3), 12)) == 12
        assert server.most_at_once == 3


def test_the_cost_ceiling_is_never_passed_and_the_run_ends_there():
    with openai_server(lambda *_: completion(answer(), usage=(1000, 1000))) as server:
        judge = judge_at(
            server, usd_per_million_in=1.0, usd_per_million_out=1.0, max_completion_tokens=1000, budget_usd=0.02
        )
        answers = ask(judge, 200)
        asked = len(server.bodies)
        assert [a.note for a in ask(judge, 3)] == ["cost ceiling reached"]  # a further call has no fresh budget
        assert len(server.bodies) == asked
    paid = sum(a.cost_usd for a in answers)
    verdicts = [a for a in answers if isinstance(a, Verdict)]
    assert 5 <= len(verdicts) < 11
    assert paid <= 0.02
    assert paid == pytest.approx(judge.spent_usd)
    assert [a.note for a in answers if isinstance(a, Unanswered) and a.stop] == ["cost ceiling reached"]


def test_a_ceiling_without_prices_is_an_error():
    with pytest.raises(JudgeError, match="prices"):
        OpenAIJudge(MODEL, base_url="http://127.0.0.1:9/v1", budget_usd=1.0)


def test_closing_the_answers_early_ends_the_requests():
    with openai_server() as server:
        answers = judge_at(server, concurrency=1).judge(requests(1000))
        next(answers)
        answers.close()
        seen = len(server.bodies)
        assert seen < 100
        assert not [t for t in threading.enumerate() if t.name == "cmdclf-judge"]


def test_verdicts_come_while_later_requests_are_still_waiting():
    release = threading.Event()

    def script(server, line, body):
        if line["command_line"].endswith(" 1"):
            release.wait(timeout=20)
        return completion(answer())

    with openai_server(script) as server:
        answers = judge_at(server, concurrency=2).judge(requests(2))
        first = next(answers)  # would hang for good if answers were collected before they are given
        release.set()
        assert first.command_id == f"{0:032x}"
        assert len(list(answers)) == 1


def test_no_request_is_no_work():
    judge = OpenAIJudge(MODEL, base_url="http://127.0.0.1:9/v1")
    start = time.monotonic()
    assert list(judge.judge([])) == []
    assert time.monotonic() >= start
