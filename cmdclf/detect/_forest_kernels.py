"""Compiled descent of isolation trees that lie in flat arrays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled

__all__ = ["all_finite", "path_scores"]

#: Rows that descend a tree together: their descents overlap in the processor, and 32 rows of some 250 float32 columns
#: still fit into its first cache beside one tree. 16 and 64 rows are slower by a tenth or more.
_BLOCK = 32


@compiled
def all_finite(bits: npt.NDArray[np.int32]) -> bool:
    """Whether no float32 of a matrix is NaN or infinite; bits: (n, f), the matrix seen as int32.

    An integer maximum, as it is vectorised where a sum of floats is not.
    """
    for row in range(bits.shape[0]):
        top = np.int32(0)
        for value in bits[row]:
            top = max(top, value & np.int32(0x7FFFFFFF))
        if top >= np.int32(0x7F800000):
            return False
    return True


@compiled
def path_scores(
    matrix: npt.NDArray[np.float32],
    feature: npt.NDArray[np.int32],
    threshold: npt.NDArray[np.float32],
    left: npt.NDArray[np.int32],
    length: npt.NDArray[np.float64],
    root: npt.NDArray[np.int32],
    depth: npt.NDArray[np.int32],
    normal: float,
    scores: npt.NDArray[np.float64],
) -> None:
    """Fill scores, (n,), with 2^(-sum of path lengths / normal); an exponent of -1 where normal is 0.

    matrix is (n, f) and C-contiguous; the rest describes a valid `FlatForest`, nothing is checked here. Every row
    takes depth[t] steps in tree t without a branch: a leaf is its own left child and its threshold is infinite, so that
    a row which arrived early stays. Trees are the middle loop, so that a tree serves a block of rows from the cache;
    each row's lengths are still added in the order of the trees.
    """
    at = np.empty(_BLOCK, np.uint32)
    total = np.empty(_BLOCK, np.float64)
    width = np.uint32(matrix.shape[1])
    for start in range(0, matrix.shape[0], _BLOCK):
        rows = min(_BLOCK, matrix.shape[0] - start)
        x = matrix[start : start + rows].reshape(-1)
        total[:] = 0.0
        for tree in range(len(depth)):
            first = np.uint32(root[tree])
            for r in range(rows):
                at[r] = first
            for _ in range(depth[tree]):
                for r in range(rows):
                    # Unsigned: signed indices would be tested for "counted from the end" at every load.
                    node = at[r]
                    value = x[np.uint32(r) * width + np.uint32(feature[node])]
                    at[r] = np.uint32(left[node]) + np.uint32(value > threshold[node])
            for r in range(rows):
                total[r] += length[at[r]]
        for r in range(rows):
            scores[start + r] = 2.0 ** -(total[r] / normal if normal != 0.0 else 1.0)
