"""Batch files: what is asked, what comes back, and what must not be believed."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import JudgeError
from cmdclf.labels import JudgeRequest, OpenAIJudge, label_lines
from cmdclf.labels._rejects import Rejects
from cmdclf.labels.batch import BatchJudge
from cmdclf.labels.batch_export import custom_id, write_batch
from cmdclf.labels.prompt import Prompt
from cmdclf.labels.requests import requests_for

from .openai_server import MODEL, completion, openai_server
from .openai_server import answer as live_answer

LINES = ["whoami", "net user svc-app P4ssw0rd!x /add", "ipconfig /all", "hostname", "vssadmin list shadows"]


@pytest.fixture
def asked(lines_of, tmp_path):
    """Lines, their ids, and the rows that the export wrote."""
    lines = lines_of(*LINES)
    parts = write_batch(requests_for(lines), tmp_path / "batch", Prompt(), "some-model", effort="low", part_lines=2)
    rows = [json.loads(row) for file in parts.files for row in file.read_text().splitlines()]
    return lines, lines["command_id"].to_pylist(), rows, parts


def answer(command_id, verdict="benign", **more):
    fields = {"verdict": verdict, "confidence": 0.9, "reason": "r", "technique": "", "injection_suspected": False}
    return {"custom_id": custom_id(command_id, Prompt().sha256), **fields, **more}


def provider(command_id, verdict="benign", status=200):
    content = json.dumps({k: v for k, v in answer(command_id, verdict).items() if k != "custom_id"})
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    choices = [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}]
    body = {"id": "c", "object": "chat.completion", "model": "some-model-0101", "choices": choices, "usage": usage}
    row = {"id": "b", "custom_id": custom_id(command_id, Prompt().sha256), "error": None}
    return row | {"response": {"status_code": status, "request_id": "r", "body": body}}


def results(path, rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_parts_are_provider_ready_and_redacted(asked):
    _, ids, rows, parts = asked
    assert [file.name for file in parts.files] == ["part-0001.jsonl", "part-0002.jsonl", "part-0003.jsonl"]
    assert parts.requests == len(rows) == len(LINES)
    assert [row["custom_id"].split("-")[0] for row in rows] == ids
    for row in rows:
        assert (row["method"], row["url"]) == ("POST", "/v1/chat/completions")
        assert row["body"]["model"] == "some-model"
        assert row["body"]["reasoning_effort"] == "low"
        assert row["body"]["response_format"]["json_schema"]["strict"] is True
    assert "P4ssw0rd" not in json.dumps(rows)
    manifest = json.loads((parts.files[0].parent / "batch.json").read_text())
    assert manifest["prompt_sha256"] == Prompt().sha256
    assert manifest["requests"] == len(LINES)


def test_the_same_requests_give_the_same_bytes(lines_of, tmp_path):
    for name in ("a", "b"):
        write_batch(requests_for(lines_of(*LINES)), tmp_path / name, Prompt(), "m")
    assert (tmp_path / "a/part-0001.jsonl").read_bytes() == (tmp_path / "b/part-0001.jsonl").read_bytes()


def test_a_folder_that_holds_something_is_not_written_into(lines_of, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(JudgeError, match="not empty"):
        write_batch(requests_for(lines_of("whoami")), tmp_path, Prompt(), "m")


def test_results_come_in_any_order_and_either_form(asked, store, tmp_path):
    lines, ids, _, _ = asked
    rows = [provider(i) if n % 2 else answer(i, "malicious" if n == 0 else "benign") for n, i in enumerate(ids)]
    random.Random(1).shuffle(rows)
    files = [results(tmp_path / "1", rows[:2]), results(tmp_path / "2", rows[2:])]
    judge = BatchJudge(files, "some-model", usd_per_million_in=1.0)
    report = label_lines(store, judge, lines)
    assert (report.answered, report.pending, report.malicious) == (5, 0, 1)
    assert not judge.rejects
    verdicts = store.verdicts().to_pylist()
    assert {v["judge"] for v in verdicts} == {"batch"}
    assert {v["model"] for v in verdicts} == {"some-model"}
    assert sum(v["cost_usd"] > 0 for v in verdicts) == 2
    assert any("answered by some-model-0101" in v["note"] for v in verdicts)


def test_a_partial_batch_goes_on_later_and_nothing_is_taken_twice(asked, store, tmp_path):
    lines, ids, _, _ = asked
    first = label_lines(store, BatchJudge([results(tmp_path / "1", map(answer, ids[:2]))], "m"), lines)
    again = label_lines(store, BatchJudge([results(tmp_path / "2", map(answer, ids))], "m"), lines)
    assert (first.answered, first.pending, first.new) == (2, 3, 2)
    assert (again.answered, again.pending, again.new) == (5, 0, 3)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"custom_id": "x', "no JSON"),
        ("[1]", "without a custom_id"),
        (json.dumps({"custom_id": "somebody-else"}), "none of ours"),
        (json.dumps(answer("0" * 32) | {"custom_id": "0" * 32 + "-" + "f" * 16}), "another prompt version"),
        (json.dumps(answer("0" * 32, "harmless")), "not the JSON"),
        (json.dumps(answer("0" * 32, confidence=7)), "not the JSON"),
        (json.dumps(provider("0" * 32, status=500)), "status 500"),
        (json.dumps(provider("0" * 32) | {"response": None, "error": {"code": "expired"}}), "an error (expired)"),
        (json.dumps(provider("0" * 32) | {"response": {"status_code": 200, "body": {}}}), "without a message"),
    ],
)  # fmt: skip
def test_a_damaged_row_is_set_aside_and_the_rest_taken(asked, tmp_path, row, reason):
    _, ids, _, _ = asked
    judge = BatchJudge([results(tmp_path / "r", [answer(ids[0]), row, answer(ids[1])])], "m")
    assert judge.command_ids == ids[:2]
    assert [(r.row, reason in r.reason) for r in judge.rejects.first] == [(2, True)]


def test_deeply_nested_json_is_a_damaged_row(asked, tmp_path):
    _, ids, _, _ = asked
    deep = json.dumps(provider(ids[0]))[:-1] + ', "x": ' + "[" * 100_000 + "]" * 100_000 + "}"
    judge = BatchJudge([results(tmp_path / "r", [deep, answer(ids[1])])], "m")
    assert ids[1] in judge.command_ids


def test_contradictory_results_leave_the_line_pending(asked, store, tmp_path):
    lines, ids, _, _ = asked
    rows = [answer(ids[0]), answer(ids[1]), answer(ids[0], "malicious"), answer(ids[1])]
    judge = BatchJudge([results(tmp_path / "r", rows)], "m")
    report = label_lines(store, judge, lines)
    assert report.answered == 1
    assert judge.repeated == 1
    assert judge.command_ids == [ids[1]]
    assert {(r.row, r.reason) for r in judge.rejects.first} == {(n, "results contradict each other") for n in (1, 3)}


def test_a_line_that_was_never_asked_is_set_aside(asked, tmp_path):
    _, ids, _, _ = asked
    judge = BatchJudge([results(tmp_path / "r", [answer("a" * 32), answer(ids[0])])], "m")
    judge.refuse_unknown(ids)
    assert judge.command_ids == ids[:1]
    assert judge.rejects.counts == {"about a line that is not known here": 1}


def test_the_guard_vetoes_a_batch_as_any_judge(lines_of, store, tmp_path):
    lines = lines_of("vssadmin delete shadows /all /quiet")
    ids = lines["command_id"].to_pylist()
    report = label_lines(store, BatchJudge([results(tmp_path / "r", map(answer, ids))], "m"), lines)
    assert (report.benign, report.unsure, report.vetoed) == (0, 1, 1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(JudgeError, match="can't be read"):
        BatchJudge([tmp_path / "none"], "m")


def test_parts_end_at_the_most_requests_and_at_the_most_bytes(lines_of, tmp_path):
    requests = requests_for(lines_of(*[f"tool /n {i}" for i in range(9)]))
    whole = write_batch(requests, tmp_path / "whole", Prompt(), "m").files[0].read_bytes()
    longest = max(len(row) for row in whole.splitlines(keepends=True))
    parts = write_batch(requests, tmp_path / "b", Prompt(), "m", part_bytes=2 * longest)
    assert len(parts.files) == 5
    assert all(file.stat().st_size <= 2 * longest for file in parts.files)
    assert b"".join(file.read_bytes() for file in parts.files) == whole
    for wrong in ({"part_lines": 50_001}, {"part_lines": 0}, {"part_bytes": 200_000_001}, {"part_bytes": 100}):
        with pytest.raises(JudgeError, match="part_"):
            write_batch(requests, tmp_path / f"{wrong}", Prompt(), "m", **wrong)


def test_an_export_that_was_killed_is_made_again_in_its_folder(lines_of, tmp_path):
    requests = requests_for(lines_of(*LINES))

    def killed():
        yield from requests[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_batch(killed(), tmp_path / "b", Prompt(), "m", part_lines=2)
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["part-0001.jsonl"]
    assert write_batch(requests, tmp_path / "b", Prompt(), "m", part_lines=2).requests == 5


def test_rows_for_the_responses_api_name_it_and_its_results_are_read(asked, lines_of, store, tmp_path):
    lines, ids, _, _ = asked
    parts = write_batch(requests_for(lines), tmp_path / "r", Prompt(), "m", api="responses")
    rows = [json.loads(row) for row in parts.files[0].read_text().splitlines()]
    assert {row["url"] for row in rows} == {"/v1/responses"}
    assert all(row["body"]["text"]["format"]["strict"] for row in rows)
    content = json.dumps({k: v for k, v in answer(ids[0], "unsure").items() if k != "custom_id"})
    body = {
        "output": [{"type": "message", "content": [{"type": "output_text", "text": content}]}],
        "status": "completed",
    }
    row = {"custom_id": custom_id(ids[0], Prompt().sha256), "response": {"status_code": 200, "body": body}}
    assert label_lines(store, BatchJudge([results(tmp_path / "f", [row])], "m"), lines).unsure == 1


def test_a_line_that_the_model_answered_live_is_not_taken_from_a_batch_and_the_other_way_round(asked, store, tmp_path):
    lines, ids, _, _ = asked
    with openai_server(lambda *_: completion(live_answer())) as server:
        judge = OpenAIJudge(MODEL, base_url=server.url)
        label_lines(store, judge, lines.slice(0, 2))
        batch = BatchJudge([results(tmp_path / "r", map(answer, ids[:4]))], MODEL)
        assert label_lines(store, batch, lines).new == 2
        report = label_lines(store, judge, lines)
        assert (report.answered, report.new) == (5, 1)
        assert len(server.bodies) == 3
        assert label_lines(store, OpenAIJudge("large-judge", base_url=server.url), lines).new == 5  # another model
    assert len(store.verdict_history(ids[0])) == 2


def test_an_answer_that_contradicts_the_ledger_is_set_aside_and_the_ledger_stands(asked, tmp_path):
    _, ids, _, _ = asked
    judge = BatchJudge([results(tmp_path / "r", [answer(ids[0]), answer(ids[1])])], "m")
    judge.refuse_contradictions({ids[0]: "malicious", ids[1]: "benign"})
    assert judge.command_ids == [ids[1]]
    assert judge.rejects.counts == {"contradicts the verdict in the ledger": 1}


def test_answers_that_differ_in_the_suspicion_of_injection_contradict_each_other(asked, tmp_path):
    _, ids, _, _ = asked
    rows = [answer(ids[0]), answer(ids[0], injection_suspected=True)]
    judge = BatchJudge([results(tmp_path / "r", rows)], "m")
    assert judge.command_ids == []
    assert judge.failed == {ids[0]}


def test_a_name_twice_in_a_row_and_a_request_row_are_no_answers(asked, tmp_path):
    _, ids, rows, _ = asked
    twice = json.dumps(answer(ids[0]))[:-1] + ', "verdict": "malicious"}'
    judge = BatchJudge([results(tmp_path / "r", [twice, rows[0]])], "m")
    assert judge.command_ids == []
    assert [r.reason for r in judge.rejects.first] == ["no JSON (damaged or cut off)", "neither an answer nor an error"]
    assert judge.failed == set()  # nothing came back about them


def test_an_error_that_a_later_answer_mends_is_no_failure(asked, tmp_path):
    _, ids, _, _ = asked
    files = [results(tmp_path / "e", [provider(ids[0], status=500)]), results(tmp_path / "r", [answer(ids[0])])]
    judge = BatchJudge(files, "m")
    assert (judge.command_ids, judge.failed) == ([ids[0]], set())


def test_a_file_with_a_byte_order_mark_and_carriage_returns_is_read(asked, tmp_path):
    _, ids, _, _ = asked
    path = tmp_path / "r"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(answer(i)).encode() for i in ids[:2]))
    assert BatchJudge([path], "m").command_ids == ids[:2]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 400))
def test_damage_anywhere_in_a_file_loses_no_other_row_and_invents_no_verdict(tmp_path_factory, noise, at):
    path = tmp_path_factory.mktemp("r") / "r"
    ids = [f"{i:032x}" for i in range(3)]
    good = [json.dumps(answer(i, "malicious")).encode() + b"\n" for i in ids]
    cut = good[1][: at % len(good[1])]
    path.write_bytes(good[0] + cut + noise.replace(b"\n", b"") + b"\n" + good[2])
    judge = BatchJudge([path], "m")
    assert {ids[0], ids[2]} <= set(judge.command_ids) <= set(ids)
    requests = [JudgeRequest(i, "linux", "id") for i in judge.command_ids]
    assert {verdict.verdict for verdict in judge.judge(requests)} == {"malicious"}


def test_what_is_set_aside_is_in_a_file_whole(asked, tmp_path):
    _, ids, _, _ = asked
    rows = [answer(ids[0]), "x" * 5000, answer("a" * 32)]
    rejects = Rejects(tmp_path / "aside.jsonl")
    judge = BatchJudge([results(tmp_path / "r", rows)], "m", rejects=rejects)
    judge.refuse_unknown(ids)
    rejects.close()
    aside = [json.loads(row) for row in (tmp_path / "aside.jsonl").read_text().splitlines()]
    assert [(row["row"], row["file"]) for row in aside] == [(2, "r"), (3, "r")]
    assert aside[0]["text"].strip() == "x" * 5000
    assert len(judge.rejects) == 2
