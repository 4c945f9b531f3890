"""Compiled pieces of the behaviour text: which words, numbers and encoded runs act, and which vary freely."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.dedup import _acting_words
from cmdclf.dedup._acting_words import (
    HASHES,
    KINDS,
    PLAIN_WORD,
)
from cmdclf.jit import compiled, compiled_with

__all__ = [
    "BLOBS",
    "CLASSES",
    "FOLD",
    "LOOSE",
    "NUMBERS",
    "OPAQUE",
    "VERSION",
    "Bytes",
    "address_end",
    "alnum",
    "blob_end",
    "copy",
    "digit",
    "digit_run",
    "letter",
    "lower",
    "numeric_end",
    "odd_case",
    "put",
    "put_number",
    "run_end",
    "span",
    "word_kinds",
]

Bytes = npt.NDArray[np.uint8]

#: Bits of how a piece is read: letters folded; digits at the end of a word are a number; numbers, encoded words and
#: class GUIDs act; a version is expected, so that four numbers are no address; the
#: line makes code out of data that was not decoded, so that every number and every odd word of it acts.
FOLD, LOOSE, NUMBERS, BLOBS, CLASSES, VERSION, OPAQUE = 1, 2, 4, 8, 16, 32, 64


@compiled
def lower(b: int) -> int:
    return b + 32 if 65 <= b <= 90 else b


@compiled
def digit(b: int) -> bool:
    return 48 <= b <= 57


@compiled
def letter(b: int) -> bool:
    return 65 <= b <= 90 or 97 <= b <= 122 or b >= 128


@compiled
def alnum(b: int) -> bool:
    return digit(b) or letter(b)


@compiled
def _hex(b: int) -> bool:
    return digit(b) or 65 <= b <= 70 or 97 <= b <= 102


@compiled_with(_acting_words)
def word_kinds(text: Bytes, start: int, end: int) -> int:
    """The kinds of the word made of the letters and digits in `text[start:end]`, whatever stands between them."""
    value = np.uint64(0xCBF29CE484222325)
    size = 0
    for i in range(start, end):
        b = lower(int(text[i]))
        if alnum(b):
            value = (value ^ np.uint64(b)) * np.uint64(0x100000001B3)
            size += 1
            if size > 24:
                return 0
    if size == 0:
        return 0
    at = np.searchsorted(HASHES, value)
    return KINDS[at] if at < len(HASHES) and HASHES[at] == value else 0


@compiled
def run_end(text: Bytes, i: int, end: int) -> int:
    """Where the letters and digits from `i` on end."""
    while i < end and alnum(int(text[i])):
        i += 1
    return i


@compiled
def digit_run(text: Bytes, i: int, end: int) -> int:
    """How many digits stand at `i` in a row."""
    j = i
    while j < end and digit(int(text[j])):
        j += 1
    return j - i


@compiled
def _guid_at(text: Bytes, i: int, end: int) -> bool:
    if end - i < 36:
        return False
    for k in range(36):
        dash = k == 8 or k == 13 or k == 18 or k == 23
        b = int(text[i + k])
        if dash != (b == 45) or not (dash or _hex(b)):
            return False
    return i + 36 >= end or not alnum(int(text[i + 36]))


@compiled
def address_end(text: Bytes, start: int, i: int, end: int) -> int:
    """Where the IPv4 address at `i` ends; 0 where there is none. A version in a name (`x-1.2.3.4`) is none."""
    if i > start:
        before = int(text[i - 1])
        if alnum(before) or before == 46 or before == 45 or before == 95 or before == 43:
            return 0
    j = i
    for part in range(4):
        value, digits = 0, 0
        while j < end and digit(int(text[j])) and digits < 4:
            value = value * 10 + int(text[j]) - 48
            digits += 1
            j += 1
        if digits == 0 or digits > 3 or value > 255:
            return 0
        if part < 3:
            if j >= end or text[j] != 46:
                return 0
            j += 1
    if j < end:
        after = int(text[j])
        if alnum(after) or after == 95 or after == 45 or (after == 46 and j + 1 < end and alnum(int(text[j + 1]))):
            return 0
    return j


@compiled
def odd_case(text: Bytes, i: int, j: int) -> int:
    """How often case changes as in no name: upper after lower without a lower one behind it, as in `aBC` or `aB1`."""
    odd = 0
    for k in range(i + 1, j):
        after_lower = 97 <= int(text[k - 1]) <= 122 and 65 <= int(text[k]) <= 90
        odd += after_lower and (k + 1 >= j or not 97 <= int(text[k + 1]) <= 122)
    return odd


@compiled
def blob_end(text: Bytes, i: int, end: int) -> int:
    """Where the base64 run at `i` ends; 0 where it reads like words: its case and digits must change all the time."""
    j, changes, upper, lower, digits, before, others = i, 0, 0, 0, 0, 0, 0
    while j < end:
        b = int(text[j])
        kind = 1 if digit(b) else 2 if 97 <= b <= 122 else 3 if 65 <= b <= 90 else 0
        if kind == 0 and b != 43 and b != 47 and b != 61 and b != 45 and b != 95:
            break
        # A path, or words with hyphens.
        others += b == 47 or b == 45 or b == 95
        digits += kind == 1
        lower += kind == 2
        upper += kind == 3
        if kind and before and kind != before:
            changes += 1
        before = kind
        j += 1
    size = j - i
    while j > i and (text[j - 1] == 47 or text[j - 1] == 45 or text[j - 1] == 95):
        j -= 1
    drawn = digits >= 2 or odd_case(text, i, j) >= 2
    return j if size >= 20 and drawn and upper >= 2 and lower >= 2 and changes * 3 >= size and others * 9 <= size else 0


@compiled_with(_acting_words)
def _looks_drawn(text: Bytes, i: int, j: int) -> bool:
    """Whether letters and digits look drawn at random: hexadecimal, or digits and letters in turns, or odd case."""
    size = j - i
    digits, turns, hexadecimal, vowels, run, longest, lowers, letter_after = 0, 0, True, 0, 0, 0, 0, False
    for k in range(i, j):
        b = int(text[k])
        if b >= 128:
            return False
        digits += digit(b)
        hexadecimal = hexadecimal and _hex(b)
        low = lower(b)
        vowel = low == 97 or low == 101 or low == 105 or low == 111 or low == 117 or low == 121
        vowels += vowel
        lowers += 97 <= b <= 122
        run = 0 if vowel or digit(b) else run + 1
        longest = max(longest, run)
        if k > i:
            a = int(text[k - 1])
            turns += digit(a) != digit(b)
            letter_after = letter_after or (digit(a) and not digit(b))
    # dc01 is a name; 4f1a is none.
    if digits and digits < size and hexadecimal and ((size >= 7 and digits >= 2) or (size >= 4 and letter_after)):
        return True
    if size > 3 and text[i] == 48 and lower(int(text[i + 1])) == 120:
        return True
    if (turns >= 3 and size >= 5) or (turns >= 2 and size >= 9):
        return (word_kinds(text, i, j) & PLAIN_WORD) == 0
    return bool(
        (size >= 6 and odd_case(text, i, j) >= 2)
        or (size >= 12 and vowels * 9 < size and digits == 0 and lowers)
        or (size >= 20 and longest >= 6 and digits == 0)
    )


@compiled
def numeric_end(text: Bytes, i: int, end: int) -> int:
    """Where a number with its further parts ends: versions, dates, times, lists of numbers."""
    j = i
    while j < end and digit(int(text[j])):
        j += 1
    while j + 1 < end:
        b = int(text[j])
        if b == 46 or b == 44 or b == 58 or b == 45 or b == 95:
            k = j + 1
            if b == 44 and text[k] == 32 and k + 1 < end:
                k += 1
        elif (b == 84 or b == 116) and digit(int(text[j + 1])) and j - i >= 6:
            k = j + 1
        else:
            break
        if not digit(int(text[k])):
            break
        stop = k
        while stop < end and digit(int(text[stop])):
            stop += 1
        if stop < end and letter(int(text[stop])) and not (text[stop] == 84 or text[stop] == 116 or text[stop] == 90):
            break
        j = stop
    # The zone of a time, or its offset.
    if j < end and (text[j] == 90 or text[j] == 122) and j - i >= 10 and (j + 1 >= end or not alnum(int(text[j + 1]))):
        j += 1
    return j


@compiled
def put(out: Bytes, n: int, b: int) -> int:
    out[n] = b
    return n + 1


@compiled
def put_number(out: Bytes, n: int) -> int:
    """Writes `0`, and only once for numbers that a mark joins."""
    if n >= 2 and out[n - 2] == 48:
        b = int(out[n - 1])
        if b == 45 or b == 46 or b == 43 or b == 126 or b == 95 or b == 44 or b == 58:
            return n - 1
    return put(out, n, 48)


@compiled
def copy(text: Bytes, i: int, j: int, fold: bool, out: Bytes, n: int) -> int:
    for k in range(i, j):
        out[n] = lower(int(text[k])) if fold else text[k]
        n += 1
    return n


@compiled_with(_acting_words)
def _atom(text: Bytes, i: int, end: int, mode: int, out: Bytes, n: int) -> tuple[int, int]:
    """Writes the letters and digits at `i`; gives the next position and the new length.

    Drawn-looking ones become `*`; runs of four and more digits become `0`, and where `loose`, all digits at the end.
    """
    j = run_end(text, i, end)
    if mode & OPAQUE:
        return j, copy(text, i, j, bool(mode & FOLD), out, n)
    digits = 0
    for k in range(i, j):
        digits += digit(int(text[k]))
    # The tail of a version (1.2-3ubuntu4), and what is one letter and a number (c14).
    mark = int(out[n - 1]) if n >= 2 and out[n - 2] == 48 else 0
    letters = 0
    while i + letters < j and not digit(int(text[i + letters])):
        letters += 1
    if digits and letters <= 4 and (mark == 45 or mark == 46 or mark == 43 or mark == 126) and j - i <= 12:
        return j, put_number(out, n)
    if _looks_drawn(text, i, j) or (n >= 2 and j - i == 5 and out[n - 1] == 45 and out[n - 2] == 42):
        return j, put(out, n, 42)
    if digits and digits == j - i - 1 and not digit(int(text[i])) and (word_kinds(text, i, j) & PLAIN_WORD) == 0:
        return j, put(out, put(out, n, lower(int(text[i])) if mode & FOLD else int(text[i])), 48)
    k = i
    while k < j:
        if not digit(int(text[k])):
            out[n] = lower(int(text[k])) if mode & FOLD else text[k]
            n += 1
            k += 1
            continue
        stop = k
        while stop < j and digit(int(text[stop])):
            stop += 1
        if stop - k >= 4 or (mode & LOOSE and stop == j and (word_kinds(text, i, j) & PLAIN_WORD) == 0):
            n = put(out, n, 48)
        else:
            n = copy(text, k, stop, False, out, n)
        k = stop
    return j, n


@compiled_with(_acting_words)
def span(text: Bytes, i: int, end: int, mode: int, out: Bytes, n: int) -> int:
    """Writes `text[i:end]`, part of one word without a path, and gives the new length."""
    start = i
    while i < end:
        b = int(text[i])
        if b == 34 or b == 39:
            i += 1
            continue
        if not alnum(b):
            n = put(out, n, b)
            i += 1
            continue
        if _guid_at(text, i, end):
            n = copy(text, i, i + 36, True, out, n) if mode & CLASSES else put(out, n, 42)
            i += 36
            continue
        if digit(b):
            stop = 0 if mode & VERSION else address_end(text, start, i, end)
            if stop:
                n = copy(text, i, stop, False, out, n)
                i = stop
                continue
            stop = numeric_end(text, i, end)
            if stop >= end or not letter(int(text[stop])):
                if mode & OPAQUE:
                    n = copy(text, i, stop, False, out, n)
                    i = stop
                    continue
                setting = mode & NUMBERS and stop - i <= 5 and digit_run(text, i, stop) == stop - i
                n = copy(text, i, stop, False, out, n) if setting else put_number(out, n)
                i = stop
                continue
        i, n = _atom(text, i, end, mode, out, n)
    return n
