"""Batch files by command: no line is paid for twice, and nothing that comes back is believed or lost."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main
from cmdclf.labels.loopback import RULES_MODEL, Loopback
from cmdclf.store import Store

TEXTS = [f"tool /n {i}" for i in range(6)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("CMDCLF_MODEL", RULES_MODEL)
    rows = {"platform": ["linux"] * len(TEXTS), "command_line": TEXTS, "label": ["benign"] * len(TEXTS)}
    pq.write_table(pa.table(rows), tmp_path / "lines.parquet")
    return tmp_path


def label(folder, action, *more):
    given = ["label", action, "--store", folder / "s.duckdb", "--lines", folder / "lines.parquet", *more]
    return main([str(part) for part in given])


def verdicts_in(folder):
    with Store.open(folder / "s.duckdb") as store:
        return store.verdicts().to_pylist()


def exported(folder, name="b"):
    assert label(folder, "export-batch", "--out", folder / name) == 0
    return [json.loads(row)["custom_id"] for row in (folder / name / "part-0001.jsonl").read_text().splitlines()]


def answers(folder, *rows):
    fields = {"confidence": 1, "reason": "", "technique": "", "injection_suspected": False}
    path = folder / "back.jsonl"
    path.write_text(
        "".join(json.dumps({"custom_id": name, "verdict": verdict, **fields}) + "\n" for name, verdict in rows)
    )
    return path


def test_lines_that_are_out_are_asked_neither_live_nor_by_another_batch_until_something_comes_back(folder, capsys):
    names = exported(folder)
    assert label(folder, "export-batch", "--out", folder / "c") == 0
    with Loopback() as server:
        asked = ("run", "--base-url", server.url)
        assert label(folder, *asked) == 0
        assert server.count == 0
        assert capsys.readouterr().out.count("6 lines are out in a batch") == 2
        back = answers(folder, *[(name, "benign") for name in names[:2]])
        with back.open("a") as handle:
            handle.write(json.dumps({"custom_id": names[2], "response": None, "error": {"code": "expired"}}) + "\n")
        assert label(folder, "import-batch", back) == 0
        assert label(folder, *asked) == 0
        assert [line["command_line"] for line in server.lines] == [TEXTS[2]]
        assert label(folder, *asked, "--again") == 0
        assert server.count == 4
    assert len(verdicts_in(folder)) == 6


def test_what_was_never_asked_or_contradicts_the_ledger_is_set_aside_by_name(folder, capsys):
    label(folder, "export-batch", "--out", folder / "b", "--limit", 2)
    names = [json.loads(row)["custom_id"] for row in (folder / "b/part-0001.jsonl").read_text().splitlines()]
    assert label(folder, "import-batch", answers(folder, (names[0], "malicious"))) == 0
    others = exported(folder, "d")  # four more
    (folder / "s.duckdb.asked.jsonl").write_text(
        (folder / "s.duckdb.asked.jsonl").read_text().replace(others[3][:32], "")
    )
    back = answers(folder, (names[0], "benign"), (names[1], "benign"), (others[3], "benign"))
    capsys.readouterr()
    assert label(folder, "import-batch", back, "--rejects", folder / "aside.jsonl") == 0
    err = capsys.readouterr().err
    assert "1 x not taken: contradicts the verdict in the ledger" in err
    assert "1 x not taken: about a line that was never asked" in err
    aside = [json.loads(row) for row in (folder / "aside.jsonl").read_text().splitlines()]
    assert sorted(row["row"] for row in aside) == [1, 3]
    assert sorted(row["verdict"] for row in verdicts_in(folder)) == ["benign", "malicious"]
    assert label(folder, "import-batch", back, "--unasked") == 0
    assert len(verdicts_in(folder)) == 3


def test_a_batch_is_submitted_fetched_and_imported_by_command(folder, capsys):
    exported(folder)
    with Loopback() as server:
        for _ in range(2):
            assert main(["label", "batch-submit", str(folder / "b"), "--base-url", server.url]) == 0
        assert main(["label", "batch-fetch", str(folder / "b"), "--base-url", server.url]) == 0
        assert server.count == 6
    assert "6 of 6 done, 0 failed" in capsys.readouterr().out
    assert label(folder, "import-batch", folder / "b/part-0001.results.jsonl") == 0
    assert {row["model"] for row in verdicts_in(folder)} == {RULES_MODEL}


def test_an_export_for_the_responses_api_and_another_form(folder):
    asked = ("export-batch", "--out", folder / "b", "--api", "responses", "--form", "json_object")
    assert label(folder, *asked) == 0
    row = json.loads((folder / "b/part-0001.jsonl").read_text().splitlines()[0])
    assert row["url"] == "/v1/responses"
    assert row["body"]["text"] == {"format": {"type": "json_object"}}


def test_a_run_tells_tokens_and_stops_cleanly_at_a_used_up_quota(folder, capsys):
    from cmdclf.labels.loopback import Failure

    with Loopback(failures=[Failure("quota", after=3)]) as server:
        assert label(folder, "run", "--base-url", server.url, "--concurrency", 1, "--api", "responses") == 2
    told = capsys.readouterr()
    assert "insufficient_quota" in told.err
    assert "completion tokens (0 reasoning)" in told.out
    assert len(verdicts_in(folder)) == 3


def test_prompts_are_listed_checked_and_compared(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["label", "prompts"]) == 0
    assert "judge-v1" in capsys.readouterr().out
    (folder / "mine.md").write_text("You are a judge. Answer with `verdict`.")
    assert main(["label", "prompts", "--check", "mine.md"]) == 2
    assert "lacks a benign example" in capsys.readouterr().out
    with Loopback() as server:
        asked = ["label", "compare-prompts", "--truth", "lines.parquet", "--prompt", "judge-v1", "--prompt", "mine.md"]
        asked += ["--base-url", server.url, "--json", "c.json"]
        for _ in range(2):
            assert main(asked) == 0
            assert server.count == 12
        assert main([*asked, "--prompt", "mine.md"]) == 2
    out = capsys.readouterr().out
    assert "McNemar exact p = 1" in out
    assert json.loads((folder / "c.json").read_text())["prompts"][0]["answered"] == 6


def test_a_comparison_refuses_a_studys_store(folder, capsys):
    from datetime import UTC, date, datetime

    events = {"event_time": pa.array([datetime(2026, 11, 2, tzinfo=UTC)], pa.timestamp("us", tz="UTC"))}
    events |= {"platform": ["linux"], "command_line": ["id"], "count": pa.array([1], pa.int32())}
    none = pa.array([None], pa.string())
    events |= {name: none for name in ("image", "parent_image", "parent_command_line", "user", "host")}
    pq.write_table(pa.table(events), folder / "day.parquet")
    with Store.open(folder / "s.duckdb") as store:
        store.add_day(date(2026, 11, 2), [folder / "day.parquet"])
    asked = ["--truth", folder / "lines.parquet", "--prompt", "judge-v1", "--cache", folder / "s.duckdb"]
    assert main(["label", "compare-prompts", *map(str, asked), "--base-url", "http://127.0.0.1:9/v1"]) == 2
    assert "study's store" in capsys.readouterr().err


def test_a_failure_that_is_not_known_is_one_sentence(capsys):
    assert main(["label", "serve-loopback", "--fail", "flood"]) == 2
    assert "'flood'" in capsys.readouterr().err
