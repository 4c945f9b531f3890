"""Programs for the machine, put together step by step; each knows how many different lines it can write."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from cmdclf.errors import LexiconError
from cmdclf.lexicon import machine as m

__all__ = ["Assembly", "Program"]

_ROWS = 131_072
_FIRST_BYTES = 1 << 20


class Strings(NamedTuple):
    """The number of the first of some texts, the others follow it; bytes of the longest; log2 of how many differ."""

    first: int
    width: int
    bits: float


class Assembly:
    """Numbered strings and the programs that write them; programs are added and never change."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, int, int, int]] = []
        self._entries: list[int] = []
        self._strings = bytearray()
        self._offsets = [0]
        self._tables: dict[tuple[str, ...], Strings] = {}
        self._registers = 2
        self._width = 0
        self._frozen: tuple[np.ndarray, ...] | None = None
        #: log2 of how many different lines each program can write.
        self.bits: list[float] = []

    def __len__(self) -> int:
        return len(self._entries)

    def strings(self, texts: Sequence[str]) -> Strings:
        """Some texts as numbered strings."""
        key = tuple(texts)
        found = self._tables.get(key)
        if found is None:
            encoded = [text.encode() for text in texts]
            found = self._tables[key] = Strings(
                len(self._offsets) - 1, max(map(len, encoded)), math.log2(len(set(encoded)))
            )
            for text in encoded:
                self._strings += text
                self._offsets.append(len(self._strings))
        return found

    def add(self, program: Program) -> int:
        """The program's number."""
        self._entries.append(len(self._steps))
        self._steps += [*program.steps, (m.STOP, 0, 0, 0)]
        self._registers = max(self._registers, program.registers)
        self._width = max(self._width, program.width)
        self.bits.append(program.bits)
        self._frozen = None
        return len(self._entries) - 1

    def _arrays(self) -> tuple[np.ndarray, ...]:
        if self._frozen is None:
            self._frozen = (
                np.array(self._steps, np.int64).reshape(-1, 4),
                np.array(self._entries, np.int64),
                np.frombuffer(bytes(self._strings) or b"\0", np.uint8),
                np.array(self._offsets, np.int64),
                np.zeros(self._width + 64, np.uint8),
            )
        return self._frozen

    def write(self, programs: np.ndarray, seed: int) -> tuple[pa.StringArray, pa.StringArray]:
        """One line and its parent's (null where not known) per row of `programs` (n,), each drawn on its own."""
        parts = [
            self._write(programs[at : at + _ROWS], seed + at, None) for at in range(0, max(len(programs), 1), _ROWS)
        ]
        return pa.concat_arrays([p[0] for p in parts]), pa.concat_arrays([p[1] for p in parts])

    def write_distinct(
        self, programs: np.ndarray, seed: int, *, kinds: np.ndarray, spare: np.ndarray, seen: np.ndarray
    ) -> tuple[pa.StringArray, pa.StringArray]:
        """As `write`, each line another one than all before; see `machine.write_distinct`.

        `programs` (int64) is changed where one has no new line left.

        Raises:
            LexiconError: no program has a new line left.
        """
        return self._write(programs, seed, (kinds, spare, seen))

    def _write(
        self, programs: np.ndarray, seed: int, distinct: tuple[np.ndarray, ...] | None
    ) -> tuple[pa.StringArray, pa.StringArray]:
        arrays = self._arrays()
        n = len(programs)
        programs = np.ascontiguousarray(programs, np.int64) if distinct is None else programs
        room = max(_FIRST_BYTES, 2 * len(arrays[-1]))
        lines, parents = np.empty(max(room, 200 * n), np.uint8), np.empty(max(room, 100 * n), np.uint8)
        line_ends, parent_ends = np.zeros(n + 1, np.int32), np.zeros(n + 1, np.int32)
        known = np.zeros(n, bool)
        row = 0
        while row < n:
            given: tuple[Any, ...] = (
                *arrays, self._registers, programs, np.uint64(seed & 0x7FFFFFFFFFFFFFFF), row,
                lines, line_ends, parents, parent_ends, known,
            )  # fmt: skip
            row = m.write_rows(*given) if distinct is None else m.write_distinct(*given, *distinct)
            if row < 0:
                raise LexiconError(
                    "the templates can't give so many different lines",
                    remedy="Ask for fewer events a day, or add templates whose slots vary more",
                )
            if row < n:
                lines = _grown(lines, line_ends[row], room)
                parents = _grown(parents, parent_ends[row], room)
        return _strings(lines, line_ends, None), _strings(parents, parent_ends, known)


def _grown(data: np.ndarray, used: int, room: int) -> np.ndarray:
    if len(data) - used >= room:
        return data
    larger = np.empty(max(len(data) * 3 // 2, used + 2 * room), np.uint8)
    larger[:used] = data[:used]
    return larger


def _strings(data: np.ndarray, ends: np.ndarray, known: np.ndarray | None) -> pa.StringArray:
    valid, nulls = None, 0
    if known is not None and not known.all():
        valid, nulls = pa.py_buffer(np.packbits(known, bitorder="little")), int(len(known) - known.sum())
    # The copy frees what the buffer holds beyond its use.
    return pa.StringArray.from_buffers(
        len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(data[: ends[-1]].copy()), valid, nulls
    )


class Program:
    """One program while it is put together.

    Attributes:
        steps: what `Assembly.add` takes.
        bits: log2 of how many different texts the line has room for.
        width: bytes of scratch at most.
        registers: how many it uses.
    """

    def __init__(self, assembly: Assembly) -> None:
        self.assembly = assembly
        self.steps: list[tuple[int, int, int, int]] = []
        self.registers = 2
        self.width = 64
        self.bits = 0.0
        self._prelude: list[tuple[int, int, int, int]] = []
        self._known: dict[str, int] = {}
        self._widths: dict[int, int] = {}
        self._own_bits: dict[int, float] = {}
        self._uses: dict[int, set[int]] = {}
        self._used: set[int] = set()

    def _step(self, op: int, a: int = 0, b: int = 0, c: int = 0, *, width: int = 0, bits: float = 0.0) -> None:
        self.steps.append((op, a, b, c))
        self.width += width
        self.bits += bits

    def text(self, text: str) -> None:
        """A fixed text."""
        if text:
            strings = self.assembly.strings((text,))
            self._step(m.TEXT, strings.first, width=strings.width)

    def choice(self, texts: Sequence[str]) -> None:
        """One of the texts."""
        if len(texts) == 1:
            self.text(texts[0])
            return
        strings = self.assembly.strings(texts)
        self._step(m.CHOICE, strings.first, len(texts), width=strings.width, bits=strings.bits)

    def integer(self, low: int, high: int, scale: int = 1) -> None:
        """A number from low to high, times `scale`, in decimal."""
        self._step(m.INTEGER, low, high - low, scale, width=21, bits=math.log2(high - low + 1))

    def hexadecimal(self, n: int, *, upper: bool = False) -> None:
        """`n` hex digits."""
        self._step(m.HEX, n, int(upper), width=n, bits=4.0 * n)

    def guid(self, *, upper: bool = False) -> None:
        """A GUID of version 4."""
        self._step(m.GUID, int(upper), width=36, bits=122.0)

    def letters(self, n: int, alphabet: str) -> None:
        """`n` characters of an ASCII alphabet."""
        number = self.assembly.strings((alphabet,)).first
        self._step(m.LETTERS, n, number, width=n, bits=n * math.log2(len(set(alphabet))))

    def digits(self, n: int, *, zero_first: bool) -> None:
        """`n` decimal digits."""
        self._step(m.DIGITS, n, int(zero_first), width=n, bits=(n - 1) * math.log2(10) + math.log2(9 + zero_first))

    def either(self, chance: float, first: Callable[[], None], second: Callable[[], None]) -> None:
        """`first` with that chance, else `second`."""
        bits, branch = self.bits, len(self.steps)
        self._step(m.BRANCH)
        self.bits = 0.0
        first()
        jump, one = len(self.steps), self.bits
        self._step(m.JUMP)
        self.bits = 0.0
        second()
        self.steps[branch] = (m.BRANCH, round(chance * 2**32), jump - branch, 0)
        self.steps[jump] = (m.JUMP, len(self.steps) - jump - 1, 0, 0)
        self.bits = bits + max(one, self.bits) + math.log2(1 + 2.0 ** -abs(one - self.bits))

    def one_of(self, *ways: Callable[[], None]) -> None:
        """One of the ways, all with the same chance."""
        if len(ways) == 1:
            ways[0]()
        else:
            self.either(1 / len(ways), ways[0], lambda: self.one_of(*ways[1:]))

    def defined(self, name: str) -> bool:
        """Whether a value of that name exists."""
        return name in self._known

    def define(self, name: str, write: Callable[[], None]) -> None:
        """A value that is drawn once per line, before whatever is being written now; it may define others itself."""
        outer = self.steps, self.bits, self._used
        self.steps, self.bits, self._used = [], 0.0, set()
        before = self.width
        write()
        register = self._register(name, self.width - before, self.bits, self._used)
        self._prelude += [(m.BEGIN, register, 0, 0), *self.steps, (m.END, register, 0, 0)]
        self.steps, self.bits, self._used = outer

    def define_variants(self, values: Mapping[str, Sequence[str]]) -> None:
        """Values that are drawn together: each has a text for each of the same variants."""
        count = len(next(iter(values.values())))
        together = self._register("", 0, math.log2(len(set(zip(*values.values(), strict=True)))), set())
        self._prelude.append((m.VARIANT, count, 0, 0))
        for name, texts in values.items():
            first, width, _ = self.assembly.strings(texts)
            register = self._register(name, width, 0.0, {together})
            self._prelude += [(m.BEGIN, register, 0, 0), (m.VARIANT_TEXT, first, 0, 0), (m.END, register, 0, 0)]
            self.width += width

    def _register(self, name: str, width: int, bits: float, uses: set[int]) -> int:
        register = self.registers
        self.registers += 1
        self._known[name] = register
        self._widths[register], self._own_bits[register], self._uses[register] = width, bits, uses
        return register

    def copy(self, name: str, *, slug: bool = False) -> None:
        """The value of that name; as a slug in lower case with '-' for blanks."""
        register = self._known[name]
        self._step(m.SLUG if slug else m.COPY, register, width=self._widths[register])
        self._used.add(register)

    def encoded(self, name: str, kind: int) -> None:
        """The value of that name as base64 (0), base64 of UTF-16LE (1) or hex (2)."""
        register = self._known[name]
        # UTF-16 waits behind its base64: at most 3 and 2 bytes for each of the text, and some for padding.
        self._step(m.ENCODE, register, kind, width=5 * self._widths[register] + 32)
        self._used.add(register)

    def finish(self, line: Callable[[], None], parent: Callable[[], None] | None) -> int:
        """Write the line and its parent's, add the program to its assembly and return its number."""
        line()
        written, waiting = self.steps, list(self._used)
        counted: set[int] = set()
        while waiting:
            register = waiting.pop()
            if register not in counted:
                counted.add(register)
                self.bits += self._own_bits[register]
                waiting += self._uses[register]
        bits, self.steps = self.bits, []
        if parent is not None:
            parent()
            written = [*written, (m.END, m.LINE, 0, 0), (m.BEGIN, m.PARENT, 0, 0), *self.steps]
        last = m.LINE if parent is None else m.PARENT
        self.steps = [*self._prelude, (m.BEGIN, m.LINE, 0, 0), *written, (m.END, last, 0, 0)]
        self.bits = bits
        return self.assembly.add(self)
