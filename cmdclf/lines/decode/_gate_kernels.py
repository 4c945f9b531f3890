"""The gate's kernels: one look at each punctuation mark, bounded, so a pass takes time linear in the bytes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cmdclf.jit import compiled_with
from cmdclf.lines.decode import _gate_shell, _gate_text, marks
from cmdclf.lines.decode._gate_shell import (
    backtick_expansion,
    expansion,
    finds_command,
    masks_path,
    names_parts,
    number_name,
)
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
    contains_assignment,
    ends,
    follows_literal,
    is_index,
    is_list,
    is_one_word,
    joins_literals,
    lower,
    one_of,
    operand,
    splits_word,
    starts_command,
    three_escapes,
    words,
)
from cmdclf.lines.decode.marks import (
    BACKSLASH,
    BACKTICK,
    BRACE,
    CARET,
    CODES,
    DECODER,
    ENCODED,
    ENVIRONMENT,
    ESCAPE,
    EVERYTHING,
    FOLD,
    FOR,
    NAMES,
    PERCENT,
    PIPE,
    QUOTES,
    REVERSAL,
    ROT13,
    SHELL_VARIABLE,
    VARIABLE,
)

__all__ = ["marks_of", "scan"]

_compiled = compiled_with(_gate_shell, _gate_text, marks)


def _marks() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Per byte whether it is a mark, and per mark and byte whether it is worth a look before that byte."""
    first = np.zeros(256, np.bool_)
    first[list(b"-\"'\\%!$({[^`+&|<.63*/?")] = True
    first[[0, 0xE2]] = True  # NUL, which is written as \x00 before decoding; the first byte of a dash
    pairs = np.repeat(first, 256).reshape(256, 256)
    words_too = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
    for mark, followers in (
        (0xE2, b"\x80"), (46, b"rRsSiItTnN"), (47, b"eE"), (54, b"4"), (51, b"2"), (60, b"<("),
        (42, b"'\"\\) " + words_too),
    ):  # fmt: skip
        pairs[mark] = False
        pairs[mark, list(followers)] = True
    return first, pairs


_MARKS, _PAIRS = _marks()

_LONGEST = 65536

# In doubt until the line's words are known.
_POWERSHELL_CARET, _POWERSHELL_TICK, _SET, _ASSIGNED, _BUILT = 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24
_FILTER, _XXD, _HEXES, _OPENSSL, _SHELL = 1 << 25, 1 << 26, 1 << 27, 1 << 28, 1 << 29
_LISTED, _ELEMENT = 1 << 30, 1 << 31

_ENCODED = words("encodedcommand")
_JOIN, _BXOR = words("join"), words("bxor")
_FOLDED = words("split split( csplit isplit replace creplace ireplace")
_METHODS = words("replace( split( insert( remove( substring( trim tolower toupper tostring( normalize(")
_DECODERS, _REVERSERS = words("atob fromhex unhexlify"), words("reverse reversed [regex]::matches")
_CODERS = words("chr chrw chrb fromcharcode bytes bytearray")
_JOINER, _ROTATOR = words(":join :format :concat"), words("str_rot13")
_CALLERS = words("scriptblock]::create invokescript newscriptblock datastring urldecode htmldecode")
_FILTERS = words("rev tac tr base64 base32 xxd openssl sed sh bash zsh dash ksh ash xargs sudo")
_CASTS = words("[char] [char[ [byte[")
_KNOWN = words("$env: ${env: $shellid $pshome $verbosepreference $debugpreference $warningpreference")
_INVOKED = words("iex invoke-expression")
_ROT13, _SETTING = words("rot13 rot_13 rot-13"), words("set")
_BIN, _IN = words("/bin/ /usr/bin/"), words("in")
_HOSTS = words("mshta javascript: vbscript: unescape decodeuri unquote(")
_POWERSHELLS, _PRINTS = words("powershell pwsh"), words("echo printf")
_XXDS, _OPENSSLS = words("xxd"), words("openssl")
_ENV = words("env: {env:")
_SETS = np.frombuffer(b"set \0set\t\0", np.uint8)


@_compiled
def _reference(data: Bytes, at: int, high: int) -> int:
    """What stands at a `%` or `!`: certain for a variable's part (`%x:~1,1%`), doubt for a whole one, or nothing."""
    place = at + 1
    while place < high and place - at < 260 and (WORD[data[place]] or data[place] in (40, 41)):
        place += 1
    if place >= high or place == at + 1:
        return 0
    if data[place] == data[at]:
        return _SET
    return ENVIRONMENT if data[place] == 58 else 0


@_compiled
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


@_compiled
def _operator(data: Bytes, at: int, low: int, high: int) -> int:
    """What -f, -join, -split or -replace at `at` folds if it works on a literal, and -bxor."""
    first = at + 1
    letter = lower(data[first])
    if letter == 98:
        return CODES if one_of(data, first, high, _BXOR) else 0
    if letter == 106:
        if not one_of(data, first, high, _JOIN) or not operand(data, first + 4, high):
            return 0
        left = back(data, at, low, True)
        # Without a left side it joins what follows.
        alone = left < low or not (WORD[data[left]] or data[left] in (41, 93)) or starts_command(data, at, low)
        alone = alone or (left > low and data[left - 1] == 47)
        return FOLD if alone or follows_literal(data, at, low) else 0
    if letter == 102:
        return FOLD if operand(data, first + 1, high) and follows_literal(data, at, low) else 0
    return FOLD if one_of(data, first, high, _FOLDED) and follows_literal(data, at, low) else 0


@_compiled
def _option(data: Bytes, at: int, low: int, high: int) -> int:
    """What stands at a hyphen, slash or dash: -EncodedCommand, an operator on literals, an option of a decoder."""
    first = at + 3 if data[at] == 0xE2 else at + 1
    if first >= high:
        return 0
    letter = lower(data[first])
    if letter == 45 and data[at] == 45 and ends(data, back(data, at, low, True) + 1, low, _SETTING):
        return NAMES
    starts = at == low or BLANK[data[at - 1]] or QUOTE[data[at - 1]] or data[at - 1] == 92
    if starts and letter == 101 and _encoded(data, first, high):
        return ENCODED
    if data[at] != 45:
        return 0
    doubts = 0
    if letter in (98, 99, 102, 105, 106, 114, 115):
        doubts = _operator(data, at, low, high)
    if letter == 97 and (first + 1 >= high or not WORD[data[first + 1]]):
        doubts |= _OPENSSL
    # Options in one word, as in `xxd -p -r` and `xxd -pr`.
    for place in range(first, min(first + 4, high)):
        if data[place] == 114:
            doubts |= _XXD
        if not WORD[data[place]]:
            break
    return doubts


@_compiled
def _dollar(data: Bytes, at: int, low: int, high: int, posix: bool) -> int:
    """What stands at a dollar: ${IFS}, an empty expansion, or a variable that is called, joined or taken apart."""
    first = at + 1
    doubts = expansion(data, at, low, high, posix) | (_SET if one_of(data, first, high, _ENV) else 0)
    first += data[first] == 123
    place = first
    while place < high and WORD[data[place]]:
        place += 1
    if place == first:
        return doubts
    place += place < high and data[place] == 125
    if place + 1 < high and data[at + 1] == 123:
        doubts |= _ELEMENT if data[place] == 91 else 0
        doubts |= NAMES if posix and data[place] == 58 and data[place + 1] == 36 else 0
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


@_compiled
def _look(  # noqa: C901 - one branch per mark
    data: Bytes, at: int, low: int, high: int, posix: bool
) -> int:
    """The bits that the mark at `at` raises."""
    byte = data[at]
    previous = data[at - 1] if at > low else 0
    following = data[at + 1] if at + 1 < high else 0
    if byte in (45, 47, 0xE2):
        return _option(data, at, low, high)
    if byte in (34, 39):
        rot = (following | 32) == 114 and one_of(data, at + 1, high, _ROT13) > 0
        if previous == 64 and following in (10, 13):
            return FOLD
        return (ROT13 if rot else 0) | (QUOTES if splits_word(data, at, low, high) else 0)
    if byte == 92 and previous != 92:
        place = ahead(data, at, high, False)
        letter = place < high and (97 <= lower(data[place]) <= 122 or data[place] in (33, 37))
        bits = ESCAPE if three_escapes(data, at, high) else 0
        continued = following in (10, 13) or (letter and starts_command(data, at, low))
        return bits | (BACKSLASH if posix and continued else 0)
    if byte in (37, 33):
        return _percent(data, at, high)
    if byte == 36 and following != 0:
        return _dollar(data, at, low, high, posix)
    if byte == 96:
        return _backtick(data, at, low, high, posix)
    if byte == 40 and posix and names_parts(data, at, low, high) > 0:
        return _LISTED if previous == 61 else NAMES
    if byte == 40 and WORD[previous]:
        return _call(data, at, low)
    if byte == 123 and posix and PATH[following] and previous != 36:
        return BRACE if is_list(data, at, high) else 0
    if byte == 91:
        return _bracket(data, at, low, high) | (BRACE if posix and masks_path(data, at, low) else 0)
    if byte == 63:
        if finds_command(data, at, low):
            return FOLD
        return BRACE if posix and masks_path(data, at, low) else 0
    if byte == 94 and previous != 94:
        place = at
        while place < high and data[place] == 94:
            place += 1
        if place < high and PATH[data[place]] and previous not in (91, 40, 61, 124):
            return _POWERSHELL_CARET if posix else CARET
    if byte in (43, 38):
        return FOLD if joins_literals(data, at, low, high) else 0
    if byte == 124:
        place = ahead(data, at + 1, high, True)
        place += one_of(data, place, high, _BIN)
        return _FILTER if one_of(data, place, high, _FILTERS) else 0
    if byte == 60:
        return PIPE if following == 60 and previous != 60 else _FILTER if following == 40 else 0
    if byte == 46:
        method = one_of(data, at + 1, high, _METHODS) > 0
        return FOLD if method and follows_literal(data, at, low) else 0
    if byte == 42:
        if finds_command(data, at, low):
            return FOLD
        if WORD[following]:
            return BRACE if posix and WORD[previous] and masks_path(data, at, low) else 0
        return DECODER if (previous | 32) == 104 and (QUOTE[following] or following == 92) else 0
    if byte in (51, 54):
        return number_name(data, at, low, high)
    return EVERYTHING if byte == 0 else 0


@_compiled
def _percent(data: Bytes, at: int, high: int) -> int:
    """What stands at a `%` or `!`: a variable, a loop's name, an encoded byte."""
    bits = _reference(data, at, high)
    if data[at] == 33 or at + 2 >= high:
        return bits
    if (HEX[data[at + 1]] and HEX[data[at + 2]]) or data[at + 1] == 117:
        bits |= _HEXES
    name = at + 1 + (data[at + 1] == 37)
    if name + 1 < high and BLANK[data[name + 1]]:
        word = ahead(data, name + 1, high, True)
        if one_of(data, word, high, _IN) and is_one_word(data, word + 2, high):
            bits |= FOR
    return bits


@_compiled
def _backtick(data: Bytes, at: int, low: int, high: int, posix: bool) -> int:
    following = data[at + 1] if at + 1 < high else 0
    bits = backtick_expansion(data, at, high, posix)
    if bits or following == 96:
        return bits
    place = back(data, at, low, False)
    if place < low or not NAME[data[place]] or not WORDLIKE[following]:
        return 0
    # A line break or a tab of a PowerShell string.
    if following in (48, 110, 114, 116) and not (at + 2 < high and WORDLIKE[data[at + 2]]):
        return 0
    return _POWERSHELL_TICK if posix else BACKTICK


@_compiled
def _call(data: Bytes, at: int, low: int) -> int:
    if ends(data, at, low, _CODERS):
        return CODES
    if ends(data, at, low, _DECODERS):
        return DECODER
    if ends(data, at, low, _REVERSERS):
        return REVERSAL
    if ends(data, at, low, _JOINER) or ends(data, at, low, _CALLERS):
        return FOLD
    return ROT13 if ends(data, at, low, _ROTATOR) else 0


@_compiled
def _bracket(data: Bytes, at: int, low: int, high: int) -> int:
    if one_of(data, at, high, _CASTS):
        return CODES
    if at == low or not is_index(data, at, high):
        return 0
    if follows_literal(data, at, low):
        return FOLD
    for place in range(max(low, at - 90), at):
        if data[place] == 36 and one_of(data, place, high, _KNOWN):
            return FOLD
    return 0


@_compiled
def _settled(data: Bytes, low: int, high: int, bits: int) -> int:
    """The bits with the doubts settled by the words of the line."""
    if bits & (_POWERSHELL_CARET | _POWERSHELL_TICK) and contains(data, low, high, _POWERSHELLS):
        bits |= (CARET if bits & _POWERSHELL_CARET else 0) | (BACKTICK if bits & _POWERSHELL_TICK else 0)
    if bits & _SET and contains(data, low, high, _SETS):
        bits |= ENVIRONMENT
    if bits & _ASSIGNED and bits & _BUILT:
        bits |= VARIABLE
    if bits & _FILTER and contains(data, low, high, _PRINTS):
        bits |= PIPE
    if (bits & _XXD and contains(data, low, high, _XXDS)) or (bits & _OPENSSL and contains(data, low, high, _OPENSSLS)):
        bits |= DECODER
    if bits & _HEXES and contains(data, low, high, _HOSTS):
        bits |= PERCENT
    if bits & _LISTED and bits & _ELEMENT:
        bits |= NAMES
    if bits & _SHELL and contains_assignment(data, low, high):
        bits |= SHELL_VARIABLE
    return bits & EVERYTHING


@_compiled
def marks_of(data: Bytes, posix: bool) -> int:
    """The bits of one text: which decodings have something to undo; `posix` says whose quoting rules apply."""
    bits = 0
    for at in range(data.size):
        if _MARKS[data[at]] and (at + 1 == data.size or _PAIRS[data[at], data[at + 1]]):
            bits |= _look(data, at, 0, data.size, posix)
    return _settled(data, 0, data.size, bits)


@_compiled
def scan(offsets: npt.NDArray[np.int64], data: Bytes, posix: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(n,) bool: per row of string buffers whether any decoding has something to undo."""
    found = np.zeros(offsets.size - 1, np.bool_)
    for row in range(offsets.size - 1):
        low = offsets[row]
        # Decoding looks at no more characters, of at most four bytes.
        high = min(offsets[row + 1], low + 4 * _LONGEST)
        bits = 0
        for at in range(low, high):
            if _MARKS[data[at]] and (at + 1 == high or _PAIRS[data[at], data[at + 1]]):
                bits |= _look(data, at, low, high, posix[row])
                if bits & EVERYTHING:
                    break
        found[row] = bits != 0 and _settled(data, low, high, bits) != 0
    return found
