"""The compiled kernels over Arrow's string buffers: one measures characters and words, one finds tokens."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cmdclf.features._columns import METACHARACTERS, RATIO_METACHARACTERS, SLOTS
from cmdclf.jit import compiled

__all__ = ["HEX_TOKEN", "measure", "tokens"]

_UPPER, _LOWER, _DIGIT, _SPACE, _PUNCT, _NONASCII, _CONTROL = range(7)
_HEX, _BASE64, _VOWEL, _TOKEN, _CONTINUATION = 1, 2, 4, 8, 16


def _byte_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Per byte: its class, and the sets that it belongs to as bits."""
    kind = np.full(256, _CONTROL, np.uint8)
    kind[33:127] = _PUNCT
    kind[ord("A") : ord("Z") + 1] = _UPPER
    kind[ord("a") : ord("z") + 1] = _LOWER
    kind[ord("0") : ord("9") + 1] = _DIGIT
    kind[[9, 10, 11, 12, 13, 32]] = _SPACE
    kind[128:] = _NONASCII
    bits = np.zeros(256, np.uint8)
    alnum = kind <= _DIGIT
    bits[list(b"0123456789abcdefABCDEF")] |= _HEX
    bits[alnum] |= _BASE64 | _TOKEN
    bits[list(b"+/=")] |= _BASE64
    bits[list(b"aeiouAEIOU")] |= _VOWEL
    bits[list(b"_.-")] |= _TOKEN
    bits[128:] |= _TOKEN
    bits[0x80:0xC0] |= _CONTINUATION
    return kind, bits


_KIND, _BITS = _byte_tables()
# numba's cache on disk is keyed by this file alone: what kernels take from other modules would go stale there when only
# those change. So the layout stands here once more, and the assertion holds the two together.
_META_TEXT = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_META_RATIO_TEXT = "\"'`^|&;%$+=/\\-.,{("
_META = np.frombuffer(_META_TEXT.encode(), np.uint8).copy()
_META_RATIO = np.frombuffer(_META_RATIO_TEXT.encode(), np.uint8).copy()
#: c * log2(c) for the counts of ordinary lines: a logarithm a byte value would be half of the kernel's time.
_XLOGX = np.array([0.0] + [c * math.log2(c) for c in range(1, 1024)])

_SHAPE, _COUNTS, _RATIOS, _SWITCHES = 0, 6, 14, 22
_META_AT, _META_RATIO_AT, _RUNS, _WORDS = 27, 59, 77, 88
assert list(SLOTS.values())[:-1] == [_SHAPE, _COUNTS, _RATIOS, _SWITCHES, _META_AT, _META_RATIO_AT, _RUNS, _WORDS]
assert "".join(METACHARACTERS) == _META_TEXT and RATIO_METACHARACTERS == _META_RATIO_TEXT  # noqa: PT018
_LONG_BASE64, _LONG_HEX = 40, 32


@compiled
def _is_ipv4(data: npt.NDArray[np.uint8], at: int, end: int) -> bool:
    """Whether four numbers of 0..255 joined by dots begin here, with no digit or dot and digit after them."""
    for group in range(4):
        value = 0
        digits = 0
        while at < end and digits < 4 and _KIND[data[at]] == _DIGIT:
            value = value * 10 + data[at] - 48
            digits += 1
            at += 1
        if digits == 0 or digits > 3 or value > 255:
            return False
        if group < 3:
            if at >= end or data[at] != 46:
                return False
            at += 1
    return not (at + 1 < end and data[at] == 46 and _KIND[data[at + 1]] == _DIGIT)


@compiled
def measure(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], out: npt.NDArray[np.float32]) -> None:
    """Fill the columns up to the tokens' of each row of `out` from its bytes; `out` comes in as zeros."""
    seen = np.zeros(256, np.int64)
    for row in range(offsets.size - 1):
        begin, end = offsets[row], offsets[row + 1]
        if begin == end:
            continue
        seen[:] = 0
        _walk(data, begin, end, seen, out[row])
        _summarise(seen, end - begin, out[row])


@compiled
def _summarise(seen: npt.NDArray[np.int64], length: int, out: npt.NDArray[np.float32]) -> None:
    """Everything that follows from how often each byte occurs."""
    inverse = 1.0 / length
    surplus = 0.0
    distinct = 0
    characters = length
    letters = 0
    vowels = 0
    for byte in range(256):
        count = seen[byte]
        if count == 0:
            continue
        distinct += 1
        surplus += _XLOGX[count] if count < 1024 else count * math.log2(count)
        kind = _KIND[byte]
        bits = _BITS[byte]
        out[_COUNTS + kind] += count
        if bits & _HEX:
            out[_COUNTS + 7] += count
        if bits & _CONTINUATION:
            characters -= count
        if kind <= _LOWER:
            letters += count
            if bits & _VOWEL:
                vowels += count
    entropy = max(0.0, math.log2(length) - surplus * inverse)
    out[_SHAPE] = length
    out[_SHAPE + 1] = math.log1p(length)
    out[_SHAPE + 2] = characters
    out[_SHAPE + 3] = entropy
    if length > 1:
        out[_SHAPE + 4] = min(1.0, entropy / math.log2(min(length, 256)))
    out[_SHAPE + 5] = distinct
    for k in range(8):
        out[_RATIOS + k] = out[_COUNTS + k] * inverse
    out[_SWITCHES + 1] = out[_SWITCHES] * inverse
    out[_SWITCHES + 3] = out[_SWITCHES + 2] * inverse
    if letters:
        out[_SWITCHES + 4] = vowels / letters
    for k in range(_META.size):
        out[_META_AT + k] = seen[_META[k]]
    for k in range(_META_RATIO.size):
        out[_META_RATIO_AT + k] = seen[_META_RATIO[k]] * inverse
    out[_RUNS + 9] *= inverse
    out[_WORDS + 14] = seen[39] % 2
    out[_WORDS + 15] = seen[34] % 2


@compiled
def _walk(  # noqa: C901  one pass over the bytes: calls per run or word would cost more than they tell
    data: npt.NDArray[np.uint8], begin: int, end: int, seen: npt.NDArray[np.int64], out: npt.NDArray[np.float32]
) -> None:
    """Everything that depends on the order of the bytes: runs, switches, words."""
    base64 = hexadecimal = digit = upper = letter = punct = same = word = 0
    max_base64 = max_hex = max_digit = max_upper = max_letter = max_punct = max_same = max_word = 0
    long_base64 = long_base64_bytes = long_hex = 0
    case_switches = alnum_switches = 0
    words = word_bytes = first_word = 0
    dash = double_dash = slash = assignments = urls = addresses = drives = unc = 0
    separators = max_separators = path_words = 0
    depth = max_depth = 0
    assigned = False
    before = 0  # the byte before, 0 at the start
    kind_before = _SPACE
    word_start = begin
    for at in range(begin, end + 1):
        # One step beyond the end, as if a line end stood there, closes the last run and word.
        byte = data[at] if at < end else 10
        kind = _KIND[byte]
        bits = _BITS[byte]

        if bits & _BASE64 and at < end:
            base64 += 1
        elif base64:
            max_base64 = max(max_base64, base64)
            if base64 >= _LONG_BASE64:
                long_base64 += 1
                long_base64_bytes += base64
            base64 = 0
        if bits & _HEX and at < end:
            hexadecimal += 1
        elif hexadecimal:
            max_hex = max(max_hex, hexadecimal)
            if hexadecimal >= _LONG_HEX:
                long_hex += 1
            hexadecimal = 0

        if kind == _SPACE:
            if word:
                words += 1
                word_bytes += word
                max_word = max(max_word, word)
                if words == 1:
                    first_word = word
                first, second = data[word_start], data[word_start + 1] if word > 1 else 32
                if first == 45 and _KIND[second] <= _DIGIT:
                    dash += 1
                elif first == 45 and second == 45 and word > 2 and _KIND[data[word_start + 2]] <= _LOWER:
                    double_dash += 1
                elif first == 47 and separators == 1 and (_KIND[second] <= _DIGIT or second == 63):
                    slash += 1
                if (first == 92 and second == 92) or (first == 47 and second == 47):
                    unc += 1
                max_separators = max(max_separators, separators)
                if separators > 1:
                    path_words += 1
                if assigned:
                    assignments += 1
                word = 0
        else:
            if word == 0:
                word_start = at
                separators = 0
                assigned = False
            word += 1
        if at == end:
            break
        seen[byte] += 1

        digit = digit + 1 if kind == _DIGIT else 0
        upper = upper + 1 if kind == _UPPER else 0
        letter = letter + 1 if kind <= _LOWER else 0
        punct = punct + 1 if kind == _PUNCT else 0
        same = same + 1 if byte == before and at > begin else 1
        max_digit = max(max_digit, digit)
        max_upper = max(max_upper, upper)
        max_letter = max(max_letter, letter)
        max_punct = max(max_punct, punct)
        max_same = max(max_same, same)

        if kind != kind_before:
            if kind <= _LOWER:
                if kind_before <= _LOWER:
                    case_switches += 1
                elif kind_before == _DIGIT:
                    alnum_switches += 1
            elif kind == _DIGIT:
                if kind_before <= _LOWER:
                    alnum_switches += 1
                if before != 46 and _is_ipv4(data, at, end):
                    addresses += 1
        if kind == _PUNCT:
            if byte == 47 or byte == 92:
                if before != 47 and before != 92:
                    separators += 1
                is_drive = before == 58 and at - 2 >= begin and _KIND[data[at - 2]] <= _LOWER
                if is_drive and (at - 3 < begin or _KIND[data[at - 3]] > _DIGIT):
                    drives += 1
                if byte == 47 and before == 47 and at - 2 >= begin and data[at - 2] == 58:
                    urls += 1
            elif byte == 40 or byte == 91 or byte == 123:
                depth += 1
                max_depth = max(max_depth, depth)
            elif byte == 41 or byte == 93 or byte == 125:
                depth = max(0, depth - 1)
            elif byte == 61 and kind_before <= _DIGIT:
                assigned = True
        before = byte
        kind_before = kind

    out[_SWITCHES] = case_switches
    out[_SWITCHES + 2] = alnum_switches
    out[_RUNS] = max_base64
    out[_RUNS + 1] = max_hex
    out[_RUNS + 2] = max_digit
    out[_RUNS + 3] = max_upper
    out[_RUNS + 4] = max_letter
    out[_RUNS + 5] = max_punct
    out[_RUNS + 6] = max_same
    out[_RUNS + 7] = max_word
    out[_RUNS + 8] = long_base64
    out[_RUNS + 9] = long_base64_bytes
    out[_RUNS + 10] = long_hex
    out[_WORDS] = words
    out[_WORDS + 1] = word_bytes / words if words else 0.0
    out[_WORDS + 2] = first_word
    out[_WORDS + 3] = dash
    out[_WORDS + 4] = double_dash
    out[_WORDS + 5] = slash
    out[_WORDS + 6] = assignments
    out[_WORDS + 7] = urls
    out[_WORDS + 8] = addresses
    out[_WORDS + 9] = drives
    out[_WORDS + 10] = unc
    out[_WORDS + 11] = max_separators
    out[_WORDS + 12] = path_words
    out[_WORDS + 13] = max_depth


_FNV_OFFSET, _FNV_PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(33)
#: Tokens longer than this are one token per power of two of their length; so are hexadecimal ones of at least 16.
_LONG_TOKEN, HEX_TOKEN = 64, 16
_LOW, _CASE = np.uint64(0xFF), 32


@compiled
def tokens(
    offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], buckets: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The tokens of each row as buckets.

    A token is hashed lower-cased with each run of digits as one 0 (FNV-1a, 64 bits, finalised as in MurmurHash3).

    Returns:
        starts `(n + 1,)`: a row's tokens are `bucket[starts[row]:starts[row + 1]]`; bucket; length in bytes; and
        `(n,)` the number of the token that names the program: the last one of the first word, -1 for none.
    """
    rows = offsets.size - 1
    # A token and the byte that ends it take two bytes at least.
    room = (offsets[rows] - offsets[0]) // 2 + rows
    starts = np.zeros(rows + 1, np.int64)
    bucket = np.empty(room, np.int32)
    length = np.empty(room, np.int32)
    program = np.full(rows, -1, np.int64)
    mask = np.uint64(buckets - 1)
    found = 0
    for row in range(rows):
        begin, end = offsets[row], offsets[row + 1]
        size = 0
        code = _FNV_OFFSET
        digit_before = False
        all_hex = True
        # The first word ends at white space, or at the closing quote where the line begins with one.
        quote = data[begin] if begin < end and (data[begin] == 34 or data[begin] == 39) else 32
        in_program = True
        for at in range(begin, end + 1):
            byte = data[at] if at < end else 10
            bits = _BITS[byte]
            if bits & _TOKEN and at < end:
                kind = _KIND[byte]
                if kind == _DIGIT:
                    if not digit_before:
                        code = (code ^ np.uint64(48)) * _FNV_PRIME
                else:
                    folded = np.uint64(byte | _CASE if kind == _UPPER else byte) & _LOW
                    code = (code ^ folded) * _FNV_PRIME
                digit_before = kind == _DIGIT
                all_hex = all_hex and (bits & _HEX) != 0
                size += 1
                continue
            if size:
                if size > _LONG_TOKEN or (all_hex and size >= HEX_TOKEN):
                    scale = np.uint64(math.log2(size)) + np.uint64(1024 if all_hex else 2048)
                    code = (_FNV_OFFSET ^ scale) * _FNV_PRIME
                code = code ^ (code >> _SHIFT)
                code = code * _MIX
                code = code ^ (code >> _SHIFT)
                bucket[found] = np.int32(code & mask)
                length[found] = size
                if in_program:
                    program[row] = found
                found += 1
                size = 0
                code = _FNV_OFFSET
                digit_before = False
                all_hex = True
            if in_program and at > begin and (byte == quote or (quote == 32 and _KIND[byte] == _SPACE)):
                in_program = program[row] < 0
        starts[row + 1] = found
    return starts, bucket[:found], length[:found], program
