"""What the scan looks for: the literals of all rules, in sets, and the sets that each way through a pattern needs."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from cmdclf.lines.automaton import Automaton, build_automaton
from cmdclf.rules._required import required
from cmdclf.rules.rule import Rule

__all__ = ["Prefilter", "build_prefilter"]

#: RE2, ignoring case, folds these to `k` and `s`; rows that hold them are candidates of every rule.
_FOLD_TO_ASCII = ("\u212a", "\u017f")
_MAX_SPELLINGS = 64


@dataclass(frozen=True, slots=True)
class Prefilter:
    """The arrays that `_kernels.scan` reads.

    Attributes:
        automaton: reports the numbers of the sets of which a literal was seen.
        led_start, led: `(sets + 1,)` and `(ways, 3) int32`: the ways led by set s are `led[led_start[s]:led_start[s +
            1]]`, each its rule and two more sets that it needs (or s again).
    """

    automaton: Automaton
    led_start: npt.NDArray[np.int32]
    led: npt.NDArray[np.int32]


def build_prefilter(rules: Sequence[Rule], always: npt.NDArray[np.bool_]) -> Prefilter:
    """The prefilter of the rules; those that are `always` tried have no part in it."""
    folds = frozenset(_FOLD_TO_ASCII)
    number: dict[frozenset[str], int] = {folds: 0}
    ways: list[tuple[int, int, int, int]] = []  # leading set, rule, two more sets
    for rule_number, rule in enumerate(rules):
        if always[rule_number]:
            continue
        ways.append((0, rule_number, 0, 0))
        for sets in required(rule.regex, rule.literals):
            first, second, third = [*(number.setdefault(one, len(number)) for one in sets), -1, -1][:3]
            ways.append((first, rule_number, first if second < 0 else second, first if third < 0 else third))
    ways.sort()
    literals: dict[bytes, set[int]] = {}
    for members, at in number.items():
        for literal in members:
            for spelling in [literal.encode()] if members is folds else _spellings(literal):
                literals.setdefault(spelling, set()).add(at)
    return Prefilter(
        automaton=build_automaton(literals),
        led_start=np.searchsorted([way[0] for way in ways], np.arange(len(number) + 1)).astype(np.int32),
        led=np.array([way[1:] for way in ways], np.int32).reshape(-1, 3),
    )


def _spellings(literal: str) -> list[bytes]:
    """The literal in all cases of its letters outside ASCII, cut short where those are too many."""
    choices: list[list[str]] = []
    total = 1
    for character in literal:
        choice = [character.lower()] if character.isascii() else _case_variants(character)
        if total * len(choice) > _MAX_SPELLINGS and choices:
            break
        total *= len(choice)
        choices.append(choice)
    return ["".join(spelling).encode() for spelling in itertools.product(*choices)]


def _case_variants(character: str) -> list[str]:
    return _fold_classes().get(character.casefold(), [character])


@cache
def _fold_classes() -> dict[str, list[str]]:
    classes: dict[str, list[str]] = {}
    for code in range(128, min(0x1_FFFF, sys.maxunicode)):
        character = chr(code)
        folded = character.casefold()
        if folded != character or character != character.upper():
            classes.setdefault(folded, []).append(character)
    for folded, members in classes.items():
        if len(folded) == 1 and folded not in members:
            members.append(folded)
    return classes
