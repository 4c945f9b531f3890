"""Expressions over string literals as their value: +, -f, -replace, -join, -split, indices, reversal.

Most are PowerShell's; VBScript, JavaScript and Python write some of them alike. Each pass folds what stands directly
between literals, and the loop over the decodings folds what that brings together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.cmd_variables import replaced
from cmdclf.lines.decode.layer import Decoding, Kind, Layer, Text

__all__ = ["DECODINGS", "FIELD", "LEFT", "LITERAL", "literal", "value"]

#: A literal. A double-quoted one holds no single quote: an outer quote around a whole script is none.
LITERAL = r"(?:'[^']{0,4000}'|\"[^\"']{0,4000}\")"
_OPERAND = rf"(?:{LITERAL}|\([ \t]{{0,4}}{LITERAL}[ \t]{{0,4}}\))"
_LIST = rf"{LITERAL}(?:\s{{0,4}},\s{{0,4}}{LITERAL}){{0,1000}}"
#: A literal as the left side of an operator or a method: not the arguments of a call (`.Split('.')[0]`).
LEFT = rf"(?:{LITERAL}|(?<![\w\])])\([ \t]{{0,4}}{LITERAL}[ \t]{{0,4}}\))"
_CHARS = r"(?:\.tochararray\(\s?\))?"

_STRING = re.compile(LITERAL)
# Blanks on both sides or on none: `date -d "x" +"%F"` is no concatenation.
_PLUS = re.compile(r"\+|[ \t]{1,4}\+[ \t]{1,4}")
_PLUS_AND = re.compile(r"[+&]|[ \t]{1,4}[+&][ \t]{1,4}")
_VISUAL_BASIC = ("vbs", "execute", "createobject", "chr(", "wscript")
_REPLACE = re.compile(
    rf"(?i)({LEFT})[ \t]{{0,4}}(?:-[ci]?replace[ \t]{{0,4}}({_OPERAND})(?:[ \t]{{0,4}},[ \t]{{0,4}}({_OPERAND}))?"
    rf"|\.replace\([ \t]{{0,4}}({_OPERAND})[ \t]{{0,4}},[ \t]{{0,4}}({_OPERAND})[ \t]{{0,4}}\))"
)
_FORMAT = re.compile(
    rf"({LEFT})[ \t]{{0,4}}-[fF][ \t]{{0,4}}({_OPERAND}(?:[ \t]{{0,4}},[ \t]{{0,4}}{_OPERAND}){{0,63}})"
)
#: A place in a format.
FIELD = re.compile(r"\{(\d{1,2})(?:[,:][^{}]{0,20})?\}")
# Matches every list of literals, so that the scan never looks at one twice; folds those that are joined.
# `-join` without a left side stands first; `$x -join ','` joins what isn't known here.
_JOIN = re.compile(
    rf"(?i)((?:^|[(=;{{&|,\"])\s{{0,4}}-join\s{{0,4}})?"
    rf"(?:(?:(?<![\w\])])|(?<=-join)|(?<=-JOIN)|(?<=-Join))\(\s{{0,4}}({_LIST}){_CHARS}\s{{0,4}}\)|({_LIST}){_CHARS})"
    rf"(?:\s{{0,4}}-join\s{{0,4}}({_OPERAND}))?"
)
_JOIN_CALL = re.compile(rf"(?i)\[string\]::join\(\s{{0,4}}({LITERAL})\s{{0,4}},\s{{0,4}}\(?({_LIST})\)?\s{{0,4}}\)")
_SPLIT = re.compile(
    rf"(?i)({LEFT})[ \t]{{0,4}}(?:-[ci]?split[ \t]{{0,4}}({_OPERAND})|\.split\([ \t]{{0,4}}({_OPERAND})[ \t]{{0,4}}\))"
)
_INDEX = re.compile(
    rf"(?i)({LEFT}){_CHARS}[ \t]{{0,2}}\[([^\]\[]{{1,400}})\]"
    r"(?:\s{0,4}-join\s{0,4}(?:''|\"\"))?"
)
_BACKWARDS = re.compile(
    r"(?i)\s{0,4}-1\s{0,2}\.\.\s{0,2}-\s{0,2}(?:\d{1,5}|\(?\s{0,2}['\"$][^\]]{0,300}\.length\s{0,2}\)?)\s{0,4}"
)
_OPERATOR = re.compile(r"-[a-zA-Z]{1,12}$")
_REVERSED_MIN = 4
_MAX_VALUE = 8192
# What folding one expression costs, however short, in steps.
_CALL = 100
_META = re.compile(r"\\(.)|[.^$*+?()\[\]{}|\\]")


def value(operand: str) -> str:
    """The text of a literal, with or without parentheses around it."""
    if operand[0] == "(":
        operand = operand[1:-1].strip(" \t")
    return operand[1:-1]


def literal(text: str) -> str:
    """A text as a literal, in the quotes that it doesn't hold."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def _is_right_side(match: re.Match[str]) -> bool:
    """Whether the literal belongs to what stands before it: `$x -replace 'a', 'b' -replace 'c'`."""
    before = match.string[max(0, match.start() - 20) : match.start()].rstrip(" \t")
    return before.endswith(",") or _OPERATOR.search(before) is not None


def _items(listed: str) -> list[str]:
    return [item[1:-1] for item in _STRING.findall(listed)]


def _concatenation(text: Text) -> Iterator[Layer]:
    """`'In'+'voke'`, and VBScript's `"a" & "b"`: neighbouring literals of one kind become one."""
    plus = _PLUS_AND if any(mark in text.lower for mark in _VISUAL_BASIC) else _PLUS
    out: list[str] = []
    end = 0
    quote = ""
    for match in _STRING.finditer(text.raw):
        between = text.raw[end : match.start()]
        if quote == match[0][0] and plus.fullmatch(between):
            out[-1] = out[-1][:-1]
            out.append(match[0][1:])
        else:
            out += (between, match[0])
        end, quote = match.end(), match[0][0]
    yield Layer("concat", "".join((*out, text.raw[end:])))


def _format_operator(text: Text) -> Iterator[Layer]:
    """`'{1}{0}' -f 'x','ie'` -> `'iex'`."""

    def filled(match: re.Match[str]) -> str:
        template, items = value(match[1]), _items(match[2])
        order = [int(n) for n in FIELD.findall(template)]
        if not order or any(n >= len(items) for n in order) or not text.budget.spend(len(items) * 8):
            return match[0]
        pieces = FIELD.split(template)
        pieces[1::2] = [items[n] for n in order]
        return literal("".join(pieces)[:_MAX_VALUE])

    yield Layer("format", _FORMAT.sub(filled, text.raw))


def _replacement(text: Text) -> Iterator[Layer]:
    """`'iQx' -replace 'Q','e'`, `'iQx'.Replace('Q','e')` -> `'iex'`, also in chains."""

    def folded(match: re.Match[str]) -> str:
        source = value(match[1])
        if not text.budget.spend(_CALL + 4 * len(source)) or _is_right_side(match):
            return match[0]
        if match[4]:
            old, new = value(match[4]), value(match[5])
            result = source.replace(old, new) if old else source
        else:
            pattern = value(match[2])
            if any(m[1] is None or m[1].isalnum() for m in _META.finditer(pattern)) or not pattern:
                # A real regular expression: what it does is not undone here.
                return match[0]
            old, new = _META.sub(r"\1", pattern), value(match[3]) if match[3] else ""
            result = replaced(source, old, new)
        return literal(result[:_MAX_VALUE])

    raw = text.raw
    for _ in range(32):
        after = _REPLACE.sub(folded, raw)
        if after == raw or not text.budget.spend(len(raw)):
            break
        raw = after
    yield Layer("replace", raw)


def _joined(text: Text) -> Iterator[Layer]:
    """`('i','e','x') -join ''`, `-join ('i','e','x')`, `[string]::Join('',('i','e'))` -> `'iex'`."""

    def joined(match: re.Match[str]) -> str:
        first, items = match[1] or "", match[2] or match[3]
        if match[4]:
            return first + literal(value(match[4]).join(_items(items)))
        if first:
            # What stood before the operator stays, and so does the blank before it.
            return first[: first.lower().rindex("-join")] + literal("".join(_items(items)))
        return match[0]

    raw = _JOIN_CALL.sub(lambda m: literal(m[1][1:-1].join(_items(m[2]))), text.raw)
    yield Layer("join", _JOIN.sub(joined, raw))


def _splitting(text: Text) -> Iterator[Layer]:
    """`'i,e,x' -split ','` -> `'i','e','x'`."""

    if "-bxor" in text.lower:
        # Numbers that aren't the characters yet are undone together.
        return

    def parts(match: re.Match[str]) -> str:
        if _is_right_side(match):
            return match[0]
        separator = _META.sub(lambda m: m[1] or m[0], value(match[2] or match[3]))
        found = value(match[1])
        pieces = found.split(separator, 255) if separator else list(found)[:256]
        return match[0] if len(pieces) < 2 else ",".join(map(literal, pieces))

    yield Layer("split", _SPLIT.sub(parts, text.raw))


def _indices(text: Text) -> Iterator[Layer]:
    """`'xei'[-1..-3] -join ''`, `'xxie'[2,3,0]`, Python's `'xei'[::-1]` -> the letters in their order."""
    kind: Kind = "index"

    def picked(match: re.Match[str]) -> str:
        nonlocal kind
        source, wanted = value(match[1]), match[2].strip()
        if wanted == "::-1" or _BACKWARDS.fullmatch(wanted):
            kind = "reverse"
            return literal(source[::-1])
        try:
            return literal("".join(source[int(n)] for n in wanted.split(",")))
        except (ValueError, IndexError):
            return match[0]

    folded = _INDEX.sub(picked, text.raw)
    yield Layer(kind, folded)


def _reversal(text: Text) -> Iterator[Layer]:
    """`[array]::Reverse($x)`, `StrReverse("...")`, `.reverse()`: the longer literals read backwards."""
    for number, match in enumerate(_STRING.finditer(text.raw)):
        if number >= _MAX_REVERSED:
            return
        # A quoted program path at the front is no payload, nor is an address.
        if match[0][2:4] != ":\\" and sum(map(str.isalpha, match[0])) >= _REVERSED_MIN:
            yield Layer("reverse", match[0][-2:0:-1], match.span())


_MAX_REVERSED = 64

DECODINGS = (
    Decoding(
        "reversal", ("[array]::reverse(", "strreverse(", ".reverse()", "reversed("), _reversal, marks=marks.REVERSAL
    ),
    Decoding("concatenation", ("'+", "' +", '"+', '" +', '"&', '" &'), _concatenation, rewrites=True, marks=marks.FOLD),
    Decoding("replacement", ("replace",), _replacement, rewrites=True, marks=marks.FOLD),
    Decoding("format_operator", ("-f",), _format_operator, rewrites=True, marks=marks.FOLD),
    Decoding("splitting", ("split",), _splitting, rewrites=True, marks=marks.FOLD),
    Decoding("indices", ("'[", '"[', "' [", ")["), _indices, rewrites=True, marks=marks.FOLD),
    Decoding("joined", ("join",), _joined, rewrites=True, marks=marks.FOLD),
)
