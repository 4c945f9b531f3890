"""Names that a Posix shell's line gives to parts of its commands: arrays, functions, positional parameters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.quoting import SHELL_WORD, plain_word

__all__ = ["DECODINGS"]

_MOST = 16
_WORDS = re.compile(SHELL_WORD)
_LISTED = rf"((?:\s{{0,4}}{SHELL_WORD}){{1,64}}+)"
_ARRAY = re.compile(
    rf"(?:^|(?<=[\s;&|(\"']))(?:declare\s-a\s)?([A-Za-z_]\w{{0,40}})=\({_LISTED}\s{{0,4}}\)\s{{0,4}}[;\n]?\s{{0,4}}"
)
_SET = re.compile(rf"(?:^|(?<=[\s;&|(\"']))set\s--{_LISTED}\s{{0,4}}[;\n]\s{{0,4}}")
_POSITION = re.compile(r"\$(?:([1-9])|\{([1-9])\}|([@*]))|\"\$([@*])\"")
_FUNCTION = re.compile(
    r"(?:^|(?<=[\s;&|(\"']))(?:function\s)?([A-Za-z_][\w-]{0,40})\s{0,2}\(\)\s{0,2}\{\s{1,4}([^{}]{1,400}?)\s{0,4};?\s{0,4}\}"
    r"\s{0,4}[;\n&]{0,2}\s{0,4}"
)
_ARGUMENTS = re.compile(r"\"?\$(?:\{[@*]\}|[@*])\"?")
_PASSED = r"(?:'[^']{0,400}'|\"[^\"]{0,400}\"|[^;&|\n)\"']{1,400}){0,8}"
_NUMBERED = re.compile(r"\$(?:\d|\{\d)")


def _arrays(text: Text) -> Iterator[Layer]:
    """`a=(w ho ami);${a[0]}${a[1]}${a[2]} x` -> `whoami x`; `"${a[@]}"` -> all its words."""
    if text.windows:
        return
    raw = text.raw
    for match in list(islice(_ARRAY.finditer(raw), _MOST)):
        if not text.budget.spend(2 * len(raw)):
            return
        words = [plain_word(word) for word in _WORDS.findall(match[2])]
        use = re.compile(rf"\"?\$\{{{match[1]}\[([@*]|\d{{1,3}})\]\}}\"?")
        rest = raw.replace(match[0], "", 1)
        after = use.sub(partial(_element, words), rest)
        if after != rest:
            raw = after[: text.limit]
    yield Layer("variable", raw)


def _element(words: list[str], match: re.Match[str]) -> str:
    """The words that the index asks for; quotes stay where only one of them stands beside the use."""
    quoted = match[0][0] == '"' and match[0][-1] == '"'
    before = "" if quoted or match[0][0] != '"' else '"'
    after = "" if quoted or match[0][-1] != '"' else '"'
    if match[1] in "@*":
        return before + " ".join(words) + after
    return before + (words[int(match[1])] if int(match[1]) < len(words) else "") + after


def _positions(text: Text) -> Iterator[Layer]:
    """`set -- cu rl; $1$2 x` -> `curl x`."""
    match = None if text.windows else _SET.search(text.raw)
    if not match:
        return
    words = [plain_word(word) for word in _WORDS.findall(match[1])]

    def word(use: re.Match[str]) -> str:
        if use[3] or use[4]:
            return " ".join(words)
        return _word_at(words, int(use[1] or use[2]))

    rest = text.raw[match.end() :]
    after = _POSITION.sub(word, rest)
    if after != rest:
        yield Layer("variable", (text.raw[: match.start()] + after)[: text.limit])


def _functions(text: Text) -> Iterator[Layer]:
    """`f(){ ls "$@";};f /x` -> `ls /x`, `f(){ $1$2 x;};f l s` -> `ls x`."""
    if text.windows:
        return
    raw = text.raw
    for match in list(islice(_FUNCTION.finditer(raw), _MOST)):
        name, body = match[1], match[2].rstrip("; ")
        if not text.budget.spend(2 * len(raw)) or re.search(rf"\b{name}\b", body):
            continue
        rest = raw.replace(match[0], "", 1)
        call = re.compile(rf"(^|[;&|(\n\"']\s{{0,4}}){re.escape(name)}(?![\w=(-])({_PASSED})")
        after = call.sub(partial(_called, body), rest)
        if after != rest:
            raw = after[: text.limit]
    yield Layer("variable", raw)


def _called(body: str, call: re.Match[str]) -> str:
    given = call[2].strip()
    words = [plain_word(word) for word in _WORDS.findall(given)]
    if _NUMBERED.search(body) and len(words) <= _MOST:
        body = _POSITION.sub(lambda m: _word_at(words, int(m[1] or m[2])) if m[1] or m[2] else m[0], body)
    return str(call[1]) + _ARGUMENTS.sub(lambda _: given, body)


def _word_at(words: list[str], number: int) -> str:
    return words[number - 1] if number <= len(words) else ""


DECODINGS = (
    Decoding("arrays", ("=(",), _arrays, rewrites=True, marks=marks.NAMES),
    Decoding("positions", ("set --",), _positions, rewrites=True, marks=marks.NAMES),
    Decoding("functions", ("()", "( )"), _functions, rewrites=True, marks=marks.NAMES),
)
