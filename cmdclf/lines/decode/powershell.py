"""What PowerShell undoes: encoded commands, base64 literals, backticks, -Command."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.enclosing import INVOKING, POWERSHELL, widened
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.literals import LITERAL
from cmdclf.lines.decode.payload import base64_text
from cmdclf.lines.decode.quoting import unquoted

__all__ = ["DECODINGS"]

# PowerShell takes any prefix of -EncodedCommand, the alias -ec, and hyphen, slash, en dash, em dash or bar before it.
_FLAG = "|".join(sorted(("encodedcommand"[:n] for n in range(1, 15)), key=len, reverse=True)) + "|ec"
_ENCODED = re.compile(rf"(?i)(?:^|[\s\"'])[-/–—―](?:{_FLAG})[\"']?[\s:]{{1,8}}[\"']?([A-Za-z0-9+/]{{8,}}={{0,2}})")
_LITERAL = re.compile(r"[\"'(]([A-Za-z0-9+/]{12,}={0,2})[\"')]")
# `n, `r, `t and `0 at the end of a word are what they say in a string: line breaks, tabs, NUL.
_BACKTICK = re.compile(r"(?<=[\w-])(?<!`r)`(?=\w)(?![nrt0](?:\W|$))")
_COMMAND = re.compile(
    r"(?i)(?:powershell|pwsh)(?:\.exe)?[\"']?\s[^|;&{}]{0,300}?[-/–—]c(?:o(?:m(?:m(?:a(?:n(?:d)?)?)?)?)?)?[\s:]"
)
# Without -Command too: the first argument that is quoted is the script, but for -File's.
_POSITIONAL = re.compile(
    r"(?i)(?:powershell|pwsh)(?:\.exe)?[\"']?\s{1,4}(?:-(?!f|c|e(?!x))\w{1,20}\s{1,4}(?:[\w.]{1,20}\s{1,4})?){0,6}(?=[\"'])"
)
_INVOKED_LITERAL = re.compile(rf"({LITERAL})")
_RUNS = re.compile(
    r"(?i)^\(?\s{0,2}(?:[&.]|iex|icm|invoke-|\[\S{0,40}scriptblock|\$\{?executioncontext)|(?:iex|invoke-expression)\s{0,2}\)?$"
)
_UNPACKS = re.compile(r"(?i)(?:inflate|decompress|uncompress|gzdecode|gunzip)\w{0,8}\(")
_LOOK = 80
_MAX_INVOKED = 64
_CALL = 200
_BLOCK = re.compile(r"^&\s{0,4}\{(.*)\}$", re.DOTALL)


def _encoded_command(text: Text) -> Iterator[Layer]:
    """`-enc SQBFAFgA...`: UTF-16 LE in base64. Content decides, not the program's name: it may have been renamed."""
    for match in _ENCODED.finditer(text.raw):
        found = base64_text(match[1], text.limit, text.budget)
        if found is not None:
            yield Layer("encoded-command", found[0], match.span(1))


def _base64_literals(text: Text) -> Iterator[Layer]:
    """`[Convert]::FromBase64String('...')`, also through a variable: every literal in the text is tried."""
    for match in _LITERAL.finditer(text.raw):
        found = base64_text(match[1], text.limit, text.budget)
        packed = _UNPACKS.search(text.raw, max(0, match.start() - _LOOK), match.start())
        # What is unpacked first, and isn't packed, is not what runs.
        if found is not None and (found[1] or not packed):
            span = widened(text.raw, *match.span(1), POWERSHELL)
            yield Layer("gzip-base64" if found[1] else "base64", found[0], span)


def _backticks(text: Text) -> Iterator[Layer]:
    """`i`ex`: a backtick before a letter is nothing. In a Posix shell it is command substitution and stays."""
    if text.windows or "powershell" in text.lower or "pwsh" in text.lower:
        yield Layer("backtick", _BACKTICK.sub("", text.raw))


def _command(text: Text) -> Iterator[Layer]:
    """`powershell -NoProfile -Command "& { X }"` -> `X`."""
    match = _COMMAND.search(text.raw) or _POSITIONAL.search(text.raw)
    if match:
        inner = unquoted(text.raw[match.end() :])
        block = _BLOCK.match(inner)
        yield Layer("wrapper", (block[1] if block else inner).strip(), (match.end(), len(text.raw)))


def _invoked(text: Text) -> Iterator[Layer]:
    """`iex('X')`, `iex "X"`, `'X' | iex` -> `X`; `&('X')` -> the program's name."""
    for match in islice(_INVOKED_LITERAL.finditer(text.raw), _MAX_INVOKED):
        if not text.budget.spend(_CALL):
            return
        span = widened(text.raw, *match.span(1), INVOKING)
        inner = match[1][1:-1]
        if _RUNS.search(text.raw[slice(*span)]) and any(map(str.isalpha, inner)):
            named = text.raw[span[0]] in "&." or " " not in inner
            yield Layer("wrapper", inner.replace("''", "'") if match[1][0] == "'" else inner, span, named)


DECODINGS = (
    Decoding(
        "invoked",
        ("iex", "invoke-expression", "&(", "& (", "&'", "& '", ".('", "scriptblock]::create(", ".invokecommand."),
        _invoked,
    ),
    Decoding("powershell_command", ("powershell", "pwsh"), _command),
    Decoding("encoded_command", ("-e", "/e", "–e", "—e", "―e"), _encoded_command, marks=marks.ENCODED),
    Decoding(
        "base64_literals",
        (
            "frombase64string",
            "b64decode",
            "decode64",
            "decode_base64",
            "atob(",
            "base64_decode",
            "b64_decode",
            "'base64'",
            '"base64"',
            "unpack1('m",
            "unpack('m",
        ),
        _base64_literals,
        marks=marks.DECODER,
    ),
    Decoding("backticks", ("`",), _backticks, rewrites=True, marks=marks.BACKTICK),
)
