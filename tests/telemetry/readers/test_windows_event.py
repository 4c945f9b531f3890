import io
import json
import zipfile
from datetime import UTC, datetime

import pytest

from cmdclf.telemetry import detect_format
from cmdclf.telemetry.readers.windows_event import NO_POLICY, WindowsEventReader

READER = WindowsEventReader()
SYSMON = {
    "EventID": 1,
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "UtcTime": "2024-03-05 12:00:00.250",
    "@timestamp": "2024-03-05T08:00:00Z",
    "CommandLine": 'notepad.exe  "C:\\notes.txt"',
    "Image": "C:\\Windows\\System32\\notepad.exe",
    "ParentImage": "C:\\Windows\\explorer.exe",
    "ParentCommandLine": "C:\\Windows\\Explorer.EXE",
    "User": "EXAMPLE\\ada",
    "Hostname": "ws1.example.com",
    "host": "collector.example.com",
}
SECURITY = {
    "EventID": 4688,
    "Channel": "Security",
    "TimeCreated": "2024-03-05T12:00:01.000Z",
    "CommandLine": "whoami /all",
    "NewProcessName": "C:\\Windows\\System32\\whoami.exe",
    "ParentProcessName": "C:\\Windows\\System32\\cmd.exe",
    "SubjectUserName": "ada",
    "SubjectDomainName": "EXAMPLE",
    "TargetUserName": "-",
    "TargetDomainName": "-",
    "Hostname": "ws1.example.com",
}


def nested(event_id, data, *, channel):
    return {
        "Event": {
            "#attributes": {"xmlns": "http://schemas.example.com/win/2004/08/events/event"},
            "System": {
                "Provider": {"#attributes": {"Name": channel}},
                "EventID": event_id,
                "TimeCreated": {"#attributes": {"SystemTime": "2024-03-05T12:00:00.250000Z"}},
                "Computer": "ws1.example.com",
                "Channel": channel,
            },
            "EventData": data,
        }
    }


def test_a_sysmon_event_becomes_a_process_event(write, outcome):
    got = outcome(READER, write("a.json", [SYSMON]))
    assert got.events == [
        {
            "event_time": datetime(2024, 3, 5, 12, 0, 0, 250000, tzinfo=UTC),
            "platform": "windows",
            "command_line": 'notepad.exe  "C:\\notes.txt"',
            "image": "C:\\Windows\\System32\\notepad.exe",
            "parent_image": "C:\\Windows\\explorer.exe",
            "parent_command_line": "C:\\Windows\\Explorer.EXE",
            "user": "EXAMPLE\\ada",
            "host": "ws1.example.com",
            "source_format": "windows_event",
            "quoting": "native",
            "count": 1,
        }
    ]


def test_a_4688_names_the_subject_unless_there_is_a_target(write, outcome):
    target = {**SECURITY, "TargetUserName": "svc", "TargetDomainName": "LAB"}
    got = outcome(READER, write("a.json", [SECURITY, target]))
    assert [e["user"] for e in got.events] == ["EXAMPLE\\ada", "LAB\\svc"]
    assert got.events[0]["image"].endswith("whoami.exe")
    assert got.events[0]["parent_command_line"] is None


@pytest.mark.parametrize("absent", ["", "-", None])
def test_a_4688_without_a_command_line_is_skipped_with_the_policy_as_the_reason(write, outcome, absent):
    got = outcome(READER, write("a.json", [{**SECURITY, "CommandLine": absent}, SYSMON]))
    assert got.skipped == {NO_POLICY: 1}
    assert len(got.events) == 1


def test_other_events_are_skipped_and_counted_even_those_numbered_1(write, outcome):
    clock = {"EventID": 1, "Channel": "System", "SourceName": "Microsoft-Windows-Kernel-General", "CommandLine": "x"}
    got = outcome(READER, write("a.json", [{"EventID": 4624, "Channel": "Security"}, clock, SYSMON, {"EventID": "3"}]))
    assert got.skipped == {"not a process start": 3}
    assert got.total == 4


def test_the_nested_form_of_evtx_dumps_is_read(write, outcome):
    sysmon = {k: SYSMON[k] for k in ("CommandLine", "Image", "ParentImage", "ParentCommandLine", "User", "UtcTime")}
    security = {k: v for k, v in SECURITY.items() if "Name" in k or k == "CommandLine"}
    records = [
        nested({"#text": 1, "#attributes": {"Qualifiers": ""}}, sysmon, channel="Microsoft-Windows-Sysmon/Operational"),
        nested(4688, security, channel="Security"),
        nested(1102, None, channel="Security"),
    ]
    got = outcome(READER, write("a.json", records))
    assert got.lines == [SYSMON["CommandLine"], "whoami /all"]
    assert [e["host"] for e in got.events] == ["ws1.example.com"] * 2
    assert got.events[1]["event_time"] == datetime(2024, 3, 5, 12, 0, 0, 250000, tzinfo=UTC)
    assert got.skipped == {"not a process start": 1}


def test_event_data_as_a_list_of_named_elements_is_read(write, outcome):
    data = {"Data": [{"@Name": "CommandLine", "#text": "ipconfig"}, {"@Name": "Image", "#text": "C:\\ipconfig.exe"}]}
    record = nested(1, data, channel="Microsoft-Windows-Sysmon/Operational")
    assert outcome(READER, write("a.json", [record])).lines == ["ipconfig"]


def test_winlogbeat_is_read_also_where_a_module_moved_the_fields(write, outcome):
    winlog = {"event_id": 1, "channel": "Microsoft-Windows-Sysmon/Operational", "computer_name": "ws1"}
    records = [
        {"@timestamp": "2024-03-05T12:00:00Z", "winlog": {**winlog, "event_data": {"CommandLine": "hostname"}}},
        {
            "@timestamp": "2024-03-05T12:00:00Z",
            "winlog": winlog,
            "process": {"command_line": "ver", "executable": "C:\\x.exe", "parent": {"executable": "C:\\p.exe"}},
        },
    ]
    got = outcome(READER, write("a.json", records))
    assert got.lines == ["hostname", "ver"]
    assert got.events[1]["parent_image"] == "C:\\p.exe"


def test_all_members_of_a_zip_are_read_and_a_bad_record_names_its_member(tmp_path, outcome):
    path = tmp_path / "logs.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one.json", json.dumps(SYSMON) + "\n\n")
        archive.writestr("__MACOSX/._one.json", b"\0\1\2")
        archive.writestr("../two.json", json.dumps(SECURITY) + "\nnot json\n")
    assert detect_format(path).name == "windows_event"
    got = outcome(READER, path)
    assert len(got.events) == 2
    assert [(r.offset, r.member, r.raw) for r in got.rejected] == [(2, "../two.json", "not json")]
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["logs.zip"]


def test_powershells_utf16_export_is_read(write, outcome):
    path = write("a.json", json.dumps({**SYSMON, "CommandLine": "echo ünï"}, ensure_ascii=False).encode("utf-16"))
    assert detect_format(path).name == "windows_event"
    assert outcome(READER, path).lines == ["echo ünï"]


def test_one_json_array_and_objects_spread_over_lines_are_read(write, outcome):
    assert len(outcome(READER, write("a.json", json.dumps([SYSMON, SECURITY]))).events) == 2
    text = json.dumps(SYSMON, indent=2) + "\n" + json.dumps(SECURITY, indent=2) + "\n"
    path = write("b.json", text)
    assert detect_format(path).name == "windows_event"
    assert len(outcome(READER, path).events) == 2
    assert len(outcome(READER, write("c.json", json.dumps({"Records": [SYSMON, SECURITY]}, indent=1))).events) == 2


def test_a_broken_object_in_an_array_costs_itself_alone(write, outcome):
    broken = json.dumps([SYSMON, SECURITY, SYSMON], indent=2).replace('"whoami /all",', "oops")
    got = outcome(READER, write("a.json", broken))
    assert len(got.events) == 2
    assert len(got.rejected) == 1


def test_the_head_alone_decides_the_format(write):
    assert READER.sniff(write("x", b"").parent / "x", json.dumps(SYSMON).encode())
    assert not READER.sniff(write("x", b"").parent / "x", io.BytesIO(b'{"command_line": "ls"}').read())
