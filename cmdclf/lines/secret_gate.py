"""Which entries of the table of secrets can find anything in which line: one compiled pass over the bytes.

The redactor's patterns cost tens of microseconds a line and most lines hold no secret. Every entry needs literals: a
program's name and one of its flags, or a word such as `password`. The pass gives for each line the entries whose
literals all occur; it lets some through in vain, but never keeps one back that would find something.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.lines._secret_kernels import COLON_AT, EVERYTHING, HEX_RUN, scan
from cmdclf.lines.automaton import Automaton, build_automaton

__all__ = ["ANYWHERE", "FLAG", "LETTERLESS", "NAME", "Literal", "SecretGate", "build_gate"]

#: What must stand left of a literal: anything; what stands before a program's name; a blank or a quote; no letter.
ANYWHERE, NAME, FLAG, LETTERLESS = 1, 2, 4, 8

#: A literal in lower case, blanks as ' ', with what must stand left of it.
Literal = tuple[str, int]

_FEATURES = {"hex-run": HEX_RUN, "colon-at": COLON_AT}
_BLANKS = b"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f "
#: Python's patterns read these as blanks or, ignoring case, as ASCII letters.
_BLANKS_BEYOND = (
    "\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
_LETTERS_BEYOND = {"\u0130": "i", "\u0131": "i", "\u017f": "s", "\u212a": "k"}
_AS_LETTERS = str.maketrans(dict.fromkeys(_BLANKS_BEYOND, " ") | _LETTERS_BEYOND)
_AS_MARKS = str.maketrans(dict.fromkeys(_BLANKS_BEYOND, " ") | dict.fromkeys(_LETTERS_BEYOND, "?"))


@dataclass(frozen=True, slots=True)
class SecretGate:
    """The arrays that the scan reads."""

    automaton: Automaton
    traits: npt.NDArray[np.uint8]
    literal_length: npt.NDArray[np.int32]
    literal_left: npt.NDArray[np.uint8]
    literal_start: npt.NDArray[np.int32]
    literal_set: npt.NDArray[np.int32]
    led_start: npt.NDArray[np.int32]
    led: npt.NDArray[np.int32]
    units: int

    def of_text(self, text: str) -> list[int]:
        """The numbers of the entries that are worth trying on a line, ascending."""
        data = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
        return self._entries(text, self._scan(np.array([0, len(data)], np.int64), data)[1])

    def of_lines(self, lines: pa.Array) -> Iterator[tuple[int, list[int]]]:
        """Row and entries of each line that has any; null lines have none."""
        if len(lines) == 0:
            return
        lines = lines.cast(pa.large_string())
        _, offset_buffer, data_buffer = lines.buffers()
        offsets = np.frombuffer(offset_buffer, np.int64)[lines.offset : lines.offset + len(lines) + 1]
        data = np.zeros(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
        begin, units = self._scan(offsets, data)
        valid = lines.is_valid().to_numpy(zero_copy_only=False)
        for row in np.flatnonzero((np.diff(begin) > 0) & valid).tolist():
            some = units[begin[row] : begin[row + 1]]
            yield row, self._entries(lines[row].as_py(), some) if len(some) == self.units else sorted(some.tolist())

    def _entries(self, text: str, units: npt.NDArray[np.int32]) -> list[int]:
        """The entries in order; where the scan could not tell, those of the line in plain letters and blanks."""
        if len(units) < self.units:
            return sorted(units.tolist())
        # A pattern may take such a letter for one of ASCII, or for none at all.
        return sorted({*self.of_text(text.translate(_AS_LETTERS)), *self.of_text(text.translate(_AS_MARKS))})

    def _scan(
        self, offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        auto = self.automaton
        return scan(
            offsets, data, auto.classes, self.traits, auto.moves, auto.first_accepting, auto.width, auto.out_start,
            auto.out_set, self.literal_length, self.literal_left, self.literal_start, self.literal_set,
            self.led_start, self.led, self.units,
        )  # fmt: skip


def build_gate(needs: Sequence[tuple[Iterable[Literal] | str, Iterable[Literal] | str | None]]) -> SecretGate:
    """The gate for entries that each need one of the first literals and one of the second.

    Args:
        needs: per entry two alternatives, each literals or the name of a feature (`hex-run`, `colon-at`); the second
            may be None.
    """
    sets: dict[frozenset[Literal], int] = {}
    literals: dict[Literal, set[int]] = {(c, ANYWHERE): {EVERYTHING} for c in (*_BLANKS_BEYOND, *_LETTERS_BEYOND)}

    def number(one: Iterable[Literal] | str) -> int:
        if isinstance(one, str):
            return _FEATURES[one]
        key = frozenset(one)
        if key not in sets:
            sets[key] = 3 + len(sets)
            for literal in key:
                literals.setdefault(literal, set()).add(sets[key])
        return sets[key]

    ways = []
    for unit, (first, second) in enumerate(needs):
        leading = number(first)
        ways.append((leading, unit, leading if second is None else number(second)))
    ways.sort()
    spelt: dict[bytes, set[int]] = {}
    for n, (text, _) in enumerate(literals):
        spelt.setdefault(text.encode(), set()).add(n)
    automaton = build_automaton(spelt)
    classes = automaton.classes.copy()
    classes[list(_BLANKS)] = classes[ord(" ")]
    return SecretGate(
        automaton=replace(automaton, classes=classes),
        traits=_traits(),
        literal_length=np.array([len(text.encode()) for text, _ in literals], np.int32),
        literal_left=np.array([left for _, left in literals], np.uint8),
        literal_start=np.cumsum([0, *(len(s) for s in literals.values())]).astype(np.int32),
        literal_set=np.array([one for s in literals.values() for one in sorted(s)], np.int32),
        led_start=np.searchsorted([way[0] for way in ways], np.arange(len(sets) + 4)).astype(np.int32),
        led=np.array([way[1:] for way in ways], np.int32).reshape(-1, 2),
        units=len(needs),
    )


def _traits() -> npt.NDArray[np.uint8]:
    traits = np.full(256, ANYWHERE, np.uint8)
    for byte in range(256):
        character = bytes([byte])
        if character in _BLANKS:
            traits[byte] |= NAME | FLAG | 128
        if character in b"\"'":
            traits[byte] |= NAME | FLAG
        if character in b"/\\=|;&(`-@":
            traits[byte] |= NAME
        if not character.isalpha():
            traits[byte] |= LETTERLESS
        if character in b"0123456789abcdefABCDEF":
            traits[byte] |= 64
    return traits
