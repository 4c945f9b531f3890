"""The compiled scan for what a secret needs near it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled

__all__ = ["COLON_AT", "EVERYTHING", "HEX_RUN", "scan"]

#: Sets that are no literals: a character that only Python's patterns read as a blank or as another letter; a run of 32
#: hexadecimal digits; a word in which a colon stands before an at sign.
EVERYTHING, HEX_RUN, COLON_AT = 0, 1, 2


@compiled
def scan(  # noqa: C901  one walk: in functions its states would go through memory at each byte
    offsets: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    classes: npt.NDArray[np.uint8],
    traits: npt.NDArray[np.uint8],
    moves: npt.NDArray[np.uint32],
    first_accepting: int,
    width: int,
    out_start: npt.NDArray[np.int32],
    out_literal: npt.NDArray[np.int32],
    literal_length: npt.NDArray[np.int32],
    literal_left: npt.NDArray[np.uint8],
    literal_start: npt.NDArray[np.int32],
    literal_set: npt.NDArray[np.int32],
    led_start: npt.NDArray[np.int32],
    led: npt.NDArray[np.int32],
    units: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """For each row the units whose two sets of literals both occur in it, ascending in no order.

    Args:
        offsets, data: the rows' bytes.
        classes, moves, first_accepting, width, out_start, out_literal: the automaton, which reports literals.
        traits: of each byte, the bits of what may stand left of a literal, and 64 for a hexadecimal digit, 128 for a
            blank.
        literal_length, literal_left: a literal counts where the byte before it has one of these bits; at the
            beginning of a row always.
        literal_start, literal_set: the sets of each literal.
        led_start, led: of each set the units that it leads and the other set that they need, `(unit, set)`.
        units: how many there are.

    Returns:
        `(rows + 1,)` where each row's units begin, and the units.
    """
    rows = offsets.size - 1
    begin = np.zeros(rows + 1, np.int64)
    out = np.empty(rows + 1024, np.int32)
    found = 0
    seen = np.full(led_start.size - 1, -1, np.int64)
    order = np.empty(led_start.size - 1, np.int32)
    given = np.full(units, -1, np.int64)
    for row in range(rows):
        n_seen = 0
        state = np.uint32(0)
        hexadecimal = 0
        colon = False
        start, end = offsets[row], offsets[row + 1]
        for i in range(start, end):
            byte = data[i]
            trait = traits[byte]
            if trait & 64:
                hexadecimal += 1
                if hexadecimal == 32 and seen[1] != row:
                    seen[1] = row
                    order[n_seen] = 1
                    n_seen += 1
            else:
                hexadecimal = 0
                if trait & 128:
                    colon = False
                elif byte == 58:
                    colon = True
                elif byte == 64 and colon and seen[2] != row:
                    seen[2] = row
                    order[n_seen] = 2
                    n_seen += 1
            state = moves[state + classes[byte]]
            if state >= first_accepting:
                at = (state - first_accepting) // width
                for k in range(out_start[at], out_start[at + 1]):
                    literal = out_literal[k]
                    before = i - literal_length[literal]
                    if before < start or traits[data[before]] & literal_left[literal]:
                        for m in range(literal_start[literal], literal_start[literal + 1]):
                            one = literal_set[m]
                            if seen[one] != row:
                                seen[one] = row
                                order[n_seen] = one
                                n_seen += 1
        if found + units > out.size:
            grown = np.empty(2 * out.size + units, np.int32)
            grown[:found] = out[:found]
            out = grown
        if seen[0] == row:
            for unit in range(units):
                out[found + unit] = unit
            found += units
        else:
            for j in range(n_seen):
                one = order[j]
                for k in range(led_start[one], led_start[one + 1]):
                    if given[led[k, 0]] != row and seen[led[k, 1]] == row:
                        given[led[k, 0]] = row
                        out[found] = led[k, 0]
                        found += 1
        begin[row + 1] = found
    return begin, out[:found]
