"""What a person is asked to look at, in which order, and what a person's word does."""

import dataclasses
import subprocess
import sys

import pyarrow as pa
import pytest

from cmdclf.errors import JudgeError, StoreError
from cmdclf.labels import Verdict, standing_verdicts, verdicts_table
from cmdclf.labels.neighbours import LabelledNeighbours
from cmdclf.labels.odd import odd_characters
from cmdclf.labels.person import full_id, record_verdict, reviewer_name, withdraw_verdict
from cmdclf.labels.review import AUDIT, QUEUE, SUSPECT, review_queue
from cmdclf.labels.session import ReviewSession
from cmdclf.store import LINES, Store


def say(store, *rows, judge="llm", **more):
    """(command_id, verdict, confidence) of one judge into the ledger."""
    store.append_verdicts(
        verdicts_table([Verdict(i, v, c, judge, text_sha256="0" * 64, model="m", **more) for i, v, c in rows])
    )


@pytest.fixture
def lines(lines_of):
    """Eight lines without anything that a guard objects to."""
    table = lines_of(*(("linux", f"ls -l /srv/data{i}") for i in range(8)))
    return table.append_column("parent_command_line", pa.nulls(8, pa.string())).cast(LINES)


@pytest.fixture
def ids(lines):
    return lines["command_id"].to_pylist()


def queued(store, lines, **more):
    return review_queue(store, lines=lines, **more)["command_id"].to_pylist()


def test_every_reason_is_found_and_a_calm_verdict_is_left_alone(store, lines, ids):
    say(store, (ids[0], "benign", 0.99))
    say(store, (ids[1], "unsure", 0.5), vetoed_by="rule:x")
    say(store, (ids[2], "unsure", 0.5), (ids[3], "benign", 0.6), (ids[4], "benign", 0.9), (ids[5], "malicious", 0.95))
    say(store, (ids[4], "malicious", 0.9), judge="other")
    store.put_marks(SUSPECT, "1", pa.table({"command_id": [ids[5]], "value": [0.4]}))
    queue = review_queue(store, lines=lines)
    assert queue.schema == QUEUE
    reasons = dict(zip(queue["command_id"].to_pylist(), queue["reasons"].to_pylist(), strict=True))
    assert reasons == {
        ids[4]: ["judges disagree"],
        ids[5]: ["suspect"],
        ids[1]: ["vetoed"],
        ids[2]: ["unsure"],
        ids[3]: ["low confidence"],
    }
    assert list(reasons) == [ids[4], ids[5], ids[1], ids[2], ids[3]]
    values = queue["value"].to_pylist()
    assert values == sorted(values, reverse=True)
    assert queued(store, lines, only=["vetoed", "suspect"]) == [ids[5], ids[1]]


def test_what_more_lines_depend_on_comes_first(store, lines, ids):
    say(store, (ids[0], "unsure", 0.5), (ids[1], "unsure", 0.5), (ids[2], "benign", 0.99))
    members = [f"{i:032x}" for i in range(30)]
    heads = [ids[1]] * 10 + [ids[2]] * 20
    groups = pa.table({"command_id": members, "representative_id": heads, "level": ["masked"] * 30})
    with store.stage("groups", settings="g") as stage:
        store.put_groups(_day(), "g", groups)
        stage.rows = 30
    queue = review_queue(store, lines=lines)
    assert queue["command_id"].to_pylist() == [ids[1], ids[0], ids[2]]
    assert queue["depends"].to_pylist() == [11, 1, 21]
    assert queue["reasons"].to_pylist()[2] == ["big group"]


def _day():
    from datetime import date

    return date(2026, 3, 1)


def test_a_sample_to_audit_comes_first_and_in_its_own_order(store, lines, ids):
    say(store, *((i, "benign", 0.99) for i in ids[:4]))
    say(store, (ids[5], "unsure", 0.1))
    store.put_marks(AUDIT, "seed=0", pa.table({"command_id": [ids[3], ids[0], ids[2]]}))
    assert queued(store, lines) == [ids[3], ids[0], ids[2], ids[5]]
    record_verdict(store, ids[0], "benign", "Ada", lines=lines)
    assert queued(store, lines) == [ids[3], ids[2], ids[5]]


def test_a_suspicion_ends_when_another_verdict_stands(store, lines, ids):
    say(store, (ids[0], "benign", 0.99))
    seq = store.verdicts()["seq"][0].as_py()
    store.put_marks(SUSPECT, "1", pa.table({"command_id": [ids[0]], "seq": [seq], "value": [0.5]}))
    assert queued(store, lines) == [ids[0]]
    say(store, (ids[0], "malicious", 0.99), judge="other")
    assert queued(store, lines, only=[SUSPECT]) == []


def test_the_queue_is_the_same_after_a_break(tmp_path, lines, ids):
    with Store.open(tmp_path / "s") as store:
        say(store, *((i, "unsure", 0.5) for i in ids))
        first = queued(store, lines)
        record_verdict(store, first[0], "benign", "Ada", lines=lines)
    with Store.open(tmp_path / "s", read_only=True) as store:
        assert queued(store, lines) == first[1:]
    assert first == sorted(ids)


def test_a_persons_word_stands_whatever_a_judge_says_later(store, lines, ids):
    say(store, (ids[0], "benign", 0.9))
    history = record_verdict(
        store, ids[0], "malicious", " Ada ", reason="reads\0 keys", technique=" T1552 ", lines=lines
    ).to_pylist()
    assert [r["verdict"] for r in history] == ["benign", "malicious"]
    row = history[-1]
    assert (row["judge"], row["reviewer"], row["supersedes"]) == ("person", "Ada", history[0]["seq"])
    assert (row["reason"], row["technique"], len(row["text_sha256"])) == ("reads\\x00 keys", "T1552", 64)
    say(store, (ids[0], "benign", 0.99))
    assert standing_verdicts(store)["verdict"].to_pylist() == ["malicious"]
    assert queued(store, lines) == []
    assert record_verdict(store, ids[0], "benign", "Bo", lines=lines)["supersedes"].to_pylist()[-1] == row["seq"]
    assert standing_verdicts(store)["reviewer"].to_pylist() == ["Bo"]


def test_what_is_taken_back_teaches_nothing_and_is_asked_again(store, lines, ids):
    record_verdict(store, ids[0], "benign", "Ada", lines=lines)
    with pytest.raises(JudgeError, match="no verdict of Bo stands"):
        withdraw_verdict(store, ids[0], "Bo")
    history = withdraw_verdict(store, ids[0], "Ada")
    assert history["verdict"].to_pylist() == ["benign", "unsure"]
    assert standing_verdicts(store)["verdict"].to_pylist() == ["unsure"]
    queue = review_queue(store, lines=lines).to_pylist()
    assert [(r["command_id"], r["reasons"]) for r in queue] == [(ids[0], ["withdrawn"])]
    record_verdict(store, ids[0], "malicious", "Ada", lines=lines)
    assert queued(store, lines) == []


def test_a_persons_benign_keeps_what_the_guard_said(store, lines_of):
    line = lines_of(("windows", "vssadmin.exe delete shadows /all /quiet"))
    line = line.append_column("parent_command_line", pa.nulls(1, pa.string()))
    note = record_verdict(store, line["command_id"][0].as_py(), "benign", "Ada", lines=line)["note"][0].as_py()
    assert note.startswith("despite rule:")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\u202eAda", "x" * 81])
def test_a_verdict_without_a_proper_name_is_refused(store, lines, ids, name):
    with pytest.raises(JudgeError, match="reviewer"):
        record_verdict(store, ids[0], "benign", name, lines=lines)
    assert store.verdicts().num_rows == 0
    assert reviewer_name(" Zoë  Öst ") == "Zoë  Öst"


def test_a_line_that_nobody_knows_gets_no_verdict(store, lines, ids):
    with pytest.raises(JudgeError, match="nothing is known of the line"):
        record_verdict(store, "f" * 32, "benign", "Ada", lines=lines)
    with pytest.raises(JudgeError, match="'harmless' is no verdict"):
        record_verdict(store, ids[0], "harmless", "Ada", lines=lines)
    say(store, ("e" * 32, "benign", 0.9))  # judged elsewhere, the text is not here
    assert record_verdict(store, "e" * 32, "malicious", "Ada")["text_sha256"].to_pylist() == ["0" * 64] * 2


def test_an_id_may_be_cut_as_long_as_it_is_the_only_one(store):
    say(store, ("a" * 32, "benign", 0.9), ("a" * 31 + "b", "benign", 0.9), ("bcdef1" + "0" * 26, "benign", 0.9))
    assert full_id(store, " BCDEF1") == "bcdef1" + "0" * 26
    for text, told in (
        ("a" * 31, "2 lines"),
        ("abcdef0", "no verdict"),
        ("bcd", "no command_id"),
        ("x" * 8, "no comm"),
    ):
        with pytest.raises(JudgeError, match=told):
            full_id(store, text)


def test_lines_without_a_known_text_are_left_out(store, lines, ids):
    say(store, (ids[0], "unsure", 0.5), ("f" * 32, "unsure", 0.5))
    assert queued(store, lines) == [ids[0]]
    assert queued(store, None) == []


# ---------------------------------------------------------------------- one reviewer's way through it


def test_a_session_gives_skips_and_takes_back(tmp_path, lines, ids):
    path = tmp_path / "s"
    with Store.open(path) as store:
        say(store, *((i, "unsure", 0.5) for i in ids[:3]))
        queue = review_queue(store, lines=lines)
    session = ReviewSession(path, queue, "Ada", lines)
    order = queue["command_id"].to_pylist()
    assert session.give("benign", command_id=order[0], reason="a listing")["reason"] == "a listing"
    with pytest.raises(JudgeError, match="another line is at hand"):
        session.give("benign", command_id=order[0])  # the key was pressed twice
    session.skip()
    assert session.current["command_id"] == order[2]
    assert session.left == 2
    assert session.undo()
    assert (session.current["command_id"], session.left) == (order[0], 3)
    assert not session.undo()
    session.give("malicious")
    session.skip()
    session.give("benign")
    assert session.current is None
    with pytest.raises(JudgeError, match="another line"):
        session.give("benign")
    with Store.open(path) as store:
        said = {r["command_id"]: r["verdict"] for r in standing_verdicts(store).to_pylist()}
        assert queued(store, lines) == [order[1]]
    assert said == {order[0]: "malicious", order[1]: "unsure", order[2]: "benign"}


def test_only_an_audited_line_is_judged_blind(tmp_path, lines, ids):
    path = tmp_path / "s"
    with Store.open(path) as store:
        say(store, (ids[0], "benign", 0.99), (ids[1], "unsure", 0.5))
        store.put_marks(AUDIT, "seed=0", pa.table({"command_id": [ids[0]]}))
        session = ReviewSession(path, review_queue(store, lines=lines), "Ada", lines)
    assert session.blind
    session.skip()
    assert not session.blind


def test_a_store_in_use_elsewhere_changes_nothing(tmp_path, lines, ids):
    path = tmp_path / "s"
    with Store.open(path) as store:
        say(store, (ids[0], "unsure", 0.5))
        session = ReviewSession(path, review_queue(store, lines=lines), "Ada", lines)
    code = "import sys\nfrom cmdclf.store import Store\n"
    code += f"with Store.open({str(path)!r}): print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(StoreError, match="open in another process"):
            session.give("benign")
        assert (session.at, session.given) == (0, [])
        other.stdin.close()
    assert session.give("benign")["verdict"] == "benign"


def test_odd_characters_are_named():
    assert odd_characters("ls -l\n~") == []
    assert odd_characters("p\u0430yp\u0430l\u200b") == [
        "U+0430 CYRILLIC SMALL LETTER A (2 times)",
        "U+200B ZERO WIDTH SPACE",
    ]
    assert odd_characters("".join(map(chr, range(0x400, 0x414))))[-1] == "and 8 more kinds"


def test_neighbours_are_labelled_lines_of_the_platform_without_the_line_itself(store, lines, ids):
    from cmdclf.features import load_embedder

    with_text = pa.concat_tables([lines])
    say(store, *((i, "benign", 0.9) for i in ids[:4]))
    _add(store, with_text)
    found = LabelledNeighbours(store, load_embedder())
    near = found.nearest("ls -l /srv/data1", "linux", ids[1], k=2)
    assert near.num_rows == 2
    assert ids[1] not in near["command_id"].to_pylist()
    assert near["cosine"][0].as_py() >= near["cosine"][1].as_py()
    assert set(near["verdict"].to_pylist()) == {"benign"}
    assert found.nearest("dir", "windows").num_rows == 0


def _add(store, lines):
    with store._given(lines):
        store._run("insert into command_line select * from given")


def test_the_verdicts_fields_are_the_ledgers_columns():
    assert {f.name for f in dataclasses.fields(Verdict)} - {"injection_suspected"} == set(
        verdicts_table([]).column_names
    )
