"""The compiled kernels that write matches and platforms into the matrix."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled

__all__ = ["put_matches", "put_platforms"]


@compiled
def put_matches(
    rows: npt.NDArray[np.int64],
    checks: npt.NDArray[np.int64],
    category: npt.NDArray[np.int64],
    out: npt.NDArray[np.float32],
    first: int,
    counts: int,
    extra: int,
) -> None:
    """Set the checks' columns, from `first` on, and add what is new to the counts of their categories and of all.

    Args:
        rows, checks: where a check matches; the same match may come again.
        category: of each check.
        out: the matrix.
        first, counts: the first column of the checks, and of the counts: one a category, then one for all.
        extra: the first of more columns like `counts`, -1 for none.
    """
    total = category.max() + 1 if category.size else 0
    for k in range(rows.size):
        row, check = rows[k], checks[k]
        if out[row, first + check] == 0.0:
            out[row, first + check] = 1.0
            out[row, counts + category[check]] += 1.0
            out[row, counts + total] += 1.0
            if extra >= 0:
                out[row, extra + category[check]] += 1.0
                out[row, extra + total] += 1.0


@compiled
def put_platforms(bits: npt.NDArray[np.uint8], out: npt.NDArray[np.float32], first: int, names: int) -> None:
    """Set column `first + k` to 1 where the bits are those of the platform k alone."""
    for row in range(bits.size):
        for k in range(names):
            if bits[row] == 1 << k:
                out[row, first + k] = 1.0
