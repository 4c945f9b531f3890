"""Counted n-grams of many lines, for fitting many variants of one linear model without counting again.

`CountedGrams` is `cmdclf.classify.grams.GramModel` on counts: fitted on the same lines it gives the same scores
(tests/benchmarks/test_classifiers.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from cmdclf.classify._grams_kernels import count_grams
from cmdclf.classify._grams_spelling import one_spelling
from cmdclf.classify.grams import _KINDS, MOST_BYTES
from cmdclf.features.embed_layers import with_layers

__all__ = ["KINDS", "CountedGrams", "counted", "only"]

_OF = {kind.name: kind for kind in _KINDS}
KINDS = tuple(_OF)
_ROWS = 20_000


def counted(texts: Sequence[str], *, layers: bool, kinds: Sequence[str] = KINDS) -> sparse.csr_matrix:
    """(n, sum of 2**bits) float32, 1 + log of how often each n-gram occurs, the kinds side by side.

    Args:
        texts: the lines.
        layers: put what a line hides in its place.
        kinds: of the n-grams.
    """
    parts = [_counted(texts[at : at + _ROWS], layers, kinds) for at in range(0, max(len(texts), 1), _ROWS)]
    return sparse.vstack(parts, format="csr") if len(parts) > 1 else parts[0]


def _counted(texts: Sequence[str], layers: bool, kinds: Sequence[str]) -> sparse.csr_matrix:
    lines = pa.array(texts, pa.string())
    read = one_spelling(pc.utf8_slice_codeunits(with_layers(lines) if layers else lines, 0, MOST_BYTES))
    raw = pc.binary_join_element_wise("", pc.utf8_lower(read), "", " ").cast(pa.binary())
    cut = pc.binary_slice(raw, 0, MOST_BYTES)
    data = np.frombuffer(b"".join(cut.to_pylist()), np.uint8)
    offsets = np.concatenate([[0], np.cumsum(pc.binary_length(cut).to_numpy(zero_copy_only=False))]).astype(np.int64)
    blocks = []
    for kind in (_OF[name] for name in kinds):
        starts, buckets, counts = count_grams(*kind.make(data, offsets, kind.bits)[:2])
        values = (1 + np.log(counts)).astype(np.float32)
        blocks.append(sparse.csr_matrix((values, buckets, starts), shape=(len(texts), 1 << kind.bits)))
    return sparse.hstack(blocks, format="csr")


def only(x: sparse.csr_matrix, kinds: Sequence[str]) -> sparse.csr_matrix:
    """The columns of these kinds out of counts of all kinds."""
    if tuple(kinds) == KINDS:
        return x
    ends = np.cumsum([1 << kind.bits for kind in _KINDS])
    parts = [x[:, end - (1 << _OF[n].bits) : end] for n, end in zip(KINDS, ends, strict=True) if n in kinds]
    return sparse.hstack(parts, format="csr")


class CountedGrams:
    """Logistic regression on TF-IDF, its weights rounded to float16 as the saved model's are.

    Args:
        kinds: of the n-grams that the matrices hold.
    """

    def __init__(self, kinds: Sequence[str] = KINDS) -> None:
        self.kinds = [_OF[name] for name in kinds]
        self.ends = np.cumsum([1 << kind.bits for kind in self.kinds])

    def fit(self, x: sparse.csr_matrix, y: np.ndarray) -> CountedGrams:
        """Both classes weigh the same."""
        seen = np.bincount(x.indices, minlength=x.shape[1])
        self.rarity = _rounded(np.log((1 + x.shape[0]) / (1 + seen)) + 1)
        scaled = sparse.csr_matrix((x.data * self.rarity[x.indices], x.indices, x.indptr), shape=x.shape)
        scaled.data *= self._scale(scaled, scaled.data.astype(np.float64) ** 2).astype(np.float32)
        model = LogisticRegression(
            C=20.0, solver="liblinear", dual=True, class_weight="balanced", tol=0.05, random_state=0
        ).fit(scaled, y.astype(np.int8))
        self.weights = _rounded(model.coef_[0] * self.rarity * self._lengths())
        self.bias = float(model.intercept_[0])
        return self

    def scores(self, x: sparse.csr_matrix) -> np.ndarray:
        """(n,) float64 log-odds."""
        squares = (x.data * self.rarity[x.indices]).astype(np.float64) ** 2
        values = x.data * self.weights[x.indices] * self._scale(x, squares) / self._lengths()[x.indices]
        return np.asarray(np.bincount(_row(x), values, x.shape[0]) + self.bias)

    def _lengths(self) -> np.ndarray:
        return np.repeat([kind.length for kind in self.kinds], [1 << kind.bits for kind in self.kinds])

    def _scale(self, x: sparse.csr_matrix, squares: np.ndarray) -> np.ndarray:
        """For each entry its kind's length over that of the row's vector of the kind."""
        kind, row = np.searchsorted(self.ends, x.indices, side="right"), _row(x)
        cell = row * len(self.kinds) + kind
        sums = np.bincount(cell, squares, x.shape[0] * len(self.kinds))
        return np.array([k.length for k in self.kinds])[kind] / np.sqrt(np.maximum(sums, 1e-12))[cell]


def _row(x: sparse.csr_matrix) -> np.ndarray:
    return np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.asarray(values).astype(np.float16).astype(np.float32)
