"""One scan that finds names, what stands behind them, and what they can do then: compiled."""

from __future__ import annotations

import numpy as np

from cmdclf.jit import compiled

__all__ = ["COMMAND", "NAME", "OPEN_LEFT", "OPEN_RIGHT", "fnv", "scan"]

#: Of a literal: more letters may stand before or behind it; it is a name; it counts only where a command stands.
OPEN_LEFT, OPEN_RIGHT, NAME, COMMAND = 1, 2, 4, 8


@compiled
def fnv(data):
    """The FNV-1a hash of bytes, uint64."""
    code = np.uint64(14695981039346656037)
    for c in data:
        code = (code ^ np.uint64(c)) * np.uint64(1099511628211)
    return code


@compiled
def _letter(c):
    return (48 <= c <= 57) or (97 <= c <= 122) or c == 95 or c >= 128


@compiled
def _blank(c):
    return c <= 32 or c == 34 or c == 39


@compiled
def _separator(c):
    """; | & ( { ` or a line's end."""
    return c == 59 or c == 124 or c == 38 or c == 40 or c == 123 or c == 96 or c == 10


@compiled
def _known(data, start, end, launchers):
    code = fnv(data[start:end])
    k = np.searchsorted(launchers, code)
    return k < len(launchers) and launchers[k] == code


@compiled
def _word_start(data, begin, end):
    j = end
    while j > begin and not _blank(data[j - 1]) and not _separator(data[j - 1]):
        j -= 1
    return j


@compiled
def _launched(data, begin, at, launchers):
    """Whether the command that `at` is part of starts with a launcher: sudo, xargs ..."""
    start = at
    while start > begin and not _separator(data[start - 1]):
        start -= 1
    while start < at and _blank(data[start]):
        start += 1
    end = start
    while end < at and not _blank(data[end]):
        end += 1
    return _known(data, start, end, launchers)


@compiled
def _assigns(data, start, end):
    """NAME=value, but no option."""
    for k in range(start, end):
        if data[k] == 61:
            return data[start] != 45
    return False


@compiled
def _is_command(data, begin, at, launchers):
    """Whether the name at `at` is what a command starts with: path before it, launchers and assignments allowed."""
    j = _word_start(data, begin, at)
    if j < at and data[at - 1] != 47 and data[at - 1] != 92 and data[at - 1] != 61:
        return False
    if _launched(data, begin, j, launchers):
        return True
    while True:
        while j > begin and _blank(data[j - 1]):
            j -= 1
        if j == begin or _separator(data[j - 1]):
            return True
        end = j
        j = _word_start(data, begin, end)
        if _known(data, j, end, launchers):
            return True
        if not _assigns(data, j, end):
            return False


@compiled
def _stands(data, begin, end, at, length, flags):
    """Whether a literal that was found stands by itself, as far as its flags ask."""
    first, last = data[at], data[at + length - 1]
    before = data[at - 1] if at > begin else np.uint8(32)
    behind = data[at + length] if at + length < end else np.uint8(32)
    if not flags & OPEN_LEFT:
        if _letter(first):
            if _letter(before) or (flags & NAME and before == 45):
                return False
        elif (first == 45 or first == 47) and not (_blank(before) or before == 61 or before == 40 or before == 123):
            return False
    return flags & OPEN_RIGHT or not _letter(last) or not (_letter(behind) or (flags & NAME and behind == 45))


@compiled
def _counts(data, begin, end, at, length, flags, launchers):
    if not _stands(data, begin, end, at, length, flags):
        return False
    return not flags & COMMAND or _is_command(data, begin, at, launchers)


@compiled
def _holds(needed, stamp, place, text, first):
    """Whether all literals that are needed stand in the text at or behind `first`."""
    for literal in needed:  # noqa: SIM110 (a generator can't be compiled)
        if stamp[literal] != text or place[literal] < first:
            return False
    return True


@compiled
def scan(  # noqa: C901 (one loop; its parts are functions already)
    data, offsets, where, classes, moves, first_accepting, width, out_start, out_set,
    flags, lengths, rule_start, rule_out, rule_where, need_start, need, n_out, launchers,
):  # fmt: skip
    """(n + 1,) int64 starts and (k,) int32: the outs of the rules that hold for each of n texts, each once.

    A rule holds where its name stands and all that it needs stands at or behind the name's first place.

    Args:
        data, offsets: the texts' bytes in lower case, (n + 1,) where each begins.
        where: (n,) platforms as bits.
        classes ... out_set: an `Automaton` over the literals.
        flags, lengths: of each literal.
        rule_start: (literals + 1,) the rules of each name; rule_out, rule_where: what each says, for which platforms.
        need_start, need: (rules + 1,), literals.
        n_out: how many outs there are.
        launchers: sorted hashes.
    """
    n = len(offsets) - 1
    stamp = np.full(len(flags), -1, np.int64)
    place = np.zeros(len(flags), np.int64)
    names = np.empty(len(flags), np.int64)
    told = np.full(n_out, -1, np.int64)
    starts = np.zeros(n + 1, np.int64)
    outs = np.empty(16 * n + 64, np.int32)
    k = 0
    for i in range(n):
        begin, end = offsets[i], offsets[i + 1]
        state, n_names = np.int64(0), 0
        for j in range(begin, end):
            state = np.int64(moves[state + classes[data[j]]])
            if state < first_accepting:
                continue
            out = (state - first_accepting) // width
            for q in range(out_start[out], out_start[out + 1]):
                literal = out_set[q]
                at = j - lengths[literal] + 1
                name = flags[literal] & NAME
                # Of a name the first place counts, of other words the last.
                if name and stamp[literal] == i:
                    continue
                if not _counts(data, begin, end, at, lengths[literal], flags[literal], launchers):
                    continue
                stamp[literal] = i
                place[literal] = at
                if name:
                    names[n_names] = literal
                    n_names += 1
        for x in range(n_names):
            literal = names[x]
            for r in range(rule_start[literal], rule_start[literal + 1]):
                if told[rule_out[r]] == i or not rule_where[r] & where[i]:
                    continue
                if _holds(need[need_start[r] : need_start[r + 1]], stamp, place, i, place[literal]):
                    told[rule_out[r]] = i
                    if k == len(outs):
                        more = np.empty(2 * k, np.int32)
                        more[:k] = outs
                        outs = more
                    outs[k] = rule_out[r]
                    k += 1
        starts[i + 1] = k
    return starts, outs[:k].copy()
