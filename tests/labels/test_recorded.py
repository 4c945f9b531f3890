import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.errors import JudgeError
from cmdclf.labels import RecordedJudge, Unanswered, label_lines
from cmdclf.labels.requests import requests_for


def record(command_line, verdict="benign", platform="windows", **more):
    return {"command_line": command_line, "platform": platform, "verdict": verdict} | more


def ask(judge, lines):
    return list(judge.judge(requests_for(lines)))


def test_a_recorded_line_gets_its_verdict_and_others_stay_unanswered(lines_of):
    judge = RecordedJudge([record("whoami", "malicious", confidence=0.8, reason="discovery", technique="T1033")])
    hit, miss = ask(judge, lines_of("whoami", "hostname"))
    assert (hit.verdict, hit.confidence, hit.reason, hit.technique) == ("malicious", 0.8, "discovery", "T1033")
    assert isinstance(miss, Unanswered)


def test_the_same_text_on_another_platform_is_another_line(lines_of):
    [only] = ask(RecordedJudge([record("whoami", platform="linux")]), lines_of("whoami"))
    assert isinstance(only, Unanswered)


@pytest.mark.parametrize(
    ("verdict", "p", "confidence"),
    [("malicious", 90, 0.9), ("benign", 10, 0.9), ("unsure", 50, 1.0), ("unsure", 100, 0.0), ("benign", None, 0.5)],
)
def test_p_malicious_becomes_confidence_in_the_verdict(lines_of, verdict, p, confidence):
    [given] = ask(RecordedJudge([record("whoami", verdict, p_malicious=p)]), lines_of("whoami"))
    assert given.confidence == pytest.approx(confidence)


def test_lines_may_be_named_by_command_id_alone(lines_of):
    lines = lines_of("whoami")
    judge = RecordedJudge([{"command_id": lines["command_id"][0].as_py().upper(), "verdict": "Benign "}])
    assert ask(judge, lines)[0].verdict == "benign"
    assert judge.lines.num_rows == 0
    assert judge.command_ids.to_pylist() == lines["command_id"].to_pylist()


def test_the_column_of_the_lines_is_found_or_chosen(lines_of):
    row = record("a") | {"process_command_line": "b"}
    assert isinstance(ask(RecordedJudge([row]), lines_of("b"))[0], Unanswered)
    assert ask(RecordedJudge([row], column="process_command_line"), lines_of("b"))[0].verdict == "benign"
    del row["command_line"]
    assert ask(RecordedJudge([row]), lines_of("b"))[0].verdict == "benign"
    with pytest.raises(JudgeError, match="'cmd'"):
        RecordedJudge([row], column="cmd")


def test_masked_matching_answers_for_lines_that_differ_in_numbers_and_says_so(lines_of):
    recorded = [record("tool.exe --port 4711 --id 17", "malicious")]
    line = lines_of("tool.exe --port 4712 --id 99")
    assert isinstance(ask(RecordedJudge(recorded), line)[0], Unanswered)
    [given] = ask(RecordedJudge(recorded, match="masked"), line)
    assert given.verdict == "malicious"
    assert "matched on masked text" in given.note
    [exact] = ask(RecordedJudge(recorded, match="masked"), lines_of("tool.exe --port 4711 --id 17"))
    assert exact.note == ""


def test_masked_matching_keeps_platforms_apart(lines_of):
    judge = RecordedJudge([record("tool --port 4711", platform="linux")], match="masked")
    assert isinstance(ask(judge, lines_of("tool --port 4712"))[0], Unanswered)


def test_masked_matching_finds_lines_with_secrets_because_both_sides_are_redacted(lines_of):
    judge = RecordedJudge([record("curl --password=hunter2hunter2 --port 4711")], match="masked")
    [given] = ask(judge, lines_of("curl --password=correcthorse --port 4712"))
    assert given.verdict == "benign"


def test_verdicts_that_disagree_for_one_mask_answer_only_for_the_very_lines(lines_of):
    judge = RecordedJudge([record("t --n 4711", "benign"), record("t --n 4712", "malicious")], match="masked")
    first, second, third = ask(judge, lines_of("t --n 4711", "t --n 4712", "t --n 4713"))
    assert (first.verdict, second.verdict) == ("benign", "malicious")
    assert isinstance(third, Unanswered)
    assert "disagree" in third.note


def test_verdicts_that_disagree_for_one_line_give_no_answer(lines_of):
    judge = RecordedJudge([record("whoami", "benign"), record("whoami", "malicious")])
    assert "disagree" in ask(judge, lines_of("whoami"))[0].note


def test_a_mended_file_supersedes_what_it_said_before_and_an_equal_one_adds_nothing(store, lines_of):
    lines = lines_of("whoami", "hostname")
    first, mended = record("whoami", "benign"), record("whoami", "malicious")
    before = label_lines(store, RecordedJudge([first, record("hostname")], name="ledger"), lines)
    again = label_lines(store, RecordedJudge([record("hostname"), first], name="ledger"), lines)
    assert (before.new, again.new, again.benign) == (2, 0, 2)
    after = label_lines(store, RecordedJudge([mended], name="ledger"), lines)
    assert (after.malicious, after.benign, after.pending) == (1, 0, 1)


def test_answers_that_were_found_on_masked_text_do_not_count_for_exact_matching(store, lines_of):
    recorded, line = [record("tool.exe --port 4711")], lines_of("tool.exe --port 17")
    assert label_lines(store, RecordedJudge(recorded, match="masked"), line).answered == 1
    assert label_lines(store, RecordedJudge(recorded), line).answered == 0


def test_json_lines_are_read_as_parquet_is(tmp_path, lines_of):
    rows = [record("whoami", confidence=1.0), record("hostname", "unsure", confidence=0.2)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    lines = lines_of("whoami", "hostname")
    from_json, from_parquet = (ask(RecordedJudge(tmp_path / f"a.{end}"), lines) for end in ("jsonl", "parquet"))
    assert [v.verdict for v in from_json] == [v.verdict for v in from_parquet] == ["benign", "unsure"]
    assert from_json[0].judge == "recorded(a)"


def test_who_spoke_first_is_in_the_note(lines_of):
    judge = RecordedJudge([record("whoami", judge="openai", model="m", note="seen by two")], name="ledger")
    [given] = ask(judge, lines_of("whoami"))
    assert (given.judge, given.model) == ("recorded(ledger)", "m")
    assert given.note == "seen by two; recorded from judge=openai, model=m"


def test_a_veto_of_the_recorded_ledger_is_kept(store, lines_of):
    judge = RecordedJudge([record("whoami", "unsure", vetoed_by="injection:x")])
    report = label_lines(store, judge, lines_of("whoami"))
    assert (report.unsure, report.vetoed) == (1, 1)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"command_line": "a", "platform": "linux"}], "'verdict'"),
        ([{"command_line": "a", "verdict": "benign"}], "platform"),
        ([{"platform": "linux", "verdict": "benign"}], "command_line"),
        ([record("a"), record("b", "harmless")], "row 2"),
        ([record("a"), record("b", None)], "row 2"),
        ([record("a"), record(None)], "row 2"),
        ([record("a"), record("b", platform="amiga")], "amiga"),
        ([record("a", confidence=50.0)], "confidence"),
        ([record("a", confidence=float("nan"))], "confidence"),
        ([record("a", p_malicious=101)], "p_malicious"),
        ([record("a", p_malicious="high")], "p_malicious"),
    ],
)
def test_a_faulty_file_is_an_error_that_names_file_and_place(tmp_path, rows, said):
    path = tmp_path / "verdicts.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(JudgeError, match=said) as error:
        RecordedJudge(path)
    assert "verdicts.parquet" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\x00\xff\x00", b"PAR1 but not really", b"not json\n", b'{"a": \xff}\n'])
def test_an_unreadable_file_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "verdicts.jsonl"
    path.write_bytes(content)
    with pytest.raises(JudgeError, match=r"verdicts\.jsonl"):
        RecordedJudge(path)
    with pytest.raises(JudgeError, match=r"nowhere\.jsonl"):
        RecordedJudge(tmp_path / "nowhere.jsonl")


def test_an_unknown_way_of_matching_is_an_error():
    with pytest.raises(JudgeError, match="fuzzy"):
        RecordedJudge([record("a")], match="fuzzy")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("maybe", "the verdict is missing or unknown"),
        (None, "the column 'verdict' holds null"),
        (1, "holds int64, not"),
    ],
)
def test_a_verdict_that_is_none_of_the_three_is_named_for_what_it_is(verdict, said):
    with pytest.raises(JudgeError, match=said):
        RecordedJudge([record("whoami", verdict)])
