"""Windows event logs as JSON: Sysmon 1 and Security 4688, flat as shippers write them or nested as evtx dumps are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from cmdclf.telemetry.readers.base import RAW_CHARACTERS, ReadOptions, Rejected, Skipped
from cmdclf.telemetry.readers.jsonl import JsonRecords, Rows, dig, fields_of, first_record, records_of
from cmdclf.telemetry.readers.profiles import PROFILES, mapped
from cmdclf.telemetry.schema import clean_text

__all__ = ["WindowsEventReader"]

_PROFILE = next(p for p in PROFILES if p.name == "windows_event")
_ABSENT = (None, "", "-", "?")
#: Winlogbeat's modules move event data to ECS names.
_MOVED = {
    "CommandLine": "process.command_line",
    "Image": "process.executable",
    "ParentImage": "process.parent.executable",
    "ParentCommandLine": "process.parent.command_line",
    "User": "user.name",
}
NO_POLICY = "4688 without a command line (audit policy off)"


class WindowsEventReader:
    """Reads Windows events from JSON, several members of a zip archive too; other events are skipped and counted."""

    name = "windows_event"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Whether the first record has an event id where Windows events have it."""
        record = first_record(head)
        return record is not None and _event_id(_flat(record)) is not None

    def read(self, path: Path, options: ReadOptions) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
        """Process events of a file of Windows events; see `Reader.read`."""
        yield from records_of(path, lambda records, member: _read_member(records, member, options))


def _read_member(
    records: JsonRecords, member: str, options: ReadOptions
) -> Iterator[pa.RecordBatch | Rejected | Skipped]:
    profile = mapped(_PROFILE, options.columns) or _PROFILE
    rows = Rows(options, member)
    for number, record, raw, fault in records:
        if record is None:
            yield Rejected(number, fault, clean_text(raw[:RAW_CHARACTERS]), member)
            continue
        event = _flat(record)
        event_id = _event_id(event)
        if event_id is None:
            yield Rejected(number, "no event id", clean_text(raw[:RAW_CHARACTERS]), member)
        elif not _is_start(event, event_id):
            yield Skipped("not a process start")
        elif event_id == 4688 and not options.columns and event.get("CommandLine") in _ABSENT:
            yield Skipped(NO_POLICY)
        else:
            fields = fields_of({**record, **event} if options.columns else event, profile)
            if event_id == 4688:
                fields["user"] = _user_of_4688(event)
            if rows.add(number, raw, fields):
                yield from rows.batch(source_format="windows_event", platform="windows")
    yield from rows.batch(source_format="windows_event", platform="windows")


def _is_start(event: Mapping[str, Any], event_id: int) -> bool:
    """Sysmon 1 or Security 4688; other providers use these numbers too (Kernel-General 1: the clock changed)."""
    names = " ".join(str(event.get(k) or "") for k in ("Channel", "Provider", "SourceName")).lower()
    if event_id == 1:
        return "sysmon" in names if names.strip() else "CommandLine" in event
    return event_id == 4688 and ("security" in names or not names.strip())


def _user_of_4688(event: Mapping[str, Any]) -> str | None:
    """The new process's user: the target where there is one, else the subject; with its domain."""
    for who in ("Target", "Subject"):
        name = event.get(f"{who}UserName")
        if name not in _ABSENT:
            domain = event.get(f"{who}DomainName")
            return f"{name}" if domain in _ABSENT else f"{domain}\\{name}"
    return None


def _event_id(event: Mapping[str, Any]) -> int | None:
    value = event.get("EventID")
    if isinstance(value, dict):
        value = value.get("#text", value.get("Value"))
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """One level of names from the flat form, `Event.System/EventData`, or winlogbeat's `winlog`."""
    source = record.get("_source")
    if isinstance(source, dict):
        record = source
    winlog = record.get("winlog")
    if isinstance(winlog, dict):
        return {
            **{ours: dig(record, theirs) for ours, theirs in _MOVED.items()},
            **_data(winlog.get("event_data")),
            "EventID": winlog.get("event_id"),
            "Channel": winlog.get("channel"),
            "Provider": winlog.get("provider_name"),
            "Computer": winlog.get("computer_name"),
            "@timestamp": record.get("@timestamp"),
        }
    event = record.get("Event", record)
    system = event.get("System") if isinstance(event, dict) else None
    if isinstance(event, dict) and isinstance(system, dict):
        data = event.get("EventData") or event.get("UserData")
        return {
            **_data(data),
            "EventID": system.get("EventID"),
            "Channel": system.get("Channel"),
            "Provider": _attribute(system.get("Provider"), "Name"),
            "Computer": system.get("Computer"),
            "SystemTime": _attribute(system.get("TimeCreated"), "SystemTime"),
        }
    return dict(record)


def _data(data: Any) -> dict[str, Any]:
    """`EventData` as one mapping; XML converters write it as a list of `Data` elements with a name each."""
    if not isinstance(data, dict):
        return {}
    items = data.get("Data")
    if isinstance(items, list):
        named = [(_attribute(i, "Name"), i.get("#text", i.get("text"))) for i in items if isinstance(i, dict)]
        return {name: value for name, value in named if isinstance(name, str)}
    return data


def _attribute(element: Any, name: str) -> Any:
    """An XML attribute in the ways in which converters to JSON write it."""
    if not isinstance(element, dict):
        return element
    inner = element.get("#attributes")
    if isinstance(inner, dict):
        return inner.get(name)
    return element.get(f"@{name}", element.get(name))
