"""Batches by the files and batches API: submitted once whatever happens, fetched whole or not at all."""

import json

import pytest

from cmdclf.errors import JudgeError
from cmdclf.labels import OpenAIJudge, label_lines
from cmdclf.labels.batch import BatchJudge
from cmdclf.labels.batch_export import write_batch
from cmdclf.labels.loopback import RULES_MODEL, Failure, Loopback
from cmdclf.labels.prompt import Prompt
from cmdclf.labels.provider_batches import fetch_batch, submit_batch
from cmdclf.labels.requests import requests_for


def client_of(server):
    return OpenAIJudge(RULES_MODEL, base_url=server.url).files_client()


@pytest.fixture
def lines(lines_of):
    return lines_of(*[f"tool /n {i}" for i in range(7)])


def export(lines, folder, api="chat"):
    write_batch(requests_for(lines), folder, Prompt(), RULES_MODEL, api=api, part_lines=3)
    return folder


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_batch_goes_to_the_provider_and_comes_back_as_verdicts(api, lines, store, tmp_path):
    folder = export(lines, tmp_path / "b", api)
    with Loopback() as server:
        assert [(s.part, s.new) for s in submit_batch(folder, client_of(server))] == [
            (f"part-000{n}.jsonl", True) for n in (1, 2, 3)
        ]
        found = fetch_batch(folder, client_of(server))
        assert [(s.status, s.done, s.failed) for s in found] == [("completed", n, 0) for n in (3, 3, 1)]
        assert server.count == 7
    judge = BatchJudge([path for s in found for path in s.files], RULES_MODEL)
    assert label_lines(store, judge, lines).answered == 7
    assert not len(judge.rejects)


def test_no_part_is_submitted_twice_neither_by_notes_nor_without_them(lines, tmp_path):
    folder = export(lines, tmp_path / "b")
    with Loopback() as server:
        first = submit_batch(folder, client_of(server))
        again = submit_batch(folder, client_of(server))
        (folder / "submitted.json").unlink()
        lost = submit_batch(folder, client_of(server))
        assert server.count == 7
        assert len(server.batches.batches) == 3
    for later in (again, lost):
        assert [s.batch_id for s in later] == [s.batch_id for s in first]
        assert not any(s.new for s in later)


def test_a_kill_between_the_batch_and_its_note_does_not_submit_it_again(lines, tmp_path):
    folder = export(lines, tmp_path / "b")
    with Loopback() as server:
        submit_batch(folder, client_of(server))
        notes = json.loads((folder / "submitted.json").read_text())
        known = notes["part-0002.jsonl"].pop("batch_id")
        notes["part-0002.jsonl"]["creating"] = True
        (folder / "submitted.json").write_text(json.dumps(notes))
        assert submit_batch(folder, client_of(server))[1].batch_id == known
        assert len(server.batches.batches) == 3


def test_failed_rows_come_in_the_error_file_and_lost_ones_stay_pending(lines, store, tmp_path):
    folder = export(lines, tmp_path / "b")
    failures = [
        Failure("500", after=0, times=1),
        Failure("drop", after=1, times=1),
        Failure("refusal", after=2, times=1),
    ]
    with Loopback(failures=failures) as server:
        submit_batch(folder, client_of(server))
        found = fetch_batch(folder, client_of(server))
    files = [path for s in found for path in s.files]
    assert [path.name for path in files][:2] == ["part-0001.results.jsonl", "part-0001.errors.jsonl"]
    judge = BatchJudge(files, RULES_MODEL)
    assert label_lines(store, judge, lines).answered == 4
    assert judge.rejects.counts == {"the provider answered with status 500": 1, "refused by the model": 1}
    assert len(judge.failed) == 2


def test_a_result_file_that_comes_short_is_not_taken(lines, tmp_path):
    folder = export(lines, tmp_path / "b")
    with Loopback(failures=[Failure("cut-file")]) as server:
        submit_batch(folder, client_of(server))
        with pytest.raises(JudgeError, match="came short"):
            fetch_batch(folder, client_of(server))
        assert not list(folder.glob("*.results.jsonl"))
        server.failures.clear()
        assert len(fetch_batch(folder, client_of(server))) == 3


def test_folders_that_are_no_finished_export_are_named(lines, tmp_path):
    with Loopback() as server:
        client = client_of(server)
        with pytest.raises(JudgeError, match=r"batch\.json"):
            submit_batch(tmp_path, client)
        (tmp_path / "batch.json").write_text('{"parts": ["../elsewhere"]}')
        with pytest.raises(JudgeError, match=r"batch\.json"):
            submit_batch(tmp_path, client)
        folder = export(lines, tmp_path / "b")
        with pytest.raises(JudgeError, match="nothing was submitted"):
            fetch_batch(folder, client)
        (folder / "submitted.json").write_text("{")
        with pytest.raises(JudgeError, match="damaged"):
            submit_batch(folder, client)
        (folder / "submitted.json").unlink()
        (folder / "part-0001.jsonl").unlink()
        with pytest.raises(JudgeError, match="part-0001"):
            submit_batch(folder, client)


def test_a_server_without_batches_is_an_error_with_its_name(lines, tmp_path):
    folder = export(lines, tmp_path / "b")
    client = OpenAIJudge("m", base_url="http://127.0.0.1:9/v1").files_client().with_options(max_retries=0)
    with pytest.raises(JudgeError, match=r"127\.0\.0\.1"):
        submit_batch(folder, client)
