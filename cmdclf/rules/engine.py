"""Matching many patterns at once: one pass for literals, then RE2 on the rows where a rule's literal occurs."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.rules._automaton import Automaton, build_automaton
from cmdclf.rules._implied import implies
from cmdclf.rules.buffers import as_string_array, string_buffers
from cmdclf.rules.rule import Rule

__all__ = ["Engine", "match_everywhere"]

#: RE2, ignoring case, folds these to `k` and `s`; rows that hold them are candidates of every rule.
_FOLD_TO_ASCII = ("\u212a", "\u017f")
_MAX_SPELLINGS = 64


class Engine:
    """Which rules match which rows; the same answer as RE2 on every row, but in one pass over the bytes.

    An Aho-Corasick automaton over the bytes as Arrow holds them marks, per row, the rules with a literal in it (a few
    nanoseconds a byte); RE2 then runs on the marked rows only. A rule whose pattern is not proven to contain one of its
    literals is tried on every row, so a bad literal costs time and never a match.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.always = np.array([not implies(rule.regex, rule.literals) for rule in self.rules], np.bool_)
        self._automaton: Automaton | None = None

    def match(self, lines: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint8]:
        """`(n, rules) uint8`, C-contiguous, 1 where the rule matches; a null line matches nothing."""
        from cmdclf.rules._kernels import rows_by_rule

        lines = as_string_array(lines)
        found = self.candidates(lines)
        starts, where = rows_by_rule(found)
        for number in np.flatnonzero(np.diff(starts)):
            rule, at = self.rules[number], where[starts[number] : starts[number + 1]]
            if at.size > len(lines) // 2:
                found[:, number] = _match(lines, rule)
            else:
                found[at, number] = _match(lines.take(pa.array(at)), rule)
        return found

    def candidates(self, lines: pa.Array) -> npt.NDArray[np.uint8]:
        """`(n, rules) uint8`, 1 where a literal of the rule occurs in the row (or must be assumed to)."""
        from cmdclf.rules._kernels import scan

        found = np.zeros((len(lines), len(self.rules)), np.uint8)
        found[:, self.always] = 1
        if found.size:
            table = self.automaton()
            scan(
                *string_buffers(lines),
                table.classes,
                table.moves,
                table.first_accepting,
                table.width,
                table.out_start,
                table.out_rules,
                found,
            )
        return found

    def automaton(self) -> Automaton:
        """The automaton over all rules' literals, built at its first use."""
        if self._automaton is None:
            literals: dict[bytes, list[int]] = {text.encode(): list(range(len(self.rules))) for text in _FOLD_TO_ASCII}
            for number, rule in enumerate(self.rules):
                if not self.always[number]:
                    for literal in rule.literals:
                        for spelling in _spellings(literal):
                            literals.setdefault(spelling, []).append(number)
            self._automaton = build_automaton(literals)
        return self._automaton


def match_everywhere(lines: pa.Array, rules: Sequence[Rule]) -> npt.NDArray[np.uint8]:
    """`(n, rules) uint8` from RE2 on every row: the definition that `Engine.match` must equal, and the slow way."""
    lines = as_string_array(lines)
    columns = [_match(lines, rule) for rule in rules]
    return np.ascontiguousarray(np.array(columns, np.uint8).reshape(len(rules), len(lines)).T)


def _match(lines: pa.Array, rule: Rule) -> npt.NDArray[np.uint8]:
    matched = pc.match_substring_regex(lines, rule.regex, ignore_case=not rule.case).fill_null(False)
    return np.asarray(matched.to_numpy(zero_copy_only=False), dtype=np.uint8)


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
