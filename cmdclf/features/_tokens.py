"""The compiled kernels that find tokens, count them, and measure how rare they are."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cmdclf.features._columns import SLOTS
from cmdclf.jit import compiled

__all__ = ["SYMBOLS", "count", "measure_rarity"]

#: Kinds of symbols of which the pairs are counted.
SYMBOLS = 64
# A number, not SLOTS's: numba's cache on disk would not notice a change in another file.
_TOKENS = 104
assert SLOTS["tokens"] == _TOKENS
_WINDOW = 16

_FNV_OFFSET, _FNV_PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(33)
_PAIR_PRIME, _PAIR_SHIFT = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)
#: Tokens longer than this are one token per power of two of their length; so are hexadecimal ones of at least 16.
_LONG_TOKEN, _HEX_TOKEN = 64, 16

_DIGIT, _HEX, _SPACE = 1, 2, 4


def _tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    """Per byte: the sets that it belongs to; what of it is hashed, 0 for no part of a token; its symbol."""
    bits = np.zeros(256, np.uint8)
    bits[list(b"0123456789")] |= _DIGIT
    bits[list(b"0123456789abcdefABCDEF")] |= _HEX
    bits[[9, 10, 11, 12, 13, 32]] |= _SPACE
    hashed = np.zeros(256, np.uint64)
    for byte in [*b"abcdefghijklmnopqrstuvwxyz_.-", *range(128, 256)]:
        hashed[byte] = byte
    hashed[ord("A") : ord("Z") + 1] = np.arange(ord("a"), ord("z") + 1)
    hashed[ord("0") : ord("9") + 1] = ord("0")
    # 62 symbols: control, space, bytes outside ASCII, digits, letters without case, each punctuation mark.
    symbol = np.zeros(256, np.uint8)
    symbol[[9, 10, 11, 12, 13, 32]] = 1
    symbol[128:] = 2
    symbol[ord("0") : ord("9") + 1] = 3
    symbol[ord("a") : ord("z") + 1] = symbol[ord("A") : ord("Z") + 1] = np.arange(4, 30)
    symbol[list(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")] = np.arange(30, 62)
    return bits, hashed, symbol


_BITS, _HASHED, _SYMBOL = _tables()


@compiled
def _row_tokens(
    data: npt.NDArray[np.uint8], mask: np.uint64, bucket: npt.NDArray[np.int64], length: npt.NDArray[np.int64]
) -> tuple[int, int]:
    """Write the tokens of a row into `bucket` and `length` (in bytes), which have room for them.

    A token is hashed lower-cased with each run of digits as one 0 (FNV-1a, 64 bits, finalised as in MurmurHash3).

    Returns:
        how many there are, and which one names the program: the last one of the first word, -1 for none.
    """
    end = data.size
    found = 0
    program = -1
    size = 0
    code = _FNV_OFFSET
    before = np.uint8(0)
    every = np.uint8(255)  # the sets that all bytes of the token belong to
    # The first word ends at white space, or at the closing quote where the line begins with one.
    quote = np.uint8(32)
    if end and (data[0] == 34 or data[0] == 39):
        quote = data[0]
    in_program = True
    for at in range(end + 1):
        byte = data[at] if at < end else np.uint8(10)
        bits = _BITS[byte]
        hashed = _HASHED[byte]
        if hashed:
            # Of a run of digits only the first is hashed.
            code = code if bits & before & _DIGIT else (code ^ hashed) * _FNV_PRIME
            before = bits
            every &= bits
            size += 1
            continue
        if size:
            all_hex = (every & _HEX) != 0
            if size > _LONG_TOKEN or (all_hex and size >= _HEX_TOKEN):
                scale = np.uint64(math.log2(size)) + np.uint64(1024 if all_hex else 2048)
                code = (_FNV_OFFSET ^ scale) * _FNV_PRIME
            code = code ^ (code >> _SHIFT)
            code = code * _MIX
            code = code ^ (code >> _SHIFT)
            bucket[found] = np.int64(code & mask)
            length[found] = size
            if in_program:
                program = found
            found += 1
            size = 0
            code = _FNV_OFFSET
            before = np.uint8(0)
            every = np.uint8(255)
        if in_program and at > 0 and (byte == quote or (quote == 32 and bits & _SPACE)):
            in_program = program < 0
    return found, program


@compiled
def _pair(left: int, right: int, mask: np.uint64) -> int:
    """The bucket of two neighbouring tokens."""
    code = (np.uint64(left) * (mask + np.uint64(1)) + np.uint64(right)) * _PAIR_PRIME
    code = (code ^ (code >> _PAIR_SHIFT)) * _PAIR_PRIME
    return int(np.int64((code >> _PAIR_SHIFT) & mask))


@compiled
def _room(offsets: npt.NDArray[np.int64]) -> int:
    """Most tokens that a row can have: a token and the byte that ends it take two bytes at least."""
    longest = 0
    for row in range(offsets.size - 1):
        longest = max(longest, int(offsets[row + 1] - offsets[row]))
    return longest // 2 + 1


@compiled
def count(
    offsets: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    words: npt.NDArray[np.uint32],
    pairs: npt.NDArray[np.uint32],
    characters: npt.NDArray[np.int64],
) -> None:
    """Add the rows' tokens, neighbouring tokens and neighbouring symbols to the counts; 32-bit ones stop at the top."""
    room = _room(offsets)
    bucket, length = np.empty(room, np.int64), np.empty(room, np.int64)
    mask = np.uint64(words.size - 1)
    top = np.uint32(0xFFFFFFFF)
    for row in range(offsets.size - 1):
        line = data[offsets[row] : offsets[row + 1]]
        n, _ = _row_tokens(line, mask, bucket, length)
        for k in range(n):
            words[bucket[k]] += words[bucket[k]] < top
            if k:
                pair = _pair(bucket[k - 1], bucket[k], mask)
                pairs[pair] += pairs[pair] < top
        if line.size:
            before = _SYMBOL[line[0]]
            for byte in line[1:]:
                symbol = _SYMBOL[byte]
                characters[before, symbol] += 1
                before = symbol


@compiled
def measure_rarity(
    offsets: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    words: npt.NDArray[np.float32],
    pairs: npt.NDArray[np.float32],
    surprise: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    """Fill the tokens' columns of each row of `out`, which come in as zeros.

    Args:
        offsets, data: the rows' bytes.
        words, pairs: rarity by bucket, its sign bit set where the bucket was never used.
        surprise: `(SYMBOLS, SYMBOLS)` bits of a symbol after a symbol.
        out: `(n, columns)`.
    """
    room = _room(offsets)
    bucket, length = np.empty(room, np.int64), np.empty(room, np.int64)
    sums = np.empty(_WINDOW)
    mask = np.uint64(words.size - 1)
    for row in range(offsets.size - 1):
        line = data[offsets[row] : offsets[row + 1]]
        n, program = _row_tokens(line, mask, bucket, length)
        into = out[row]
        if n:
            _measure_tokens(bucket[:n], length, program, mask, words, pairs, into)
        if line.size > 1:
            _measure_symbols(line, surprise, sums, into)


@compiled
def _measure_tokens(
    bucket: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    program: int,
    mask: np.uint64,
    words: npt.NDArray[np.float32],
    pairs: npt.NDArray[np.float32],
    out: npt.NDArray[np.float32],
) -> None:
    total = total_pairs = rarest_pair = 0.0
    total_length = longest = unseen = unseen_pairs = 0
    first = second = third = 0.0  # the three rarest
    least = np.inf
    for k in range(bucket.size):
        value = float(words[bucket[k]])
        unseen += value < 0.0
        value = abs(value)
        total += value
        total_length += length[k]
        longest = max(longest, int(length[k]))
        least = min(least, value)
        third = max(third, min(second, value))
        second = max(second, min(first, value))
        first = max(first, value)
        if k:
            value = float(pairs[_pair(bucket[k - 1], bucket[k], mask)])
            unseen_pairs += value < 0.0
            value = abs(value)
            total_pairs += value
            rarest_pair = max(rarest_pair, value)
    count = bucket.size
    out[_TOKENS] = count
    out[_TOKENS + 1] = total_length / count
    out[_TOKENS + 2] = longest
    out[_TOKENS + 3] = total / count
    out[_TOKENS + 4] = first
    out[_TOKENS + 5] = (first + second + third) / min(count, 3)
    out[_TOKENS + 6] = least
    if program >= 0:
        out[_TOKENS + 7] = abs(words[bucket[program]])
    out[_TOKENS + 8] = unseen / count
    if count > 1:
        out[_TOKENS + 9] = total_pairs / (count - 1)
        out[_TOKENS + 10] = rarest_pair
        out[_TOKENS + 11] = unseen_pairs / (count - 1)


@compiled
def _measure_symbols(
    line: npt.NDArray[np.uint8],
    surprise: npt.NDArray[np.float32],
    sums: npt.NDArray[np.float64],
    out: npt.NDArray[np.float32],
) -> None:
    # Values of 24 bits add up exactly in 53 for any line, so a window is the difference of two sums.
    sums[:] = 0.0
    total = largest = 0.0
    before = _SYMBOL[line[0]]
    for at in range(1, line.size):
        symbol = _SYMBOL[line[at]]
        total += surprise[before, symbol]
        largest = max(largest, total - sums[at % _WINDOW])
        sums[at % _WINDOW] = total
        before = symbol
    steps = line.size - 1
    out[_TOKENS + 12] = total / steps
    out[_TOKENS + 13] = largest / min(steps, _WINDOW)
