"""Hashed n-grams of bytes and of words of many texts, each with its place: compiled.

A bucket is the highest bits of a mixed FNV-1a hash. Results of the two makers, for n texts with k n-grams in all:
(n + 1,) int64 the first n-gram of each text, (k,) int32 buckets, (k,) int64 first byte, (k,) int32 length in bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cmdclf.jit import compiled

__all__ = ["byte_grams", "count_grams", "score_byte_grams", "score_word_grams", "word_grams"]


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
    for i in range(n):
        k = starts[i]
        _byte_grams_of(data, offsets[i], offsets[i + 1], bits, buckets[k:], at[k:], sizes[k:])
    return starts, buckets, at, sizes


@compiled
def _byte_grams_of(data: Any, begin: int, end: int, bits: int, buckets: Any, at: Any, sizes: Any) -> int:
    """Write one text's n-grams, for which there is room; gives how many there are. Places only where there is room."""
    placed = len(at) > 0
    k = 0
    for first in range(begin, end):
        code = np.uint64(14695981039346656037)
        for step in range(min(5, end - first)):
            code = (code ^ np.uint64(data[first + step])) * np.uint64(1099511628211)
            if step:
                mixed = (code ^ (code >> np.uint64(29))) * np.uint64(11400714819323198485)
                buckets[k] = np.int32(mixed >> np.uint64(64 - bits))
                if placed:
                    at[k] = first
                    sizes[k] = step + 1
                k += 1
    return k


@compiled
def word_grams(data: Any, offsets: Any, bits: int) -> Any:
    """Every word, pair and triple of words in a row; arguments as `byte_grams`.

    A word is a run of letters, digits, underscores and bytes beyond ASCII, its digits counting as one 0 and a run of
    more than 32 bytes as one word whatever it says; or another mark by itself. Blanks, quotes, carets and backticks
    are none.
    """
    n = len(offsets) - 1
    most = len(data)
    longest = _longest(offsets)
    words = np.empty(longest, np.uint64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    starts = np.zeros(n + 1, np.int64)
    buckets = np.empty(3 * most, np.int32)
    at = np.empty(3 * most, np.int64)
    sizes = np.empty(3 * most, np.int32)
    for i in range(n):
        k = starts[i]
        found = _word_grams_of(data, offsets[i], offsets[i + 1], bits, words, buckets[k:], at[k:], sizes[k:])
        starts[i + 1] = k + found
    k = starts[n]
    return starts, buckets[:k].copy(), at[:k].copy(), sizes[:k].copy()


@compiled
def _longest(offsets: Any) -> int:
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    return longest


@compiled
def _word_grams_of(data: Any, begin: int, end: int, bits: int, words: Any, buckets: Any, at: Any, sizes: Any) -> int:
    """As `_byte_grams_of`; `words` is room for the words' hashes, first bytes and ends."""
    codes, begins, ends = words
    placed = len(at) > 0
    n = 0
    j = begin
    while j < end:
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
            if j == end:
                break
            c = data[j]
        if j == first:
            j += 1
            if c <= 32 or c == 34 or c == 39 or c == 94 or c == 96:
                continue
            code = (code ^ np.uint64(c)) * np.uint64(1099511628211)
        elif j - first > 32:
            code = np.uint64(0x9E3779B97F4A7C15)
        codes[n] = code
        begins[n] = first
        ends[n] = j
        n += 1
    k = 0
    for first in range(n):
        code = np.uint64(1469598103934665603)
        for step in range(min(3, n - first)):
            code = (code ^ codes[first + step]) * np.uint64(1099511628211)
            code ^= code >> np.uint64(31)
            mixed = (code ^ (code >> np.uint64(29))) * np.uint64(11400714819323198485)
            buckets[k] = np.int32(mixed >> np.uint64(64 - bits))
            if placed:
                at[k] = begins[first]
                sizes[k] = ends[first + step] - begins[first]
            k += 1
    return k


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
def score_byte_grams(data: Any, offsets: Any, bits: int, table: Any) -> Any:
    """(n,) float64: the sum of weight x frequency over the length of the vector of rarity x frequency.

    Frequency is 1 + log(count). Text by text, so that a text's n-grams stay in the processor's cache.

    Args:
        data, offsets, bits: as `byte_grams` takes them.
        table: (2**bits, 2) float32, weight and rarity of every bucket.
    """
    n = len(offsets) - 1
    out = np.empty(n, np.float64)
    most = 4 * _longest(offsets)
    buckets, at, sizes = np.empty(most, np.int32), np.empty(0, np.int64), np.empty(0, np.int32)
    counting, logs = _room_to_count(most), _frequencies()
    for i in range(n):
        k = _byte_grams_of(data, offsets[i], offsets[i + 1], bits, buckets, at, sizes)
        out[i] = _score(buckets[:k], i, table, counting, logs)
    return out


@compiled
def score_word_grams(data: Any, offsets: Any, bits: int, table: Any) -> Any:
    """`score_byte_grams` for the n-grams of `word_grams`."""
    n = len(offsets) - 1
    out = np.empty(n, np.float64)
    longest = _longest(offsets)
    most = 3 * longest
    words = np.empty(longest, np.uint64), np.empty(longest, np.int64), np.empty(longest, np.int64)
    buckets, at, sizes = np.empty(most, np.int32), np.empty(0, np.int64), np.empty(0, np.int32)
    counting, logs = _room_to_count(most), _frequencies()
    for i in range(n):
        k = _word_grams_of(data, offsets[i], offsets[i + 1], bits, words, buckets, at, sizes)
        out[i] = _score(buckets[:k], i, table, counting, logs)
    return out


@compiled
def _room_to_count(most: int) -> Any:
    """A hash table for `most` n-grams: (which text's bucket, its place in the list), and the list (bucket, count)."""
    size = 16
    while size < 2 * most:
        size *= 2
    return np.full(size, -1, np.int64), np.empty(size, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)


@compiled
def _frequencies() -> Any:
    logs = np.empty(65, np.float64)
    for c in range(1, 65):
        logs[c] = 1.0 + np.log(c)
    return logs


@compiled
def _score(buckets: Any, text: int, table: Any, counting: Any, logs: Any) -> Any:
    """One text's score. Its part of the hash table is as small as the text, and stamps instead of emptying."""
    keys, places, listed, counts = counting
    size = 16
    while size < 2 * len(buckets):
        size *= 2
    n = 0
    for bucket in buckets:
        key = (np.int64(text) << 32) | np.int64(bucket)
        at = (bucket * 2654435761) & (size - 1)
        while keys[at] != key and (keys[at] >> 32) == text:
            at = (at + 1) & (size - 1)
        if keys[at] == key:
            counts[places[at]] += 1
        else:
            keys[at] = key
            places[at] = n
            listed[n] = bucket
            counts[n] = 1
            n += 1
    total = 0.0
    squares = 0.0
    for j in range(n):
        count = counts[j]
        frequency = logs[count] if count < 65 else 1.0 + np.log(count)
        total += frequency * table[listed[j], 0]
        squares += (frequency * table[listed[j], 1]) ** 2
    return total / np.sqrt(max(squares, 1e-12))
