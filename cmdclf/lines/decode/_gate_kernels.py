"""The gate's kernels: one look at each punctuation mark, bounded, so a pass takes time linear in the bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled
from cmdclf.lines.decode._gate_text import (
    BLANK,
    HEX,
    NAME,
    PATH,
    QUOTE,
    WORD,
    WORDLIKE,
    Bytes,
    ahead,
    back,
    contains,
    ends,
    follows_literal,
    is_index,
    joins_literals,
    lower,
    one_of,
    operand,
    splits_word,
    starts_command,
    three_escapes,
    words,
)

__all__ = ["scan"]


def _marks() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Per byte whether it is a mark, and per mark and byte whether it is worth a look before that byte."""
    marks = np.zeros(256, np.bool_)
    marks[list(b"-\"'\\%!$({[^`+&|<.63*/")] = True
    marks[0xE2] = True  # the first byte of a dash
    pairs = np.repeat(marks, 256).reshape(256, 256)
    for mark, followers in (
        (0xE2, b"\x80"),
        (46, b"rRsS"),
        (47, b"eE"),
        (54, b"4"),
        (51, b"2"),
        (42, b"'\"\\"),
        (60, b"<"),
    ):
        pairs[mark] = False
        pairs[mark, list(followers)] = True
    return marks, pairs


_MARKS, _PAIRS = _marks()

_LONGEST = 65536

# What a mark alone says: certain, or in doubt until the line's words are known.
_CERTAIN, _POWERSHELL, _SET, _ASSIGNED, _BUILT = 1, 2, 4, 8, 16
_FILTER, _XXD, _PERCENT, _OPENSSL, _SHELL = 32, 64, 128, 256, 512

_ENCODED = words("encodedcommand")
_JOIN, _BXOR = words("join"), words("bxor")
_FOLDED = words("split split( csplit isplit replace creplace ireplace")
_METHODS = words("replace( split(")
_CALLS = words(
    "atob chr chrw chrb fromcharcode fromhex unhexlify reverse reversed :join bytes bytearray str_rot13"
)  # fmt: skip
_FILTERS = words("rev tac tr base64 base32 xxd openssl sed")
_CASTS = words("[char] [char[ [byte[")
_KNOWN = words("$env: ${env: $shellid $pshome $verbosepreference $debugpreference $warningpreference")
_INVOKED = words("iex invoke-expression")
_ROT13 = words("rot13 rot_13 rot-13")
_BIN = words("/bin/ /usr/bin/")
_IN, _IFS = words("in"), words("ifs {ifs")
_FROM, _BASE = words("from"), words("base")
_DECODE = words("decode _decode")
_HOSTS = words("mshta javascript: vbscript: unescape decodeuri unquote(")
_POWERSHELLS, _PRINTS = words("powershell pwsh"), words("echo printf")
_XXDS, _OPENSSLS = words("xxd"), words("openssl")
_SETS = np.frombuffer(b"set \0set\t\0", np.uint8)


@compiled
def _reference(data: Bytes, at: int, high: int) -> int:
    """What stands at a `%` or `!`: certain for a variable's part (`%x:~1,1%`), doubt for a whole one, or nothing."""
    place = at + 1
    while place < high and place - at < 260 and (WORD[data[place]] or data[place] in (40, 41)):
        place += 1
    if place >= high or place == at + 1:
        return 0
    if data[place] == data[at]:
        return _SET
    return _CERTAIN if data[place] == 58 else 0


@compiled
def _encoded(data: Bytes, first: int, high: int) -> bool:
    """Whether an option's letters at `first` are those of -EncodedCommand and a payload follows."""
    size = 1
    while first + size < high and size < 14 and lower(data[first + size]) == _ENCODED[size]:
        size += 1
    if size == 1 and first + 1 < high and lower(data[first + 1]) == 99:
        size = 2
    place = first + size
    while place < high and (BLANK[data[place]] or QUOTE[data[place]] or data[place] in (58, 92)):
        place += 1
    run = place
    while run < high and run - place < 8 and (WORD[data[run]] or data[run] in (43, 47)):
        run += 1
    return place > first + size and run - place == 8


@compiled
def _operator(data: Bytes, at: int, low: int, high: int) -> bool:
    """Whether -f, -join, -split, -replace or -bxor at `at` works on a literal."""
    first = at + 1
    letter = lower(data[first])
    if letter == 98:
        return one_of(data, first, high, _BXOR) > 0
    if letter == 106:
        if not one_of(data, first, high, _JOIN) or not operand(data, first + 4, high):
            return False
        left = back(data, at, low, True)
        # Without a left side it joins what follows.
        return left < low or follows_literal(data, at, low) or not (WORD[data[left]] or data[left] in (41, 93))
    if letter == 102:
        return operand(data, first + 1, high) and follows_literal(data, at, low)
    return one_of(data, first, high, _FOLDED) > 0 and follows_literal(data, at, low)


@compiled
def _option(data: Bytes, at: int, low: int, high: int) -> int:
    """What stands at a hyphen, slash or dash: -EncodedCommand, an operator on literals, an option of a decoder."""
    first = at + 3 if data[at] == 0xE2 else at + 1
    if first >= high:
        return 0
    letter = lower(data[first])
    starts = at == low or BLANK[data[at - 1]] or QUOTE[data[at - 1]] or data[at - 1] == 92
    if starts and letter == 101 and _encoded(data, first, high):
        return _CERTAIN
    if data[at] != 45:
        return 0
    if letter in (98, 99, 102, 105, 106, 114, 115) and _operator(data, at, low, high):
        return _CERTAIN
    doubts = 0
    if starts and letter == 97 and (first + 1 >= high or not WORD[data[first + 1]]):
        doubts = _OPENSSL
    # Options in one word, as in `xxd -p -r` and `xxd -pr`.
    for place in range(first, min(first + 4, high)):
        if data[place] == 114:
            doubts |= _XXD
        if not WORD[data[place]]:
            break
    return doubts


@compiled
def _dollar(data: Bytes, at: int, low: int, high: int, posix: bool) -> int:
    """What stands at a dollar: ${IFS}, an empty expansion, or a variable that is called, joined or taken apart."""
    first = at + 1
    if one_of(data, first, high, _IFS):
        return _CERTAIN
    if posix and (data[first] in (64, 42) or (data[first] == 40 and first + 1 < high and data[first + 1] == 41)):
        place = ahead(data, first + 1 + (data[first] == 40), high, False)
        return _CERTAIN if place < high and PATH[data[place]] and starts_command(data, at, low) else 0
    first += data[first] == 123
    place = first
    while place < high and WORD[data[place]]:
        place += 1
    if place == first:
        return 0
    doubts = 0
    place += place < high and data[place] == 125
    beside = place < high and data[place] == 36
    if posix and (beside or starts_command(data, at, low)):
        doubts |= _SHELL
    then = ahead(data, place, high, True)
    sign = data[then] if then < high else 0
    if sign == 61 and then + 1 < high and operand(data, then + 1, high):
        return doubts | _ASSIGNED
    behind = at - 1
    while behind >= low and (BLANK[data[behind]] or QUOTE[data[behind]] or data[behind] in (40, 92, 123)):
        behind -= 1
    if (
        beside or sign in (43, 45, 91, 46)
        or behind < low or data[behind] in (38, 46, 43) or ends(data, behind + 1, low, _INVOKED)
    ):  # fmt: skip
        doubts |= _BUILT
    return doubts


@compiled
def _number(data: Bytes, at: int, low: int, high: int) -> int:
    """What stands at a 64 or 32: a decoder's name."""
    if at + 1 >= high or data[at + 1] != (52 if data[at] == 54 else 50):
        return 0
    if ends(data, at, low, _DECODE) or one_of(data, at + 2, high, _DECODE):
        return _CERTAIN
    size = ends(data, at, low, _BASE)
    if size == 0:
        return 0
    if data[at] == 51:
        return _CERTAIN
    name = at - size
    if ends(data, name, low, _FROM) or (name > low and data[name - 1] in (45, 95)):
        return _CERTAIN
    # Only to encode is no decoding: an option with a d must follow.
    option = False
    for place in range(at + 2, min(at + 210, high)):
        if data[place] in (124, 59, 38):
            return 0
        option = data[place] == 45 or (option and not BLANK[data[place]])
        if option and lower(data[place]) == 100:
            return _CERTAIN
    return 0


@compiled
def _look(  # noqa: C901 - one branch per mark
    data: Bytes, at: int, low: int, high: int, posix: bool
) -> int:
    """The doubts that the mark at `at` raises."""
    byte = data[at]
    previous = data[at - 1] if at > low else 0
    following = data[at + 1] if at + 1 < high else 0
    doubts = 0
    if byte in (45, 47, 0xE2):
        doubts = _option(data, at, low, high)
    elif byte in (34, 39):
        rot = (following | 32) == 114 and one_of(data, at + 1, high, _ROT13)
        doubts = _CERTAIN if rot or splits_word(data, at, low, high) else 0
    elif byte == 92 and previous != 92:
        place = ahead(data, at, high, False)
        letter = place < high and 97 <= lower(data[place]) <= 122
        if three_escapes(data, at, high) or (posix and letter and starts_command(data, at, low)):
            doubts = _CERTAIN
    elif byte in (37, 33):
        doubts = _reference(data, at, high)
        if byte == 37 and ((HEX[following] and at + 2 < high and HEX[data[at + 2]]) or following == 117):
            doubts |= _PERCENT
        name = at + 1 + (following == 37)
        if name + 1 < high and BLANK[data[name + 1]] and one_of(data, ahead(data, name + 1, high, True), high, _IN):
            doubts = _CERTAIN
    elif byte == 36 and following != 0:
        doubts = _dollar(data, at, low, high, posix)
    elif byte == 96:
        place = back(data, at, low, False)
        if following == 96:
            doubts = _CERTAIN if posix and at + 2 < high and PATH[data[at + 2]] else 0
        elif place >= low and NAME[data[place]] and WORDLIKE[following]:
            doubts = _POWERSHELL if posix else _CERTAIN
            if following in (48, 110, 114, 116) and not (at + 2 < high and WORDLIKE[data[at + 2]]):
                doubts = 0
    elif byte == 40:
        doubts = _CERTAIN if WORD[previous] and ends(data, at, low, _CALLS) else 0
    elif byte == 123 and posix and PATH[following] and previous != 36:
        comma = False
        for place in range(at + 1, high):
            if data[place] == 125:
                return _CERTAIN if comma else 0
            if data[place] == 123 or BLANK[data[place]] or not (comma or data[place] == 44 or PATH[data[place]]):
                return 0
            comma = comma or data[place] == 44
    elif byte == 91:
        if one_of(data, at, high, _CASTS):
            return _CERTAIN
        if is_index(data, at, high) and at > low:
            if follows_literal(data, at, low):
                return _CERTAIN
            for place in range(max(low, at - 90), at):
                if data[place] == 36 and one_of(data, place, high, _KNOWN):
                    return _CERTAIN
    elif byte == 94 and previous != 94:
        place = at
        while place < high and place - at < 64 and data[place] in (94, 92):
            place += 1
        if place < high and (PATH[data[place]] or data[place - 1] == 92) and previous not in (91, 40, 61, 124):
            doubts = _POWERSHELL if posix else _CERTAIN
    elif byte in (43, 38):
        doubts = _CERTAIN if joins_literals(data, at, low, high) else 0
    elif byte == 124:
        place = ahead(data, at + 1, high, True)
        place += one_of(data, place, high, _BIN)
        doubts = _FILTER if one_of(data, place, high, _FILTERS) else 0
    elif byte == 60:
        doubts = _CERTAIN if following == 60 and at + 2 < high and data[at + 2] == 60 else 0
    elif byte == 46:
        method = (following | 32) in (114, 115) and one_of(data, at + 1, high, _METHODS)
        doubts = _CERTAIN if method and follows_literal(data, at, low) else 0
    elif byte == 42:
        doubts = _CERTAIN if (previous | 32) == 104 and QUOTE[following] else 0
    elif byte in (51, 54):
        doubts = _number(data, at, low, high)
    return doubts


@compiled
def _decides(data: Bytes, low: int, high: int, doubts: int) -> bool:
    """Whether the words of the line settle one of its doubts."""
    return (
        doubts & _CERTAIN != 0
        or doubts & (_ASSIGNED | _BUILT) == _ASSIGNED | _BUILT
        or (doubts & _POWERSHELL != 0 and contains(data, low, high, _POWERSHELLS))
        or (doubts & _SET != 0 and contains(data, low, high, _SETS))
        or (doubts & _FILTER != 0 and contains(data, low, high, _PRINTS))
        or (doubts & _XXD != 0 and contains(data, low, high, _XXDS))
        or (doubts & _PERCENT != 0 and contains(data, low, high, _HOSTS))
        or (doubts & _OPENSSL != 0 and contains(data, low, high, _OPENSSLS))
        or (doubts & _SHELL != 0 and _contains_assignment(data, low, high))
    )


@compiled
def _contains_assignment(data: Bytes, low: int, high: int) -> bool:
    """Whether a shell word `name=` occurs."""
    start = low
    for at in range(low, high):
        if data[at] == 61 and at > start and not 48 <= data[start] <= 57:
            return True
        if not WORD[data[at]]:
            delimiter = BLANK[data[at]] or QUOTE[data[at]] or data[at] in (59, 38, 124, 40, 92)
            start = at + 1 if delimiter else high
    return False


@compiled
def scan(offsets: npt.NDArray[np.int64], data: Bytes, posix: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(n,) bool: per row of string buffers whether it may hide text; `posix` says whose quoting rules apply."""
    found = np.zeros(offsets.size - 1, np.bool_)
    for row in range(offsets.size - 1):
        low = offsets[row]
        # Decoding looks at no more characters, of at most four bytes.
        high = min(offsets[row + 1], low + 4 * _LONGEST)
        doubts = 0
        for at in range(low, high):
            if _MARKS[data[at]] and (at + 1 == high or _PAIRS[data[at], data[at + 1]]):
                doubts |= _look(data, at, low, high, posix[row])
                if doubts & _CERTAIN:
                    break
        found[row] = doubts != 0 and _decides(data, low, high, doubts)
    return found
