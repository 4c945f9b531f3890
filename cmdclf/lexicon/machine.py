"""The machine that writes many command lines: programs of small steps, run without Python objects.

A program writes one line and its parent's into a scratch buffer. Each row has a random stream of its own (splitmix64,
Steele et al. 2014), seeded by the row's number, so that its text depends neither on other rows nor on threads.
"""

from __future__ import annotations

import numpy as np

from cmdclf.jit import compiled

__all__ = [
    "BEGIN", "BRANCH", "CHOICE", "COPY", "DIGITS", "ENCODE", "END", "GUID", "HEX", "INTEGER", "JUMP", "LETTERS",
    "LINE", "PARENT", "SLUG", "STOP", "TEXT", "VARIANT", "VARIANT_TEXT", "write_distinct", "write_rows",
]  # fmt: skip

# Steps: (operation, a, b, c). Strings are numbered; register 0 is the line, 1 the parent's.
STOP = 0
TEXT = 1  # string a
CHOICE = 2  # one of b strings from a on
INTEGER = 3  # (a + 0..b) * c in decimal
HEX = 4  # a hex digits, upper case if b
GUID = 5  # version 4, upper case if a
LETTERS = 6  # a characters of string b, each with the same chance
DIGITS = 7  # a decimal digits, the first of them not 0 unless b
COPY = 8  # register a
SLUG = 9  # register a in ASCII lower case with '-' for a blank
BRANCH = 10  # go on with chance a / 2**32, else skip b steps
JUMP = 11  # skip a steps
BEGIN = 12  # register a starts here
END = 13  # and ends here
VARIANT = 14  # draw 0..a-1 for the variant texts
VARIANT_TEXT = 15  # string a + what VARIANT drew
ENCODE = 16  # register a as base64 (b = 0), base64 of UTF-16LE (1), hex (2)
LINE, PARENT = 0, 1

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_FNV_START, _FNV = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_U1, _U4, _U16, _U27, _U30, _U31, _U32, _U33, _U60 = (np.uint64(k) for k in (1, 4, 16, 27, 30, 31, 32, 33, 60))
_LOW16, _LOW32 = np.uint64(0xFFFF), np.uint64(0xFFFFFFFF)
_HEX_LOWER = np.frombuffer(b"0123456789abcdef", np.uint8)
_HEX_UPPER = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)
_OWN_TRIES, _TRIES = 6, 200


@compiled
def _mixed(z: np.uint64) -> np.uint64:
    z = (z ^ (z >> _U30)) * _MIX1
    z = (z ^ (z >> _U27)) * _MIX2
    return z ^ (z >> _U31)


@compiled
def _next(state: np.ndarray) -> np.uint64:
    state[0] += _GOLDEN
    return _mixed(state[0])


@compiled
def _below(state: np.ndarray, n: int) -> int:
    """0..n-1; multiplying the upper bits is faster than a division where they are enough."""
    z = _next(state)
    if n < 1 << 31:
        return int(np.int64(z >> _U33) * n >> 31)
    return int(np.int64(z >> _U1) % n)


@compiled
def _hex(buffer: np.ndarray, at: int, n: int, upper: int, state: np.ndarray) -> int:
    digits = _HEX_UPPER if upper else _HEX_LOWER
    bits = np.uint64(0)
    for k in range(n):
        if k % 16 == 0:
            bits = _next(state)
        buffer[at + k] = digits[bits >> _U60]
        bits = bits << _U4
    return at + n


@compiled
def _decimal(buffer: np.ndarray, at: int, value: int) -> int:
    if value < 0:
        buffer[at] = 45
        at, value = at + 1, -value
    n, rest = 1, value // 10
    while rest:
        n, rest = n + 1, rest // 10
    for k in range(n - 1, -1, -1):
        buffer[at + k] = 48 + value % 10
        value //= 10
    return at + n


@compiled
def _utf16(buffer: np.ndarray, start: int, end: int, at: int) -> int:
    """UTF-8 in `start..end` as UTF-16LE at `at`; its end."""
    k = start
    while k < end:
        first = np.int64(buffer[k])
        more = 0 if first < 0x80 else 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        point = first if more == 0 else first & (0x3F >> more)
        for j in range(more):
            point = point << 6 | np.int64(buffer[k + 1 + j]) & 0x3F
        k += 1 + more
        if point > 0xFFFF:
            high = 0xD800 + ((point - 0x10000) >> 10)
            buffer[at], buffer[at + 1] = high & 255, high >> 8
            at, point = at + 2, 0xDC00 + ((point - 0x10000) & 0x3FF)
        buffer[at], buffer[at + 1] = point & 255, point >> 8
        at += 2
    return at


@compiled
def _base64(buffer: np.ndarray, start: int, end: int, at: int) -> int:
    for k in range(start, end, 3):
        left = end - k
        bits = np.int64(buffer[k]) << 16
        if left > 1:
            bits |= np.int64(buffer[k + 1]) << 8
        if left > 2:
            bits |= np.int64(buffer[k + 2])
        buffer[at] = _BASE64[bits >> 18]
        buffer[at + 1] = _BASE64[bits >> 12 & 63]
        buffer[at + 2] = _BASE64[bits >> 6 & 63] if left > 1 else 61
        buffer[at + 3] = _BASE64[bits & 63] if left > 2 else 61
        at += 4
    return at


@compiled
def _encode(buffer: np.ndarray, start: int, end: int, kind: int, at: int) -> int:
    if kind == 0:
        return _base64(buffer, start, end, at)
    if kind == 1:
        # The UTF-16 text waits behind where its base64 goes.
        aside = at + (end - start) * 3 + 8
        return _base64(buffer, aside, _utf16(buffer, start, end, aside), at)
    for k in range(start, end):
        buffer[at] = _HEX_LOWER[buffer[k] >> 4]
        buffer[at + 1] = _HEX_LOWER[buffer[k] & 15]
        at += 2
    return at


@compiled
def _run(  # noqa: C901 - one branch per operation
    code: np.ndarray, step: int, blob: np.ndarray, offsets: np.ndarray, buffer: np.ndarray, state: np.ndarray,
    begins: np.ndarray, ends: np.ndarray,
) -> None:  # fmt: skip
    """One program: its line and its parent's are where registers 0 and 1 say (begin -1: no parent)."""
    at, variant = 0, 0
    begins[1] = ends[1] = -1
    while True:
        op, a, b, c = code[step, 0], code[step, 1], code[step, 2], code[step, 3]
        step += 1
        if op in (TEXT, CHOICE, VARIANT_TEXT):
            if op == CHOICE:
                a += _below(state, b)
            elif op == VARIANT_TEXT:
                a += variant
            start, n = offsets[a], offsets[a + 1] - offsets[a]
            for k in range(n):
                buffer[at + k] = blob[start + k]
            at += n
        elif op == COPY:
            start, n = begins[a], ends[a] - begins[a]
            for k in range(n):
                buffer[at + k] = buffer[start + k]
            at += n
        elif op == BEGIN:
            begins[a] = at
        elif op == END:
            ends[a] = at
        elif op == INTEGER:
            at = _decimal(buffer, at, (a + _below(state, b + 1)) * c)
        elif op == HEX:
            at = _hex(buffer, at, a, b, state)
        elif op == GUID:
            for k in range(5):
                if k:
                    buffer[at] = 45
                    at += 1
                at = _hex(buffer, at, 8 if k == 0 else 12 if k == 4 else 4, a, state)
            digits = _HEX_UPPER if a else _HEX_LOWER
            buffer[at - 22] = 52
            buffer[at - 17] = digits[8 + _below(state, 4)]
        elif op == LETTERS:
            start, n = offsets[b], offsets[b + 1] - offsets[b]
            bits = np.uint64(0)
            for k in range(a):
                if k % 4 == 0:
                    bits = _next(state)
                # 16 bits a character: chances differ by less than a thousandth.
                buffer[at + k] = blob[start + (np.int64(bits & _LOW16) * n >> 16)]
                bits = bits >> _U16
            at += a
        elif op == DIGITS:
            for k in range(a):
                buffer[at + k] = 48 + _below(state, 10) if k or b else 49 + _below(state, 9)
            at += a
        elif op == SLUG:
            for k in range(begins[a], ends[a]):
                byte = buffer[k]
                buffer[at] = byte + 32 if 65 <= byte <= 90 else 45 if byte == 32 else byte
                at += 1
        elif op == BRANCH:
            if np.int64(_next(state) & _LOW32) >= a:
                step += b
        elif op == JUMP:
            step += a
        elif op == VARIANT:
            variant = _below(state, a)
        elif op == ENCODE:
            at = _encode(buffer, begins[a], ends[a], b, at)
        else:
            return


@compiled
def _put(buffer: np.ndarray, begin: int, end: int, out: np.ndarray, at: int) -> int:
    for k in range(begin, end):
        out[at + k - begin] = buffer[k]
    return at + max(end - begin, 0)


@compiled
def write_rows(
    code: np.ndarray, entry: np.ndarray, blob: np.ndarray, offsets: np.ndarray, buffer: np.ndarray,
    registers: int, programs: np.ndarray, seed: np.uint64, row: int,
    lines: np.ndarray, line_ends: np.ndarray, parents: np.ndarray, parent_ends: np.ndarray, known: np.ndarray,
) -> int:  # fmt: skip
    """Write the rows from `row` on while both outputs have room for one more; returns the first row not written.

    Args:
        code, entry: (steps, 4) int64, and where each program starts.
        blob, offsets: the numbered strings.
        buffer: uint8 scratch, larger than any program needs.
        registers: how many the programs use.
        programs: (n,) int64 program of each row.
        seed: of the rows' streams.
        row: where to go on; `line_ends[row]` bytes of `lines` are in use.
        lines, line_ends, parents, parent_ends: uint8 and (n + 1,) int32 of two string arrays.
        known: (n,) bool, set where a row has a parent.
    """
    state = np.zeros(1, np.uint64)
    begins, ends = np.zeros(registers, np.int64), np.zeros(registers, np.int64)
    while row < len(programs):
        state[0] = _mixed(seed + _GOLDEN * np.uint64(row + 1))
        _run(code, entry[programs[row]], blob, offsets, buffer, state, begins, ends)
        if (
            line_ends[row] + ends[0] - begins[0] > len(lines)
            or parent_ends[row] + ends[1] - begins[1] > len(parents)
        ):  # fmt: skip
            break
        line_ends[row + 1] = _put(buffer, begins[0], ends[0], lines, line_ends[row])
        parent_ends[row + 1] = _put(buffer, begins[1], ends[1], parents, parent_ends[row])
        known[row] = begins[1] >= 0
        row += 1
    return row


@compiled
def _is_new(buffer: np.ndarray, begin: int, end: int, start: np.uint64, seen: np.ndarray) -> bool:
    """Whether a line is new; from now on it is seen.

    The set holds 32-bit fingerprints by linear probing. A line that was put in is always found again; a new line is
    taken for a seen one with a chance of about 1 in 10**9, and is then merely drawn again.
    """
    h = _FNV_START ^ start
    for k in range(begin, end):
        h = (h ^ np.uint64(buffer[k])) * _FNV
    h = _mixed(h)
    mark = np.uint32(h & _LOW32)
    if mark == 0:
        mark = np.uint32(1)
    mask = len(seen) - 1
    at = np.int64(h >> _U32) & mask
    while seen[at] != 0:
        if seen[at] == mark:
            return False
        at = (at + 1) & mask
    seen[at] = mark
    return True


@compiled
def write_distinct(
    code: np.ndarray, entry: np.ndarray, blob: np.ndarray, offsets: np.ndarray, buffer: np.ndarray,
    registers: int, programs: np.ndarray, seed: np.uint64, row: int,
    lines: np.ndarray, line_ends: np.ndarray, parents: np.ndarray, parent_ends: np.ndarray, known: np.ndarray,
    kinds: np.ndarray, spare: np.ndarray, seen: np.ndarray,
) -> int:  # fmt: skip
    """As `write_rows`, but no line (of one kind) that `seen` holds is written again; `seen` grows by the rows.

    A program that gives no new line after some tries is replaced in `programs` by one of `spare`. Returns -1 - row
    where no program gives a new line.

    Args:
        kinds: (p,) int64, lines of programs of different kinds are different (the platform).
        spare: (k,) int64 programs with many lines.
        seen: (2**k,) uint32, all zero at first; at least 4/3 of the rows that are ever written, k <= 32.
    """
    state = np.zeros(1, np.uint64)
    begins, ends = np.zeros(registers, np.int64), np.zeros(registers, np.int64)
    while row < len(programs):
        # Room for the longest: what was put into `seen` must be written.
        if line_ends[row] + len(buffer) > len(lines) or parent_ends[row] + len(buffer) > len(parents):
            break
        new = False
        for attempt in range(_TRIES):
            state[0] = _mixed(seed + _GOLDEN * np.uint64(row + 1)) + np.uint64(attempt) * _MIX1
            if attempt >= _OWN_TRIES:
                if len(spare) == 0:
                    break
                programs[row] = spare[_below(state, len(spare))]
            program = programs[row]
            _run(code, entry[program], blob, offsets, buffer, state, begins, ends)
            new = _is_new(buffer, begins[0], ends[0], np.uint64(kinds[program]), seen)
            if new:
                break
        if not new:
            return -1 - row
        line_ends[row + 1] = _put(buffer, begins[0], ends[0], lines, line_ends[row])
        parent_ends[row + 1] = _put(buffer, begins[1], ends[1], parents, parent_ends[row])
        known[row] = begins[1] >= 0
        row += 1
    return row
