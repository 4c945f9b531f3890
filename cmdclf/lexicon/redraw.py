"""The same command line on another day: its numbers, ids, versions, names and addresses drawn anew."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable

from cmdclf.lexicon.estate import Estate

__all__ = ["Redrawer"]

_HEX = "0123456789abcdef"
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


def _digits(old: str, rng: random.Random) -> str:
    """As many digits, no leading zero where there was none."""
    low = 0 if old[0] == "0" else 10 ** (len(old) - 1)
    return f"{rng.randrange(low, 10 ** len(old)):0{len(old)}d}"


def _hexadecimal(old: str, rng: random.Random) -> str:
    text = "".join(rng.choices(_HEX, k=len(old)))
    return text.upper() if old.isupper() else text


def _address(old: str, rng: random.Random) -> str:
    first, second, _, _ = old.split(".")
    return f"{first}.{second}.{rng.randrange(256)}.{rng.randrange(1, 255)}"


def _version(old: str, rng: random.Random) -> str:
    first, *rest = old.split(".")
    return ".".join([first, *(_digits(part, rng) for part in rest)])


class Redrawer:
    """Draws one line's parameters anew; the line is taken apart once.

    Args:
        line: the line whose parameters change.
        estate: where user and host names come from.
        platform: whose hosts are meant.
    """

    __slots__ = ("_estate", "_pieces", "_platform")

    def __init__(self, line: str, estate: Estate, platform: str) -> None:
        self._estate = estate
        self._platform = platform
        pieces: list[tuple[str, str, str]] = []
        at = 0
        for match in _PARAMETER.finditer(line):
            pieces.append((line[at : match.start()], match.lastgroup or "", match[0]))
            at = match.end()
        self._pieces = [*pieces, (line[at:], "", "")]

    @property
    def parameters(self) -> int:
        """How many places of the line change."""
        return len(self._pieces) - 1

    def draw(self, rng: random.Random) -> str:
        """The line with new parameters; equal parameters stay equal."""
        drawn: dict[str, str] = {}
        out: list[str] = []
        for literal, kind, old in self._pieces:
            out.append(literal)
            if kind:
                new = drawn.get(old)
                if new is None:
                    new = drawn[old] = self._new(kind, old, rng)
                out.append(new)
        return "".join(out)

    def _new(self, kind: str, old: str, rng: random.Random) -> str:
        if kind == "user":
            return rng.choice(self._estate.users)
        if kind == "host":
            return rng.choice(self._estate.hosts[self._platform])
        return _DRAW[kind](old, rng)


_DRAW: dict[str, Callable[[str, random.Random], str]] = {
    "guid": lambda old, rng: str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    "sid": lambda old, rng: "-".join(_digits(part, rng) for part in old.split("-")),
    "hex": _hexadecimal,
    "address": _address,
    "date": lambda old, rng: f"20{rng.randint(24, 26)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}",
    "version": _version,
    "temp": lambda old, rng: "".join(rng.choices(_ALNUM, k=len(old))),
    "number": _digits,
}
