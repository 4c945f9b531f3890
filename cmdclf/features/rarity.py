"""How unusual the words and characters of a line are, against hashed counts of the lines fitted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cmdclf.features._tokens import SYMBOLS, count, measure_rarity

__all__ = ["Rarity"]


class Rarity:
    """Counts of tokens, of neighbouring tokens and of neighbouring characters, and the measures made from them.

    Attributes:
        words, pairs: `(buckets,) uint32` hashed counts (they stop at 2**32 - 1).
        characters: `(64, 64) int64` counts of a symbol after a symbol.
    """

    def __init__(self, buckets: int) -> None:
        if buckets < 2 or buckets & (buckets - 1) or buckets > 2**30:
            raise ValueError(f"buckets must be a power of two up to 2**30, not {buckets}")
        self.buckets = buckets
        self.words = np.zeros(buckets, np.uint32)
        self.pairs = np.zeros(buckets, np.uint32)
        self.characters = np.zeros((SYMBOLS, SYMBOLS), np.int64)
        self._tables: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None

    def add(self, offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> None:
        """Count the rows of one batch of string buffers."""
        count(offsets, data, self.words, self.pairs, self.characters)
        self._tables = None

    def merge(self, other: Rarity) -> Rarity:
        """Add another's counts to these, which gives what counting all lines at once would; returns self.

        Raises:
            ValueError: the other has another number of buckets.
        """
        if other.buckets != self.buckets:
            raise ValueError(f"counts of {other.buckets} buckets don't add to those of {self.buckets}")
        self.words = _sum(self.words, other.words)
        self.pairs = _sum(self.pairs, other.pairs)
        self.characters = self.characters + other.characters
        self._tables = None
        return self

    def measure(
        self, offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], out: npt.NDArray[np.float32]
    ) -> None:
        """Fill the tokens' columns of each row of `out`."""
        if self._tables is None:
            self._tables = (_rarity(self.words), _rarity(self.pairs), _surprise(self.characters))
        measure_rarity(offsets, data, *self._tables, out)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """What has to be kept to make the same measures again."""
        return {"words": self.words, "pairs": self.pairs, "characters": self.characters}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Rarity:
        """The counts that `arrays` gave.

        Raises:
            ValueError: shapes or types are not those.
        """
        words, pairs, characters = (arrays[name] for name in ("words", "pairs", "characters"))
        if words.ndim != 1 or words.dtype != np.uint32 or pairs.dtype != np.uint32 or pairs.shape != words.shape:
            raise ValueError("token counts have the wrong shape or type")
        if characters.shape != (SYMBOLS, SYMBOLS) or characters.dtype != np.int64:
            raise ValueError("character counts have the wrong shape or type")
        made = cls(len(words))
        made.words, made.pairs, made.characters = words.copy(), pairs.copy(), characters.copy()  # type: ignore[assignment]
        return made


def _sum(one: npt.NDArray[np.uint32], other: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    # What stops at the top adds up to the same in any order.
    return np.asarray(np.minimum(one.astype(np.uint64) + other, np.iinfo(np.uint32).max), dtype=np.uint32)


def _rarity(counts: npt.NDArray[np.uint32]) -> npt.NDArray[np.float32]:
    """-log((c+1)/(N+V)), N tokens in V buckets that were ever used; the sign bit marks an unused one."""
    total = float(counts.sum(dtype=np.int64)) + max(1, int(np.count_nonzero(counts)))
    rarity = np.maximum(0.0, math.log(total) - np.log(counts + 1.0))
    return np.asarray(np.where(counts == 0, -rarity - 1e-6, rarity), dtype=np.float32)


def _surprise(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """-log2 of the smoothed chance of a symbol after a symbol."""
    smoothed = counts + 0.5
    bits = np.log2(smoothed.sum(axis=1, keepdims=True)) - np.log2(smoothed)
    return np.asarray(bits, dtype=np.float32)
