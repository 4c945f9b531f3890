"""What the gate's kernels ask about a few bytes: classes, words, literals, the place of a command.

A wrapper's argument loses its quotes and backslashes before it is decoded, so a look steps over backslashes, and takes
a quote after an option (`-c "`) for the beginning of a text.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled

__all__ = [
    "BLANK",
    "HEX",
    "NAME",
    "PATH",
    "QUOTE",
    "WORD",
    "WORDLIKE",
    "Bytes",
    "ahead",
    "back",
    "contains",
    "contains_assignment",
    "ends",
    "follows_literal",
    "is_index",
    "is_list",
    "is_one_word",
    "joins_literals",
    "lower",
    "one_of",
    "operand",
    "splits_word",
    "starts_command",
    "three_escapes",
    "words",
]

Bytes = npt.NDArray[np.uint8]

WORD = np.zeros(256, np.bool_)
WORD[list(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")] = True
WORD[128:] = True
# A variable at this place may expand to a word.
WORDLIKE = WORD.copy()
WORDLIKE[list(b"%!$}")] = True
NAME = WORDLIKE.copy()
NAME[list(b"-.")] = True
PATH = NAME.copy()
PATH[list(b"/\\:~")] = True
BLANK = np.zeros(256, np.bool_)
BLANK[list(b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f")] = True
BLANK[128:] = True  # loosely: Unicode has blanks of several bytes
HEX = np.zeros(256, np.bool_)
HEX[list(b"0123456789ABCDEFabcdef")] = True
QUOTE = np.zeros(256, np.bool_)
QUOTE[[34, 39]] = True


def words(text: str) -> Bytes:
    """Words of at most 24 bytes for `one_of`, each ended by a zero."""
    return np.frombuffer(("\0".join(text.split()) + "\0").encode(), np.uint8)


_LEADERS = words("eval exec then do su")
_ECHO, _COMMAND = words("echo"), words("command")


@compiled
def lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


@compiled
def one_of(data: Bytes, at: int, high: int, names: Bytes) -> int:
    """Length of the first of the words that stands at `at`, in any case; 0 if none does."""
    start = 0
    same = at >= 0
    for k in range(names.size):
        if names[k] == 0:
            if same:
                return k - start
            start, same = k + 1, at >= 0
        elif same:
            place = at + k - start
            same = place < high and lower(data[place]) == names[k]
    return 0


@compiled
def ends(data: Bytes, at: int, low: int, names: Bytes) -> int:
    """Length of the first of the words that ends just before `at`; 0 if none does."""
    start = 0
    for k in range(names.size):
        if names[k] == 0:
            begin = at - (k - start)
            if begin >= low and one_of(data, begin, at, names[start : k + 1]) > 0:
                return k - start
            start = k + 1
    return 0


@compiled
def contains(data: Bytes, low: int, high: int, names: Bytes) -> bool:
    for at in range(low, high):  # noqa: SIM110 - numba knows no any()
        if one_of(data, at, high, names) > 0:
            return True
    return False


@compiled
def back(data: Bytes, at: int, low: int, blanks: bool) -> int:
    """Place of the last byte before `at` that is no backslash (and no blank); `low - 1` at the start."""
    at -= 1
    while at >= low and (data[at] == 92 or (blanks and BLANK[data[at]])):
        at -= 1
    return at


@compiled
def ahead(data: Bytes, at: int, high: int, blanks: bool) -> int:
    """Place of the first byte from `at` that is no backslash (and no blank); `high` at the end."""
    while at < high and (data[at] == 92 or (blanks and BLANK[data[at]])):
        at += 1
    return at


@compiled
def follows_literal(data: Bytes, at: int, low: int) -> bool:
    """Whether a quote, a quote in parentheses, or a call's parentheses end before `at`."""
    place = back(data, at, low, True)
    if place >= low and data[place] == 41:
        place = back(data, place, low, True)
        return place >= low and bool(QUOTE[data[place]] or data[place] in (40, 41))
    return place >= low and bool(QUOTE[data[place]])


@compiled
def operand(data: Bytes, at: int, high: int) -> bool:
    place = ahead(data, at, high, True)
    return place < high and (QUOTE[data[place]] or data[place] == 40)


@compiled
def joins_literals(data: Bytes, at: int, low: int, high: int) -> bool:
    """Whether the sign at `at` stands between two quotes, with blanks on both sides or on none."""
    left, right = back(data, at, low, True), ahead(data, at + 1, high, True)
    if left < low or right >= high or not QUOTE[data[left]] or not QUOTE[data[right]]:
        return False
    return bool(BLANK[data[at - 1]] == BLANK[data[at + 1]])


@compiled
def splits_word(data: Bytes, at: int, low: int, high: int) -> bool:
    """Whether the quote at `at` stands inside a word: `who""ami`, `w'h'o`."""
    left = back(data, at, low, False)
    if left < low or not NAME[data[left]]:
        return False
    place, quotes = at, 0
    while place < high and (QUOTE[data[place]] or data[place] == 92):
        quotes += QUOTE[data[place]]
        place += 1
    if quotes > 1 and place < high and NAME[data[place]]:
        return True
    first = place
    while place < high and place - first <= 64 and WORDLIKE[data[place]]:
        place += 1
    closing = place
    while place < high and (QUOTE[data[place]] or data[place] == 92):
        place += 1
    return first < closing < place < high and WORDLIKE[data[place]]


@compiled
def three_escapes(data: Bytes, at: int, high: int) -> bool:
    """Whether three of `\\x41`, `\\u0041`, `\\101` begin at `at`."""
    for _ in range(3):
        if at >= high or data[at] != 92:
            return False
        at = ahead(data, at, high, False)
        if at + 2 >= high:
            return False
        if data[at] == 120:
            at += 3
        elif data[at] == 117 and data[at + 1] == 48 and data[at + 2] == 48:
            at += 5
        elif 48 <= data[at] <= 51:
            at += 4 if at + 3 < high and 48 <= data[at + 3] <= 55 else 3
        else:
            return False
    return True


@compiled
def is_index(data: Bytes, at: int, high: int) -> bool:
    """Whether the bracket at `at` holds numbers, a descending range or `::-1`, as an index of a literal does."""
    place = ahead(data, at + 1, high, True)
    if place < high and data[place] == 58:
        return True
    digits = False
    while place < high and data[place] != 93:
        byte = data[place]
        if byte == 46:
            return digits
        if byte == 45 and digits:
            return False
        if not (48 <= byte <= 57 or byte in (44, 45) or BLANK[byte]):
            return False
        digits = 48 <= byte <= 57 or (digits and byte != 44)
        place += 1
    return place < high


@compiled
def starts_command(data: Bytes, at: int, low: int) -> bool:
    """Whether the word that reaches to `at` stands where a shell expects a command.

    At the start, after `;`, `&`, `|`, `(`, `{`, a backtick, `eval` and its kin, or after the opening quote of an
    option's argument (`sh -c "`).
    """
    place = at - 1
    while place >= low and at - place < 400 and PATH[data[place]]:
        place -= 1
    while place >= low and (BLANK[data[place]] or QUOTE[data[place]] or data[place] == 92) and data[place] != 10:
        place -= 1
    if place < low or data[place] in (10, 59, 38, 124, 40, 123, 96) or at - place >= 400:
        return True
    if data[place] == 61:
        return ends(data, place, low, _COMMAND) > 0
    place -= data[place] == 58
    last = place + 1
    while place >= low and last - place < 40 and WORD[data[place]] and data[place] < 128:
        place -= 1
    if place >= low and (data[place] in (45, 47) or data[place] >= 128):
        # `echo -e "..."` prints.
        return ends(data, back(data, place, low, True) + 1, low, _ECHO) == 0
    return bool(ends(data, last, place + 1, _LEADERS) == last - place - 1)


@compiled
def is_list(data: Bytes, at: int, high: int) -> bool:
    """Whether the brace at `at` opens a list of words."""
    comma = False
    for place in range(at + 1, high):
        byte = data[place]
        if byte == 125:
            return comma
        if byte == 123 or (BLANK[byte] and byte < 128) or not (comma or byte == 44 or PATH[byte]):
            return False
        comma = comma or byte == 44
    return False


@compiled
def is_one_word(data: Bytes, at: int, high: int) -> bool:
    """Whether one word or one literal stands in parentheses at `at`."""
    place = ahead(data, at, high, True)
    if place >= high or data[place] != 40:
        return False
    place = ahead(data, place + 1, high, True)
    if place < high and QUOTE[data[place]]:
        return True
    while place < high and PATH[data[place]]:
        place += 1
    place = ahead(data, place, high, True)
    return place < high and data[place] == 41


@compiled
def contains_assignment(data: Bytes, low: int, high: int) -> bool:
    """Whether a shell word `name=` occurs."""
    start = low
    for at in range(low, high):
        if data[at] == 61 and at > start and not 48 <= data[start] <= 57:
            return True
        if not WORD[data[at]]:
            delimiter = BLANK[data[at]] or QUOTE[data[at]] or data[at] in (59, 38, 124, 40, 92, 123)
            start = at + 1 if delimiter else high
    return False
