"""A file of verdicts that was damaged by hand: every sound row is taken, every other one named."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.errors import JudgeError
from cmdclf.labels.ledger_file import read_ledger_file, unknown_rows
from cmdclf.store import LEDGER_ROW
from cmdclf.telemetry import command_id

LINE = {"platform": "linux", "command_line": "id"}
ID = command_id("linux", "id")


def write(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"verdict": "benign", "command_', "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ("17", "no JSON object"),
        ({**LINE}, "verdict is missing or unknown"),
        ({**LINE, "verdict": "harmless"}, "verdict is missing or unknown"),
        ({**LINE, "verdict": 1}, "'verdict' is no text"),
        ({**LINE, "verdict": "benign", "confidence": 1.5}, "'confidence' is impossible"),
        ({**LINE, "verdict": "benign", "confidence": "high"}, "'confidence' is no number"),
        ('{"verdict": "benign", "command_id": "' + ID + '", "cost_usd": NaN}', "'cost_usd' is no number"),
        ({**LINE, "verdict": "benign", "prompt_tokens": -1}, "'prompt_tokens' is impossible"),
        ({**LINE, "verdict": "benign", "seq": 1.5}, "'seq' is impossible"),
        ({**LINE, "verdict": "benign", "reason": ["x"]}, "'reason' is no text"),
        ({**LINE, "verdict": "benign", "reason": "\ud800"}, "'reason' is no valid Unicode"),
        ({**LINE, "verdict": "benign", "judged_at": "yesterday"}, "'judged_at' is no time"),
        ({**LINE, "verdict": "benign", "platform": "amiga"}, "an unknown platform"),
        ({"command_line": "id", "verdict": "benign"}, "it names no line"),
        ({"command_id": "xyz", "verdict": "benign"}, "its command_id is none"),
        (
            {**LINE, "command_line": "rm -rf /", "command_id": ID, "verdict": "benign"},
            "belongs to another command line",
        ),
        ('{"verdict": "' + "x" * 5_000_000 + '"}', "longer than any verdict"),
    ],
)
def test_a_damaged_row_is_named_and_the_rest_goes_on(tmp_path, row, reason):
    path = write(
        tmp_path / "v.jsonl", {**LINE, "verdict": " Benign"}, row, "", {"command_id": "A" * 32, "verdict": "unsure"}
    )
    read = read_ledger_file(path)
    assert read.rows["verdict"].to_pylist() == ["benign", "unsure"]
    assert read.rows["command_id"].to_pylist() == [ID, "a" * 32]
    (aside,) = read.aside
    assert aside.row == 2
    assert reason in aside.reason
    assert len(aside.text) <= 300
    json.dumps(aside.record("v.jsonl")).encode()


def test_a_parquet_file_with_a_damaged_page_gives_its_other_row_groups(tmp_path):
    n = 3000
    table = pa.table({"command_id": [f"{i:032x}" for i in range(n)], "verdict": ["benign"] * n})
    path = tmp_path / "v.parquet"
    pq.write_table(table, path, row_group_size=1000, compression="none", use_dictionary=False, write_page_checksum=True)
    whole = bytearray(path.read_bytes())
    with pq.ParquetFile(path) as file:
        column = file.metadata.row_group(1).column(0)
    place = column.data_page_offset
    whole[place : place + 40] = b"\xff" * 40
    path.write_bytes(whole)
    read = read_ledger_file(path)
    assert read.rows.num_rows == 2000
    assert read.reasons() == {"a damaged page": 1000}
    assert read.aside[0].row == 1001
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(JudgeError, match=r"v\.parquet: this is no whole Parquet file"):
        read_ledger_file(path)


def test_a_file_without_any_sound_row_is_an_error_with_its_first_fault(tmp_path):
    with pytest.raises(JudgeError, match=r"x\.jsonl, row 1: no row of it is a verdict; no JSON object"):
        read_ledger_file(write(tmp_path / "x.jsonl", "hello", "you"))
    with pytest.raises(JudgeError, match="empty"):
        read_ledger_file(write(tmp_path / "e.jsonl"))
    with pytest.raises(JudgeError, match="can't be read"):
        read_ledger_file(tmp_path / "nowhere")


def test_of_a_history_the_last_row_stands_a_persons_before_all_whatever_the_clock_said(tmp_path):
    rows = [
        {
            "seq": 3,
            "command_id": "a" * 32,
            "verdict": "unsure",
            "judge": "llm",
            "judged_at": "2020-01-01T00:00:00+00:00",
        },
        {
            "seq": 1,
            "command_id": "a" * 32,
            "verdict": "benign",
            "judge": "llm",
            "judged_at": "2026-01-01T00:00:00+00:00",
        },
        {"seq": 2, "command_id": "b" * 32, "verdict": "malicious", "judge": "person"},
        {"seq": 9, "command_id": "b" * 32, "verdict": "benign", "judge": "llm"},
    ]
    read = read_ledger_file(write(tmp_path / "h.jsonl", *rows))
    assert read.standing()["verdict"].to_pylist() == ["unsure", "malicious"]
    with pytest.raises(JudgeError, match="no ledger with its history, 'judged_at' is missing"):
        read.ledger_rows()


def test_a_row_that_the_ledger_holds_is_not_taken_twice(tmp_path):
    row = {"seq": 5, "command_id": ID, "verdict": "benign", "judge": "person", "reviewer": "Ada", "supersedes": 4,
           "judged_at": "2026-01-01T00:00:00+01:00"}  # fmt: skip
    rows = read_ledger_file(write(tmp_path / "h.jsonl", row, row)).ledger_rows()
    assert rows.schema == LEDGER_ROW
    assert rows["note"].to_pylist() == ["superseded row 4 there"] * 2
    first = unknown_rows(rows, [])
    assert first.num_rows == 1
    assert unknown_rows(rows, first.to_batches()).num_rows == 0


_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2),
    st.sampled_from(["benign", "malicious", "linux", ID, "2026-01-01", "person"]),
)  # fmt: skip
_names = st.sampled_from(
    ["verdict", "command_id", "command_line", "platform", "confidence", "seq", "judged_at", "reason", "cost_usd", "x"]
)


@given(rows=st.lists(st.dictionaries(_names, _values), min_size=1, max_size=6), cut=st.integers(0, 40))
def test_whatever_a_file_holds_each_row_is_either_taken_or_set_aside(tmp_path_factory, rows, cut):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    text = "".join(json.dumps(row) + "\n" for row in [{"command_id": ID, "verdict": "benign"}, *rows])
    path.write_bytes(text.encode("utf-8", "replace")[: len(text) - min(cut, len(json.dumps(rows[-1])) - 1)])
    read = read_ledger_file(path)
    assert read.rows.num_rows + len(read.aside) == 1 + len(rows)
    assert set(read.rows["verdict"].to_pylist()) <= {"benign", "malicious"}
