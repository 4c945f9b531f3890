"""A linear model over hashed n-grams of a line and of what it hides: text in, log-odds out."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cmdclf.classify._grams_kernels import (
    byte_grams,
    count_grams,
    score_byte_grams,
    score_word_grams,
    word_grams,
)
from cmdclf.classify._grams_spelling import one_spelling, one_spelling_of
from cmdclf.errors import ModelIntegrityError
from cmdclf.features.embed_layers import with_layers

__all__ = [
    "GRAMS_FILE",
    "GRAMS_VERSION",
    "MOST_BYTES",
    "Doubted",
    "GramModel",
    "doubled",
    "fit_with_doubted",
    "folds_of",
    "out_of_fold",
    "row_weights",
]

#: Changes when the same weights would give other scores.
GRAMS_VERSION = 3
GRAMS_FILE = "grams.npz"
#: Bytes of a text that count, what it hides before it; more would let padding drown a line.
MOST_BYTES = 4096
#: Below, a doubtful line's label counts for nothing.
LEAST_LIKELY = 0.02
#: For so few texts Python is faster than starting one of Arrow's kernels.
_FEW = 16

Texts: TypeAlias = pa.StringArray | pa.ChunkedArray
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of n-grams: its maker and scorer, its table's bits, and how long its vectors are beside the other's."""

    name: str
    make: Any
    score: Any
    bits: int
    length: float


#: Words say what is done, bytes bridge spellings: each alone is worse (`benchmarks/classifiers.py`).
_KINDS = (
    _Kind("bytes", byte_grams, score_byte_grams, 20, 1.0),
    _Kind("words", word_grams, score_word_grams, 19, 0.7),
)


class GramModel:
    """Logistic regression on TF-IDF of hashed n-grams in lower case: 2 to 5 bytes, and 1 to 3 words.

    A line is read with what it hides in its place, without `sh -c` around it, and in one spelling. Each kind's vector
    has a fixed length, so that long lines weigh no more than short ones. The score is a sum over n-grams: `spans` says
    exactly what each stretch adds.

    Args:
        C: inverse strength of the regularisation.
        random_state: seed of the solver.

    Attributes:
        weights_, rarity_: for each kind (2**bits,) float32, rounded to float16: what is saved scores as what was
            fitted.
        bias_: float.

    Source: hashed features as in Weinberger et al., Feature Hashing for Large Scale Multitask Learning (2009); the
    solver is liblinear's dual coordinate descent (Hsieh et al. 2008), through scikit-learn.
    """

    def __init__(self, *, C: float = 20.0, random_state: int | None = 0) -> None:
        self.C = C
        self.random_state = random_state
        self.weights_: list[NDArray[np.float32]] = []
        self.rarity_: list[NDArray[np.float32]] = []
        self.bias_ = 0.0
        self._tables: list[NDArray[np.float32]] | None = None

    def fit(
        self, lines: Texts, y: Any, sample_weight: Any = None, *, sure: NDArray[np.bool_] | None = None
    ) -> GramModel:
        """Fit on n lines; both classes weigh the same. Returns self.

        Args:
            lines: command lines.
            y: (n,) 1 malicious, 0 benign.
            sample_weight: (n,) of the rows, or None.
            sure: (n,) the rows that the classes' balance is counted from; None: all. A line in doubt may stand twice,
                once with each label, weighed by how likely each is (`doubled`).

        Raises:
            ValueError: only one class, or other lengths.
        """
        from scipy import sparse
        from sklearn.linear_model import LogisticRegression

        y = np.asarray(y).astype(np.int8)
        if len(y) != len(lines):
            raise ValueError(f"{len(lines)} lines but {len(y)} labels")
        if len(np.unique(y)) < 2:
            raise ValueError("GramModel can't train when only one class is present")
        data, offsets = _bytes_of(_read(lines))
        blocks, rarities = [], []
        for kind in _KINDS:
            starts, buckets, counts = count_grams(*kind.make(data, offsets, kind.bits)[:2])
            seen = np.bincount(buckets, minlength=1 << kind.bits)
            rarity = _rounded(np.log((1 + len(y)) / (1 + seen)) + 1)
            values = (1 + np.log(counts)).astype(np.float32) * rarity[buckets]
            row = np.repeat(np.arange(len(y)), np.diff(starts))
            length = np.sqrt(np.maximum(np.bincount(row, values.astype(np.float64) ** 2, len(y)), 1e-12))
            values *= (kind.length / length[row]).astype(np.float32)
            blocks.append(sparse.csr_matrix((values, buckets, starts), shape=(len(y), 1 << kind.bits)))
            rarities.append(rarity)
        model = LogisticRegression(
            C=self.C, solver="liblinear", dual=True, tol=0.05, random_state=self.random_state
        ).fit(sparse.hstack(blocks, format="csr"), y, row_weights(y, sample_weight, sure))
        parts = np.split(model.coef_[0], [1 << _KINDS[0].bits])
        self.rarity_ = rarities
        self.weights_ = [_rounded(kind.length * w * r) for kind, w, r in zip(_KINDS, parts, rarities, strict=True)]
        self.bias_ = float(model.intercept_[0])
        self._tables = None
        return self

    def decision_function(self, lines: Texts) -> Floats:
        """(n,) float64 log-odds of malicious, at even odds of the classes; a line's depend on it alone."""
        return self.scores_read(_read(lines))

    def scores_read(self, lines: pa.StringArray) -> Floats:
        """`decision_function` of lines that have what they hide in its place already, as `with_layers` gives them."""
        self._check_fitted()
        data, offsets = _bytes_of(lines)
        scores = np.full(len(lines), self.bias_)
        if self._tables is None:
            # Side by side, so that a bucket takes one look into memory.
            self._tables = [np.stack(pair, axis=1) for pair in zip(self.weights_, self.rarity_, strict=True)]
        for kind, table in zip(_KINDS, self._tables, strict=True):
            scores += kind.score(data, offsets, kind.bits, table)
        return scores

    def spans(self, text: str) -> tuple[bytes, Floats]:
        """(the m bytes that were read, (m,) what each adds to the log-odds): an n-gram's part is shared by its bytes.

        The bytes are the line with what it hides in its place and in one spelling, in lower case and cut to
        `MOST_BYTES`, a blank before and after. `decision_function` is `bias_` and the sum of the parts.
        """
        return self.spans_read(_read(pa.array([text]))[0].as_py())

    def spans_read(self, read: str) -> tuple[bytes, Floats]:
        """`spans` of a line that has what it hides in its place already, as `with_layers` gives it."""
        self._check_fitted()
        data, offsets = _bytes_of(pa.array([read]))
        parts = np.zeros(len(data))
        for kind, weights, rarity in zip(_KINDS, self.weights_, self.rarity_, strict=True):
            _, buckets, at, sizes = kind.make(data, offsets, kind.bits)
            if not len(buckets):
                continue
            kinds, of, counts = np.unique(buckets, return_inverse=True, return_counts=True)
            frequency = 1 + np.log(counts)
            length = np.sqrt(max(float(((frequency * rarity[kinds]) ** 2).sum()), 1e-12))
            each = (frequency * weights[kinds] / length / counts)[of] / sizes
            # Differences at both ends of each span, summed up afterwards.
            change = np.zeros(len(data) + 1)
            np.add.at(change, at, each)
            np.add.at(change, at + sizes, -each)
            parts += np.cumsum(change)[:-1]
        return data.tobytes(), parts

    def save(self, folder: Path) -> None:
        """Write `grams.npz` (float16 arrays, compressed) into the folder."""
        self._check_fitted()
        held = io.BytesIO()
        arrays: dict[str, Any] = {
            f"weights_{kind.name}": w.astype(np.float16) for kind, w in zip(_KINDS, self.weights_, strict=True)
        }
        arrays |= {f"rarity_{kind.name}": r.astype(np.float16) for kind, r in zip(_KINDS, self.rarity_, strict=True)}
        np.savez_compressed(held, bias=np.float64(self.bias_), version=np.int64(GRAMS_VERSION), **arrays)
        (folder / GRAMS_FILE).write_bytes(held.getvalue())

    @classmethod
    def load(cls, folder: Path) -> GramModel:
        """The model that `save` wrote.

        Raises:
            ModelIntegrityError: it can't be read or is of another version.
        """
        path = folder / GRAMS_FILE
        model = cls()
        try:
            with np.load(path, allow_pickle=False) as held:
                for of, name in ((model.weights_, "weights"), (model.rarity_, "rarity")):
                    of += [held[f"{name}_{kind.name}"].astype(np.float32) for kind in _KINDS]
                model.bias_, version = float(held["bias"]), int(held["version"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ModelIntegrityError(
                f"it can't be read ({type(error).__name__})", file=path, remedy="Export the model again"
            ) from error
        shapes = [(1 << kind.bits,) for kind in _KINDS]
        if version != GRAMS_VERSION or any([a.shape for a in of] != shapes for of in (model.weights_, model.rarity_)):
            raise ModelIntegrityError(
                f"its n-grams are of version {version}, this installation reads version {GRAMS_VERSION}",
                file=path,
                remedy="Use the cmdclf version that exported it, or export the model again",
            )
        return model

    def _check_fitted(self) -> None:
        if not self.weights_:
            raise ValueError("GramModel is not fitted yet")


def folds_of(groups: NDArray[Any], y: NDArray[np.int8], seed: int, folds: int = 3) -> NDArray[np.int64]:
    """(n,) fold of each line: groups whole, those with malicious lines and those without dealt out by size.

    Where one group holds all lines of a label, its lines are dealt out one by one instead.

    Args:
        groups: (n,) str, what must not be split: source, template, masked text.
        y: (n,) 1 malicious.
        seed: of ties.
        folds: how many.
    """
    if min(len(set(groups[y == label])) for label in (0, 1)) < 2:
        groups = np.arange(len(y)).astype(str)
    names, at, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    malicious = np.bincount(at, y) > 0
    fold = np.empty(len(names), np.int64)
    rng = np.random.default_rng(seed)
    for side in (True, False):
        filled = np.zeros(folds)
        for i in sorted(np.flatnonzero(malicious == side), key=lambda i: (-sizes[i], rng.random())):
            fold[i] = int(filled.argmin())
            filled[fold[i]] += sizes[i]
    return fold[at]


@dataclass(frozen=True)
class Doubted:
    """Lines whose label is in doubt.

    Attributes:
        lines: (m,) command lines.
        malicious: (m,) float64, how likely each is malicious, 0 to 1.
        fold: (m,) fold of each line; of no meaning but to `out_of_fold`.
    """

    lines: pa.StringArray
    malicious: Floats
    fold: NDArray[np.int64]

    def filter(self, keep: NDArray[np.bool_]) -> Doubted:
        """Some of the lines."""
        return Doubted(self.lines.filter(pa.array(keep)), self.malicious[keep], self.fold[keep])


def fit_with_doubted(
    lines: Texts, y: Any, doubted: Doubted | None, *, C: float = 20.0, random_state: int = 0
) -> GramModel:
    """A model on lines with sure labels and on others that stand twice, once with each label, by how likely it is.

    That keeps what a doubtful line says of its words; left out, they would be missing (`benchmarks/classifiers.py`).
    """
    lines = lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines
    model, y = GramModel(C=C, random_state=random_state), np.asarray(y)
    if doubted is None or not len(doubted.lines):
        return model.fit(lines, y)
    labels, weight = doubled(doubted.malicious)
    text = pa.concat_arrays([lines.cast(pa.string()), doubted.lines, doubted.lines])
    sure = np.r_[np.ones(len(y), bool), np.zeros(len(labels), bool)]
    return model.fit(text, np.r_[y, labels], np.r_[np.ones(len(y)), weight], sure=sure)


def doubled(malicious: Floats) -> tuple[NDArray[np.int8], Floats]:
    """((2 m,) labels, (2 m,) weights) of m lines in doubt that stand twice: first as malicious, then as benign.

    A label that is less likely than one in fifty weighs next to nothing.
    """
    p = np.asarray(malicious, np.float64)
    labels = np.r_[np.ones(len(p), np.int8), np.zeros(len(p), np.int8)]
    weight = np.r_[p, 1 - p]
    return labels, np.where(weight > LEAST_LIKELY, weight, 1e-9)


def row_weights(y: NDArray[Any], sample_weight: Any, sure: NDArray[np.bool_] | None) -> Floats:
    """(n,) weights by which the sure rows of both classes weigh the same in all, times `sample_weight`."""
    counted = np.ones(len(y), bool) if sure is None else sure
    of_class = np.array([max(int((counted & (y == label)).sum()), 1) for label in (0, 1)])
    weight = int(counted.sum()) / (2 * of_class[np.asarray(y, np.int64)])
    weight = np.where(counted, weight, 1.0)
    return weight if sample_weight is None else weight * np.asarray(sample_weight, np.float64)


def out_of_fold(
    lines: Texts,
    y: Any,
    fold: NDArray[np.int64],
    doubted: Doubted | None = None,
    *,
    C: float = 20.0,
    random_state: int = 0,
) -> Floats:
    """(n,) float64 log-odds of each line by a model that was fitted on the other folds.

    Args:
        lines, y: as `GramModel.fit` takes them.
        fold: (n,) fold of each line; every fold's rest must hold both classes.
        doubted: lines with doubtful labels, which train the models of the other folds.
        C, random_state: of the models.
    """
    lines = lines.combine_chunks() if isinstance(lines, pa.ChunkedArray) else lines
    y = np.asarray(y)
    scores = np.zeros(len(y))
    for k in np.unique(fold):
        out = fold == k
        rest = None if doubted is None else doubted.filter(doubted.fold != k)
        fitted = fit_with_doubted(lines.filter(pa.array(~out)), y[~out], rest, C=C, random_state=random_state)
        scores[out] = fitted.decision_function(lines.filter(pa.array(out)))
    return scores


def _rounded(values: Any) -> NDArray[np.float32]:
    return np.asarray(values).astype(np.float16).astype(np.float32)


def _read(lines: Texts) -> pa.StringArray:
    """What the model reads of each line; a null as an empty one."""
    return with_layers(pc.fill_null(lines, ""))


def _bytes_of(read: pa.StringArray) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(bytes of all texts, (n + 1,) where each begins)."""
    if len(read) <= _FEW:
        texts = read.to_pylist()
        if all(text is not None and text.isascii() for text in texts):
            heads = one_spelling_of([text[:MOST_BYTES] for text in texts])
            cut = [f" {head.lower()} "[:MOST_BYTES] for head in heads]
            offsets = np.array([0, *accumulate(map(len, cut))], np.int64)
            return np.frombuffer("".join(cut).encode(), np.uint8), offsets
    head = one_spelling(pc.utf8_slice_codeunits(read, 0, MOST_BYTES))
    padded = pc.binary_join_element_wise("", pc.utf8_lower(head), "", " ")
    padded = pc.binary_slice(padded.cast(pa.binary()), 0, MOST_BYTES)
    buffers = padded.buffers()
    offsets = np.frombuffer(buffers[1], np.int32, len(padded) + 1, padded.offset * 4).astype(np.int64)
    data = np.frombuffer(b"" if buffers[2] is None else buffers[2], np.uint8)
    return data[offsets[0] : offsets[-1]], offsets - offsets[0]
