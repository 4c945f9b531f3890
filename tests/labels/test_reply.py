"""Replies of both APIs, and the strict reading of what a model wrote."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.labels import JudgeRequest, OpenAIJudge, Unanswered
from cmdclf.labels._reply import Usage, parse_answer, read_reply, said
from cmdclf.labels.loopback import answer

SOUND = answer("malicious", 0.75)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text",
    [SOUND, f"  {SOUND}\n", f"```json\n{SOUND}\n```", f"```\n{SOUND}```", f"<think>{answer()} hm</think>\n{SOUND}"],
)
def test_one_object_alone_is_an_answer_also_in_a_code_fence_or_behind_thoughts(text):
    assert parse_answer(text)["verdict"] == "malicious"


@pytest.mark.parametrize(
    "text",
    [
        None, "", "benign", f"The answer is {SOUND}", f"{SOUND} {SOUND}", f"{SOUND} as the line says", f"[{SOUND}]",
        f"```json\n{SOUND}\n```\n```json\n{answer()}\n```", f"<think>{SOUND}", SOUND[:-5], "null", "{}",
        '{"verdict": "malicious", "confidence": 1, "verdict": "benign"}', answer("Benign"), answer(confidence=1.01),
        answer(confidence=-1), answer(confidence=True), answer(confidence=None), answer(confidence=float("inf")),
        "[" * 100_000, '{"verdict": ["benign"], "confidence": 1}'.replace("[", "{").replace("]", "}"),
    ],
)  # fmt: skip
def test_anything_else_is_none(text):
    assert parse_answer(text) is None


def test_a_verdict_that_cannot_be_hashed_is_none():
    assert parse_answer('{"verdict": ["benign"], "confidence": 1}') is None
    assert parse_answer('{"verdict": {"a": 1}, "confidence": 1}') is None


@given(st.text(max_size=60))
def test_text_around_an_answer_never_changes_the_verdict(around):
    for text in (around + SOUND, SOUND + around):
        found = parse_answer(text)
        assert found is None or found["verdict"] == "malicious"


@given(json_values, json_values, json_values)
def test_replies_of_any_shape_are_a_verdict_or_none(a, b, c):
    judge = OpenAIJudge("m", base_url="http://127.0.0.1:9/v1")
    shapes = [
        a,
        {"choices": a, "usage": b, "model": c},
        {"choices": [a]},
        {"choices": [{"message": a, "finish_reason": b}], "usage": {"prompt_tokens": c, "completion_tokens": c}},
        {"choices": [{"message": {"content": a, "refusal": b}}]},
        {"output": a, "status": b, "incomplete_details": c},
        {"output": [a, {"type": "message", "content": b}, {"type": "message", "content": [c]}]},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": a}]}], "usage": b},
    ]
    for body in shapes:
        got = read_reply(said(body), JudgeRequest("0" * 32, "linux", "id"), judge, latency_s=0.0)
        assert isinstance(got, Unanswered)
        assert got.note


def test_tokens_are_counted_under_the_names_of_either_api():
    chat = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    response = {
        "input_tokens": 100,
        "output_tokens": 50,
        "input_tokens_details": {"cached_tokens": 60},
        "output_tokens_details": {"reasoning_tokens": 30},
    }
    for usage in (chat, response):
        assert said({"usage": usage}).usage == Usage(100, 50, 60, 30)
    assert said({"usage": {"prompt_tokens": -1, "completion_tokens": 1}}).usage is None
    assert said({"usage": json.loads('{"prompt_tokens": 1e300, "completion_tokens": 1}')}).usage is None


def test_cached_tokens_cost_their_own_price():
    judge = OpenAIJudge(
        "m", base_url="http://127.0.0.1:9/v1", usd_per_million_in=10, usd_per_million_out=100, usd_per_million_cached=1
    )
    assert judge.cost_usd(Usage(1000, 100, cached_tokens=400)) == pytest.approx((6000 + 400 + 10_000) / 1e6)
