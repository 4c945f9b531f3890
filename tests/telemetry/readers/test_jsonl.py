import contextlib
import gzip
import json
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.errors import TelemetryError
from cmdclf.telemetry import MAX_LINE_BYTES, ReadOptions, Rejected, Skipped, detect_format
from cmdclf.telemetry.readers.jsonl import JsonLinesReader

READER = JsonLinesReader()
TIME = "2024-03-05T12:00:00Z"
ECS = {
    "@timestamp": TIME,
    "event": {"category": ["process"], "type": ["start"], "action": "exec"},
    "process": {
        "command_line": "ls -la /srv",
        "args": ["ls", "-la", "/srv"],
        "executable": "/usr/bin/ls",
        "parent": {"executable": "/usr/bin/bash", "command_line": "-bash"},
    },
    "user": {"name": "ada"},
    "host": {"hostname": "web-1", "os": {"type": "linux"}},
}
OCSF = {
    "class_uid": 1007,
    "activity_id": 1,
    "time": 1709640000000,
    "process": {
        "cmd_line": "whoami",
        "file": {"path": "C:\\Windows\\System32\\whoami.exe"},
        "parent_process": {"cmd_line": "cmd.exe"},
        "user": {"name": "ada"},
    },
    "device": {"hostname": "ws1"},
}
DEFENDER = {
    "Timestamp": TIME,
    "ActionType": "ProcessCreated",
    "DeviceName": "ws1.example.com",
    "ProcessCommandLine": "tasklist.exe /v",
    "FolderPath": "C:\\Windows\\System32",
    "FileName": "tasklist.exe",
    "InitiatingProcessFolderPath": "c:\\windows\\system32\\cmd.exe",
    "InitiatingProcessFileName": "cmd.exe",
    "InitiatingProcessCommandLine": "cmd.exe",
    "AccountName": "ada",
    "AccountDomain": "example",
}
OSQUERY = {
    "name": "process_events",
    "hostIdentifier": "web-1",
    "unixTime": 1709640000,
    "action": "added",
    "columns": {"cmdline": "id -u", "path": "/usr/bin/id", "parent": "1", "username": "ada"},
}
CROWDSTRIKE = {
    "event_simpleName": "ProcessRollup2",
    "event_platform": "Mac",
    "ProcessStartTime": "1709640000.123",
    "CommandLine": "softwareupdate -l",
    "ImageFileName": "/usr/sbin/softwareupdate",
    "ComputerName": "mac-1",
}
CIM = {
    "_time": TIME,
    "process": "df -h",
    "process_path": "/usr/bin/df",
    "parent_process": "sh",
    "dest": "web-1",
    "user": "ada",
}


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (ECS, ("ls -la /srv", "linux", "/usr/bin/ls", "-bash", "ada", "web-1", "ecs")),
        (OCSF, ("whoami", "windows", "C:\\Windows\\System32\\whoami.exe", "cmd.exe", "ada", "ws1", "ocsf")),
        (
            DEFENDER,
            (
                "tasklist.exe /v",
                "windows",
                "C:\\Windows\\System32\\tasklist.exe",
                "cmd.exe",
                "example\\ada",
                "ws1.example.com",
                "defender",
            ),
        ),
        (OSQUERY, ("id -u", "linux", "/usr/bin/id", None, "ada", "web-1", "osquery")),
        (CROWDSTRIKE, ("softwareupdate -l", "macos", "/usr/sbin/softwareupdate", None, None, "mac-1", "crowdstrike")),
        (CIM, ("df -h", "linux", "/usr/bin/df", "sh", "ada", "web-1", "splunk_cim")),
        (
            {"command_line": "ps", "event_time": TIME, "platform": "macos", "host": "m"},
            ("ps", "macos", None, None, None, "m", "jsonl"),
        ),
        ({"_source": ECS}, ("ls -la /srv", "linux", "/usr/bin/ls", "-bash", "ada", "web-1", "ecs")),
        ({"result": CIM}, ("df -h", "linux", "/usr/bin/df", "sh", "ada", "web-1", "splunk_cim")),
    ],
)
def test_known_products_are_recognised(write, outcome, record, expected):
    (event,) = outcome(READER, write("a.jsonl", [record])).events
    names = ("command_line", "platform", "image", "parent_command_line", "user", "host", "source_format")
    assert tuple(event[n] for n in names) == expected
    assert event["event_time"].replace(microsecond=0) == datetime(2024, 3, 5, 12, tzinfo=UTC)


def test_products_may_be_mixed_in_one_file(write, outcome):
    got = outcome(READER, write("a.jsonl", [ECS, OCSF, DEFENDER, OSQUERY, CROWDSTRIKE, CIM] * 3))
    assert got.total == len(got.events) == 18


@pytest.mark.parametrize(
    "record",
    [
        {**ECS, "event": {"category": ["network"], "type": ["start"]}},
        {**ECS, "event": {"category": ["process"], "type": ["end"]}},
        {**ECS, "event": {"category": ["process"], "type": ["start"], "action": "fork"}},
        {**OCSF, "activity_id": 2},
        {**DEFENDER, "ActionType": "OpenProcessApiCall"},
        {**OSQUERY, "action": "removed"},
        {**CROWDSTRIKE, "event_simpleName": "EndOfProcess"},
    ],
)
def test_records_that_are_no_process_start_are_skipped(write, outcome, record):
    assert outcome(READER, write("a.jsonl", [record])).skipped == {"not a process start": 1}


def test_columns_are_mapped_by_dotted_paths(write, outcome):
    path = write("a.jsonl", [{"proc": {"cmd": "make all", "when": TIME}, "os": "Ubuntu 22.04"}])
    got = outcome(READER, path, columns={"command_line": "proc.cmd", "event_time": "proc.when", "platform": "os"})
    assert got.lines == ["make all"]
    assert got.events[0]["platform"] == "linux"


def test_an_argument_list_is_joined_by_the_platforms_rule(write, outcome):
    args = ["run", "two words", "it's"]
    records = [
        {"@timestamp": TIME, "process": {"args": args}, "host": {"os": {"type": kind}}} for kind in ("linux", "windows")
    ]
    got = outcome(READER, write("a.jsonl", records))
    assert got.lines == ["run 'two words' 'it'\"'\"'s'", 'run "two words" it\'s']
    assert [e["quoting"] for e in got.events] == ["joined", "joined"]


def test_a_record_without_a_time_takes_the_day_or_goes_to_quarantine(write, outcome):
    path = write("a.jsonl", [{"command_line": "ls", "platform": "linux"}])
    assert "--day" in outcome(READER, path).rejected[0].reason
    (event,) = outcome(READER, path, day=date(2024, 3, 5)).events
    assert event["event_time"] == datetime(2024, 3, 5, tzinfo=UTC)


def test_a_time_that_cannot_be_read_is_not_replaced_by_the_day_unless_the_column_is_switched_off(write, outcome):
    path = write("a.jsonl", [{"command_line": "ls", "platform": "linux", "event_time": "teatime"}])
    assert "can't be read" in outcome(READER, path, day=date(2024, 3, 5)).rejected[0].reason
    assert outcome(READER, path, day=date(2024, 3, 5), columns={"event_time": ""}).lines == ["ls"]


def test_the_platform_comes_from_the_option_the_record_or_the_path(write, outcome):
    def platforms(records, **options):
        path = write("a.jsonl", [{"event_time": TIME, **r} for r in records])
        got = outcome(READER, path, **options)
        return [e["platform"] for e in got.events] + [r.reason[:12] for r in got.rejected]

    assert platforms([{"command_line": "ls", "platform": "Darwin"}], platform="linux") == ["linux"]
    assert platforms([{"command_line": "ls", "platform": "Windows 11"}]) == ["windows"]
    shapes = ["C:\\a.exe", "/Applications/A.app/A", "/Users/a/b", "/usr/bin/ls", "\\Device\\X\\a.exe", "notepad.EXE"]
    found = platforms([{"command_line": "a", "image": image} for image in shapes])
    assert found == ["windows", "macos", "macos", "linux", "windows", "windows"]
    assert platforms([{"command_line": '"C:\\Program Files\\a.exe" -x'}, {"command_line": "/usr/bin/env"}]) == [
        "windows",
        "linux",
    ]
    assert platforms([{"command_line": "ls"}]) == ["the platform"]


def test_rows_of_other_osquery_tables_are_no_process_starts(write, outcome):
    users = {**OSQUERY, "columns": {"cmdline": "sshd: ada", "tty": "pts/0", "user": "ada"}}
    got = outcome(READER, write("a.jsonl", [OSQUERY, users, OSQUERY]))
    assert got.lines == ["id -u", "id -u"]
    assert sum(got.skipped.values()) == 1


def test_the_parents_command_line_tells_the_platform_where_nothing_else_does(write, outcome):
    records = [{"command_line": "id", "event_time": TIME, "parent_command_line": "/bin/sh -c id"}]
    assert outcome(READER, write("a.jsonl", records)).events[0]["platform"] == "linux"


def test_counts_are_honoured_and_senseless_ones_quarantined(write, outcome):
    counts = [None, 1, "7", 3.0, 0, -1, "many", 2.5, 2**40]
    records = [
        {"command_line": f"c{i}", "platform": "linux", "event_time": TIME, "count": c} for i, c in enumerate(counts)
    ]
    got = outcome(READER, write("a.jsonl", records))
    assert [e["count"] for e in got.events] == [1, 1, 7, 3]
    assert [r.offset for r in got.rejected] == [5, 6, 7, 8, 9]


def test_damaged_lines_are_quarantined_with_number_reason_and_text(write, outcome):
    good = json.dumps({"command_line": "ls", "platform": "linux", "event_time": TIME}).encode()
    deep = b"[" * 100_000
    path = write(
        "a.jsonl", b"\n".join([good, b'{"command_line": "l', b"", b"42", b'{"a": ' + deep, good, b"\xff\xfe\x00"])
    )
    got = outcome(READER, path)
    assert len(got.events) == 2
    assert [r.offset for r in got.rejected] == [2, 3, 4, 6]
    assert got.rejected[0].raw == '{"command_line": "l'
    assert got.rejected[3].raw == "\\xff\\xfe\\x00"
    assert len(got.rejected[2].raw) == 2000


def test_wrong_bytes_nul_and_lone_surrogates_are_escaped(write, outcome):
    line = b'{"platform":"linux","event_time":"%s","command_line":' % TIME.encode()
    path = write(
        "a.jsonl", b"".join(line + b + b"}\n" for b in (b'"a\xffb"', b'"a\\u0000b"', b'"\\ud800"', b'"\\ud83d\\ude00"'))
    )
    assert outcome(READER, path).lines == ["a\\xffb", "a\\x00b", "\\xed\\xa0\\x80", "😀"]


def test_a_line_of_more_than_a_mebibyte_is_quarantined(write, outcome):
    records = [
        {"command_line": "x" * n, "platform": "linux", "event_time": TIME} for n in (MAX_LINE_BYTES, MAX_LINE_BYTES + 1)
    ]
    got = outcome(READER, write("a.jsonl", records))
    assert [len(c) for c in got.lines] == [MAX_LINE_BYTES]
    assert "1 MiB" in got.rejected[0].reason


def test_a_record_of_unbounded_length_is_quarantined_and_the_next_is_read(write, outcome):
    good = json.dumps({"command_line": "ls", "platform": "linux", "event_time": TIME}).encode()
    got = outcome(READER, write("a.jsonl", good + b"\n" + b"y" * (17 << 20) + b"\n" + good))
    assert got.lines == ["ls", "ls"]
    assert [r.offset for r in got.rejected] == [2]


def test_empty_and_blank_command_lines_are_skipped(write, outcome):
    records = [{"command_line": c, "platform": "linux", "event_time": TIME} for c in ("", "  \t", None, "ls")]
    got = outcome(READER, write("a.jsonl", records))
    assert got.lines == ["ls"]
    assert sum(got.skipped.values()) == 3


def test_a_file_without_any_command_line_is_an_error_that_lists_the_fields(write, outcome):
    with pytest.raises(TelemetryError, match=r"colour, size.*--map command_line"):
        outcome(READER, write("a.jsonl", [{"colour": "red", "size": 3}]))


def test_gzip_is_read_by_content_not_by_name(write, outcome):
    path = write("a.log", gzip.compress(json.dumps(ECS).encode()))
    assert detect_format(path).name == "jsonl"
    assert outcome(READER, path).lines == ["ls -la /srv"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["cmd_line", "args", "time", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)
records = st.dictionaries(
    st.sampled_from(
        [
            "command_line",
            "event_time",
            "platform",
            "image",
            "process",
            "count",
            "argv",
            "columns",
            "EventID",
            "user",
            "time",
        ]
    ),
    json_values,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(records, min_size=1, max_size=12))
def test_every_record_comes_out_exactly_once(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("j") / "a.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    total = 0
    with contextlib.suppress(TelemetryError):  # raised at the end where no record had a command line
        for item in READER.read(path, ReadOptions(platform="linux", day=date(2024, 1, 1), batch_rows=4)):
            total += 1 if isinstance(item, Rejected) else item.records if isinstance(item, Skipped) else item.num_rows
    assert total == len(rows)
