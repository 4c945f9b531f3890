"""Known logs: which of their columns is which of ours. One entry per product; a new one is one more entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

__all__ = ["FIELDS", "PROFILES", "Profile", "choose", "mapped"]

#: Our columns, and helpers that are folded into them: a folder and a name are joined to an image, a domain to a user.
FIELDS = (
    "command_line", "argv", "event_time", "platform", "image", "image_name", "parent_image", "parent_image_name",
    "parent_command_line", "user", "user_domain", "host", "source_format", "quoting", "count",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """One product's names.

    Args:
        name: becomes `source_format`, unless the reader has a name of its own for it.
        fields: our column -> the product's names in order of preference; the first that holds something is taken.
        needs: at least one of these must be there too, where the name of the command line alone is not telling.
        only: a record counts as a process start only if the value (one of a list) is among these, or is absent.
        never: a record is no process start if the value is among these.
        marker: names that show the product in a record without a command line, so that it is skipped and not refused.
        platform: what the product runs on, where it is only one.
    """

    name: str
    fields: Mapping[str, tuple[str, ...]]
    needs: tuple[str, ...] = ()
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    never: Mapping[str, frozenset[str]] = field(default_factory=dict)
    marker: tuple[str, ...] = ()
    platform: str | None = None


_OWN = Profile(
    "own",
    {
        # Labelled pools hold both; the form that a sensor would record is the one to put beside telemetry.
        "command_line": ("process_command_line", "command_line"),
        "argv": ("argv",),
        "event_time": ("event_time", "timestamp", "@timestamp", "time"),
        "platform": ("platform", "os"),
        "image": ("image",),
        "parent_image": ("parent_image",),
        "parent_command_line": ("parent_command_line",),
        "user": ("user",),
        "host": ("host", "hostname"),
        "source_format": ("source_format",),
        "quoting": ("quoting",),
        "count": ("count",),
    },
)

_ECS = Profile(
    "ecs",
    {
        "command_line": ("process.command_line",),
        "argv": ("process.args",),
        "event_time": ("@timestamp", "event.created", "process.start"),
        "platform": ("host.os.type", "host.os.family", "host.os.platform", "host.os.name"),
        "image": ("process.executable", "process.name"),
        "parent_image": ("process.parent.executable", "process.parent.name"),
        "parent_command_line": ("process.parent.command_line",),
        "user": ("user.name",),
        "user_domain": ("user.domain",),
        "host": ("host.hostname", "host.name", "agent.hostname"),
    },
    only={
        "event.category": frozenset({"process"}),
        "event.type": frozenset({"start", "creation"}),
    },
    never={"event.action": frozenset({"fork", "end", "already_running", "exit", "terminated", "process_stopped"})},
    marker=("ecs.version", "event.category", "event.kind", "event.action", "agent.type"),
)

_OCSF = Profile(
    "ocsf",
    {
        "command_line": ("process.cmd_line",),
        "event_time": ("time_dt", "time", "process.created_time"),
        "platform": ("device.os.type", "device.os.name"),
        "image": ("process.file.path", "process.file.name", "process.name"),
        "parent_image": (
            "process.parent_process.file.path", "actor.process.file.path", "process.parent_process.name",
        ),
        "parent_command_line": (
            "process.parent_process.cmd_line", "process.parent_process.cmdline", "actor.process.cmd_line",
        ),
        "user": ("process.user.name", "actor.user.name"),
        "user_domain": ("process.user.domain", "actor.user.domain"),
        "host": ("device.hostname", "device.name"),
        "count": ("count",),
    },
    only={"class_uid": frozenset({"1007"}), "activity_id": frozenset({"1"})},
    marker=("class_uid",),
)  # fmt: skip

_DEFENDER = Profile(
    "defender",
    {
        "command_line": ("ProcessCommandLine",),
        "event_time": ("Timestamp", "TimeGenerated", "ProcessCreationTime"),
        "platform": ("OSPlatform",),
        "image": ("FolderPath",),
        "image_name": ("FileName",),
        "parent_image": ("InitiatingProcessFolderPath",),
        "parent_image_name": ("InitiatingProcessFileName",),
        "parent_command_line": ("InitiatingProcessCommandLine",),
        "user": ("AccountName",),
        "user_domain": ("AccountDomain",),
        "host": ("DeviceName",),
    },
    only={"ActionType": frozenset({"processcreated"})},
    marker=("InitiatingProcessFileName", "DeviceId"),
)

_DEFENDER_RAW = Profile(
    "defender_raw",
    {
        "command_line": ("CreatedProcessCommandLine",),
        "event_time": ("CreatedProcessCreationTime", "ReportTime"),
        "image": ("CreatedProcessFilePath",),
        "image_name": ("CreatedProcessName",),
        "parent_image": ("InitiatingProcessImageFilePath",),
        "parent_image_name": ("InitiatingProcessName",),
        "parent_command_line": ("InitiatingProcessCommandLine", "Process_CommandLine"),
        "user": ("CreatedProcessAccountName",),
        "user_domain": ("CreatedProcessAccountDomainName",),
        "host": ("ComputerDnsName",),
    },
)

_OSQUERY = Profile(
    "osquery",
    {
        "command_line": ("columns.cmdline", "cmdline"),
        "event_time": ("columns.time", "time", "unixTime", "calendarTime"),
        "platform": ("decorations.platform", "platform"),
        "image": ("columns.path", "path", "columns.name"),
        "parent_command_line": ("columns.pcmdline", "columns.parent_cmdline", "pcmdline"),
        "parent_image": ("columns.parent_path",),
        "user": ("columns.username", "username", "columns.uid", "uid"),
        "host": ("decorations.hostname", "hostIdentifier", "host_identifier"),
    },
    # `logged_in_users` and others have a cmdline too: a process has a parent.
    needs=("columns.parent", "columns.pid_parent", "columns.parent_pid", "parent", "parent_pid"),
    only={"action": frozenset({"added"})},
    marker=("hostIdentifier", "host_identifier"),
)

_WINDOWS = Profile(
    "windows_event",
    {
        "command_line": ("CommandLine", "EventData.CommandLine", "winlog.event_data.CommandLine"),
        "event_time": (
            "UtcTime", "SystemTime", "TimeCreatedUtc", "@timestamp", "TimeCreated", "TimeGenerated", "EventTime",
            "_time",
        ),
        "image": ("Image", "NewProcessName"),
        "parent_image": ("ParentImage", "ParentProcessName"),
        "parent_command_line": ("ParentCommandLine",),
        # The target is the new process's user where it differs from the one that started it.
        "user": ("User", "TargetUserName", "Account", "SubjectUserName"),
        "host": ("Computer", "Hostname", "ComputerName", "computer_name", "host"),
    },
    needs=("EventID", "Image", "NewProcessName", "ParentImage", "ParentProcessName"),
    only={"EventID": frozenset({"1", "4688", "1.0", "4688.0"})},
    marker=("EventID",),
    platform="windows",
)  # fmt: skip

_CROWDSTRIKE = Profile(
    "crowdstrike",
    {
        "command_line": ("CommandLine",),
        "event_time": ("ProcessStartTime", "ContextTimeStamp", "timestamp", "_time"),
        "platform": ("event_platform",),
        "image": ("ImageFileName", "FileName"),
        "parent_image": ("ParentBaseFileName",),
        "parent_command_line": ("ParentCommandLine",),
        "user": ("UserName",),
        "host": ("ComputerName", "aid"),
    },
    needs=("event_simpleName", "aid", "SHA256HashData", "ParentBaseFileName"),
    only={"event_simpleName": frozenset({"processrollup2"})},
    marker=("event_simpleName",),
)

_CIM = Profile(
    "splunk_cim",
    {
        "command_line": ("process",),
        "event_time": ("_time", "time", "_indextime"),
        "platform": ("os",),
        "image": ("process_path", "process_exec", "process_name"),
        "parent_image": ("parent_process_path", "parent_process_exec", "parent_process_name"),
        "parent_command_line": ("parent_process",),
        "user": ("user",),
        "host": ("dest", "host"),
        "count": ("count",),
    },
    needs=("process_name", "process_path", "process_exec", "parent_process", "process_id", "dest"),
)

_GENERIC = Profile(
    "generic",
    {
        "command_line": (
            "CommandLine", "commandLine", "commandline", "cmdline", "cmdLine", "cmd_line", "Command Line",
            "command line",
        ),
        "argv": ("args", "Args"),
        "event_time": (
            "event_time", "EventTime", "@timestamp", "timestamp", "Timestamp", "TimeGenerated", "UtcTime",
            "TimeCreated", "CreateTime", "CreationDate", "StartTime", "start_time", "_time", "time", "Time",
        ),
        "platform": ("platform", "os", "OS"),
        "image": ("Exe", "ExecutablePath", "ImagePathName", "Path", "image", "Image", "exe", "Name"),
        "parent_command_line": ("ParentCommandLine", "parent_command_line"),
        "user": ("Username", "UserName", "User", "user", "username"),
        "host": ("Fqdn", "Hostname", "ComputerName", "CSName", "host", "hostname"),
        "count": ("count",),
    },
)  # fmt: skip

#: In the order in which they are tried: a product's own names before the general ones.
PROFILES = (_OWN, _ECS, _OCSF, _DEFENDER, _DEFENDER_RAW, _OSQUERY, _WINDOWS, _CROWDSTRIKE, _CIM, _GENERIC)


def choose(has: Callable[[str], bool]) -> Profile | None:
    """The first profile whose command line (or argument list) is there, with one of the names that it needs."""
    for profile in PROFILES:
        sources = profile.fields["command_line"]
        if profile is not _GENERIC:
            sources += profile.fields.get("argv", ())
        if any(has(n) for n in sources) and (not profile.needs or any(has(n) for n in profile.needs)):
            return profile
    return None


def mapped(profile: Profile | None, columns: Mapping[str, str]) -> Profile | None:
    """A profile with the user's own mapping laid over it; without a profile the mapping stands alone."""
    if not columns:
        return profile
    overlay = {ours: (theirs,) if theirs else () for ours, theirs in columns.items()}
    for column, helper in (("image", "image_name"), ("parent_image", "parent_image_name"), ("user", "user_domain")):
        if column in overlay:
            overlay[helper] = ()
    if "command_line" in overlay and "argv" not in overlay:
        overlay["argv"] = ()
    if "argv" in overlay and "command_line" not in overlay:
        overlay["command_line"] = ()
    if profile is None:
        return Profile("mapped", overlay)
    return replace(profile, fields={**profile.fields, **overlay})
