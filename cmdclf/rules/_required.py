"""More that a pattern cannot match without: sets of literals of which a text must hold one each.

A rule's own literals are one such set. Others are read off the parsed pattern: `vssadmin\\s+delete` needs `vssadmin`
and `delete`. A text is shown to RE2 only where it has a literal of every set, as in RE2's FilteredRE2 and in R. Cox,
"Regular Expression Matching with a Trigram Index" (2012).
"""

from __future__ import annotations

import re._constants as sre  # type: ignore[import-untyped, import-not-found]
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from cmdclf.rules._implied import REPEATS, members, parsed, proven

__all__ = ["frequency", "needed", "required"]

_MOST_SETS, _MOST_STRINGS, _MOST_WAYS, _LONGEST = 3, 64, 24, 24
#: Roughly what share of the characters of command lines is this one.
_SHARES = {" esatoicrn-": 0.05, "ldmp/.": 0.027, 'gfu\\bwh"': 0.018, "vxy0123'_k": 0.009, ":456789=q$z": 0.004}
_SHARE = {character: share for characters, share in _SHARES.items() for character in characters}
_RARE = 0.001
#: A set that is seen more often than once in so many characters tells too little to be looked for beside another.
_TOO_OFTEN = 1 / 2000

Literals = frozenset[str]
_NOTHING: Literals = frozenset({""})


def required(regex: str, literals: Sequence[str]) -> list[list[Literals]]:
    """For each way through the pattern, the most telling sets of which a text must hold one member each.

    A text that matches holds, ASCII-lower-cased, a member of every set of at least one way. `literals` must be a set
    that all ways need (`implies`); of the others only what is proven is kept. At most three a way.
    """
    tree = parsed(regex)
    ways = [[]] if tree is None else _ways(list(tree))
    return [_telling(way, _least(frozenset(literals))) for way in ways]


def needed(regex: str) -> list[Literals]:
    """The most telling sets of which every text that matches the pattern holds one member each, ASCII-lower-cased."""
    tree = parsed(regex)
    sets = [] if tree is None else [found for found in _collect(tree) if proven(tree, sorted(found))]
    return sorted(sets, key=lambda found: (frequency(found), sorted(found)))[:_MOST_SETS]


def _telling(way: list[Any], given: Literals) -> list[Literals]:
    sets = {given, *(found for found in _collect(way) if proven(way, sorted(found)))}
    telling: list[Literals] = []
    for found in sorted(sets, key=lambda found: (frequency(found), sorted(found))):
        # Where every member holds one of the other set's, the other set says nothing more.
        if not any(all(any(weak in strong for weak in found) for strong in kept) for kept in telling):
            telling.append(found)
    return [found for k, found in enumerate(telling[:_MOST_SETS]) if k == 0 or frequency(found) < _TOO_OFTEN]


def _ways(items: list[Any]) -> list[list[Any]]:
    """The sequence, at its first alternation of which every arm needs some literal, as one sequence an arm."""
    for at, (op, argument) in enumerate(items):
        if op is sre.SUBPATTERN and _exact(op, argument) is None:
            inner = _ways(list(argument[3]))
        elif op is sre.BRANCH and _exact(op, argument) is None:
            inner = [way for arm in argument[1] for way in _ways(list(arm))]
        else:
            continue
        if 1 < len(inner) <= _MOST_WAYS and all(_collect(way) for way in inner):
            return [[*items[:at], *way, *items[at + 1 :]] for way in inner]
    return [items]


def _least(found: Literals) -> Literals:
    """Without the members that hold another one."""
    return frozenset(text for text in found if not any(other != text and other in text for other in found))


def frequency(found: Literals) -> float:
    """About how often a character of a command line ends one of the texts."""
    return sum(prod(_SHARE.get(c, _RARE) for c in text) for text in found)


def _collect(items: Iterable[Any]) -> list[Literals]:
    """A set for each stretch of the sequence that is one of few strings, and for what its other parts need."""
    found: list[Literals] = []
    stretch = _NOTHING
    for op, argument in items:
        exact = _exact(op, argument)
        joined = None if exact is None else _product([stretch, exact])
        if joined is not None:
            stretch = joined
            continue
        found.append(stretch)
        stretch = exact or _NOTHING
        if exact is None:
            found += _inside(op, argument)
    found.append(stretch)
    return [_least(text) for text in found if "" not in text]


def _inside(op: Any, argument: Any) -> list[Literals]:
    if op is sre.SUBPATTERN:
        return _collect(argument[3])
    if op in REPEATS and argument[0] > 0:
        return _collect(argument[2])
    if op is sre.BRANCH:
        best = [min(_collect(arm), key=frequency, default=None) for arm in argument[1]]
        together = frozenset().union(*(arm for arm in best if arm is not None))
        return [together] if None not in best and len(together) <= _MOST_STRINGS else []
    return []


def _exact(op: Any, argument: Any) -> Literals | None:
    """All that this part of a pattern can match, lower-cased, if that is a few ASCII strings."""
    if op is sre.LITERAL:
        return frozenset({chr(argument).lower()}) if argument < 128 else None
    if op is sre.AT:
        return _NOTHING
    if op is sre.IN:
        some = members(argument)
        return some if some is not None and len(some) <= 12 and all(c.isascii() for c in some) else None
    if op is sre.SUBPATTERN:
        return _product([_exact(*item) for item in argument[3]])
    if op is sre.BRANCH:
        arms = [_product([_exact(*item) for item in arm]) for arm in argument[1]]
        whole = frozenset().union(*(arm for arm in arms if arm is not None))
        return None if None in arms or len(whole) > _MOST_STRINGS else whole
    if op in REPEATS:
        least, most, body = argument
        once = _product([_exact(*item) for item in body])
        if once is None or (least, most) not in ((0, 1), (1, 1)):
            return None
        return once | _NOTHING if least == 0 else once
    return None


def _product(parts: Sequence[Literals | None]) -> Literals | None:
    whole = _NOTHING
    for part in parts:
        if part is None or len(whole) * len(part) > _MOST_STRINGS:
            return None
        whole = frozenset(before + after for before in whole for after in part)
        if any(len(text) > _LONGEST for text in whole):
            return None
    return whole
