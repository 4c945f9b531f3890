"""Batch files: what is asked, what comes back, and what must not be believed."""

import json
import random

import pytest

from cmdclf.errors import JudgeError
from cmdclf.labels import label_lines
from cmdclf.labels.batch import BatchJudge
from cmdclf.labels.batch_export import custom_id, write_batch
from cmdclf.labels.prompt import Prompt
from cmdclf.labels.requests import requests_for

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
