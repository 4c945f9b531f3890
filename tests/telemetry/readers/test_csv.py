import gzip
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import TelemetryError
from cmdclf.telemetry import MAX_LINE_BYTES, ReadOptions, Rejected, Skipped, detect_format
from cmdclf.telemetry.readers.csv import CsvReader

READER = CsvReader()
HEAD = "event_time,platform,command_line\n"


def row(line):
    return f"2024-03-05 12:00:00,linux,{line}\n"


def test_a_sentinel_export_of_4688_is_recognised(write, outcome):
    text = (
        ",TimeGenerated,Computer,EventID,Account,NewProcessName,ParentProcessName,CommandLine\n"
        '0,2024-03-05 12:00:00.250,ws1,4688,EX\\ada,C:\\w\\whoami.exe,C:\\w\\cmd.exe,"whoami ""all"", x"\n'
        "1,2024-03-05 12:00:01.250,ws1,4689,EX\\ada,C:\\w\\whoami.exe,-,whoami\n"
        "2,2024-03-05 12:00:02.250,ws1,4688,EX\\ada,C:\\w\\whoami.exe,-,\n"
    )
    path = write("export.csv", text)
    assert detect_format(path).name == "csv"
    got = outcome(READER, path)
    assert got.lines == ['whoami "all", x']
    assert got.events[0]["user"] == "EX\\ada"
    assert got.events[0]["platform"] == "windows"
    assert got.events[0]["source_format"] == "windows_event"
    assert got.events[0]["event_time"] == datetime(2024, 3, 5, 12, 0, 0, 250000, tzinfo=UTC)
    assert got.skipped == {"not a process start": 1, "no command line": 1}


@pytest.mark.parametrize("mark", ["\t", ";", "|"])
def test_other_delimiters_are_told_by_the_header(write, outcome, mark):
    text = (HEAD + row("ls -la")).replace(",", mark)
    assert outcome(READER, write("a.tsv", text)).lines == ["ls -la"]


def test_case_of_known_names_does_not_matter_and_gzip_is_read(write, outcome):
    path = write("a.csv.gz", gzip.compress((HEAD.upper() + row("ls")).encode()))
    assert detect_format(path).name == "csv"
    assert outcome(READER, path).lines == ["ls"]


def test_a_column_is_mapped_by_its_name(write, outcome):
    path = write("a.csv", "when,what\n1709640000,make\n")
    got = outcome(READER, path, columns={"command_line": "what", "event_time": "when"}, platform="linux")
    assert got.lines == ["make"]


def test_missing_columns_are_errors_that_list_the_columns(write, outcome):
    path = write("a.csv", "when,what\n1709640000,make\n")
    with pytest.raises(TelemetryError, match=r"when, what.*--map command_line=COLUMN"):
        outcome(READER, path)
    with pytest.raises(TelemetryError, match=r"no column 'cmd'.*when, what"):
        outcome(READER, path, columns={"command_line": "cmd"})


def test_an_open_quote_costs_its_own_line_and_swallows_nothing(write, outcome):
    text = HEAD + row("first") + row('"open quote') + row("third") + row('"fourth, quoted"') + row("fifth")
    got = outcome(READER, write("a.csv", text))
    assert got.lines == ["first", "third", "fourth, quoted", "fifth"]
    assert [r.offset for r in got.rejected] == [2]
    assert "open quote" in got.rejected[0].raw


def test_an_open_quote_at_the_end_of_the_file_swallows_nothing(write, outcome):
    got = outcome(READER, write("a.csv", HEAD + row('"open') + "".join(row(f"c{i}") for i in range(50))))
    assert got.lines == [f"c{i}" for i in range(50)]
    assert len(got.rejected) == 1


def test_a_quote_that_would_change_the_command_line_is_refused(write, outcome):
    got = outcome(READER, write("a.csv", HEAD + row('"C:\\a b.exe" -x') + row("ok")))
    assert got.lines == ["ok"]
    assert got.rejected[0].raw.strip().endswith('"C:\\a b.exe" -x')


def test_line_breaks_inside_quotes_belong_to_the_command_line(write, outcome):
    assert outcome(READER, write("a.csv", HEAD + row('"echo 1\necho 2"'))).lines == ["echo 1\necho 2"]


def test_rows_with_too_many_or_too_few_fields_are_quarantined(write, outcome):
    got = outcome(READER, write("a.csv", HEAD + row("a,b") + "2024-03-05,linux\n" + row("ok,") + "\n\n"))
    assert got.lines == ["ok"]
    assert [(r.offset, "more" in r.reason) for r in got.rejected] == [(1, True), (2, False)]


def test_wrong_bytes_and_nul_are_escaped(write, outcome):
    path = write("a.csv", HEAD.encode() + row("a@b").encode().replace(b"@", b"\xff\0"))
    assert outcome(READER, path).lines == ["a\\xff\\x00b"]


def test_long_lines_are_quarantined_and_the_next_row_is_read(write, outcome):
    lengths = (200_000, MAX_LINE_BYTES, MAX_LINE_BYTES + 1, 18 << 20)
    got = outcome(READER, write("a.csv", HEAD + "".join(row("x" * n) for n in lengths) + row("ok")))
    assert [len(c) for c in got.lines] == [200_000, MAX_LINE_BYTES, 2]
    assert sorted(r.offset for r in got.rejected) == [3, 4]
    assert all("1 MiB" in r.reason and len(r.raw) <= 2000 for r in got.rejected)


def test_a_header_alone_holds_no_records(write, outcome):
    assert outcome(READER, write("a.csv", HEAD)).total == 0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=15))
def test_totals_add_up_for_any_text_in_the_rows(tmp_path_factory, fields):
    path = tmp_path_factory.mktemp("c") / "a.csv"
    clean = [f.replace('"', "").replace("\n", " ").replace("\r", " ").replace(",", " ") for f in fields]
    path.write_bytes((HEAD + "".join(row(f) for f in clean)).encode())
    total = 0
    for item in READER.read(path, ReadOptions(day=date(2024, 1, 1), batch_rows=4)):
        total += 1 if isinstance(item, Rejected) else item.records if isinstance(item, Skipped) else item.num_rows
    assert total == len(fields)
