"""Proof that a pattern cannot match a text without one of its literals, so that the prefilter loses nothing.

The walk over the parsed pattern follows R. Cox, "Regular Expression Matching with a Trigram Index" (2012): each
part adds a small set of exact strings or something unknown to what came before, and exact stretches are searched.
"""

from __future__ import annotations

import re
import re._constants as sre  # type: ignore[import-untyped, import-not-found]
import re._parser as parser  # type: ignore[import-untyped, import-not-found]
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["REPEATS", "implies", "members", "parsed", "proven"]

_MAX_WINDOW = 256
#: Spelt alike but read differently by RE2 and by Python's parser; nothing is concluded from such patterns.
_ONLY_RE2 = re.compile(r"\[:\^?[a-z]+:\]|\\[QCzZ]|\(\?\w*[U-]|\{,")
_ESCAPE = re.compile(r"\\(?:[pP](?:\w|\{\^?\w+\})|.)", re.DOTALL)
REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT)

Window = frozenset[str]
_UNKNOWN: Window = frozenset({""})


def implies(regex: str, literals: Sequence[str]) -> bool:
    """Whether each match of the RE2 pattern, ASCII-lower-cased, is known to contain one of the literals.

    False also where nothing could be proved.
    """
    tree = parsed(regex)
    return tree is not None and proven(tree, literals)


def proven(items: Iterable[Any], literals: Sequence[str]) -> bool:
    """The same for a pattern that is parsed already, or a part of one."""
    return bool(literals) and "" not in literals and not _Walk(literals).sequence(items, _UNKNOWN)


def parsed(regex: str) -> Any:
    """The pattern as Python's parser reads it; None where RE2 might read it otherwise."""
    if _ONLY_RE2.search(regex.replace("\\\\", "  ")):
        return None
    # Unicode classes, which Python's parser lacks, are one unknown character, as \w is.
    regex = _ESCAPE.sub(lambda escape: r"\w" if escape[0][1] in "pP" else escape[0], regex)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = parser.parse(regex)
    except (sre.error, OverflowError, RecursionError, Warning):
        return None
    return None if tree.state.flags & sre.SRE_FLAG_VERBOSE else tree


class _Walk:
    """Follows all ways through a pattern that have not met a literal yet.

    A window is the set of their known endings (`""`: nothing is known); once it is empty, every way has met one.
    """

    def __init__(self, literals: Sequence[str]) -> None:
        self.literals = literals

    def sequence(self, items: Iterable[Any], window: Window) -> Window:
        for op, argument in items:
            if not window:
                break
            window = self.trim(self.item(op, argument, window))
        return window

    def trim(self, window: Window) -> Window:
        open_ways = frozenset(text for text in window if not any(literal in text for literal in self.literals))
        for length in (16, 8, 4, 2, 1):
            if len(open_ways) <= _MAX_WINDOW:
                return open_ways
            open_ways = frozenset(text[-length:] for text in open_ways)
        return open_ways if len(open_ways) <= _MAX_WINDOW else _UNKNOWN

    def item(self, op: Any, argument: Any, window: Window) -> Window:
        if op is sre.LITERAL:
            lower = chr(argument).lower()
            return frozenset(text + lower for text in window) if len(lower) == 1 else _UNKNOWN
        if op is sre.AT:
            return window
        if op is sre.IN:
            some = members(argument)
            return _UNKNOWN if some is None else frozenset(text + c for text in window for c in some)
        if op is sre.SUBPATTERN:
            return self.sequence(argument[3], window)
        if op is sre.BRANCH:
            return frozenset().union(*(self.sequence(arm, window) for arm in argument[1]))
        if op in REPEATS:
            return self.repeat(argument, window)
        return _UNKNOWN

    def repeat(self, argument: tuple[int, int, Any], window: Window) -> Window:
        least, most, body = argument
        if least == 0:
            return self.sequence(body, window) | window if most == 1 else _UNKNOWN
        after = window
        for _ in range(min(least, 4)):
            after = self.sequence(body, after)
        # More copies may follow; whatever comes last is a copy too.
        return after if most == least <= 4 or not after else after | self.sequence(body, _UNKNOWN)


def members(items: Sequence[tuple[Any, Any]]) -> frozenset[str] | None:
    """The members of a small set of characters, lower-cased; None for all others."""
    exact: set[str] = set()
    for op, argument in items:
        if op is sre.LITERAL and len(chr(argument).lower()) == 1:
            exact.add(chr(argument).lower())
        elif op is sre.RANGE and argument[1] - argument[0] < 64:
            exact.update(chr(code).lower() for code in range(argument[0], argument[1] + 1))
        else:
            return None
    return frozenset(exact) if all(len(character) == 1 for character in exact) else None
