"""The compiled scanner that writes a line's behaviour text: what acts stays, what varies freely goes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.dedup import _acting_words, _behaviour_atoms, _behaviour_paths
from cmdclf.dedup._acting_words import (
    BLOB_WORD,
    CLASS_WORD,
    COUNTER_WORD,
    HOST_FLAG,
    NUMBER_FLAG,
    NUMBER_WORD,
    VERSION_WORD,
)
from cmdclf.dedup._behaviour_atoms import (
    BLOBS,
    CLASSES,
    FOLD,
    NUMBERS,
    OPAQUE,
    VERSION,
    Bytes,
    address_end,
    alnum,
    blob_end,
    copy,
    digit,
    digit_run,
    letter,
    lower,
    numeric_end,
    put,
    put_number,
    run_end,
    span,
    word_kinds,
)
from cmdclf.dedup._behaviour_paths import last_dot, put_file, put_path, put_url, scheme_at, url_end
from cmdclf.jit import compiled_with

__all__ = ["behaviour_rows"]

Offsets = npt.NDArray[np.int64]

# What a piece says of the next one only, as bits above those of the modes: it names a host; it is a number; a number of
# one digit is a setting; the piece itself names what is counted. `_LASTING` are the bits that stay.
_HOST_NEXT, _NUMBER_NEXT, _DIGIT_NEXT, _COUNTED = 128, 256, 512, 1024
_LASTING = NUMBERS | BLOBS | CLASSES | OPAQUE


@compiled_with(_behaviour_atoms, _behaviour_paths)
def _stops(text: Bytes, start: int, i: int, end: int) -> bool:
    """Whether a piece of a word ends at `i`: at an operator, a bracket or a quote, or between a name and its value."""
    b = int(text[i])
    if b == 58:
        # A drive's colon and a scheme's belong to what follows.
        after = int(text[i + 1]) if i + 1 < end else 0
        drive = i == start + 1 and (after == 92 or after == 47) and letter(int(text[start]))
        return not drive and not (i + 2 < end and after == 47 and text[i + 2] == 47)
    return (
        b == 61 or b == 59 or b == 44 or b == 124 or b == 38 or b == 60 or b == 62 or b == 40 or b == 41
        or b == 34 or b == 39 or b == 96 or b == 64 or b == 43
    )  # fmt: skip


@compiled_with(_acting_words, _behaviour_atoms, _behaviour_paths)
def _piece(text: Bytes, i: int, end: int, flag: bool, mode: int, out: Bytes, n: int) -> int:
    """Writes one piece: a path, a flag, a bare file's name or a word."""
    slashes = 0
    for k in range(i, end):
        slashes += text[k] == 47 or text[k] == 92
    if slashes and not (flag and slashes == 1 and text[i] == 47):
        return put_path(text, i, end, mode, out, n)
    if flag:
        # -9 and -O2 are settings, -20240101 is none.
        if 1 < end - i <= 3 and digit(int(text[end - 1])):
            return copy(text, i, end, bool(mode & FOLD), out, n)
        return span(text, i, end, mode, out, n)
    if last_dot(text, i, end) >= 0:
        return put_file(text, i, end, mode, False, out, n)
    return span(text, i, end, mode, out, n)


@compiled_with(_behaviour_atoms, _behaviour_paths)
def _far_address(text: Bytes, i: int, end: int) -> bool:
    """Whether the piece is an IPv4 address of another machine."""
    if end - i < 7 or not digit(int(text[i])) or address_end(text, i, i, end) != end:
        return False
    return text[i] != 48 and not (text[i] == 49 and text[i + 1] == 50 and text[i + 2] == 55)


@compiled_with(_acting_words, _behaviour_atoms, _behaviour_paths)
def _counts(text: Bytes, i: int, end: int) -> bool:
    """Whether a name's last word says that its value is a number of many: `renderer-client-id`."""
    j = end
    while j > i and alnum(int(text[j - 1])):
        j -= 1
    return (word_kinds(text, j, end) & COUNTER_WORD) != 0


@compiled_with(_behaviour_atoms, _behaviour_paths)
def _squeezed(out: Bytes, first: int, n: int) -> int:
    """A list of what varies is as good as one: `0,0,0` is `0`."""
    one = n - first == 1 and first >= 2 and (out[first] == 48 or out[first] == 42)
    return first - 1 if one and out[first - 1] == 44 and out[first - 2] == out[first] else n


@compiled_with(_acting_words, _behaviour_atoms, _behaviour_paths)
def _special(text: Bytes, start: int, i: int, end: int, state: int, out: Bytes, n: int) -> tuple[int, int]:
    """Writes a URL, a share's host, an encoded run or a time at `i`; gives where it ends (`i`: none) and the length."""
    scheme = scheme_at(text, i, end)
    if scheme >= 0:
        stop = url_end(text, scheme + 3, end)
        return stop, put_url(text, i, scheme, stop, out, n)
    if i + 2 < end and text[i] == 92 and text[i + 1] == 92 and text[i + 2] != 92:
        # \\\\host\\share: the host stays as it is.
        stop = i + 2
        while stop < end and text[stop] != 92 and text[stop] != 47 and text[stop] != 34 and text[stop] != 39:
            stop += 1
        return stop, copy(text, i, stop, True, out, n)
    if i > start and alnum(int(text[i - 1])):
        return i, n
    stop = blob_end(text, i, end)
    if stop:
        if state & (BLOBS | OPAQUE):
            return stop, copy(text, i, stop, False, out, n)
        return stop, _squeezed(out, n, put(out, n, 42))
    if digit(int(text[i])):
        # A time's colons part nothing.
        stop = numeric_end(text, i, end)
        if stop - i >= 7 and (stop >= end or not alnum(int(text[stop]))) and not address_end(text, i, i, end):
            return stop, copy(text, i, stop, False, out, n) if state & OPAQUE else put_number(out, n)
    return i, n


@compiled_with(_acting_words, _behaviour_atoms, _behaviour_paths)
def _learned(text: Bytes, i: int, end: int, flag: bool, value_follows: bool, state: int) -> int:
    """The state after a piece: what its last name says of the pieces that follow."""
    last = i
    for k in range(i, end):
        if text[k] == 47 or text[k] == 92:
            last = k + 1
    kinds = word_kinds(text, last, end)
    counts = _counts(text, last, end)
    state &= _LASTING
    if counts:
        state |= _COUNTED
    if kinds & NUMBER_WORD:
        state |= NUMBERS
    if (flag and kinds & NUMBER_FLAG) or _far_address(text, i, end):
        state |= _NUMBER_NEXT
    if not counts and (value_follows or (flag and end - i >= 4)):
        state |= _DIGIT_NEXT
    if kinds & CLASS_WORD:
        state |= CLASSES
    if kinds & VERSION_WORD:
        state |= VERSION
    if kinds & BLOB_WORD and (flag or not kinds & HOST_FLAG):
        state |= BLOBS
    if kinds & HOST_FLAG and (flag or value_follows):
        state |= _HOST_NEXT
    return state


@compiled_with(_behaviour_atoms)
def _all_hex(text: Bytes, i: int, end: int) -> bool:
    """Whether a piece of up to 16 characters is a hexadecimal number with a digit."""
    digits = 0
    for k in range(i, end):
        b = lower(int(text[k]))
        if not (digit(b) or 97 <= b <= 102):
            return False
        digits += digit(b)
    return digits > 0 and end - i <= 16


@compiled_with(_behaviour_atoms)
def _system_folder(text: Bytes, i: int, end: int) -> int:
    """How long the folder of the system's own programs is with which the piece begins; 0 where it does not."""
    last, slashes = 0, 0
    for k in range(i, end):
        if text[k] == 47 or text[k] == 92:
            last, slashes = k + 1 - i, slashes + 1
    b, c = lower(int(text[i])), lower(int(text[i + 1])) if end - i > 1 else 0
    windows = slashes == 3 and last == 20 and b == 99 and c == 58 and lower(int(text[i + 3])) == 119
    # /bin/, /sbin/, /usr/bin/, /usr/sbin/
    unix = b == 47 and ((slashes == 2 and (last == 5 or last == 6)) or (slashes == 3 and (last == 9 or last == 10)))
    if windows:
        return last if lower(int(text[i + 11])) == 115 and text[i + 17] == 51 and text[i + 18] == 50 else 0
    if unix and text[i + last - 2] == 110 and text[i + last - 3] == 105 and text[i + last - 4] == 98:
        return last if slashes == 2 or text[i + 1] == 117 else 0
    return 0


@compiled_with(_acting_words, _behaviour_atoms, _behaviour_paths)
def _word(text: Bytes, i: int, end: int, fold: bool, state: int, out: Bytes, n: int) -> tuple[int, int]:
    """Writes one word; gives the new length and what was learned for the words that follow."""
    while i < end and (text[i] == 34 or text[i] == 39):
        i += 1
    start, flag = i, i < end and (text[i] == 45 or (fold and text[i] == 47))
    while i < end:
        stop, n = _special(text, start, i, end, state, out, n)
        if stop > i:
            i, flag, state = stop, False, state & _LASTING
            continue
        while stop < end and not _stops(text, i, stop, end):
            stop += 1
        if stop > i:
            before = n
            if state & _HOST_NEXT and run_end(text, i, stop) - i > digit_run(text, i, stop):
                n = copy(text, i, stop, True, out, n)
            elif state & _COUNTED and _all_hex(text, i, stop):
                n = put_number(out, n)
            elif state & _DIGIT_NEXT and stop - i == 1 and digit(int(text[i])):
                n = put(out, n, int(text[i]))
            else:
                mode = state | (FOLD if fold else 0) | (NUMBERS if state & _NUMBER_NEXT else 0)
                at = i + _system_folder(text, i, stop) if n == 0 else i
                n = _squeezed(out, before, _piece(text, at, stop, flag, mode, out, n))
            value_follows = stop < end and (text[stop] == 61 or text[stop] == 58)
            state = _learned(text, i, stop, flag, value_follows, state)
            flag = False
        if stop < end:
            b = int(text[stop])
            padding = (
                b == 61 and out[n - 1] == 42 and (stop + 1 >= end or not alnum(int(text[stop + 1]))) if n else False
            )
            if b != 34 and b != 39 and not padding:
                n = put(out, n, b)
            if b == 40:
                state &= ~_NUMBER_NEXT
            stop += 1
        i = stop
    return n, state


@compiled_with(_behaviour_atoms, _behaviour_paths)
def _one_path(text: Bytes, i: int, end: int) -> bool:
    """Whether what stands between two quotes is one path, blanks and all."""
    if not 4 <= end - i <= 300:
        return False
    drive = letter(int(text[i])) and text[i + 1] == 58 and (text[i + 2] == 92 or text[i + 2] == 47)
    rooted = (text[i] == 92 and text[i + 1] == 92) or (text[i] == 47 and alnum(int(text[i + 1])))
    if not (drive or rooted or text[i] == 37 or text[i] == 36 or text[i] == 126):
        return False
    for k in range(i, end):
        b = int(text[k])
        if b == 59 or b == 124 or b == 60 or b == 62 or b == 34 or b == 39 or b == 96:
            return False
        if b == 32 and k + 1 < end and (text[k + 1] == 45 or text[k + 1] == 47):
            return False
    return True


@compiled_with(_behaviour_atoms, _behaviour_paths)
def _word_end(text: Bytes, i: int, end: int) -> int:
    """Where the word at `i` ends: at white space that stands in no quoted path. Linear over a line."""
    while i < end and text[i] > 32:
        b = text[i]
        if b == 34 or b == 39:
            close = i + 1
            while close < end and text[close] != b:
                close += 1
            if close < end and _one_path(text, i + 1, close):
                i = close
        i += 1
    return i


@compiled_with(_behaviour_atoms, _behaviour_paths)
def _operator(b: int) -> bool:
    return b == 59 or b == 124 or b == 38 or b == 60 or b == 62 or b == 40 or b == 41


@compiled_with(_acting_words, _behaviour_atoms, _behaviour_paths)
def _line(text: Bytes, i: int, end: int, fold: bool, state: int, out: Bytes) -> int:
    n = 0
    while i < end:
        if text[i] <= 32:
            i += 1
            continue
        stop = _word_end(text, i, end)
        # Blanks beside an operator say nothing.
        if n and not _operator(int(out[n - 1])) and not _operator(int(text[i])):
            n = put(out, n, 32)
        n, state = _word(text, i, stop, fold, state, out, n)
        i = stop
    return n


@compiled_with(_acting_words, _behaviour_atoms, _behaviour_paths)
def behaviour_rows(
    text: Bytes, offsets: Offsets, fold: npt.NDArray[np.bool_], modes: npt.NDArray[np.int64]
) -> tuple[Bytes, Offsets]:
    """The behaviour texts of the lines in `text` as Arrow keeps strings: their bytes and (n + 1,) int64 offsets.

    Args:
        text: the UTF-8 bytes of all lines.
        offsets: (n + 1,) where each begins.
        fold: (n,) whether letter case means nothing (Windows).
        modes: (n,) bits to begin with: `OPAQUE` where the line makes code out of data.
    """
    out = np.empty(2 * (offsets[-1] - offsets[0]) + 64, np.uint8)
    ends = np.zeros(len(offsets), np.int64)
    n = 0
    for row in range(len(offsets) - 1):
        n += _line(text, offsets[row], offsets[row + 1], fold[row], modes[row], out[n:])
        ends[row + 1] = n
    return out[:n], ends
