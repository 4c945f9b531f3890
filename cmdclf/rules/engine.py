"""Matching many patterns at once: one pass for literals, then RE2 on the rows where a rule's literal occurs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.rules._implied import implies
from cmdclf.rules._kept import match_kept
from cmdclf.rules._prefilter import Prefilter, build_prefilter
from cmdclf.rules.buffers import as_string_array, string_buffers
from cmdclf.rules.platforms import ANY_PLATFORM, platform_bits
from cmdclf.rules.rule import Rule

__all__ = ["Engine", "match_everywhere", "rule_bits"]

#: A bit that rows of unknown platform have and those of known ones lack.
_UNKNOWN = 128
#: For more rows than these Arrow's matching is worth its compiling.
_FEW = 64
#: A pattern that was needed more often than this is kept compiled: sooner it would not pay.
_ONCE = 16


class Engine:
    """Which rules match which rows; the same answer as RE2 on every row, but in one pass over the bytes.

    An Aho-Corasick automaton over the bytes as Arrow holds them finds, per row, the rules of which it has the literals
    that a match cannot do without (about a nanosecond a byte); RE2 then runs on those rows only. A rule whose pattern
    is not proven to contain one of its literals is tried on every row, so a bad literal costs time and never a match.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.always = np.array([not implies(rule.regex, rule.literals) for rule in self.rules], np.bool_)
        self._where = np.array([rule_bits(rule) for rule in self.rules], np.uint8)
        self._prefilter: Prefilter | None = None
        self._asked = [0] * len(self.rules)

    def match(self, lines: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.uint8]:
        """`(n, rules) uint8`, C-contiguous, 1 where the rule matches; a null line matches nothing."""
        lines = as_string_array(lines)
        found = np.zeros((len(lines), len(self.rules)), np.uint8)
        found[self.pairs(lines)] = 1
        return found

    def pairs(
        self, lines: pa.Array, where: npt.NDArray[np.uint8] | None = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The rows and the numbers of the rules that match them, by rule and then by row.

        Args:
            lines: n lines, as `as_string_array` gives them.
            where: `(n,)` platforms as `platform_bits` gives them: rules for others are left out.
        """
        keys = self.candidates(lines, where)
        starts = np.searchsorted(keys, np.arange(len(self.rules) + 1, dtype=np.int64) << 32)
        kept = np.zeros(len(keys), np.bool_)
        rows = keys & 0xFFFF_FFFF
        for number in np.flatnonzero(np.diff(starts)):
            rule, at = self.rules[number], slice(starts[number], starts[number + 1])
            if at.stop - at.start <= _FEW:
                kept[at] = self._match_few(lines, int(number), rows[at])
            elif at.stop - at.start > len(lines) // 2:
                kept[at] = _match(lines, rule)[rows[at]]
            else:
                kept[at] = _match(lines.take(pa.array(rows[at])), rule)
        return rows[kept], keys[kept] >> 32

    def _match_few(
        self, lines: pa.Array, number: int, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_] | npt.NDArray[np.uint8]:
        """Whether the rule matches each of a few rows."""
        rule = self.rules[number]
        self._asked[number] += 1
        if self._asked[number] > _ONCE:
            texts = [lines[row].as_py() for row in rows.tolist()]
            found = match_kept([text or "" for text in texts], rule.regex, case=rule.case)
            if found is not None:
                found[[text is None for text in texts]] = False
                return found
        return _match(lines.take(pa.array(rows)), rule)

    def candidates(self, lines: pa.Array, where: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.int64]:
        """`rule << 32 | row`, ascending, for each row that has the literals that the rule needs."""
        from cmdclf.rules._kernels import scan

        if not self.rules:
            return np.zeros(0, np.int64)
        if self._prefilter is None:
            self._prefilter = build_prefilter(self.rules, self.always)
        table = self._prefilter.automaton
        if where is None:
            where = np.full(len(lines), ANY_PLATFORM, np.uint8)
        keys = scan(
            *string_buffers(lines),
            table.classes,
            table.moves,
            table.first_accepting,
            table.width,
            table.out_start,
            table.out_set,
            self._prefilter.led_start,
            self._prefilter.led,
            self._where,
            np.flatnonzero(self.always).astype(np.int32),
            where,
        )
        keys.sort()
        return keys


def rule_bits(rule: Rule) -> int:
    """The platforms for which a rule is, as bits; one for none that we know still applies where it is unknown."""
    bits = platform_bits(pa.array(rule.platform, pa.string()))
    return int(np.bitwise_or.reduce(bits[bits != ANY_PLATFORM], initial=_UNKNOWN)) if rule.platform else ANY_PLATFORM


def match_everywhere(lines: pa.Array, rules: Sequence[Rule]) -> npt.NDArray[np.uint8]:
    """`(n, rules) uint8` from RE2 on every row: the definition that `Engine.match` must equal, and the slow way."""
    lines = as_string_array(lines)
    columns = [_match(lines, rule) for rule in rules]
    return np.ascontiguousarray(np.array(columns, np.uint8).reshape(len(rules), len(lines)).T)


def _match(lines: pa.Array, rule: Rule) -> npt.NDArray[np.uint8]:
    matched = pc.match_substring_regex(lines, rule.regex, ignore_case=not rule.case).fill_null(False)
    return np.asarray(matched.to_numpy(zero_copy_only=False), dtype=np.uint8)
