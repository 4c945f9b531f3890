"""The compiled scan and the compiled chains of conditions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled

__all__ = ["judge", "marked", "settle"]

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

_AT_START, _AT_END, _CASED = 1, 2, 4


@compiled
def marked(  # noqa: C901  one walk over the bytes
    offsets: Longs,
    data: Bytes,
    classes: Bytes,
    moves: npt.NDArray[np.uint32],
    first_accepting: int,
    width: int,
    out_start: Ints,
    out_use: Ints,
    place: Bytes,
    text_start: Ints,
    text: Bytes,
    atom_start: Ints,
    atoms: Ints,
    n_atoms: int,
) -> tuple[Longs, Ints]:
    """The atoms that each row's text marks: `(rows + 1,)` starts into a list of atoms, each once a row."""
    rows = offsets.size - 1
    starts = np.zeros(rows + 1, np.int64)
    out = np.empty(4 * rows + 1024, np.int32)
    last = np.full(n_atoms, -1, np.int64)
    found = 0
    for row in range(rows):
        begin, end = offsets[row], offsets[row + 1]
        state = np.uint32(0)
        for at in range(begin, end):
            state = moves[state + classes[data[at]]]
            if state < first_accepting:
                continue
            hit = (state - first_accepting) // width
            for k in range(out_start[hit], out_start[hit + 1]):
                use = out_use[k]
                how = place[use]
                size = text_start[use + 1] - text_start[use]
                first = at + 1 - size
                if (how & _AT_END and at + 1 != end) or (how & _AT_START and first != begin):
                    continue
                if how & _CASED:
                    same = True
                    for j in range(size):
                        if data[first + j] != text[text_start[use] + j]:
                            same = False
                            break
                    if not same:
                        continue
                for j in range(atom_start[use], atom_start[use + 1]):
                    atom = atoms[j]
                    if last[atom] != row:
                        last[atom] = row
                        if found == out.size:
                            larger = np.empty(2 * found, np.int32)
                            larger[:found] = out
                            out = larger
                        out[found] = atom
                        found += 1
        starts[row + 1] = found
    return starts, out[:found]


@compiled
def _ends(
    root: int, atom: Ints, then: Ints, other: Ints, is_late: npt.NDArray[np.bool_], marks: Longs, row: int, late: bool
) -> int:
    """1 where the chain ends in true, 0 in false, 2 where it meets a late atom that is not looked at yet."""
    node = root
    while node >= 0:
        which = atom[node]
        if is_late[which] and not late:
            return 2
        node = then[node] if marks[which] == row else other[node]
    return 1 if node == -1 else 0


@compiled
def judge(
    starts: Longs,
    atoms: Ints,
    atom: Ints,
    then: Ints,
    other: Ints,
    root: Ints,
    is_late: npt.NDArray[np.bool_],
    led_start: Ints,
    led: Ints,
    always: Ints,
    rule_where: Bytes,
    where: Bytes,
) -> tuple[Longs, Longs]:
    """`row << 32 | rule` of what holds, and of what a late atom decides; by row.

    Args:
        starts: `(lists, rows + 1)` into `atoms`: each field's list of marked atoms.
        atoms: all lists, one after the other.
        atom, then, other, root, is_late, led_start, led, always: the program.
        rule_where, where: bits of platforms.
    """
    rows = starts.shape[1] - 1
    marks = np.full(is_late.size, -1, np.int64)
    given = np.full(root.size, -1, np.int64)
    held = np.empty(rows + root.size + 1024, np.int64)
    open_ = np.empty(rows + root.size + 1024, np.int64)
    n_held = n_open = 0
    for row in range(rows):
        for k in range(starts.shape[0]):
            for j in range(starts[k, row], starts[k, row + 1]):
                marks[atoms[j]] = row
        if n_held + root.size > held.size:
            held = _doubled(held, n_held, root.size)
        if n_open + root.size > open_.size:
            open_ = _doubled(open_, n_open, root.size)
        for k in range(starts.shape[0] + 1):
            # The last round is for the rules that no atom leads.
            begin, end = (starts[k, row], starts[k, row + 1]) if k < starts.shape[0] else (np.int64(-1), np.int64(0))
            for j in range(begin, end):
                rules = always if j < 0 else led[led_start[atoms[j]] : led_start[atoms[j] + 1]]
                for rule in rules:
                    if given[rule] == row or not rule_where[rule] & where[row]:
                        continue
                    given[rule] = row
                    answer = _ends(root[rule], atom, then, other, is_late, marks, row, False)
                    if answer == 1:
                        held[n_held] = (np.int64(row) << 32) | rule
                        n_held += 1
                    elif answer == 2:
                        open_[n_open] = (np.int64(row) << 32) | rule
                        n_open += 1
    return held[:n_held], open_[:n_open]


@compiled
def settle(
    keys: Longs,
    starts: Longs,
    atoms: Ints,
    atom: Ints,
    then: Ints,
    other: Ints,
    root: Ints,
    is_late: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Which of the open keys (by row) hold, now that the late atoms stand in the lists too."""
    kept = np.zeros(keys.size, np.bool_)
    marks = np.full(is_late.size, -1, np.int64)
    before = np.int64(-1)
    for i in range(keys.size):
        row = keys[i] >> 32
        if row != before:
            for k in range(starts.shape[0]):
                for j in range(starts[k, row], starts[k, row + 1]):
                    marks[atoms[j]] = row
            before = row
        kept[i] = _ends(root[keys[i] & 0xFFFF_FFFF], atom, then, other, is_late, marks, row, True) == 1
    return kept


@compiled
def _doubled(keys: Longs, used: int, more: int) -> Longs:
    larger = np.empty(2 * keys.size + more, np.int64)
    larger[:used] = keys[:used]
    return larger
