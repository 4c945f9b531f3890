"""The same command line on another day: its numbers, ids, versions, names and addresses drawn anew."""

from __future__ import annotations

import re

from cmdclf.lexicon.assembly import Assembly, Program
from cmdclf.lexicon.estate import Estate

__all__ = ["parameters", "redraw_program"]

_ALNUM = "abcdefghijklmnopqrstuvwxyz0123456789"

#: One alternative per kind of parameter; the group's name says how it is drawn. The first one that fits wins.
_PARAMETER = re.compile(
    r"""
      (?P<guid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)
    | (?P<sid>(?<=S-1-5-21-)\d+-\d+-\d+-\d+)
    | (?P<hex>(?<![0-9A-Za-z])(?=[0-9a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{8,}(?![0-9A-Za-z]))
    | (?P<address>(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]))
    | (?P<date>(?<!\d)20\d\d-[01]\d-[0-3]\d(?!\d))
    | (?P<version>(?<![\d.A-Za-z])\d{1,4}(?:\.\d{1,6}){1,3}(?![\d.]))
    | (?P<user>(?<=\\Users\\)(?!Public\b|Default\b|All\b)[A-Za-z][A-Za-z0-9._-]*
        | (?<=/home/)[a-z][a-z0-9._-]* | (?<=/Users/)(?!Shared\b)[A-Za-z][A-Za-z0-9._-]*)
    | (?P<host>(?<=\\\\)[A-Za-z][A-Za-z0-9-]+(?=\\))
    | (?P<temp>(?<=/tmp/tmp)[A-Za-z0-9._]{4,} | (?<=\\Temp\\)(?=\w*\d)[A-Za-z0-9]{6,}(?=[\\. "]))
    | (?P<number>(?<![A-Za-z0-9])\d{2,}(?![A-Za-z0-9]))
    """,
    re.VERBOSE,
)


def parameters(line: str) -> list[tuple[str, str]]:
    """The places of a line that change: kind and text of each, in order."""
    return [(match.lastgroup or "", match[0]) for match in _PARAMETER.finditer(line)]


def redraw_program(assembly: Assembly, line: str, parent: str | None, estate: Estate, platform: str) -> int:
    """Add the program that draws a line's parameters anew, equal ones alike, and keeps its parent's line.

    Args:
        assembly: where the program goes; the result is its number there.
        line: the line whose parameters change.
        parent: its parent's line.
        estate: where user and host names come from.
        platform: whose hosts are meant.
    """
    program = Program(assembly)

    def write() -> None:
        at = 0
        for match in _PARAMETER.finditer(line):
            program.text(line[at : match.start()])
            at = match.end()
            old, kind = match[0], match.lastgroup or ""
            if not program.defined(old):
                program.define(old, lambda kind=kind, old=old: _write(program, kind, old, estate, platform))  # type: ignore[misc]
            program.copy(old)
        program.text(line[at:])

    return program.finish(write, None if parent is None else lambda: program.text(parent))


def _write(p: Program, kind: str, old: str, estate: Estate, platform: str) -> None:
    if kind == "user":
        p.choice(estate.users)
    elif kind == "host":
        p.choice(estate.hosts[platform])
    elif kind == "guid":
        p.guid()
    elif kind == "hex":
        p.hexadecimal(len(old), upper=old.isupper())
    elif kind == "address":
        p.text(".".join(old.split(".")[:2]) + ".")
        p.integer(0, 255)
        p.text(".")
        p.integer(1, 254)
    elif kind == "date":
        p.choice(("2024-", "2025-", "2026-"))
        p.choice([f"{month:02d}-" for month in range(1, 13)])
        p.choice([f"{day:02d}" for day in range(1, 29)])
    elif kind == "temp":
        p.letters(len(old), _ALNUM)
    else:  # numbers keep their digits' count; a version keeps its first number
        sign = "-" if kind == "sid" else "."
        for k, part in enumerate(old.split(sign)):
            if k:
                p.text(sign)
            if kind == "version" and k == 0:
                p.text(part)
            else:
                p.digits(len(part), zero_first=part[0] == "0")
