"""The compiled scan of the literal prefilter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled

__all__ = ["scan"]

_STREAMS = 4


@compiled
def scan(  # noqa: C901  four walks side by side: in functions their states would go through memory at each byte
    offsets: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    classes: npt.NDArray[np.uint8],
    moves: npt.NDArray[np.uint32],
    first_accepting: int,
    width: int,
    out_start: npt.NDArray[np.int32],
    out_set: npt.NDArray[np.int32],
    led_start: npt.NDArray[np.int32],
    led: npt.NDArray[np.int32],
    rule_where: npt.NDArray[np.uint8],
    always: npt.NDArray[np.int32],
    where: npt.NDArray[np.uint8],
) -> npt.NDArray[np.int64]:
    """Candidates as `rule << 32 | row`, in no order: rows that hold what one of the rule's ways needs.

    States are row numbers of the flattened table times `width`, so a step is one addition and one load; accepting
    states have the highest numbers, so the test for a hit is one comparison. A step waits for the load of the step
    before: four parts of the batch are walked in turn, so that four loads are under way at once.

    Args:
        offsets, data: the rows' bytes.
        classes, moves, first_accepting, width, out_start, out_set: the automaton, which reports sets of literals.
        led_start, led: for each set the ways that it leads: `(rule, second set, third set)`, a set that is not needed
            being the leading one again. Ways stand with the set that is rarest in texts.
        rule_where, where: bits of platforms; a row is no candidate of a rule for others.
        always: rules of which every row is a candidate.
    """
    rows = offsets.size - 1
    marks = np.full((_STREAMS, led_start.size), -1, np.int64)  # the last row that held a literal of the set
    leading = np.empty((_STREAMS, led_start.size), np.int32)
    n_leading = np.zeros(_STREAMS, np.int64)
    row = np.empty(_STREAMS, np.int64)
    last = np.empty(_STREAMS, np.int64)  # one beyond the part's last row
    at = np.empty(_STREAMS, np.int64)
    state = np.zeros(_STREAMS, np.uint32)
    given = np.full(rule_where.size, -1, np.int64)  # the last row that was given for the rule
    keys = np.empty(rows + 1024, np.int64)
    found = 0
    begin = 0
    for k in range(_STREAMS):
        share = offsets[0] + (offsets[rows] - offsets[0]) * (k + 1) // _STREAMS
        end = rows if k == _STREAMS - 1 else min(rows, np.searchsorted(offsets, share))
        row[k], last[k] = begin, max(begin, end)
        at[k] = offsets[begin]
        begin = last[k]
    while True:
        # Rows that are at their end give their candidates and make room for the next.
        steps = np.int64(1 << 62)
        busy = 0
        for k in range(_STREAMS):
            while row[k] < last[k] and at[k] == offsets[row[k] + 1]:
                if found + rule_where.size > keys.size:
                    larger = np.empty(2 * keys.size + rule_where.size, np.int64)
                    larger[:found] = keys[:found]
                    keys = larger
                bits = where[row[k]]
                sets = leading[k, : n_leading[k]]
                found = _give(row[k], marks[k], sets, led_start, led, rule_where, bits, always, given, keys, found)
                n_leading[k] = 0
                state[k] = 0
                row[k] += 1
            if row[k] < last[k]:
                steps = min(steps, offsets[row[k] + 1] - at[k])
                busy += 1
        if busy == 0:
            return keys[:found]
        if busy == _STREAMS:
            d0, d1 = data[at[0] : at[0] + steps], data[at[1] : at[1] + steps]
            d2, d3 = data[at[2] : at[2] + steps], data[at[3] : at[3] + steps]
            s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
            for i in range(steps):
                s0 = moves[s0 + classes[d0[i]]]
                s1 = moves[s1 + classes[d1[i]]]
                s2 = moves[s2 + classes[d2[i]]]
                s3 = moves[s3 + classes[d3[i]]]
                if s0 >= first_accepting:
                    hit = (s0 - first_accepting) // width
                    n_leading[0] = _mark(hit, out_start, out_set, led_start, row[0], marks[0], leading[0], n_leading[0])
                if s1 >= first_accepting:
                    hit = (s1 - first_accepting) // width
                    n_leading[1] = _mark(hit, out_start, out_set, led_start, row[1], marks[1], leading[1], n_leading[1])
                if s2 >= first_accepting:
                    hit = (s2 - first_accepting) // width
                    n_leading[2] = _mark(hit, out_start, out_set, led_start, row[2], marks[2], leading[2], n_leading[2])
                if s3 >= first_accepting:
                    hit = (s3 - first_accepting) // width
                    n_leading[3] = _mark(hit, out_start, out_set, led_start, row[3], marks[3], leading[3], n_leading[3])
            state[0], state[1], state[2], state[3] = s0, s1, s2, s3
            for k in range(_STREAMS):
                at[k] += steps
            continue
        for k in range(_STREAMS):  # the batch's end: what is left of each part, one after the other
            if row[k] < last[k]:
                s0 = state[k]
                for byte in data[at[k] : offsets[row[k] + 1]]:
                    s0 = moves[s0 + classes[byte]]
                    if s0 >= first_accepting:
                        hit = (s0 - first_accepting) // width
                        n_leading[k] = _mark(
                            hit, out_start, out_set, led_start, row[k], marks[k], leading[k], n_leading[k]
                        )
                at[k] = offsets[row[k] + 1]


@compiled
def _mark(
    hit: int,
    out_start: npt.NDArray[np.int32],
    out_set: npt.NDArray[np.int32],
    led_start: npt.NDArray[np.int32],
    row: int,
    marks: npt.NDArray[np.int64],
    leading: npt.NDArray[np.int32],
    n_leading: int,
) -> int:
    """Mark the sets that the accepting state reports, and list those that lead a way."""
    for k in range(out_start[hit], out_start[hit + 1]):
        which = out_set[k]
        if marks[which] != row:
            marks[which] = row
            if led_start[which] < led_start[which + 1]:
                leading[n_leading] = which
                n_leading += 1
    return n_leading


@compiled
def _give(
    row: int,
    marks: npt.NDArray[np.int64],
    leading: npt.NDArray[np.int32],
    led_start: npt.NDArray[np.int32],
    led: npt.NDArray[np.int32],
    rule_where: npt.NDArray[np.uint8],
    where: int,
    always: npt.NDArray[np.int32],
    given: npt.NDArray[np.int64],
    keys: npt.NDArray[np.int64],
    found: int,
) -> int:
    """Append the row's candidates to the keys; returns how many keys there are then."""
    for leader in leading:
        for j in range(led_start[leader], led_start[leader + 1]):
            rule = led[j, 0]
            if marks[led[j, 1]] == row and marks[led[j, 2]] == row and given[rule] != row and rule_where[rule] & where:
                given[rule] = row
                keys[found] = (np.int64(rule) << 32) | row
                found += 1
    for rule in always:
        if rule_where[rule] & where:
            keys[found] = (np.int64(rule) << 32) | row
            found += 1
    return found
