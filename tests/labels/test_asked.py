from cmdclf.labels import OpenAIJudge, label_lines
from cmdclf.labels.asked import AskedLines
from cmdclf.labels.loopback import RULES_MODEL, Loopback

IDS = [f"{i:032x}" for i in range(2500)]


def journal_at(tmp_path):
    return AskedLines(tmp_path / "s.duckdb.asked.jsonl")


def test_lines_are_out_until_something_comes_back_and_only_under_their_model_and_prompt(tmp_path):
    journal = journal_at(tmp_path)
    journal.add(IDS, batch="one", model="m", prompt_sha256="p")
    assert set(journal.out(model="m", prompt_sha256="p")) == set(IDS)
    assert journal.out(model="other", prompt_sha256="p") == {}
    assert journal.out(model="m", prompt_sha256="q") == {}
    assert journal.out(model="m", prompt_sha256="p", but_batch="one") == {}
    journal.back(IDS[:2000], prompt_sha256="p")
    assert set(journal.out(model="m", prompt_sha256="p")) == set(IDS[2000:])
    journal.add(IDS[:1], batch="two", model="m", prompt_sha256="p")
    assert journal.out(model="m", prompt_sha256="p")[IDS[0]] == "two"
    assert journal.ever(prompt_sha256="p") == set(IDS)
    assert journal.ever(prompt_sha256="q") is None


def test_a_row_that_a_kill_cut_off_or_a_hand_damaged_costs_that_row_alone(tmp_path):
    journal = journal_at(tmp_path)
    journal.add(IDS[:1500], batch="one", model="m", prompt_sha256="p")
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-40] + b'\n[]\n{"asked": 5, "prompt_sha256": "p"}\n{"asked": [')
    journal.add(IDS[2000:2001], batch="two", model="m", prompt_sha256="p")
    assert set(journal.out(model="m", prompt_sha256="p")) == {*IDS[:1000], IDS[2000]}
    assert journal.damaged == 4


def test_a_store_in_memory_keeps_no_journal():
    journal = AskedLines(None)
    journal.add(IDS, batch="one", model="m", prompt_sha256="p")
    assert journal.out(model="m", prompt_sha256="p") == {}
    assert journal.ever(prompt_sha256="p") is None


def test_a_live_judge_leaves_lines_that_are_out_and_counts_them(store, lines_of):
    lines = lines_of("whoami", "hostname", "id")
    with Loopback() as server:
        judge = OpenAIJudge(RULES_MODEL, base_url=server.url)
        ids = lines["command_id"].to_pylist()
        AskedLines.of(store).add(ids[:2], batch="one", model=RULES_MODEL, prompt_sha256=judge.prompt_sha256)
        report = label_lines(store, judge, lines)
        assert (report.answered, report.pending, report.notes) == (1, 2, {"out in a batch": 2})
        assert server.count == 1
        assert label_lines(store, judge, lines, again=True).answered == 3
        assert server.count == 3
