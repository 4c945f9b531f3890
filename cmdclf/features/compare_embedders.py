"""Do two embedders take the same near-duplicate decisions? Exact, over all pairs of some lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Comparison", "compare_vectors"]

Floats = npt.NDArray[np.float32]

_CELLS = 4_000_000
#: Cosines this close are equal: matrix products round by the shape of their blocks.
_SLACK = np.float32(1e-5)
#: Steps of the thresholds tried for B.
_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two embedders make of the same lines.

    Attributes:
        lines: how many lines.
        near_a: pairs that are near-duplicates by A.
        near_b: pairs that are near-duplicates by B.
        decided: pairs that are near-duplicates by one of them at least.
        flipped: pairs on which they differ.
        best_threshold: the threshold of B, in steps of 0.001, that differs least from A's decisions.
        best_flipped: pairs on which they differ there.
        best_decided: pairs that are near-duplicates by one of them at least there.
        same_nearest: share of the lines whose nearest other line is the same (or as near) by both.
        cosine: least and mean cosine between a line's two vectors; None where the dimensions differ.
    """

    lines: int
    near_a: int
    near_b: int
    decided: int
    flipped: int
    best_threshold: float
    best_flipped: int
    best_decided: int
    same_nearest: float
    cosine: tuple[float, float] | None

    @property
    def flip_share(self) -> float:
        """Flipped decisions among the decided pairs; 0 where no pair was decided."""
        return self.flipped / self.decided if self.decided else 0.0


def compare_vectors(a: Floats, b: Floats, *, threshold_a: float, threshold_b: float) -> Comparison:
    """The comparison of two embedders over all pairs of n lines.

    Args:
        a: (n, d) float32, unit rows: A's vectors.
        b: (n, e) float32, unit rows: B's vectors of the same lines.
        threshold_a: from which cosine on lines are near-duplicates by A.
        threshold_b: the same for B.

    Raises:
        ValueError: the row counts differ or are below 2.

    Cost: n * n * (d + e) multiplications; memory for a few million cosines.
    """
    n = len(a)
    if len(b) != n or n < 2:
        raise ValueError(f"{n} and {len(b)} vectors can't be compared")
    near_a = near_b = both = agree = 0
    # B's cosines of pairs that are near by A, and of those that are not.
    near_steps, far_steps = np.zeros(_STEPS + 1, np.int64), np.zeros(_STEPS + 1, np.int64)
    for first in range(0, n, rows := max(1, _CELLS // n)):
        cos_a, cos_b = a[first : first + rows] @ a.T, b[first : first + rows] @ b.T
        own = np.arange(first, first + len(cos_a))
        agree += _same_nearest(cos_a, cos_b, own)
        above = np.arange(n)[None, :] > own[:, None]
        is_a, is_b = (cos_a >= threshold_a) & above, (cos_b >= threshold_b) & above
        near_a, near_b, both = near_a + int(is_a.sum()), near_b + int(is_b.sum()), both + int((is_a & is_b).sum())
        steps = np.clip(cos_b * _STEPS, 0, _STEPS).astype(np.int64)
        near_steps += np.bincount(steps[is_a], minlength=_STEPS + 1)
        far_steps += np.bincount(steps[above & ~is_a], minlength=_STEPS + 1)
    # Differing at threshold k: near by A and below k by B, or far by A and at k or above by B.
    missed = np.concatenate([[0], np.cumsum(near_steps)[:-1]])
    added = np.cumsum(far_steps[::-1])[::-1]
    best = int(np.argmin(missed[1:] + added[1:])) + 1
    return Comparison(
        lines=n,
        near_a=near_a,
        near_b=near_b,
        decided=near_a + near_b - both,
        flipped=near_a + near_b - 2 * both,
        best_threshold=best / _STEPS,
        best_flipped=int(missed[best] + added[best]),
        best_decided=near_a + int(added[best]),
        same_nearest=agree / n,
        cosine=_between(a, b),
    )


def _same_nearest(cos_a: Floats, cos_b: Floats, own: npt.NDArray[np.int64]) -> int:
    rows = np.arange(len(own))
    # A line is not its own neighbour.
    cos_a[rows, own] = cos_b[rows, own] = -2
    return int((cos_a[rows, cos_b.argmax(1)] >= cos_a.max(1) - _SLACK).sum())


def _between(a: Floats, b: Floats) -> tuple[float, float] | None:
    if a.shape[1] != b.shape[1]:
        return None
    cosines = np.einsum("nd,nd->n", a, b)
    return float(cosines.min()), float(cosines.mean())
