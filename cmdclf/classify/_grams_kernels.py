"""Hashed n-grams of bytes and of words of many texts, each with its place: compiled.

A bucket is the highest bits of a mixed FNV-1a hash. Results of the two makers, for n texts with k n-grams in all:
(n + 1,) int64 the first n-gram of each text, (k,) int32 buckets, (k,) int64 first byte, (k,) int32 length in bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cmdclf.jit import compiled

__all__ = ["byte_grams", "count_grams", "score_grams", "word_grams"]


@compiled
def byte_grams(data: Any, offsets: Any, bits: int) -> Any:
    """Every run of 2 to 5 bytes.

    Args:
        data: (m,) uint8, the texts' bytes one after the other.
        offsets: (n + 1,) int64, where each begins.
        bits: buckets are numbers below 2**bits.
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
    sizes = np.empty(starts[n], np.int32)
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
def word_grams(data: Any, offsets: Any, bits: int) -> Any:
    """Every word, pair and triple of words in a row; arguments as `byte_grams`.

    A word is a run of letters, digits, underscores and bytes beyond ASCII, its digits counting as one 0 and a run of
    more than 32 bytes as one word whatever it says; or another mark by itself. Blanks, quotes, carets and backticks
    are none.
    """
    n = len(offsets) - 1
    most = len(data)
    codes = np.empty(most, np.uint64)
    begins = np.empty(most, np.int64)
    ends = np.empty(most, np.int64)
    starts = np.zeros(n + 1, np.int64)
    buckets = np.empty(3 * most, np.int32)
    at = np.empty(3 * most, np.int64)
    sizes = np.empty(3 * most, np.int32)
    k = 0
    for i in range(n):
        words = 0
        j = offsets[i]
        while j < offsets[i + 1]:
            c = data[j]
            first = j
            code = np.uint64(14695981039346656037)
            digit = False
            while (48 <= c <= 57) or (97 <= c <= 122) or c == 95 or c >= 128:
                if 48 <= c <= 57:
                    if not digit:
                        code = (code ^ np.uint64(48)) * np.uint64(1099511628211)
                    digit = True
                else:
                    code = (code ^ np.uint64(c)) * np.uint64(1099511628211)
                    digit = False
                j += 1
                if j == offsets[i + 1]:
                    break
                c = data[j]
            if j == first:
                j += 1
                if c <= 32 or c == 34 or c == 39 or c == 94 or c == 96:
                    continue
                code = (code ^ np.uint64(c)) * np.uint64(1099511628211)
            elif j - first > 32:
                code = np.uint64(0x9E3779B97F4A7C15)
            codes[words] = code
            begins[words] = first
            ends[words] = j
            words += 1
        for first in range(words):
            code = np.uint64(1469598103934665603)
            for step in range(min(3, words - first)):
                code = (code ^ codes[first + step]) * np.uint64(1099511628211)
                code ^= code >> np.uint64(31)
                mixed = (code ^ (code >> np.uint64(29))) * np.uint64(11400714819323198485)
                buckets[k] = np.int32(mixed >> np.uint64(64 - bits))
                at[k] = begins[first]
                sizes[k] = ends[first + step] - begins[first]
                k += 1
        starts[i + 1] = k
    return starts, buckets[:k].copy(), at[:k].copy(), sizes[:k].copy()


@compiled
def count_grams(starts: Any, buckets: Any) -> Any:
    """(starts, buckets, counts): the distinct buckets of each text, ascending, and how often each stands in it."""
    n = len(starts) - 1
    kept = np.zeros(n + 1, np.int64)
    found = np.empty(len(buckets), np.int32)
    counts = np.empty(len(buckets), np.int32)
    k = 0
    for i in range(n):
        row = np.sort(buckets[starts[i] : starts[i + 1]])
        for j in range(len(row)):
            if j and row[j] == row[j - 1]:
                counts[k - 1] += 1
            else:
                found[k] = row[j]
                counts[k] = 1
                k += 1
        kept[i + 1] = k
    return kept, found[:k].copy(), counts[:k].copy()


@compiled
def score_grams(starts: Any, buckets: Any, weights: Any, rarity: Any) -> Any:
    """(n,) float64: the sum of weight x frequency over the length of the vector of rarity x frequency.

    Frequency is 1 + log(count). Counting goes through a hash table of at least twice the longest text's n-grams, which
    is as small as its texts, and which stamps instead of emptying: no sorting, and a single line costs what it is long.

    Args:
        weights, rarity: float32 of every bucket.
    """
    n = len(starts) - 1
    out = np.zeros(n, np.float64)
    longest = 0
    for i in range(n):
        longest = max(longest, starts[i + 1] - starts[i])
    size = 16
    while size < 2 * longest:
        size *= 2
    held = np.empty(size, np.int32)
    stamps = np.full(size, -1, np.int64)
    counts = np.empty(size, np.int32)
    places = np.empty(longest + 1, np.int64)
    logs = np.empty(65, np.float64)
    for c in range(1, 65):
        logs[c] = 1.0 + np.log(c)
    for i in range(n):
        k = 0
        for j in range(starts[i], starts[i + 1]):
            bucket = buckets[j]
            at = (bucket * 2654435761) & (size - 1)
            while stamps[at] == i and held[at] != bucket:
                at = (at + 1) & (size - 1)
            if stamps[at] == i:
                counts[at] += 1
            else:
                stamps[at] = i
                held[at] = bucket
                counts[at] = 1
                places[k] = at
                k += 1
        total = 0.0
        squares = 0.0
        for j in range(k):
            at = places[j]
            count = counts[at]
            frequency = logs[count] if count < 65 else 1.0 + np.log(count)
            total += frequency * weights[held[at]]
            squares += (frequency * rarity[held[at]]) ** 2
        out[i] = total / np.sqrt(max(squares, 1e-12))
    return out
