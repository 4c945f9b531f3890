"""Both APIs on the wire, and servers that don't know what they are asked for."""

import pytest

from cmdclf.errors import JudgeError
from cmdclf.labels import OpenAIJudge, Unanswered, Verdict

from .openai_server import MODEL, Reply, answer, completion, fault, openai_server
from .test_openai_judge import ask, judge_at


def test_the_responses_api_is_asked_for_the_same_schema_and_not_to_store_the_line():
    with openai_server(lambda *_: completion(answer("malicious"), usage=(1000, 100))) as server:
        judge = judge_at(server, api="responses", effort="low", usd_per_million_in=1.0)
        [verdict] = ask(judge)
    assert server.paths == ["/v1/responses"]
    [body] = server.bodies
    assert body["text"]["format"]["strict"] is True
    assert body["text"]["format"]["schema"]["additionalProperties"] is False
    assert body["reasoning"] == {"effort": "low"}
    assert body["store"] is False
    assert "messages" not in body
    assert (verdict.verdict, verdict.prompt_tokens, verdict.completion_tokens) == ("malicious", 1000, 100)
    assert verdict.cost_usd == pytest.approx(0.001)
    assert verdict.note == ""


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        (completion(None, refusal="no"), "refused by the model"),
        (completion('{"verd', finish="length"), "cut off"),
        (completion(None, finish="content_filter"), "content filter"),
        (completion("prose"), "not the JSON"),
        (Reply({"object": "response", "status": "completed", "output": []}), "without a message"),
        (Reply({"output": [{"type": "reasoning", "summary": []}]}), "without a message"),
        (Reply({"status": "failed", "error": {"code": "server_error", "message": "x"}}), "failed at the server"),
        (Reply({"status": "failed"}), "failed at the server"),
        (Reply({"error": {"code": "invalid_prompt", "message": "x"}}), "invalid_prompt"),
    ],
)
def test_a_response_without_a_sound_verdict_leaves_the_line_pending_with_a_note(reply, note):
    with openai_server(lambda *_: reply) as server:
        [only] = ask(judge_at(server, api="responses", max_retries=0))
    assert isinstance(only, Unanswered)
    assert note in only.note


def test_a_quota_that_is_reported_inside_a_response_stops_the_run():
    with openai_server(lambda *_: Reply({"error": {"code": "insufficient_quota", "message": "x"}})) as server:
        [only] = ask(judge_at(server, api="responses", concurrency=1), 5)
    assert only.stop


def knowing(*forms, field="max_completion_tokens"):
    """A server that takes these answer forms only, and answers in a code fence where no form was asked for."""

    def script(server, line, body):
        if field not in body and "messages" in body:
            return fault(400, message="unknown field max_completion_tokens, use max_tokens")
        form = body.get("response_format", body.get("text", {}).get("format", {})).get("type", "text")
        if form not in forms:
            return fault(400, message=f"response_format / text.format: '{form}' is not supported")
        return completion(answer() if form != "text" else f"```json\n{answer()}\n```")

    return script


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("known", [("json_object", "text"), ("text",)])
def test_a_server_without_schemas_is_asked_in_a_weaker_form_from_then_on_and_the_verdicts_say_so(api, known):
    with openai_server(knowing(*known)) as server:
        judge = judge_at(server, api=api, concurrency=1)
        answers = ask(judge, 6)
        assert len(server.bodies) == 6 + 3 - len(known)  # each weaker form is learnt once
        assert len(ask(judge, 2)) == 2
        assert len(server.bodies) == 8 + 3 - len(known)
    assert all(isinstance(a, Verdict) and known[0] in a.note for a in answers)


def test_requests_side_by_side_give_up_no_more_than_the_server_refuses():
    with openai_server(knowing("json_object", "text")) as server:
        judge = judge_at(server, concurrency=8)
        assert all(isinstance(a, Verdict) for a in ask(judge, 40))
        assert judge.dialect.form == "json_object"
        assert len(server.bodies) <= 48


def test_a_server_that_knows_the_old_name_of_the_bound_only_gets_that():
    with openai_server(knowing("json_schema", field="max_tokens")) as server:
        [verdict] = ask(judge_at(server))
        assert server.bodies[-1]["max_tokens"] > 0
        assert "max_completion_tokens" not in server.bodies[-1]
    assert verdict.note == ""


def test_a_server_that_refuses_every_form_leaves_the_line_and_ends():
    with openai_server(lambda *_: fault(400, message="response_format? never heard")) as server:
        [only] = ask(judge_at(server))
        assert len(server.bodies) == 3
    assert isinstance(only, Unanswered)


def test_the_server_is_slowed_down_for_before_it_has_to_refuse():
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        clock[0] += seconds

    headers = {"x_ratelimit_remaining_requests": "0", "x_ratelimit_reset_requests": "7s"}
    clock = [0.0]
    with openai_server(lambda *_: completion(answer(), **headers)) as server:
        judge = judge_at(server, concurrency=1, max_backoff_s=60.0)
        judge.pace.clock, judge.pace.sleep = lambda: clock[0], sleep
        assert len(ask(judge, 4)) == 4
    assert slept == [7.0] * 3


def test_a_model_may_be_named_once_for_all_in_the_environment(monkeypatch):
    monkeypatch.setenv("CMDCLF_MODEL", "house-model")
    assert OpenAIJudge(base_url="http://127.0.0.1:9/v1").model == "house-model"
    assert OpenAIJudge("other", base_url="http://127.0.0.1:9/v1").model == "other"
    with pytest.raises(JudgeError, match="API"):
        OpenAIJudge(MODEL, base_url="http://127.0.0.1:9/v1", api="legacy")
