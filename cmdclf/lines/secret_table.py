"""The table of where secrets stand (`data/secrets.toml`), compiled to linear-time patterns."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cmdclf.errors import CmdclfError
from cmdclf.resources import data_path

__all__ = ["Generic", "Program", "SecretTable", "Tool", "secret_table"]

# A value: quoted (also with escaped quotes, as inside sh -c "..."), or a word; groups whose names start with s hold it.
# Or a placeholder, which fills the place so that nothing else is taken for the value when a line is redacted again.
_VALUE = (
    r"(?:\\\"(?P<{0}1>[^\"\\\r\n<>]{{1,8192}})\\\"|\"(?P<{0}2>[^\"\r\n<>]{{1,8192}})\"|'(?P<{0}3>[^'\r\n<>]{{1,8192}})'"
    r"|[\"']?<secret:[a-z]{{1,20}}>|(?P<{0}4>[^\s\"'|;<>&()\\`,][^\s\"'|;<>&()`]{{0,8192}}))"
)
_KINDS = frozenset({"password", "token", "key", "hash", "jwt"})
# Before a flag: white space, or a quote where the whole argument is quoted ("-pX").
_BEFORE = r"(?:(?<=\s)|(?<=[\s][\"']))"


@dataclass(frozen=True, slots=True)
class Tool:
    """One program's secrets of one kind.

    Attributes:
        kind: of the placeholder.
        flags: each finds flags with their values within the program's own command.
        positions: patterns to be matched right after the program's name.
        part: only what follows this character of a flag's value is secret; empty: all.
        first: only the first flag counts; what follows is another program's (sshpass).
        command: the name counts only where a command stands.
        hints: lower-case literals of which one must occur in the line.
        not_after: lower-case texts; a hit that starts with one of them is none.
    """

    kind: str
    flags: tuple[re.Pattern[str], ...]
    positions: tuple[re.Pattern[str], ...]
    part: str
    first: bool
    command: bool
    hints: tuple[str, ...]
    not_after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """A program's name in a lower-cased line, the literals of which one must occur, and its entries."""

    place: re.Pattern[str]
    hints: tuple[str, ...]
    tools: tuple[Tool, ...]


@dataclass(frozen=True, slots=True)
class Generic:
    """One pattern that needs no program; `checks` name what else must hold of a hit."""

    name: str
    kind: str
    literals: tuple[str, ...]
    pattern: re.Pattern[str]
    checks: frozenset[str]


@dataclass(frozen=True, slots=True)
class SecretTable:
    """The compiled table.

    Attributes:
        programs: first word of a program's name -> its programs.
        generics: in the order of the file.
        prefilter: an RE2 pattern that matches every line in which the table can find anything.
        no_secrets: values in lower case that are none.
    """

    programs: dict[str, tuple[Program, ...]]
    generics: tuple[Generic, ...]
    prefilter: str
    no_secrets: frozenset[str]


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text.replace("{value2}", _VALUE.format("sx")).replace("{value}", _VALUE.format("s")))


def _spaced(text: str) -> str:
    return re.escape(text.strip()).replace(r"\ ", r"\s{1,8}")


def _program(name: str, tools: tuple[Tool, ...]) -> Program:
    place = rf"(?:^|(?<=[\s\"'/\\=|;&(`]))(?:impacket-)?{_spaced(name)}(?:\.exe|\.py|\.com)?(?=[\"'\s])"
    return Program(re.compile(place), tuple(sorted({hint for tool in tools for hint in tool.hints})), tools)


def _flag(after: str) -> str:
    glued = not after.endswith(" ")
    body = _spaced(after)
    if after.startswith("/"):
        body = f"(?i:{body})"
    return body + ("" if glued else r"[\"']?\s{1,8}")


def _tool(entry: dict[str, Any]) -> Tool:
    # The longest first: "--user=" before "-u", "-p " (next word) before "-p" (glued).
    after = sorted(entry.get("after", []), key=len, reverse=True)
    flags = [_pattern(p) for p in entry.get("anywhere", [])]
    if after:
        flags.append(re.compile(_BEFORE + "(?:" + "|".join(map(_flag, after)) + ")" + _VALUE.format("s")))
    if entry["kind"] not in _KINDS:
        raise ValueError(f"unknown kind {entry['kind']!r}")
    return Tool(
        entry["kind"],
        tuple(flags),
        tuple(_pattern(p) for p in entry.get("patterns", [])),
        entry.get("part", ""),
        entry.get("first", False),
        entry.get("command", False),
        (*(text.strip().lower() for text in after), *entry.get("hints", [])),
        tuple(text.lower() for text in entry.get("not_after", [])),
    )


def _load(path: Path) -> SecretTable:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        tools: dict[str, tuple[Tool, ...]] = {}
        for entry in data["tool"]:
            tool = _tool(entry)
            for name in entry["names"]:
                tools[name.lower()] = (*tools.get(name.lower(), ()), tool)
        generics = tuple(
            Generic(g["name"], g["kind"], tuple(g["literals"]), _pattern(g["pattern"]), frozenset(g.get("checks", [])))
            for g in data["generic"]
        )
    except (KeyError, ValueError, re.error) as error:
        raise CmdclfError(
            f"the table of secrets is faulty: {error}", remedy="Install cmdclf again", file=path
        ) from error
    names = "|".join(_spaced(n) for n in sorted(tools, key=len, reverse=True))
    programs: dict[str, list[Program]] = {}
    for name, entries in tools.items():
        programs.setdefault(name.split()[0], []).append(_program(name, entries))
    forms = "|".join(
        form
        for g in data["generic"]
        for form in ([g["prefilter"]] if "prefilter" in g else map(re.escape, g["literals"]))
    )
    prefilter = rf"(?i)\b(?:{names})(?:\.exe|\.py|\.com)?[\"'\s]|{forms}"
    return SecretTable(
        {word: tuple(found) for word, found in programs.items()}, generics, prefilter, frozenset(data["no_secrets"])
    )


@cache
def secret_table() -> SecretTable:
    """The bundled table, compiled once.

    Raises:
        CmdclfError: the file is missing or faulty.
    """
    return _load(data_path("secrets.toml"))
