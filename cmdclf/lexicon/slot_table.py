"""What each slot means, and the table of all slots with values as they are rendered."""

from __future__ import annotations

import random
from dataclasses import dataclass

from cmdclf.lexicon.estate import default_estate
from cmdclf.lexicon.slots import SLOTS, SlotContext

__all__ = ["SlotNote", "slot_table"]

#: `name` or `name:arguments as an example` -> meaning; in the order of the table.
_MEANINGS = {
    "user": "account name of a person",
    "person": "a person's full name, with a blank",
    "email": "address of that user on a reserved domain",
    "group": "group of the directory or of the system",
    "ou": "distinguished name of an organisational unit",
    "sid": "SID of an account of the domain",
    "domain": "DNS name of the directory",
    "netbios": "short name of the domain",
    "host": "host of the estate; `{{host:linux}}` gives one of another platform",
    "fqdn": "outside host under example.com, .net or .org",
    "server": "such a host, or a documentation or private address",
    "url:agent.msi": "URL on a reserved host, with that file's name; without one a usual file",
    "ip": "address reserved for documentation",
    "ip_private": "private address",
    "ipv6": "address under 2001:db8::/32",
    "cidr": "private network",
    "mac": "locally administered MAC address",
    "port": "TCP port",
    "iface": "name of a network interface; on Windows it may hold a blank",
    "share": "UNC path of a share; elsewhere a folder under /mnt",
    "drive": "drive letter with colon",
    "mount": "where another volume is mounted",
    "device": "a block device",
    "path_home": "home of that user",
    "path_temp": "folder for temporary files",
    "path_program": "folder of that product",
    "file_doc": "document as people name it, blanks and all: quote it; `{{file_doc:pdf}}` fixes the kind",
    "file_exe": "name of a program of the estate",
    "script": "name of a script; `{{script:ps1}}` fixes the kind",
    "odd_name": "random short name, as droppers and temporary folders have it; `{{odd_name:8}}` fixes its length",
    "word": "everyday word of file names",
    "product": "product of an imaginary vendor, with a blank",
    "bundle": "identifier of an application bundle",
    "service": "name of a service",
    "task_name": "name of a scheduled task, timer or launchd job",
    "package": "name of a package",
    "reg_key": "registry key of that product",
    "pipe": "name of a named pipe, without its prefix",
    "version": "version number",
    "build": "number of a build",
    "kb": "number of a Windows update",
    "ticket": "number of a ticket or change",
    "database": "name of a database",
    "guid": "GUID; `{{guid:upper}}` in capitals",
    "hex:16": "that many hex digits (32 without an argument)",
    "md5": "32 hex digits",
    "sha1": "40 hex digits",
    "sha256": "64 hex digits; a second one is `{{sha256_2}}`",
    "thumbprint": "40 hex digits in capitals, as of a certificate",
    "b64:24": "that many characters of base64 (44 without an argument)",
    "password": "what a password looks like; no character needs quoting",
    "token:24": "letters and digits as in an API key (40 without an argument); inert: no typed prefix",
    "int:1-99": "number in that range",
    "pid": "process id",
    "epoch": "seconds since 1970",
    "date:%Y%m%d": "date in strftime's format (ISO without an argument)",
    "time:%H%M%S": "time in strftime's format (HH:MM without an argument)",
    "pick:a|b|c": "one of the texts, which hold no braces",
    "container": "short id of a container",
    "image": "container image on a reserved registry, with its tag",
    "namespace": "namespace of a cluster",
    "pod": "name of a pod",
    "commit:8": "that many hex digits of a commit (40 without an argument)",
    "branch": "branch of a repository",
    "bucket": "name of a cloud bucket",
    "region": "region of a cloud",
}


@dataclass(frozen=True, slots=True)
class SlotNote:
    """One row of the table: how the slot is written, what it means, and a value on each of the platforms."""

    written: str
    meaning: str
    windows: str
    linux: str
    macos: str


def slot_table() -> list[SlotNote]:
    """All slots but `payload`, with the values that a fixed seed gives; what is not described yet comes last."""
    described = {written.partition(":")[0] for written in _MEANINGS}
    rows = {**_MEANINGS, **dict.fromkeys(sorted(SLOTS.keys() - described), "not described yet")}
    notes = []
    for written, meaning in rows.items():
        name, _, args = written.partition(":")
        values = [
            SlotContext(platform, random.Random(written), default_estate()).value(name, args)
            for platform in ("windows", "linux", "macos")
        ]
        notes.append(SlotNote(f"{{{{{written}}}}}", meaning, *values))
    return notes
