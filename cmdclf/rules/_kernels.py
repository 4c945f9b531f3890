"""The compiled scan of the literal prefilter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled

__all__ = ["rows_by_rule", "scan"]


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
    """Set `found[row, rule]` to 1 where a literal of the rule occurs in the row.

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
                    found[row, out_rules[k]] = 1


@compiled
def rows_by_rule(found: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where a `(n, rules)` matrix isn't 0, by rule: those of rule r are `rows[starts[r]:starts[r + 1]]`, ascending.

    Walks the matrix as it lies in memory; asking for one column after the other costs ten times as much.
    """
    rows, rules = found.shape
    starts = np.zeros(rules + 1, np.int64)
    for row in range(rows):
        for rule in range(rules):
            starts[rule + 1] += found[row, rule] != 0
    for rule in range(rules):
        starts[rule + 1] += starts[rule]
    at = starts[:-1].copy()
    where = np.empty(starts[rules], np.int64)
    for row in range(rows):
        for rule in range(rules):
            if found[row, rule]:
                where[at[rule]] = row
                at[rule] += 1
    return starts, where
