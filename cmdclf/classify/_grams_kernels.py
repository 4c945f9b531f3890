"""Hashed byte n-grams of many texts, each with its place: compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from cmdclf.jit import compiled

__all__ = ["LONGEST", "SHORTEST", "count_grams", "gram_places", "score_grams"]

SHORTEST, LONGEST = 2, 5


@compiled
def gram_places(data: Any, offsets: Any, bits: int) -> Any:
    """(starts, buckets, at, size) of every n-gram of every text.

    Args:
        data: (m,) uint8, the texts' bytes one after the other.
        offsets: (n + 1,) int64, where each begins.
        bits: buckets are numbers below 2**bits.

    Returns:
        (n + 1,) int64, the first n-gram of each text; (k,) int32 its bucket: FNV-1a of the bytes, mixed, the highest
        bits; (k,) int64 its first byte; (k,) int8 its length, `SHORTEST` to `LONGEST`.
    """
    n = len(offsets) - 1
    starts = np.zeros(n + 1, np.int64)
    for i in range(n):
        length = offsets[i + 1] - offsets[i]
        found = 0
        for size in range(2, 6):
            found += max(0, length - size + 1)
        starts[i + 1] = starts[i] + found
    buckets = np.empty(starts[n], np.int32)
    at = np.empty(starts[n], np.int64)
    sizes = np.empty(starts[n], np.int8)
    k = 0
    for i in range(n):
        for first in range(offsets[i], offsets[i + 1]):
            code = np.uint64(14695981039346656037)
            for step in range(min(5, offsets[i + 1] - first)):
                code = (code ^ np.uint64(data[first + step])) * np.uint64(1099511628211)
                if step:
                    mixed = (code ^ (code >> np.uint64(29))) * np.uint64(11400714819323198485)
                    buckets[k] = np.int32(mixed >> np.uint64(64 - bits))
                    at[k] = first
                    sizes[k] = step + 1
                    k += 1
    return starts, buckets, at, sizes


@compiled
def count_grams(data: Any, offsets: Any, bits: int) -> Any:
    """(starts, buckets, counts): the distinct buckets of each text, ascending, and how often each stands in it.

    Args and the first two results as `gram_places`; counts (k,) int32.
    """
    starts, buckets, _, _ = gram_places(data, offsets, bits)
    n = len(offsets) - 1
    kept = np.zeros(n + 1, np.int64)
    counts = np.empty(len(buckets), np.int32)
    k = 0
    for i in range(n):
        row = np.sort(buckets[starts[i] : starts[i + 1]])
        for j in range(len(row)):
            if j and row[j] == row[j - 1]:
                counts[k - 1] += 1
            else:
                buckets[k] = row[j]
                counts[k] = 1
                k += 1
        kept[i + 1] = k
    return kept, buckets[:k].copy(), counts[:k].copy()


@compiled
def score_grams(data: Any, offsets: Any, bits: int, weights: Any, rarity: Any, bias: float) -> Any:
    """(n,) float64: bias + the sum of weight x frequency over the length of the vector of rarity x frequency.

    Frequency is 1 + log(count). The counting goes through a table of 2**bits that is emptied after each text, so that
    a text costs what it is long and no sorting.

    Args:
        weights: (2**bits,) float32.
        rarity: (2**bits,) float32.
    """
    n = len(offsets) - 1
    out = np.empty(n, np.float64)
    table = np.zeros(1 << bits, np.int32)
    logs = np.empty(65, np.float64)
    for c in range(1, 65):
        logs[c] = 1.0 + np.log(c)
    longest = 0
    for i in range(n):
        longest = max(longest, offsets[i + 1] - offsets[i])
    seen = np.empty(4 * longest + 4, np.int32)
    for i in range(n):
        k = 0
        for first in range(offsets[i], offsets[i + 1]):
            code = np.uint64(14695981039346656037)
            for step in range(min(5, offsets[i + 1] - first)):
                code = (code ^ np.uint64(data[first + step])) * np.uint64(1099511628211)
                if step:
                    mixed = (code ^ (code >> np.uint64(29))) * np.uint64(11400714819323198485)
                    bucket = np.int32(mixed >> np.uint64(64 - bits))
                    if table[bucket] == 0:
                        seen[k] = bucket
                        k += 1
                    table[bucket] += 1
        total = 0.0
        squares = 0.0
        for j in range(k):
            bucket = seen[j]
            count = table[bucket]
            table[bucket] = 0
            frequency = logs[count] if count < 65 else 1.0 + np.log(count)
            total += frequency * weights[bucket]
            squares += (frequency * rarity[bucket]) ** 2
        out[i] = bias + total / np.sqrt(max(squares, 1e-12))
    return out
