"""What PowerShell undoes: encoded commands, base64 literals, backticks, string building, -Command."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.payload import base64_text
from cmdclf.lines.decode.quoting import unquoted

__all__ = ["DECODINGS"]

# PowerShell takes any prefix of -EncodedCommand, the alias -ec, and hyphen, slash, en dash, em dash or bar before it.
_FLAG = "|".join(sorted(("encodedcommand"[:n] for n in range(1, 15)), key=len, reverse=True)) + "|ec"
_ENCODED = re.compile(rf"(?i)(?:^|[\s\"'])[-/–—―](?:{_FLAG})[\"']?[\s:]{{1,8}}[\"']?([A-Za-z0-9+/]{{8,}}={{0,2}})")
_LITERAL = re.compile(r"[\"'(]([A-Za-z0-9+/]{12,}={0,2})[\"')]")
# `n, `r, `t and `0 at the end of a word are what they say in a string: line breaks, tabs, NUL.
_BACKTICK = re.compile(r"(?<=[\w-])(?<!`r)`(?=\w)(?![nrt0](?:\W|$))")
_STRING = re.compile(r"'[^']*'|\"[^\"]*\"")
# Blanks on both sides or on none: `date -d "x" +"%F"` is no concatenation.
_PLUS = re.compile(r"\+|[ \t]{1,4}[+&][ \t]{1,4}")
_FORMAT = re.compile(
    r"[\"']((?:\{\d{1,2}\}){1,64})[\"'][ \t]{0,4}-f[ \t]{0,4}((?:[\"'][^\"']{0,200}[\"'][ \t]{0,4},?[ \t]{0,4}){1,64})"
)
_ITEM = re.compile(r"[\"']([^\"']{0,200})[\"']")
_CHAR = re.compile(r"(?i)\[char\][ \t]{0,2}(?:\((0x[0-9a-f]{1,4}|\d{1,5})\)|(0x[0-9a-f]{1,4}|\d{1,5}))")
_JOINED_CHARS = re.compile(r"'[ \t]{0,4}\+[ \t]{0,4}'")
_COMMAND = re.compile(
    r"(?i)(?:powershell|pwsh)(?:\.exe)?[\"']?\s[^|;&{}]{0,300}?[-/–—]c(?:o(?:m(?:m(?:a(?:n(?:d)?)?)?)?)?)?[\s:]"
)
_BLOCK = re.compile(r"^&\s{0,4}\{(.*)\}$", re.DOTALL)


def _encoded_command(text: Text) -> Iterator[Layer]:
    """`-enc SQBFAFgA...`: UTF-16 LE in base64. Content decides, not the program's name: it may have been renamed."""
    for match in _ENCODED.finditer(text.raw):
        found = base64_text(match[1], text.limit)
        if found is not None:
            yield Layer("encoded-command", found[0])


def _base64_literals(text: Text) -> Iterator[Layer]:
    """`[Convert]::FromBase64String('...')`, also through a variable: every literal in the text is tried."""
    for match in _LITERAL.finditer(text.raw):
        found = base64_text(match[1], text.limit)
        if found is not None:
            yield Layer("gzip-base64" if found[1] else "base64", found[0])


def _backticks(text: Text) -> Iterator[Layer]:
    """`i`ex`: a backtick before a letter is nothing. In a Posix shell it is command substitution and stays."""
    if text.windows or "powershell" in text.lower or "pwsh" in text.lower:
        yield Layer("backtick", _BACKTICK.sub("", text.raw))


def _concatenation(text: Text) -> Iterator[Layer]:
    """`'In'+'voke'`, and VBScript's `"a" & "b"`: neighbouring literals of one kind become one."""
    out: list[str] = []
    end = 0
    quote = ""
    for match in _STRING.finditer(text.raw):
        between = text.raw[end : match.start()]
        if quote == match[0][0] and _PLUS.fullmatch(between):
            out[-1] = out[-1][:-1]
            out.append(match[0][1:])
        else:
            out += (between, match[0])
        end, quote = match.end(), match[0][0]
    yield Layer("concat", "".join((*out, text.raw[end:])))


def _format_operator(text: Text) -> Iterator[Layer]:
    """`'{1}{0}' -f 'x','ie'` -> `'iex'`."""

    def filled(match: re.Match[str]) -> str:
        items = _ITEM.findall(match[2])
        order = [int(n) for n in re.findall(r"\d{1,2}", match[1])]
        if any(n >= len(items) for n in order):
            return match[0]
        return "'" + "".join(items[n] for n in order)[:4096] + "'"

    yield Layer("format", _FORMAT.sub(filled, text.raw))


def _char_codes(text: Text) -> Iterator[Layer]:
    """`[char]73+[char]69` -> `'IE'`."""

    def letter(match: re.Match[str]) -> str:
        number = match[1] or match[2]
        code = int(number, 16 if number[:2].lower() == "0x" else 10)
        return f"'{chr(code)}'" if 32 <= code < 0xD800 else match[0]

    yield Layer("char", _JOINED_CHARS.sub("", _CHAR.sub(letter, text.raw)))


def _command(text: Text) -> Iterator[Layer]:
    """`powershell -NoProfile -Command "& { X }"` -> `X`."""
    match = _COMMAND.search(text.raw)
    if match:
        inner = unquoted(text.raw[match.end() :])
        block = _BLOCK.match(inner)
        yield Layer("wrapper", (block[1] if block else inner).strip())


DECODINGS = (
    Decoding("powershell_command", ("powershell", "pwsh"), _command),
    Decoding("encoded_command", ("-e", "/e", "–e", "—e", "―e"), _encoded_command),
    Decoding(
        "base64_literals", ("frombase64string", "b64decode", "decode64", "decode_base64", "atob("), _base64_literals
    ),
    Decoding("backticks", ("`",), _backticks, rewrites=True),
    Decoding("char_codes", ("[char]",), _char_codes, rewrites=True),
    Decoding("concatenation", ("'+", "' +", '"+', '" +', '"&', '" &'), _concatenation, rewrites=True),
    Decoding("format_operator", ("-f",), _format_operator, rewrites=True),
)
