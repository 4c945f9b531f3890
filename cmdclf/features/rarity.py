"""How unusual the words and characters of a line are, against hashed counts of the lines fitted."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cmdclf.features._columns import SLOTS
from cmdclf.features._kernels import tokens
from cmdclf.jit import compiled

__all__ = ["Rarity"]

# A number, not SLOTS's: numba's cache on disk would not notice a change in another file.
_TOKENS = 104
assert SLOTS["tokens"] == _TOKENS
_SYMBOLS = 64
_WINDOW = 16


def _symbols() -> npt.NDArray[np.uint8]:
    """Per byte one of 62 symbols: letters without case, one for digits, each punctuation mark, space, control, rest."""
    symbol = np.zeros(256, np.uint8)  # 0: control
    symbol[[9, 10, 11, 12, 13, 32]] = 1
    symbol[128:] = 2
    symbol[ord("0") : ord("9") + 1] = 3
    symbol[ord("a") : ord("z") + 1] = symbol[ord("A") : ord("Z") + 1] = np.arange(4, 30)
    symbol[list(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")] = np.arange(30, 62)
    return symbol


_SYMBOL = _symbols()
_PAIR_PRIME, _PAIR_SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)


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
        self.characters = np.zeros((_SYMBOLS, _SYMBOLS), np.int64)
        self._tables: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None

    def add(self, offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> None:
        """Count the rows of one batch of string buffers."""
        starts, bucket, _, _ = tokens(offsets, data, self.buckets)
        neighbours = _pair_buckets(starts, bucket, self.buckets)
        self.words = _added(self.words, bucket)
        self.pairs = _added(self.pairs, neighbours)
        _count_characters(offsets, data, self.characters)
        self._tables = None

    def measure(
        self, offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], out: npt.NDArray[np.float32]
    ) -> None:
        """Fill the tokens' columns of each row of `out`."""
        if self._tables is None:
            self._tables = (_rarity(self.words), _rarity(self.pairs), _surprise(self.characters))
        words, pairs, surprise = self._tables
        starts, bucket, length, program = tokens(offsets, data, self.buckets)
        neighbours = _pair_buckets(starts, bucket, self.buckets)
        _measure_tokens(starts, bucket, length, program, neighbours, words, pairs, out)
        _measure_characters(offsets, data, surprise, out)

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
        if characters.shape != (_SYMBOLS, _SYMBOLS) or characters.dtype != np.int64:
            raise ValueError("character counts have the wrong shape or type")
        made = cls(len(words))
        made.words, made.pairs, made.characters = words, pairs, characters  # type: ignore[assignment]
        return made


def _added(counts: npt.NDArray[np.uint32], buckets: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
    total = counts.astype(np.int64) + np.bincount(buckets, minlength=len(counts))
    return np.asarray(np.minimum(total, np.iinfo(np.uint32).max), dtype=np.uint32)


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


@compiled
def _pair_buckets(starts: npt.NDArray[np.int64], bucket: npt.NDArray[np.int32], buckets: int) -> npt.NDArray[np.int32]:
    """Buckets of each row's neighbouring tokens: one less than tokens per row that has any."""
    out = np.empty(bucket.size, np.int32)
    mask = np.uint64(buckets - 1)
    at = 0
    for row in range(starts.size - 1):
        for k in range(starts[row] + 1, starts[row + 1]):
            code = (np.uint64(bucket[k - 1]) * np.uint64(buckets) + np.uint64(bucket[k])) * _PAIR_PRIME
            code = (code ^ (code >> _PAIR_SHIFT)) * _PAIR_PRIME
            out[at] = np.int32((code >> _PAIR_SHIFT) & mask)
            at += 1
    return out[:at]


@compiled
def _measure_tokens(
    starts: npt.NDArray[np.int64],
    bucket: npt.NDArray[np.int32],
    length: npt.NDArray[np.int32],
    program: npt.NDArray[np.int64],
    neighbours: npt.NDArray[np.int32],
    words: npt.NDArray[np.float32],
    pairs: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    pair = 0
    for row in range(starts.size - 1):
        count = starts[row + 1] - starts[row]
        if count == 0:
            continue
        total = total_length = 0.0
        longest = unseen = 0
        first = second = third = 0.0  # the three rarest
        least = np.inf
        for k in range(starts[row], starts[row + 1]):
            value = words[bucket[k]]
            if value < 0.0:
                unseen += 1
                value = -value
            total += value
            total_length += length[k]
            longest = max(longest, length[k])
            least = min(least, value)
            if value > first:
                first, second, third = value, first, second
            elif value > second:
                second, third = value, second
            elif value > third:
                third = value
        into = out[row]
        into[_TOKENS] = count
        into[_TOKENS + 1] = total_length / count
        into[_TOKENS + 2] = longest
        into[_TOKENS + 3] = total / count
        into[_TOKENS + 4] = first
        into[_TOKENS + 5] = (first + second + third) / min(count, 3)
        into[_TOKENS + 6] = least
        if program[row] >= 0:
            into[_TOKENS + 7] = abs(words[bucket[program[row]]])
        into[_TOKENS + 8] = unseen / count
        if count > 1:
            total = rarest = 0.0
            unseen = 0
            for k in range(pair, pair + count - 1):
                value = pairs[neighbours[k]]
                if value < 0.0:
                    unseen += 1
                    value = -value
                total += value
                rarest = max(rarest, value)
            pair += count - 1
            into[_TOKENS + 9] = total / (count - 1)
            into[_TOKENS + 10] = rarest
            into[_TOKENS + 11] = unseen / (count - 1)


@compiled
def _measure_characters(
    offsets: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    surprise: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    for row in range(offsets.size - 1):
        begin, end = offsets[row], offsets[row + 1]
        if end - begin < 2:
            continue
        total = window = largest = 0.0
        for at in range(begin + 1, end):
            value = surprise[_SYMBOL[data[at - 1]], _SYMBOL[data[at]]]
            total += value
            window += value
            if at - begin > _WINDOW:
                window -= surprise[_SYMBOL[data[at - _WINDOW - 1]], _SYMBOL[data[at - _WINDOW]]]
            largest = max(largest, window)
        steps = end - begin - 1
        out[row, _TOKENS + 12] = total / steps
        out[row, _TOKENS + 13] = largest / min(steps, _WINDOW)


@compiled
def _count_characters(
    offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], counts: npt.NDArray[np.int64]
) -> None:
    for row in range(offsets.size - 1):
        for at in range(offsets[row] + 1, offsets[row + 1]):
            counts[_SYMBOL[data[at - 1]], _SYMBOL[data[at]]] += 1
