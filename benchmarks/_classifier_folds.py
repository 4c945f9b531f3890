"""The protocol of benchmarks/classifiers.py: what trains, what is judged, fold by fold, and what never meets."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from _classifier_cache import Cache
from _knowledge import Knowledge
from _labelled_lines import FOLDS, Lines, check_folds, fold_of
from scipy import sparse
from scipy.special import expit

from cmdclf.classify.gram_counts import CountedGrams, counted
from cmdclf.classify.grams import GRAMS_VERSION, folds_of
from cmdclf.dedup import remove_near
from cmdclf.features import load_embedder
from cmdclf.features.train_rewrites import rewritten
from cmdclf.labels.suspects import confident_joint

__all__ = ["Batch", "Corpus", "Protocol", "Training"]

#: The share of the training lines, of either label, that also train once rewritten where a model asks for it.
REWRITTEN_SHARE = 0.3
#: Changes when other rows would be suspected of the same lines.
_SUSPECTS = 1


class Corpus:
    """Lines whose n-grams are counted once, however many models ask.

    Args:
        text: (n,) lines.
        platform: (n,) windows, linux or macos.
    """

    def __init__(self, text: Sequence[str], platform: np.ndarray) -> None:
        self.text = list(text)
        self.platform = np.asarray(platform, object)

    def __len__(self) -> int:
        return len(self.text)

    def counts(self, layers: bool) -> sparse.csr_matrix:
        """As `counted`, of all kinds of n-grams."""
        return self._with_layers if layers else self._plain

    @cached_property
    def _with_layers(self) -> sparse.csr_matrix:
        return counted(self.text, layers=True)

    @cached_property
    def _plain(self) -> sparse.csr_matrix:
        return counted(self.text, layers=False)

    @cached_property
    def abilities(self) -> sparse.csr_matrix:
        """As `Knowledge.matrix`."""
        return Knowledge.bundled().matrix(self.text, self.platform)

    def all(self) -> Batch:
        """Every line."""
        return Batch([(self, np.arange(len(self)))])

    @cached_property
    def fingerprint(self) -> str:
        """Changes with any line."""
        digest = hashlib.sha256()
        for text, platform in zip(self.text, self.platform, strict=True):
            digest.update(f"{platform}\0{text}\0".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()[:16]


@dataclass
class Batch:
    """Rows of corpora, one after the other: what models fit on and score."""

    parts: list[tuple[Corpus, np.ndarray]]

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.parts)

    @property
    def text(self) -> list[str]:
        """(n,) the lines."""
        return [corpus.text[i] for corpus, rows in self.parts for i in rows]

    @property
    def table(self) -> pa.Table:
        """command_line and platform."""
        platform = np.concatenate([corpus.platform[rows] for corpus, rows in self.parts])
        return pa.table({"command_line": pa.array(self.text, pa.string()), "platform": pa.array(platform, pa.string())})

    def counts(self, layers: bool) -> sparse.csr_matrix:
        """The counted n-grams of the rows."""
        return self._stacked([corpus.counts(layers)[rows] for corpus, rows in self.parts])

    def abilities(self) -> sparse.csr_matrix:
        """What the rows evoke, a column an ability."""
        return self._stacked([corpus.abilities[rows] for corpus, rows in self.parts])

    @staticmethod
    def _stacked(found: list[sparse.csr_matrix]) -> sparse.csr_matrix:
        return found[0] if len(found) == 1 else sparse.vstack(found, format="csr")


@dataclass(frozen=True)
class Training:
    """What a model is trained on.

    Attributes:
        renderings: lines of each lexicon template at most; 0: no lexicon.
        templates: the share of the lexicon's templates.
        clean: without rows whose label a recorded verdict contradicts or leaves open.
        doubted: these rows train n-grams with both labels, by how likely each is (with `clean`).
        rewritten: also once rewritten, a share of the lines of either label.
        confident: without rows that have no verdict and whose label n-grams confidently contradict (see `suspects`).
    """

    renderings: int = 4
    templates: float = 1.0
    clean: bool = True
    doubted: bool = False
    rewritten: bool = False
    # Not in the text that names a kept score: the model's name is.
    confident: bool = field(default=False, repr=False)


@dataclass
class Protocol:
    """Five folds of whole sources; near-duplicates of what any model trains on are out of the test.

    Attributes:
        pool: the labelled lines, wrappers and values drawn anew.
        lexicon: rendered lines; `group` is the template.
        fold: (n,) the fold of each pool line.
        keep: (n,) bool, whether the line is judged.
        removed: test lines that were near-duplicates, by the level that caught them and again by label.
    """

    pool: Lines
    lexicon: Lines
    seed: int
    cache: Cache
    fold: np.ndarray = field(init=False)
    keep: np.ndarray = field(init=False)
    removed: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        pool, lexicon = self.pool, self.lexicon
        rng = np.random.default_rng(self.seed)
        self.fold = fold_of(pool.source, pool.malicious, pool.group, rng)
        check_folds(pool, self.fold)
        self.corpus = Corpus(pool.text, pool.platform)
        self.rendered = Corpus(lexicon.text, lexicon.platform)
        # A template's lines stand together: the place of each in its template.
        _, first, of = np.unique(lexicon.group.astype(str), return_index=True, return_inverse=True)
        self._rendering = np.arange(len(lexicon)) - first[of]
        self._share = np.random.default_rng([self.seed, 1]).random(len(first))[of]
        likely = np.round(100 * np.nan_to_num(pool.likely, nan=-1))
        labels = hashlib.sha256(
            np.stack([pool.malicious, pool.clean, self.fold, likely]).astype(np.int8).tobytes()
        ).hexdigest()
        self.key = f"{self.corpus.fingerprint} {self.rendered.fingerprint} {labels[:16]} {self.seed}"
        self.keep, self.removed = self._without_near()

    def tested(self, k: int) -> np.ndarray:
        """The rows of the pool that the k-th fold judges."""
        return np.flatnonzero((self.fold == k) & self.keep)

    def training(self, k: int, of: Training) -> tuple[Batch, np.ndarray, np.ndarray]:
        """(lines, (n,) bool malicious, (n,) groups) that a model of the k-th fold trains on."""
        rows = np.flatnonzero((self.fold != k) & (self.pool.clean | (not of.clean)))
        if of.confident:
            rows = np.setdiff1d(rows, self.suspects(k))
        made = np.flatnonzero((self._rendering < of.renderings) & (self._share < of.templates))
        parts = [(self.corpus, rows), (self.rendered, made)]
        lines, sides = [self.pool, self.lexicon], [rows, made]
        if of.rewritten:
            corpus, owners = self._copies
            chosen = np.flatnonzero(np.isin(owners[0], rows) | np.isin(owners[1], made))
            parts.append((corpus, chosen))
            for side, owner in enumerate(owners):
                lines.append((self.pool, self.lexicon)[side])
                sides.append(owner[chosen][owner[chosen] >= 0])
        malicious = np.concatenate([part.malicious[at] for part, at in zip(lines, sides, strict=True)])
        groups = np.concatenate([part.group[at].astype(str) for part, at in zip(lines, sides, strict=True)])
        return Batch([(corpus, at) for corpus, at in parts if len(at)]), malicious, groups

    def suspects(self, k: int) -> np.ndarray:
        """Rows of the other folds without a verdict whose label is confidently contradicted (confident learning).

        By n-grams that learned from two thirds of those folds' sources and the lexicon, and saw no line of the row's
        own source: so the tested fold has no say.
        """
        name = f"suspects {_SUSPECTS} {GRAMS_VERSION} {self.key} {k}"
        if (held := self.cache.arrays(name)) is not None:
            return np.asarray(held["rows"])
        rows = np.flatnonzero((self.fold != k) & self.pool.clean)
        made = np.arange(len(self.lexicon))
        bad = self.pool.malicious[rows]
        part = folds_of(self.pool.source[rows].astype(str), bad.astype(np.int8), self.seed)
        malicious = np.zeros(len(rows))
        for out in (part == p for p in np.unique(part)):
            lines = Batch([(self.corpus, rows[~out]), (self.rendered, made)])
            y = np.concatenate([bad[~out], self.lexicon.malicious])
            model = CountedGrams().fit(lines.counts(True), y.astype(np.int8), np.ones(len(y)))
            malicious[out] = expit(model.scores(Batch([(self.corpus, rows[out])]).counts(True)))
        found = rows[confident_joint(bad.astype(np.int64), np.column_stack([1 - malicious, malicious])).suspects]
        unread = np.sort(found[np.isnan(self.pool.likely[found])])
        self.cache.put(name, rows=unread)
        return unread

    def doubted(self, k: int) -> tuple[Batch, np.ndarray]:
        """(lines of the other folds whose label a verdict contradicts or leaves open, how likely each is malicious)."""
        rows = np.flatnonzero((self.fold != k) & ~self.pool.clean & ~np.isnan(self.pool.likely))
        return Batch([(self.corpus, rows)]), self.pool.likely[rows]

    @cached_property
    def _copies(self) -> tuple[Corpus, tuple[np.ndarray, np.ndarray]]:
        """Rewritten lines, those of the pool first, and the row of pool and of lexicon that each is of (or -1)."""
        rng = random.Random(f"rewritten {self.seed}")
        text, platform, owner = [], [], []
        for side, lines in enumerate((self.pool, self.lexicon)):
            for row, (line, where) in enumerate(zip(lines.text, lines.platform, strict=True)):
                if rng.random() < REWRITTEN_SHARE:
                    other = rewritten(line, where, rng)
                    if other != line:
                        text.append(other)
                        platform.append(where)
                        owner.append((row, -1) if side == 0 else (-1, row))
        owners = np.array(owner, np.int64).reshape(-1, 2)
        return Corpus(text, np.array(platform, object)), (owners[:, 0], owners[:, 1])

    def _without_near(self) -> tuple[np.ndarray, dict[str, int]]:
        key = f"near {self.key}"
        if (held := self.cache.arrays(key)) is not None:
            keep, counts = held["keep"], held["counts"]
        else:
            keep, counts = self._compared()
            self.cache.put(key, keep=keep, counts=counts)
        removed = dict(zip(("exact", "masked", "cosine"), counts.tolist(), strict=True))
        for name, label in (("malicious", True), ("benign", False)):
            removed[name] = int((~keep & (self.pool.malicious == label)).sum())
        return keep, removed

    def _compared(self) -> tuple[np.ndarray, np.ndarray]:
        embedder = load_embedder()
        pool, rendered = (corpus.all().table for corpus in (self.corpus, self.rendered))
        vectors = [embedder.embed(t["command_line"].combine_chunks()) for t in (pool, rendered)]
        keep = np.ones(len(self.pool), bool)
        counts = np.zeros(3, np.int64)
        for k in range(FOLDS):
            out = self.fold == k
            train = pa.concat_tables([pool.filter(pa.array(~out)), rendered])
            known = np.concatenate([vectors[0][~out], vectors[1]])
            keep[out], found = remove_near(pool.filter(pa.array(out)), vectors[0][out], train, known)
            counts += [found[level] for level in ("exact", "masked", "cosine")]
        return keep, counts
