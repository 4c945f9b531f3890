"""The table of where secrets stand (`data/secrets.toml`) as linear-time patterns, compiled when first tried."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from cmdclf.errors import CmdclfError
from cmdclf.lines.secret_gate import ANYWHERE, FLAG, LETTERLESS, NAME, Literal, SecretGate, build_gate
from cmdclf.resources import data_path

__all__ = ["Generic", "SecretTable", "Tool", "secret_table"]

# A value: quoted (also with escaped or doubled quotes, as inside sh -c "..."), or a word; groups whose names start with
# s hold it. Or a placeholder, which fills the place so that nothing else is taken for the value when a line is redacted
# again.
_IN = r"(?:[^{0}\r\n<]|<(?!secret:)){{1,8192}}"
_DOUBLE, _SINGLE, _ESCAPED = (_IN.format(c).replace("{1,", "{{1,").replace("92}", "92}}") for c in ('"', "'", '"\\\\`'))
_REST = r"[^\s\"'|;<>&()`]{0,8192}"
_VALUE = (
    rf"(?:[\\`]{{{{1,3}}}}\"(?P<{{0}}1>{_ESCAPED})[\\`]{{{{1,3}}}}\"|\"(?P<{{0}}2>{_DOUBLE})\"|\$?'(?P<{{0}}3>{_SINGLE})'"
    rf"|\"\"(?!\s)(?P<{{0}}5>{_DOUBLE})\"\"|''(?!\s)(?P<{{0}}6>{_SINGLE})''|[\\`]{{{{1,3}}}}'(?P<{{0}}7>{_SINGLE})'"
    r"|[\\`]{{0,3}}[\"']{{0,2}}<secret:[a-z]{{1,20}}>|(?P<{0}4>[^\s\"'|;<>&()\\`,][^\s\"'|;<>&()`]{{0,8192}}))"
)
# As an option's value; there an ampersand within a word is a part of it.
_FLAG_VALUE = _VALUE.format("s").replace(_REST, _REST[:-8].join(("(?:", r"|&(?![\s&]|$))")) + "{0,8192}")
_KINDS = frozenset({"password", "token", "key", "hash", "jwt"})
# Between a name and its value: name=value, "name": "value", name:value, $d['name'] = 'value'.
_IS = (
    r"(?:(?:[\"'\]]{0,2}(?:[ \t]{1,2}(?:=>|:=|=)[ \t]{0,2}|(?:=>|:=|=)(?:[ \t]{1,2}(?=[\"'\\`<]))?))"
    r"|(?:[\\`]{0,3}[\"']{1,2}[ \t]{0,2}:[ \t]{0,2})|:(?![ \t]))"
    r"(?:[NRBUFnrbuf](?=[\"']))?"
)
# Between a flag and its value: -flag value, "-flag", "value".
_BLANK = r"(?:[\"']?\s{1,8}|[\"'],\s{0,4})"
# Before a flag: white space, or a quote where the whole argument is quoted ("-pX", ['-p', 'X']).
_BEFORE = r"(?:(?<=\s)|(?<=[\s,(\[][\"']))"


@dataclass(frozen=True)
class Tool:
    """One group of programs' secrets of one kind.

    Attributes:
        kind: of the placeholder.
        names: of the programs, in lower case; a blank stands for white space.
        after: what stands before the value; a blank at the end stands for white space.
        anywhere: patterns that are searched in the program's own command.
        patterns: those that are matched right after the program's name.
        part: only what follows this character of a flag's value is secret; empty: all.
        first: only the first flag counts; what follows is another program's (sshpass).
        command: the name counts only where a command stands.
        hints: lower-case literals of which one must occur where a pattern matches; empty: none need.
        not_after: lower-case texts; a hit that starts with one of them is none.
        strong: the value must look like a secret.
    """

    kind: str
    names: tuple[str, ...]
    after: tuple[str, ...]
    anywhere: tuple[str, ...]
    patterns: tuple[str, ...]
    part: str
    first: bool
    command: bool
    hints: tuple[str, ...]
    not_after: tuple[str, ...]
    strong: bool

    @cached_property
    def place(self) -> re.Pattern[str]:
        """The name in a lower-cased line."""
        names = "|".join(map(_spaced, self.names))
        return re.compile(
            rf"(?:^|(?<=[\s\"'/\\=|;&(`@]))(?:impacket-)?(?:{names})(?:\.(?:exe|py|com|cmd|bat|sh|jar|ps1|pl))?(?=[\"'\s])"
        )

    @cached_property
    def flags(self) -> tuple[re.Pattern[str], ...]:
        """Each finds flags with their values."""
        found = [_pattern(p) for p in self.anywhere]
        if self.after:
            found.append(re.compile(_BEFORE + "(?:" + "|".join(map(_flag, self.after)) + ")" + _FLAG_VALUE))
        return tuple(found)

    @cached_property
    def positions(self) -> tuple[re.Pattern[str], ...]:
        """`patterns`, compiled."""
        return tuple(_pattern(p) for p in self.patterns)

    def needs(self) -> tuple[list[Literal], list[Literal] | None]:
        """The literals of which one of each must occur in a line that this entry finds something in."""
        names = [(n.split()[0] + end, NAME) for n in self.names for end in " \"'."]
        if (self.patterns or self.anywhere) and not self.hints:
            return names, None
        flags = [(flag, FLAG) for text in self.after for flag in _flag_literals(text.lower())]
        return names, [*flags, *((hint, ANYWHERE) for hint in self.hints)]


@dataclass(frozen=True)
class Generic:
    """One pattern that needs no program.

    Attributes:
        name: what it finds.
        kind: of the placeholder.
        literals: lower-case; one must occur.
        also: more literals, of which one must occur too, or a feature of the gate (`hex-run`, `colon-at`).
        text: the pattern.
        checks: what else must hold of a hit.
        not_before: lower-case texts; a hit behind one of them is none.
    """

    name: str
    kind: str
    literals: tuple[str, ...]
    also: tuple[str, ...] | str | None
    text: str
    checks: frozenset[str]
    not_before: tuple[str, ...]

    @property
    def folded(self) -> bool:
        """Whether the pattern is for the line in lower case: several times faster than ignoring case."""
        return self.text.startswith("(?i)")

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The pattern, compiled."""
        return _pattern(self.text.removeprefix("(?i)"))

    def needs(self) -> tuple[list[Literal], list[Literal] | str | None]:
        """As of a tool."""
        left = LETTERLESS if "letterless" in self.checks else ANYWHERE
        also = self.also if self.also is None or isinstance(self.also, str) else [(one, ANYWHERE) for one in self.also]
        return [(literal, left) for literal in self.literals], also


@dataclass(frozen=True, slots=True)
class SecretTable:
    """The table.

    Attributes:
        entries: programs' and generic ones, in the order of the file.
        gate: which entries are worth trying on a line.
        no_secrets: values in lower case that are none.
    """

    entries: tuple[Tool | Generic, ...]
    gate: SecretGate
    no_secrets: frozenset[str]


def _pattern(text: str) -> re.Pattern[str]:
    for name, part in (
        ("{value}", _VALUE.format("s")),
        ("{value2}", _VALUE.format("sx")),
        ("{is}", _IS),
        ("{blank}", _BLANK),
    ):
        text = text.replace(name, part)
    return re.compile(text)


def _spaced(text: str) -> str:
    return re.escape(text.strip()).replace(r"\ ", r"\s{1,8}")


def _flag(after: str) -> str:
    glued = not after.endswith(" ")
    body = _spaced(after)
    if after.startswith("/"):
        body = f"(?i:{body})"
    return body + ("" if glued else _BLANK)


def _flag_literals(after: str) -> list[str]:
    words = after.split()
    if len(words) > 1:
        return [words[0] + " "]
    return [words[0] + end for end in " \"'"] if after.endswith(" ") else [words[0]]


def _tool(entry: dict[str, Any]) -> Tool:
    if entry["kind"] not in _KINDS:
        raise ValueError(f"unknown kind {entry['kind']!r}")
    texts = {key: tuple(entry.get(key, ())) for key in ("anywhere", "patterns", "hints")}
    return Tool(
        kind=entry["kind"],
        names=tuple(sorted({name.lower() for name in entry["names"]}, key=lambda n: (-len(n), n))),
        # The longest first: "--user=" before "-u", "-p " (next word) before "-p" (glued).
        after=tuple(sorted(entry.get("after", []), key=len, reverse=True)),
        part=entry.get("part", ""),
        first=entry.get("first", False),
        command=entry.get("command", False),
        not_after=tuple(text.lower() for text in entry.get("not_after", [])),
        strong=entry.get("strong", False),
        **texts,
    )


def _generic(entry: dict[str, Any]) -> Generic:
    if entry["kind"] not in _KINDS:
        raise ValueError(f"unknown kind {entry['kind']!r}")
    also = entry.get("also")
    return Generic(
        name=entry["name"],
        kind=entry["kind"],
        literals=tuple(entry["literals"]),
        also=tuple(also) if isinstance(also, list) else also,
        text=entry["pattern"],
        checks=frozenset(entry.get("checks", [])),
        not_before=tuple(entry.get("not_before", [])),
    )


def _load(path: Path) -> SecretTable:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        entries: tuple[Tool | Generic, ...] = (
            *map(_tool, data["tool"]),
            *map(_generic, data["generic"]),
        )
        gate = build_gate([entry.needs() for entry in entries])
    except (KeyError, ValueError) as error:
        raise CmdclfError(
            f"the table of secrets is faulty: {error}", remedy="Install cmdclf again", file=path
        ) from error
    return SecretTable(entries, gate, frozenset(data["no_secrets"]))


@cache
def secret_table() -> SecretTable:
    """The bundled table, read once.

    Raises:
        CmdclfError: the file is missing or faulty.
    """
    return _load(data_path("secrets.toml"))
