"""Counted n-grams of many lines, for fitting many variants of one linear model without counting again.

`CountedGrams` is `cmdclf.classify.grams.GramModel` on counts: fitted on the same lines it gives the same scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from cmdclf.classify._grams_kernels import count_grams
from cmdclf.classify._grams_spelling import one_spelling
from cmdclf.classify.grams import _KINDS, MOST_BYTES, GramModel, _Kind, row_weights
from cmdclf.features.embed_layers import with_layers

__all__ = ["ABILITIES", "KINDS", "CountedGrams", "counted", "only", "squared", "with_abilities"]

#: Columns that are no n-grams: what the programs of a line can do there. The length was chosen on two of five folds.
ABILITIES = "abilities"
_OF = {kind.name: kind for kind in (*_KINDS, _Kind(ABILITIES, None, None, 10, 0.25))}
KINDS = tuple(kind.name for kind in _KINDS)
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


def with_abilities(x: sparse.csr_matrix, abilities: sparse.csr_matrix) -> sparse.csr_matrix:
    """Counts with the abilities as a kind of their own behind them."""
    room = sparse.csr_matrix((x.shape[0], (1 << _OF[ABILITIES].bits) - abilities.shape[1]), dtype=np.float32)
    return sparse.hstack([x, abilities, room], format="csr")


class CountedGrams:
    """Logistic regression on TF-IDF, its weights rounded to float16 as the saved model's are.

    Args:
        kinds: of the n-grams that the matrices hold.
    """

    def __init__(self, kinds: Sequence[str] = KINDS) -> None:
        self.kinds = [_OF[name] for name in kinds]
        self.ends = np.cumsum([1 << kind.bits for kind in self.kinds])

    def fit(
        self,
        x: sparse.csr_matrix,
        y: NDArray[Any],
        sample_weight: NDArray[Any] | None = None,
        *,
        sure: NDArray[np.bool_] | None = None,
    ) -> CountedGrams:
        """Fit on (n, f) counts; `y` (n,) 1 malicious; weights and `sure` as `GramModel.fit` has them."""
        seen = np.bincount(x.indices, minlength=x.shape[1])
        self.rarity = _rounded(np.log((1 + x.shape[0]) / (1 + seen)) + 1)
        of = np.searchsorted(self.ends, x.indices, side="right")
        row = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        unit = np.stack([kind.length / length for kind, length in zip(self.kinds, self._sizes(x), strict=True)])
        scaled = sparse.csr_matrix(
            ((x.data * self.rarity[x.indices] * unit[of, row]).astype(np.float32), x.indices, x.indptr), shape=x.shape
        )
        model = LogisticRegression(C=20.0, solver="liblinear", dual=True, tol=0.05, random_state=0)
        model.fit(scaled, y.astype(np.int8), row_weights(y, sample_weight, sure))
        lengths = np.repeat([kind.length for kind in self.kinds], [1 << kind.bits for kind in self.kinds])
        self.weights = _rounded(model.coef_[0] * self.rarity * lengths)
        self.bias = float(model.intercept_[0])
        return self

    def scores(self, x: sparse.csr_matrix, squares: sparse.csr_matrix | None = None) -> NDArray[Any]:
        """(n,) float64 log-odds; `squared(x)` may be given where many models score the same matrix."""
        of_kinds = zip(self._parts(self.weights), self._sizes(x, squares), strict=True)
        return np.asarray(sum((x @ weights / size for weights, size in of_kinds), np.float64(self.bias)))

    def model(self) -> GramModel:
        """The same model as one that reads text and can be saved.

        Raises:
            ValueError: it holds other kinds than n-grams.
        """
        if tuple(kind.name for kind in self.kinds) != KINDS:
            raise ValueError("only a model on all kinds of n-grams reads text")
        made = GramModel()
        cuts = self.ends[:-1]
        made.weights_, made.rarity_ = np.split(self.weights, cuts), np.split(self.rarity, cuts)
        made.bias_ = self.bias
        return made

    def _sizes(self, x: sparse.csr_matrix, squares: sparse.csr_matrix | None = None) -> list[NDArray[Any]]:
        """For each kind (n,) the length of each row's vector of that kind."""
        squares = squared(x) if squares is None else squares
        return [np.sqrt(np.maximum(squares @ part, 1e-12)) for part in self._parts(self.rarity.astype(np.float64) ** 2)]

    def _parts(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """For each kind (f,) float64 the values of its columns, zero elsewhere.

        A product with all of a matrix is faster than cutting the matrix up.
        """
        found = []
        for kind, end in zip(self.kinds, self.ends, strict=True):
            part = np.zeros(len(values))
            part[end - (1 << kind.bits) : end] = values[end - (1 << kind.bits) : end]
            found.append(part)
        return found


def squared(x: sparse.csr_matrix) -> sparse.csr_matrix:
    """The matrix with its entries squared; indices are shared."""
    return sparse.csr_matrix((x.data**2, x.indices, x.indptr), shape=x.shape)


def _rounded(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values).astype(np.float16).astype(np.float32)
