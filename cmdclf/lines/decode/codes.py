"""Characters written as numbers: [char]73, [char[]](73,69), Chr(73), fromCharCode(...), byte arrays, -bxor."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.enclosing import POWERSHELL, widened
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.literals import LITERAL, literal
from cmdclf.lines.decode.payload import base64_bytes, bytes_text, hex_text, numbers

__all__ = ["DECODINGS"]

_CODE = r"(0x[0-9a-f]{1,4}|&h[0-9a-f]{1,4}|\d{1,5})"
_CHAR = re.compile(
    rf"(?i)(?:\[string\])?\[char\](?:\[int\])?[ \t]{{0,2}}(?:{_CODE}|\([ \t]{{0,2}}{_CODE}[ \t]{{0,2}}"
    rf"(?:([+-])[ \t]{{0,2}}(\d{{1,5}})[ \t]{{0,2}})?\))"
)
_JOINED_CHARS = re.compile(r"'[ \t]{0,4}\+[ \t]{0,4}'")
_CHR = re.compile(rf"(?i)(?<!\w)chr[wb]?\(\s{{0,2}}{_CODE}\s{{0,2}}\)(?:\s{{0,4}}[+&.]\s{{0,4}}(?=[\"']?chr))?")
_CHR_RUN = re.compile(
    r"(?i)(?<!\w)chr[wb]?\(\s{0,2}(?:0x|&h)?[0-9a-f]{1,5}\s{0,2}\)"
    r"(?:\s{0,4}[+&.]\s{0,4}chr[wb]?\(\s{0,2}(?:0x|&h)?[0-9a-f]{1,5}\s{0,2}\)){1,4000}"
)
_MARKS = r"\s{0,2}[,;:|~!@#%^&*_<>{}-]\s{0,2}"
_NUMBERS = re.compile(
    rf"(?i)(?<![\w.-])(?:0x[0-9a-f]{{1,4}}|\d{{1,8}})(?:(?:{_MARKS}|\s{{1,2}}|[g-wyz])(?:0x[0-9a-f]{{1,4}}|\d{{1,8}})){{2,8000}}(?![\w.])"
)
_PAIRS = re.compile(rf"(?i)(?<![\w.])[0-9a-f]{{2,4}}(?:(?:{_MARKS}|\s{{1,2}}|[g-z])[0-9a-f]{{2,4}}){{2,8000}}(?![\w.])")
_BASE = re.compile(r"(?i)\]::to(?:u?int(?:16|32)|byte|char)\(.{1,40}?,\s{0,2}(2|8|16)\s{0,2}\)")
# What makes a character of each number, and takes the digits two by two.
_EACH = re.compile(
    r"(?i)(?:\s?-[ci]?split\s?['\"][^'\"]{1,16}['\"])?\s?\|\s?(?:%|foreach(?:-object)?)\s?\{\s?\(?\[char\](?:\[int\])?\s?(?:\$_|\[convert\]::to\w{4,6}\(\s?\$_\s?,\s?(?:2|8|16)\s?\))\s?\)?\s?\}"
)
_DOUBLED = re.compile(rf"\(\s?\(\s?({LITERAL})\s?\)\s?\)")
_DIGITS = re.compile(
    r"(?i)'((?:[0-9a-f]{2}){4,4000})'\s?-split\s?['\"]\(\.\.\)['\"]\s?(?:\|\s?(?:\?|where(?:-object)?)\s?\{\s?\$_\s?\})?"
)
_CAST = re.compile(r"(?i)\[char\[\]\]\s{0,4}(?=\(?\s{0,2}['\"])")
_XOR = re.compile(rf"(?i)-bxor\s{{0,4}}[\"'(]?\s{{0,2}}{_CODE}")
_XOR_BEFORE = re.compile(r"(?i)(?:-join\s{0,2})?\(?\s{0,2}(?:\[char\[\]\]\s{0,2})?(?:\(?@?\(\s{0,2}|\(?\s{0,2}['\"])$")
_XOR_AFTER = re.compile(
    r"(?i)\s{0,2}(?:\)|['\"]\s?-split\s?['\"][^'\"]{1,8}['\"]\)?)\s{0,2}\|\s{0,2}(?:%|foreach(?:-object)?)\s{0,2}\{\s{0,2}"
    r"\(?(?:\[char\]|\[byte\])?\s{0,2}\(?\s{0,2}(?:\[int\])?\$_\s{0,2}-bxor\s{0,4}[^\s)}]{1,6}\s{0,2}\)?\s{0,2}\)?\s{0,2}\}\s{0,2}\)?"
    r"(?:\s{0,2}-join\s{0,2}(?:''|\"\"))?"
)
_RUN = re.compile(r"[\"'(]([A-Za-z0-9+/]{8,}={0,2})[\"')]")


def _int(code: str) -> int:
    base = 16 if code[:2].lower() in ("0x", "&h") else 10
    return int(code[2:] if base == 16 else code, base)


def _word(codes: list[int]) -> str | None:
    """The text of character codes; None if they are none."""
    if len(codes) < 3 or any(not (32 <= c < 0xD800 or c in (9, 10, 13)) for c in codes):
        return None
    word = "".join(map(chr, codes))
    return word if word.strip() and word.isascii() else None


def _char_codes(text: Text) -> Iterator[Layer]:
    """`[char]73+[char]69`, `[char](70+3)` -> `'IE'`."""

    def letter(match: re.Match[str]) -> str:
        code = _int(match[1] or match[2])
        if match[3]:
            code += int(match[4]) if match[3] == "+" else -int(match[4])
        return literal(chr(code)) if 32 <= code < 0xD800 else match[0]

    yield Layer("char", _JOINED_CHARS.sub("", _CHAR.sub(letter, text.raw)))


def _chr_calls(text: Text) -> Iterator[Layer]:
    """`Chr(87) & Chr(83)` of VBScript, `chr(111)+chr(115)` of Python, `chr(105).chr(100)` of PHP -> one literal."""

    def word(match: re.Match[str]) -> str:
        codes = [_int(code) for code in _CHR.findall(match[0])]
        if any(not 9 <= code < 0xD800 for code in codes):
            return match[0]
        return literal("".join(map(chr, codes)))

    yield Layer("char", _CHR_RUN.sub(word, text.raw))


def _number_lists(text: Text) -> Iterator[Layer]:
    """`[char[]](105,101,120)`, `'105n101n120' -split 'n'|%{[char][int]$_}`, `fromCharCode(105,100)` -> their text."""
    if "-bxor" in text.lower:
        # These numbers aren't the characters yet.
        return
    found = _BASE.search(text.raw)
    base = int(found[1]) if found else 10

    def word(match: re.Match[str]) -> str:
        spelt = _word(numbers(match[0], base))
        if spelt is None:
            return match[0]
        # A list inside a literal gives the literal's text, any other becomes a literal.
        quoted = match.start() > 0 and match.string[match.start() - 1] in "\"'"
        return spelt if quoted else literal(spelt)

    pattern = _PAIRS if base == 16 else _NUMBERS
    spelt = pattern.sub(word, text.raw)
    if base == 16:
        spelt = _DIGITS.sub(_hexadecimal, spelt)
    yield Layer("char", _CAST.sub("", spelt if spelt == text.raw else _DOUBLED.sub(r"(\1)", _EACH.sub("", spelt))))


def _hexadecimal(match: re.Match[str]) -> str:
    """The literal of pairs of digits, and how it was split, as its text."""
    found = hex_text(match[1], 8192)
    return match[0] if found is None or not found.isprintable() else literal(found)


def _xor(text: Text) -> Iterator[Layer]:
    """`... -bxor 0x23`: number lists and base64 literals with every byte changed by the constant."""
    match = _XOR.search(text.raw)
    if not match:
        return
    key = _int(match[1])
    table = bytes(n ^ (key & 255) for n in range(256))
    for listed in _NUMBERS.finditer(text.raw):
        codes = numbers(listed[0])
        word = _word([code ^ key for code in codes])
        if word is not None:
            yield Layer("xor", word, _xor_span(text.raw, *listed.span()))
    for run in _RUN.finditer(text.raw):
        data = base64_bytes(run[1], text.limit, text.budget)
        plain = None if data is None else bytes_text(data.translate(table), text.limit)
        if plain is not None:
            yield Layer("xor", plain, run.span())


def _xor_span(raw: str, start: int, end: int) -> tuple[int, int]:
    """The numbers with the loop over them and what runs it."""
    before, after = _XOR_BEFORE.search(raw[max(0, start - 60) : start]), _XOR_AFTER.match(raw, end)
    if not before or not after:
        return start, end
    return widened(raw, start - len(before[0]), after.end(), POWERSHELL)


DECODINGS = (
    Decoding("xor", ("-bxor",), _xor, marks=marks.CODES),
    Decoding("char_codes", ("[char]",), _char_codes, rewrites=True, marks=marks.CODES),
    Decoding(
        "number_lists", ("[char]", "[char[", "[byte[", "fromcharcode(", "chr(", "bytes(", "bytearray("), _number_lists,
        rewrites=True, marks=marks.CODES),
    Decoding("chr_calls", ("chr(", "chrw(", "chrb("), _chr_calls, rewrites=True, marks=marks.CODES),
)  # fmt: skip
