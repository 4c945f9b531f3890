"""The compiled scan of the literal prefilter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.rules.jit import compiled

__all__ = ["scan"]


@compiled
def scan(
    offsets: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    classes: npt.NDArray[np.uint8],
    moves: npt.NDArray[np.int32],
    first_accepting: int,
    width: int,
    out_start: npt.NDArray[np.int32],
    out_rules: npt.NDArray[np.int32],
    found: npt.NDArray[np.uint8],
) -> None:
    """Set `found[rule, row]` to 1 where a literal of the rule occurs in the row.

    States are row numbers of the flattened table times `width`, so a step is one addition and one load; accepting
    states have the highest numbers, so the test for a hit is one comparison.
    """
    for row in range(offsets.size - 1):
        state = 0
        for at in range(offsets[row], offsets[row + 1]):
            state = moves[state + classes[data[at]]]
            if state >= first_accepting:
                hit = (state - first_accepting) // width
                for k in range(out_start[hit], out_start[hit + 1]):
                    found[out_rules[k], row] = 1
