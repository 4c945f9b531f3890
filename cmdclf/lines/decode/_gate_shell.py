"""What the gate asks about expansions and names: parts of words that may be empty, masks, arrays, decoders."""

from __future__ import annotations

from cmdclf.jit import compiled_with
from cmdclf.lines.decode import _gate_text, marks
from cmdclf.lines.decode._gate_text import (
    BLANK,
    NAME,
    PATH,
    QUOTE,
    WORD,
    Bytes,
    ahead,
    back,
    ends,
    lower,
    one_of,
    starts_command,
    words,
)
from cmdclf.lines.decode.marks import DECODER, EMPTY, ESCAPE, NAMES, PIPE

__all__ = ["backtick_expansion", "expansion", "finds_command", "masks_path", "names_parts", "number_name"]

_compiled = compiled_with(_gate_text, marks)

_FROM, _BASE = words("from"), words("base")
_DECODE = words("decode _decode")
_FINDERS = words("gcm get-command gal get-alias")
_IFS, _PRINTS, _PICKS = words("ifs {ifs"), words("echo printf"), words("expr cut")
# Variables that begin alike everywhere, with what cuts letters out of them.
_BEGIN_ALIKE = words("{path: {path% {home: {home% {pwd: {pwd% {oldpwd: {shell: {bash: {tmpdir: {mail: {ps2: {ps4:")


@_compiled
def numeric_escape(data: Bytes, at: int, high: int) -> bool:
    """Whether a `\\x41`, `\\101` or `\\u0041` stands before the next quote."""
    for place in range(at, min(at + 4096, high)):
        if data[place] == 39 and data[place - 1] != 92:
            return False
        if data[place] == 92 and place + 1 < high:
            letter = data[place + 1]
            if letter in (120, 117, 85) or 48 <= letter <= 55:
                return True
    return False


@_compiled
def inside_word(data: Bytes, at: int, low: int, high: int) -> bool:
    """Whether an expansion at `at` that may be empty stands between two parts of a word."""
    left = back(data, at, low, False)
    if left < low or not NAME[data[left]]:
        return False
    place = at + 1
    if place < high and data[place] == 40:
        place += 1
        if place >= high or data[place] != 41:
            return False
        place += 1
    elif place < high and data[place] == 123:
        while place < high and place - at < 48 and data[place] != 125:
            place += 1
        place += 1
    elif place < high and (data[place] in (42, 64) or 49 <= data[place] <= 57):
        place += 1
    else:
        return False
    place = ahead(data, place, high, False)
    return place < high and NAME[data[place]]


@_compiled
def has_default(data: Bytes, at: int, high: int) -> bool:
    """Whether a brace at `at + 1` holds a name and what stands for it: `${v:-x}`, `${v+x}`."""
    place = at + 2
    while place < high and place - at < 48 and WORD[data[place]]:
        place += 1
    if place == at + 2 or place >= high:
        return False
    place += data[place] == 58
    return place < high and data[place] in (45, 61, 43)


@_compiled
def names_parts(data: Bytes, at: int, low: int, high: int) -> int:
    """1 if the parenthesis at `at` opens an array's words, `a=(`; 2 if it stands in `f() {`; else 0."""
    if at > low + 1 and data[at - 1] == 61 and WORD[data[at - 2]]:
        return 1
    place = ahead(data, at + 1, high, True)
    if place >= high or data[place] != 41:
        return 0
    place = ahead(data, place + 1, high, True)
    return 2 if place < high and data[place] == 123 else 0


@_compiled
def finds_command(data: Bytes, at: int, low: int) -> bool:
    """Whether the wildcard at `at` stands in the argument of Get-Command or Get-Alias."""
    for place in range(max(low, at - 48), at):
        size = one_of(data, place, at, _FINDERS)
        if size and place + size < at and BLANK[data[place + size]]:
            return True
    return False


@_compiled
def masks_path(data: Bytes, at: int, low: int) -> bool:
    """Whether the wildcard at `at` stands in a word that begins with a slash."""
    place = at - 1
    while place >= low and at - place < 250 and (PATH[data[place]] or data[place] in (42, 43, 63, 64, 91, 93, 94)):
        place -= 1
    return place + 1 < at and data[place + 1] == 47


@_compiled
def expansion(data: Bytes, at: int, low: int, high: int, posix: bool) -> int:
    """What a shell expands at the dollar at `at`: ${IFS}, $'\\x41', $(echo, ${PATH:0:1}, a part that may be empty."""
    first = at + 1
    if one_of(data, first, high, _IFS):
        return EMPTY
    if data[first] == 40 and one_of(data, first + 1, high, _PRINTS):
        return PIPE
    if data[first] == 40 and one_of(data, first + 1, high, _PICKS):
        return NAMES
    if not posix:
        return 0
    if data[first] == 39:
        return ESCAPE if numeric_escape(data, first + 1, high) else 0
    if data[first] == 123 and first + 1 < high and data[first + 1] == 33:
        return EMPTY
    if data[first] == 123 and has_default(data, at, high):
        return EMPTY
    if inside_word(data, at, low, high) or one_of(data, first, high, _BEGIN_ALIKE):
        return EMPTY
    if data[first] in (64, 42) or (data[first] == 40 and first + 1 < high and data[first + 1] == 41):
        place = ahead(data, first + 1 + (data[first] == 40), high, False)
        return EMPTY if place < high and PATH[data[place]] and starts_command(data, at, low) else 0
    return 0


@_compiled
def backtick_expansion(data: Bytes, at: int, high: int, posix: bool) -> int:
    """What a shell expands at the backtick at `at`: an empty substitution, or one that prints."""
    if one_of(data, at + 1, high, _PRINTS):
        return PIPE
    empty = at + 2 < high and data[at + 1] == 96 and PATH[data[at + 2]]
    return EMPTY if posix and empty else 0


@_compiled
def number_name(data: Bytes, at: int, low: int, high: int) -> int:
    """What stands at a 64 or 32: a decoder's name."""
    if at + 1 >= high or data[at + 1] != (52 if data[at] == 54 else 50):
        return 0
    if ends(data, at, low, _DECODE) or one_of(data, at + 2, high, _DECODE):
        return DECODER
    size = ends(data, at, low, _BASE)
    if size == 0:
        return 0
    if data[at] == 51:
        return DECODER
    name = at - size
    # Node's name of the encoding, in quotes.
    if name > low and QUOTE[data[name - 1]] and at + 2 < high and QUOTE[data[at + 2]]:
        return DECODER
    if ends(data, name, low, _FROM) or (name > low and data[name - 1] in (45, 95)):
        return DECODER
    # Only to encode is no decoding: an option with a d must follow.
    option = False
    for place in range(at + 2, min(at + 210, high)):
        if data[place] in (124, 59, 38):
            return 0
        option = data[place] == 45 or (option and not BLANK[data[place]])
        if option and lower(data[place]) == 100:
            return DECODER
    return 0
