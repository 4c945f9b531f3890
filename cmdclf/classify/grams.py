"""A linear model over hashed character n-grams of a line and of what it hides: text in, log-odds out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from cmdclf.classify._grams_kernels import count_grams, gram_places, score_grams
from cmdclf.errors import ModelIntegrityError
from cmdclf.features.embed_layers import with_layers

__all__ = ["GRAMS_FILE", "GRAMS_VERSION", "GramModel"]

#: Changes when the same weights would give other scores.
GRAMS_VERSION = 1
GRAMS_FILE = "grams.npz"
#: Bytes of a text that count, what it hides before it; more would let padding drown a line.
MOST_BYTES = 4096

Texts = pa.StringArray | pa.ChunkedArray
Floats = NDArray[np.float64]


class GramModel(BaseEstimator):  # type: ignore[misc]
    """Logistic regression on TF-IDF of hashed byte 2- to 5-grams, in lower case, decoded layers before the line.

    The score of a line is a sum over its n-grams, so `spans` can say exactly what each stretch of the text adds.

    Args:
        bits: n-grams are hashed into 2**bits buckets.
        C: inverse strength of the regularisation.
        random_state: seed of the solver.

    Attributes:
        weights_, rarity_: (2**bits,) float32, rounded to float16 (what is saved scores as what was fitted).
        bias_: float.

    Source: hashed features as in Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009); the
    solver is liblinear's dual coordinate descent (Hsieh et al. 2008), through scikit-learn.
    """

    def __init__(self, *, bits: int = 20, C: float = 20.0, random_state: int | None = 0) -> None:
        self.bits = bits
        self.C = C
        self.random_state = random_state

    def fit(self, X: Texts, y: Any, sample_weight: Any = None) -> GramModel:
        """Fit on lines; both classes weigh the same. Returns self.

        Args:
            X: (n,) command lines.
            y: (n,) 1 malicious, 0 benign.
            sample_weight: (n,) of the rows, or None.

        Raises:
            ValueError: only one class, or other lengths.
        """
        from scipy import sparse
        from sklearn.linear_model import LogisticRegression

        y = np.asarray(y).astype(np.int8)
        if len(y) != len(X):
            raise ValueError(f"{len(X)} lines but {len(y)} labels")
        if len(np.unique(y)) < 2:
            raise ValueError("GramModel can't train when only one class is present")
        starts, buckets, counts = count_grams(*_bytes_of(X), self.bits)
        shape = (len(y), 1 << self.bits)
        seen = np.bincount(buckets, minlength=shape[1])
        rarity = _rounded(np.log((1 + shape[0]) / (1 + seen)) + 1)
        values = (1 + np.log(counts)).astype(np.float32) * rarity[buckets]
        length = np.sqrt(np.maximum(np.add.reduceat(np.append(values**2, 0), starts[:-1]), 1e-12))
        length[np.diff(starts) == 0] = 1.0
        values /= np.repeat(length, np.diff(starts)).astype(np.float32)
        matrix = sparse.csr_matrix((values, buckets, starts), shape=shape)
        model = LogisticRegression(
            C=self.C, solver="liblinear", dual=True, class_weight="balanced", tol=0.05, random_state=self.random_state
        ).fit(matrix, y, sample_weight)
        self.rarity_ = rarity
        self.weights_ = _rounded(model.coef_[0] * rarity)
        self.bias_ = float(model.intercept_[0])
        return self

    def decision_function(self, X: Texts) -> Floats:
        """(n,) float64 log-odds of malicious, at even odds of the classes; a line's depend on it alone."""
        check_is_fitted(self)
        data, offsets = _bytes_of(X)
        scores: Floats = score_grams(data, offsets, self.bits, self.weights_, self.rarity_, self.bias_)
        return scores

    def spans(self, text: str) -> tuple[bytes, Floats]:
        """(the bytes that were read, (m,) what each adds to the log-odds): an n-gram's part is shared by its bytes.

        The bytes are the decoded innermost layer, if there is one, and the line, in lower case and cut to
        `MOST_BYTES`, a blank before and after. `decision_function` is `bias_` and the sum of the parts.
        """
        check_is_fitted(self)
        data, offsets = _bytes_of(pa.array([text]))
        _, buckets, at, sizes = gram_places(data, offsets, self.bits)
        parts = np.zeros(len(data))
        if len(buckets):
            kinds, of, counts = np.unique(buckets, return_inverse=True, return_counts=True)
            frequency = 1 + np.log(counts)
            length = np.sqrt(max(float(((frequency * self.rarity_[kinds]) ** 2).sum()), 1e-12))
            each = (frequency * self.weights_[kinds] / length / counts)[of] / sizes
            for step in range(int(sizes.max())):
                inside = sizes > step
                np.add.at(parts, at[inside] + step, each[inside])
        return data.tobytes(), parts

    def save(self, folder: Path) -> None:
        """Write `grams.npz` (float16 arrays, compressed) into the folder."""
        check_is_fitted(self)
        held = io.BytesIO()
        np.savez_compressed(
            held, weights=self.weights_.astype(np.float16), rarity=self.rarity_.astype(np.float16),
            bias=np.float64(self.bias_), version=np.int64(GRAMS_VERSION),
        )  # fmt: skip
        (folder / GRAMS_FILE).write_bytes(held.getvalue())

    @classmethod
    def load(cls, folder: Path) -> GramModel:
        """The model that `save` wrote.

        Raises:
            ModelIntegrityError: it can't be read or is of another version.
        """
        path = folder / GRAMS_FILE
        try:
            with np.load(path, allow_pickle=False) as held:
                weights, rarity = (held[name].astype(np.float32) for name in ("weights", "rarity"))
                bias, version = float(held["bias"]), int(held["version"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise ModelIntegrityError(
                f"it can't be read ({type(error).__name__})", file=path, remedy="Export the model again"
            ) from error
        bits = len(weights).bit_length() - 1
        if version != GRAMS_VERSION or len(weights) != 1 << bits or rarity.shape != weights.shape:
            raise ModelIntegrityError(
                f"its n-grams are of version {version}, this installation reads version {GRAMS_VERSION}",
                file=path,
                remedy="Use the cmdclf version that exported it, or export the model again",
            )
        model = cls(bits=bits)
        model.weights_, model.rarity_, model.bias_ = weights, rarity, bias
        return model


def out_of_fold(model: GramModel, X: Texts, y: Any, fold: NDArray[np.int64]) -> Floats:
    """(n,) float64 log-odds of each line by a model that was fitted on the other folds.

    Args:
        model: its settings; it isn't fitted itself.
        fold: (n,) of each line; every fold's rest must hold both classes.
    """
    from sklearn.base import clone

    lines = X.combine_chunks() if isinstance(X, pa.ChunkedArray) else X
    y = np.asarray(y)
    scores = np.zeros(len(y))
    for k in np.unique(fold):
        out = fold == k
        fitted = clone(model).fit(lines.filter(pa.array(~out)), y[~out])
        scores[out] = fitted.decision_function(lines.filter(pa.array(out)))
    return scores


def _rounded(values: Any) -> NDArray[np.float32]:
    return np.asarray(values).astype(np.float16).astype(np.float32)


def _bytes_of(lines: Texts) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(bytes of all texts, (n + 1,) where each begins)."""
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    read = pc.utf8_slice_codeunits(with_layers(pc.fill_null(lines, "")), 0, MOST_BYTES)
    padded = pc.binary_join_element_wise("", pc.utf8_lower(read), "", " ").cast(pa.binary())
    padded = pc.binary_slice(padded, 0, MOST_BYTES)
    buffers = padded.buffers()
    offsets = np.frombuffer(buffers[1], np.int32, len(padded) + 1, padded.offset * 4).astype(np.int64)
    data = np.frombuffer(buffers[2], np.uint8) if buffers[2] is not None else np.empty(0, np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]


def top_spans(text: bytes, parts: Floats, most: int = 3) -> list[tuple[str, float]]:
    """The stretches of a text that add most to its score: words (between blanks) with the sum of their bytes."""
    found: list[tuple[str, float]] = []
    start = 0
    for word in text.split(b" "):
        end = start + len(word)
        if word:
            found.append((word.decode("utf-8", "replace"), float(parts[start:end].sum())))
        start = end + 1
    found.sort(key=lambda item: -item[1])
    return [item for item in found[:most] if item[1] > 0]
