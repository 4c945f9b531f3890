"""Loops of a Posix shell that only put letters together: by their codes, by number out of an array or a text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.enclosing import POSIX, widened
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.quoting import SHELL_WORD, plain_word

__all__ = ["DECODINGS"]

_MOST = 16
_LOOP = re.compile(
    r"(?:^|(?<=[\s;&|(`]))for\s{1,4}([A-Za-z_]\w{0,20})\s{1,4}in\s{1,4}((?:(?:0x)?[0-9a-fA-F]{1,5}\s{1,4}|(?:0x)?[0-9a-fA-F]{1,5}(?=;)){1,4000}+)"
    r"\s{0,4}[;\n]\s{0,4}do\s{1,4}([^;\n]{1,200})[;\n]\s{0,4}done"
)
# `printf "\\$(printf %o $i)"`, also by %03o and %x.
_CODE = re.compile(
    r"(?:printf|echo)\s[^$`]{0,24}\\{1,2}x?(?:\$\(|`)printf\s{1,4}['\"]?(?:\\{0,2}x)?%0?\d?([ox])['\"]?\s{1,4}['\"]?\$\{?(\w{1,20})\}?['\"]?[)`]"
)
_ELEMENT = re.compile(r"(?:printf|echo)\s[^$]{0,24}\$\{(\w{1,40})\[\$?\{?(\w{1,20})\}?\]\}")
_LETTER = re.compile(r"(?:printf|echo)\s[^$]{0,24}\$\{(\w{1,40}):\s?\$?\{?(\w{1,20})\}?:1\}")
_SUBSTRING = re.compile(
    rf"(?:\$\(|`)\s{{0,2}}(?:expr\s{{1,4}}substr\s{{1,4}}({SHELL_WORD})\s{{1,4}}(\d{{1,4}})\s{{1,4}}(\d{{1,4}})"
    rf"|cut\s{{1,4}}-[cb]\s?(\d{{1,4}})-(\d{{1,4}})\s{{0,4}}<<<\s{{0,4}}({SHELL_WORD}))\s{{0,2}}[)`]"
)
_ASSIGNED = r"(?:^|(?<=[\s;&|(\"'])){name}=({word})(?=[\s;&|)]|$)"
_LISTED = r"(?:^|(?<=[\s;&|(\"'])){name}=\(((?:\s{{0,4}}{word}){{1,500}}+)\s{{0,4}}\)"
_WORDS = re.compile(SHELL_WORD)


def _letters(text: Text) -> Iterator[Layer]:
    """`for i in 108 115;do printf "\\\\$(printf %o $i)";done|sh` -> `ls`; `${a[$i]}` and `${s:$i:1}` likewise."""
    for match in islice(_LOOP.finditer(text.raw), _MOST):
        if not text.budget.spend(len(text.raw)):
            return
        spelt, given = _spelt(text.raw, match[1], match[2].split(), match[3])
        if spelt.strip():
            start, end = widened(text.raw, *match.span(), POSIX)
            # What the letters are taken of goes with the loop, where it stands right before it.
            before = given is not None and given.end() <= start and not text.raw[given.end() : start].strip("; \n")
            yield Layer("for", spelt, (given.start() if given and before else start, end))


def _spelt(raw: str, name: str, items: list[str], body: str) -> tuple[str, re.Match[str] | None]:
    """The letters in their order, and the assignment that they are taken of; nothing where it isn't clear."""
    try:
        numbers = [int(item, 16 if item[:2] == "0x" else 10) for item in items]
    except ValueError:
        return "", None
    code = _CODE.search(body)
    if code and code[2] == name:
        return "".join(map(chr, numbers)) if all(9 <= n < 127 for n in numbers) else "", None
    for pattern, listed in ((_ELEMENT, True), (_LETTER, False)):
        use = pattern.search(body)
        if not use or use[2] != name:
            continue
        given = (_LISTED if listed else _ASSIGNED).format(name=re.escape(use[1]), word=SHELL_WORD)
        found = re.search(given, raw)
        if not found:
            break
        values = [plain_word(w) for w in _WORDS.findall(found[1])] if listed else list(plain_word(found[1]))
        return "".join(values[n] for n in numbers) if all(n < len(values) for n in numbers) else "", found
    return "", None


def _substrings(text: Text) -> Iterator[Layer]:
    """`$(expr substr xxlsx 3 2)`, `$(cut -c3-4<<<xxlsx)` -> `ls`."""

    def part(match: re.Match[str]) -> str:
        word = plain_word(match[1] or match[6])
        start = int(match[2] or match[4])
        end = start - 1 + int(match[3]) if match[3] else int(match[5])
        return word[start - 1 : end] if 0 < start <= len(word) else match[0]

    if not text.windows:
        yield Layer("index", _SUBSTRING.sub(part, text.raw))


DECODINGS = (
    Decoding("letters", ("done",), _letters, marks=marks.NAMES | marks.PIPE),
    Decoding("substrings", ("expr substr", "cut -"), _substrings, rewrites=True, marks=marks.NAMES),
)
