"""The compiled kernel over Arrow's string buffers that measures characters and words."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cmdclf.features._columns import METACHARACTERS, RATIO_METACHARACTERS, SLOTS
from cmdclf.jit import compiled

__all__ = ["measure"]

#: Kinds of bytes. The first four make up base64; the marks + / = stand apart from the others for that.
_UPPER, _LOWER, _DIGIT, _PUNCT64, _SPACE, _PUNCT, _NONASCII, _CONTROL = range(8)
#: Marks on which the walk does something.
_SEPARATOR, _OPENING, _CLOSING, _EQUALS = 1, 2, 3, 4


def _byte_kinds() -> npt.NDArray[np.uint8]:
    kind = np.full(256, _CONTROL, np.uint8)
    kind[33:127] = _PUNCT
    kind[ord("A") : ord("Z") + 1] = _UPPER
    kind[ord("a") : ord("z") + 1] = _LOWER
    kind[ord("0") : ord("9") + 1] = _DIGIT
    kind[[9, 10, 11, 12, 13, 32]] = _SPACE
    kind[list(b"+/=")] = _PUNCT64
    kind[128:] = _NONASCII
    return kind


def _among(members: bytes) -> npt.NDArray[np.bool_]:
    """Per byte whether it is one of these."""
    return np.isin(np.arange(256, dtype=np.uint8), np.frombuffer(members, np.uint8))


_KIND = _byte_kinds()
_HEX = _among(b"0123456789abcdefABCDEF")
_CONTINUES = _among(bytes(range(0x80, 0xC0))).astype(np.int64)
#: Per byte 1 for a hexadecimal digit, and 2**32 for a vowel, so that both are counted at once.
_HEX_AND_VOWELS = _HEX.astype(np.uint64) + (_among(b"aeiouAEIOU").astype(np.uint64) << np.uint64(32))
# numba's cache on disk is keyed by this file alone: what kernels take from other modules would go stale there when only
# those change. So the layout stands here once more, and the assertion holds the two together.
_META_TEXT = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_META_RATIO_TEXT = "\"'`^|&;%$+=/\\-.,{("
_META = np.frombuffer(_META_TEXT.encode(), np.uint8).copy()
_META_RATIO = np.frombuffer(_META_RATIO_TEXT.encode(), np.uint8).copy()
#: Per kind the number of its class among the columns.
_CLASS_OF_KIND = np.array([0, 1, 2, 4, 3, 4, 5, 6], np.int64)
#: Per byte what the walk does at it.
_MARK = np.zeros(256, np.uint8)
_MARK[list(b"/\\")], _MARK[list(b"([{")], _MARK[list(b")]}")], _MARK[ord("=")] = _SEPARATOR, _OPENING, _CLOSING, _EQUALS
#: Per byte its kind, whether it is a hexadecimal digit, and its mark, in one load.
_INFO = (_KIND + 8 * _HEX.astype(np.uint8) + 16 * _MARK).astype(np.uint8)
#: Logarithms for the counts of ordinary lines: a call a byte value would be half of the kernel's time.
_XLOGX = np.array([0.0] + [c * math.log2(c) for c in range(1, 1024)])
_LOG2 = np.array([0.0] + [math.log2(c) for c in range(1, 1024)])
_LOG1P = np.array([math.log1p(c) for c in range(1024)])

_SHAPE, _COUNTS, _RATIOS, _SWITCHES = 0, 6, 14, 22
_META_AT, _META_RATIO_AT, _RUNS, _WORDS = 27, 59, 77, 88
assert list(SLOTS.values())[:-1] == [_SHAPE, _COUNTS, _RATIOS, _SWITCHES, _META_AT, _META_RATIO_AT, _RUNS, _WORDS]
assert "".join(METACHARACTERS) == _META_TEXT and RATIO_METACHARACTERS == _META_RATIO_TEXT  # noqa: PT018
_LONG_BASE64, _LONG_HEX = 40, 32


@compiled
def _is_ipv4(data: npt.NDArray[np.uint8], at: int) -> bool:
    """Whether four numbers of 0..255 joined by dots begin here, with no digit or dot and digit after them."""
    end = data.size
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
    seen = np.zeros(256, np.uint32)
    distinct = np.empty(257, np.uint8)
    totals = np.zeros(8, np.int64)
    for row in range(offsets.size - 1):
        begin, end = offsets[row], offsets[row + 1]
        if begin == end:
            continue
        n_distinct = _walk(data[begin:end], seen, distinct, totals, out[row])
        _summarise(seen, distinct[:n_distinct], end - begin, out[row])


@compiled
def _summarise(
    seen: npt.NDArray[np.uint32], distinct: npt.NDArray[np.uint8], length: int, out: npt.NDArray[np.float32]
) -> None:
    """Everything that follows from how often each byte occurs; sets `seen` back to zeros."""
    inverse = 1.0 / length
    surplus = 0.0
    packed = np.uint64(0)
    continued = 0
    for byte in distinct:
        count = seen[byte]
        surplus += _XLOGX[count] if count < 1024 else count * math.log2(count)
        packed += _HEX_AND_VOWELS[byte] * np.uint64(count)
        continued += _CONTINUES[byte] * count
    out[_COUNTS + 7] = packed & np.uint64(0xFFFFFFFF)
    letters = out[_COUNTS] + out[_COUNTS + 1]
    if letters:
        out[_SWITCHES + 4] = (packed >> np.uint64(32)) / letters
    for k in range(_META.size):
        out[_META_AT + k] = seen[_META[k]]
    for k in range(_META_RATIO.size):
        out[_META_RATIO_AT + k] = seen[_META_RATIO[k]] * inverse
    out[_WORDS + 14] = seen[39] % 2
    out[_WORDS + 15] = seen[34] % 2
    for byte in distinct:
        seen[byte] = 0
    most = _LOG2[length] if length < 1024 else math.log2(length)
    entropy = max(0.0, most - surplus * inverse)
    out[_SHAPE] = length
    out[_SHAPE + 1] = _LOG1P[length] if length < 1024 else math.log1p(length)
    out[_SHAPE + 2] = length - continued
    out[_SHAPE + 3] = entropy
    if length > 1:
        out[_SHAPE + 4] = min(1.0, entropy / (most if length < 256 else 8.0))
    out[_SHAPE + 5] = distinct.size
    for k in range(8):
        out[_RATIOS + k] = out[_COUNTS + k] * inverse
    out[_SWITCHES + 1] = out[_SWITCHES] * inverse
    out[_SWITCHES + 3] = out[_SWITCHES + 2] * inverse
    out[_RUNS + 9] *= inverse


@compiled
def _walk(  # noqa: C901  one pass over the bytes: calls per run or word would cost more than they tell
    data: npt.NDArray[np.uint8],
    seen: npt.NDArray[np.uint32],
    distinct: npt.NDArray[np.uint8],
    totals: npt.NDArray[np.int64],
    out: npt.NDArray[np.float32],
) -> int:
    """Everything that depends on the order of the bytes: runs, switches, words.

    Counts the bytes into `seen` and their kinds into `totals`, writes those that occur into `distinct` and returns how
    many they are. What can change only where the kind of bytes does is looked at only there.
    """
    end = data.size
    n_distinct = 0
    hexadecimal = same = max_hex = max_same = long_hex = 0
    max_base64 = max_digit = max_upper = max_letter = max_punct = max_word = 0
    long_base64 = long_base64_bytes = 0
    case_switches = alnum_switches = 0
    words = word_bytes = first_word = 0
    dash = double_dash = slash = assignments = urls = addresses = drives = unc = 0
    separators = max_separators = path_words = 0
    depth = max_depth = 0
    assigned = False
    before = np.uint8(0)  # the byte before, 0 at the start
    kind_before = _SPACE
    # Where the runs that are under way began.
    run = letter = base64 = punct = word = 0
    for at in range(end + 1):
        # One step beyond the end, as if a line end stood there, closes the last run and word.
        byte = data[at] if at < end else np.uint8(10)
        info = _INFO[byte]
        kind = info & 7
        if kind != kind_before:
            # A run of `kind_before` ends here, and with it perhaps a longer one of several kinds.
            totals[kind_before] += at - run
            if kind_before <= _LOWER:
                if kind_before == _UPPER:
                    max_upper = max(max_upper, at - run)
                if kind <= _LOWER:
                    case_switches += 1
                else:
                    max_letter = max(max_letter, at - letter)
                    if kind == _DIGIT:
                        alnum_switches += 1
            elif kind <= _LOWER:
                letter = at
                if kind_before == _DIGIT:
                    alnum_switches += 1
            if kind_before == _DIGIT:
                max_digit = max(max_digit, at - run)
            elif kind == _DIGIT and before != 46 and _is_ipv4(data, at):
                addresses += 1
            if kind_before <= _PUNCT64:
                if kind > _PUNCT64:
                    length = at - base64
                    max_base64 = max(max_base64, length)
                    if length >= _LONG_BASE64:
                        long_base64 += 1
                        long_base64_bytes += length
            elif kind <= _PUNCT64:
                base64 = at
            punct_before = kind_before in (_PUNCT64, _PUNCT)
            if kind in (_PUNCT64, _PUNCT):
                if not punct_before:
                    punct = at
            elif punct_before:
                max_punct = max(max_punct, at - punct)
            if kind == _SPACE:
                length = at - word
                words += 1
                word_bytes += length
                max_word = max(max_word, length)
                if words == 1:
                    first_word = length
                first, second = data[word], data[word + 1] if length > 1 else np.uint8(32)
                if first == 45 and _KIND[second] <= _DIGIT:
                    dash += 1
                elif first == 45 and second == 45 and length > 2 and _KIND[data[word + 2]] <= _LOWER:
                    double_dash += 1
                elif first == 47 and separators == 1 and (_KIND[second] <= _DIGIT or second == 63):
                    slash += 1
                if (first == 92 and second == 92) or (first == 47 and second == 47):
                    unc += 1
                max_separators = max(max_separators, separators)
                path_words += separators > 1
                assignments += assigned
            elif kind_before == _SPACE:
                word = at
                separators = 0
                assigned = False
            run = at
        if at == end:
            totals[kind_before] += at - run
            break

        count = seen[byte]
        seen[byte] = count + np.uint32(1)
        distinct[n_distinct] = byte
        n_distinct += count == 0
        hexadecimal = hexadecimal + 1 if info & 8 else 0
        max_hex = max(max_hex, hexadecimal)
        long_hex += hexadecimal == _LONG_HEX
        same = same + 1 if byte == before and at > 0 else 1
        max_same = max(max_same, same)
        if info > 15:
            mark = info >> 4
            if mark == _SEPARATOR:
                if before != 47 and before != 92:
                    separators += 1
                is_drive = before == 58 and at > 1 and _KIND[data[at - 2]] <= _LOWER
                if is_drive and (at < 3 or _KIND[data[at - 3]] > _DIGIT):
                    drives += 1
                if byte == 47 and before == 47 and at > 1 and data[at - 2] == 58:
                    urls += 1
            elif mark == _OPENING:
                depth += 1
                max_depth = max(max_depth, depth)
            elif mark == _CLOSING:
                depth = max(0, depth - 1)
            elif kind_before <= _DIGIT:  # an equals sign
                assigned = True
        before = byte
        kind_before = kind

    for k in range(8):
        out[_COUNTS + _CLASS_OF_KIND[k]] += totals[k]
        totals[k] = 0
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
    return n_distinct
