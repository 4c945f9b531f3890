"""A literal that is handed to a shell, also through filters: echo X | rev | sh, tr a-z n-za-m <<< X, bash <<< X."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.enclosing import POSIX, widened
from cmdclf.lines.decode.layer import Decoding, Kind, Layer, Text
from cmdclf.lines.decode.payload import base32_text, base64_text, hex_text
from cmdclf.lines.decode.quoting import SHELL_WORD, plain_word

__all__ = ["DECODINGS"]

_WORDS = re.compile(SHELL_WORD)
_SOURCE = re.compile(
    rf"(?<![\w.-])(?:echo|printf)\s{{1,4}}(?:-[neE]{{1,3}}\s{{1,4}}){{0,3}}"
    rf"(?:['\"]?((?:%[sb]){{1,64}}(?:\\n)?)['\"]?\s{{1,4}})?"
    rf"({SHELL_WORD}(?:[ \t]{{1,4}}{SHELL_WORD}){{0,63}}+)\s{{0,4}}(?=[|)`])"
)
_HERE = re.compile(rf"<<<\s{{0,4}}({SHELL_WORD})")
# A shell that reads its input, and xargs with what it calls.
_READER = re.compile(
    r"(?:(?<![\w./-])(?:/usr)?(?:/bin/)?(?:(?:ba|z|da|k|a)?sh(?:\s{1,4}-s?)?|source\s{1,4}/dev/stdin)"
    r"|(?<![\w.-])xargs\s{1,4}([\w./][\w./ =-]{0,80}))\s{0,4}$"
)
_XARGS = re.compile(r"\s{0,4}\|\s{0,4}xargs\s{1,4}([\w./][\w./ =-]{0,80}?)\s{0,4}(?=[;&|)\n'\"`]|$)")
_DOCUMENT = re.compile(
    r"(?<![\w.-])(?:ba|z|da|k)?sh(?:\s{1,4}-s?)?\s{0,4}<<-?\s{0,4}['\"]?(\w{1,40})['\"]?[ \t]{0,8}\n"
)
_FILTER = re.compile(
    r"\s{0,4}\|\s{0,4}(?:/usr)?(?:/bin/)?(rev|tac|tr|base64|base32|xxd|openssl|gunzip|gzip|zcat|sed)\b"
    r"((?:'[^'\n]{0,200}'|\"[^\"\n]{0,200}\"|[^|;&\n)`'\"]){0,200}+)"
)
_BEFORE = re.compile(r"(?:/usr)?(?:/bin/)?\b(rev|tr|base64|base32|xxd|openssl|sed)\b([^|;&\n<]{0,100})$")
_ARGUMENT = re.compile(r"'([^']{0,300})'|\"([^\"]{0,300})\"|([^\s'\")`<>]{1,300})")
_RANGE = re.compile(r"\[:(lower|upper|digit|alpha):\]|(\w)-(\w)|\\([0-7]{3}|.)|(.)", re.DOTALL)
_CLASSES = {
    "lower": "abcdefghijklmnopqrstuvwxyz",
    "upper": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "digit": "0123456789",
    "alpha": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
}
_SED = re.compile(r"s([/|,#])([\w .@:_-]{1,60})\1([\w .@:_/-]{0,60})\1g?")
_SED_LETTERS = re.compile(r"y([/|,#])((?:(?!\1).){1,200})\1((?:(?!\1).){1,200})\1")
_COMPRESSED = ("gunzip", "gzip", "zcat", "tac")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_CUT = re.compile(r"\s{0,4}\|\s{0,4}(?:cut|awk|head|grep)\b")
_MAX_FILTERS = 8
_TR_MIN = 3
_TWO = 2
_MAX_DOCUMENTS = 16
_WIDENING = 600
_LOOK_BACK = 120


def _pipeline(text: Text) -> Iterator[Layer]:
    """`echo 'tac' | rev` -> `cat`; a filter that isn't known here ends the pipeline.

    What is only handed to a shell, to xargs or to a command substitution hides nothing: `wrapper`.
    """
    for match in _SOURCE.finditer(text.raw):
        # `printf %s` writes its arguments without a blank between them.
        between = "" if match[1] and match[1][-1] != "n" else " "
        yield from _through(text, plain_words(match[2], between), match.start(), match.end())
    for match in _HERE.finditer(text.raw):
        if not text.budget.spend(3 * _LOOK_BACK):
            return
        low = max(0, match.start() - _LOOK_BACK)
        before = text.raw[low : match.start()]
        step = _BEFORE.search(before)
        given = plain_word(match[1])
        if step:
            filtered = _filtered(step[1], step[2], given, text)
            if filtered is not None:
                yield from _through(text, filtered[1], low + step.start(), match.end(), filtered)
        elif reader := _READER.search(before):
            name = reader[1]
            span = (low + reader.start(), match.end())
            yield Layer("wrapper", f"{name} {given}" if name else given, widened(text.raw, *span, POSIX))
    yield from _here_documents(text)


def _through(
    text: Text, source: str, start: int, at: int, done: tuple[Kind, str, bool] | None = None
) -> Iterator[Layer]:
    """What the filters from `at` on make of a text that is given from `start` on."""
    kind, certain = (done[0], done[2]) if done else (None, False)
    for _ in range(_MAX_FILTERS):
        step = _FILTER.match(text.raw, at)
        if step is None or not text.budget.spend(len(source)):
            break
        if step[1] not in _COMPRESSED:
            filtered = _filtered(step[1], step[2], source, text)
            if filtered is None:
                break
            kind, source, certain = filtered[0], filtered[1], certain or filtered[2]
        at = step.end()
    if not text.budget.spend(_WIDENING):
        return
    if xargs := _XARGS.match(text.raw, at):
        yield Layer(kind or "wrapper", f"{xargs[1]} {source}", widened(text.raw, start, xargs.end(), POSIX))
        return
    span = widened(text.raw, start, at, POSIX)
    # `rev | cut -f1 | rev` takes the last field.
    if kind == "reverse" and _CUT.match(text.raw, at):
        return
    if span != (start, at) and source.strip():
        yield Layer(kind or "wrapper", source, span, kind is None and " " not in source)
    elif kind is not None and certain:
        yield Layer(kind, source, span)


def _here_documents(text: Text) -> Iterator[Layer]:
    """`bash <<E`, the lines up to `E` -> the lines."""
    for match in islice(_DOCUMENT.finditer(text.raw), _MAX_DOCUMENTS):
        end = text.raw.find(f"\n{match[1]}", match.end() - 1)
        if end < 0 or not text.budget.spend(end - match.start()):
            return
        yield Layer("wrapper", text.raw[match.end() : end], (match.start(), end + 1 + len(match[1])))


def plain_words(words: str, between: str) -> str:
    """Several words as echo prints them, or printf."""
    return between.join(plain_word(word) for word in _WORDS.findall(words))


def _filtered(program: str, rest: str, source: str, text: Text) -> tuple[Kind, str, bool] | None:
    """What the filter makes of the text, and whether that hides something wherever it is written.

    Other case of the letters doesn't: it counts only where the result is run. None if it makes no other text.
    """
    if program == "tr":
        return _translated(_arguments(rest), source)
    found = _decoded(program, rest, source, text)
    return None if found is None else (*found, True)


def _arguments(rest: str) -> list[str]:
    return [a or b or c for a, b, c in _ARGUMENT.findall(rest)]


def _decoded(program: str, rest: str, source: str, text: Text) -> tuple[Kind, str] | None:
    arguments = _arguments(rest)
    flags = "".join(a for a in arguments if a.startswith("-"))
    if program == "rev":
        return ("reverse", source[::-1]) if any(map(str.isalpha, source)) else None
    if program == "sed":
        edited = source
        for step in ";".join(a for a in arguments if not a.startswith("-")).split(";"):
            letters, match = _SED_LETTERS.fullmatch(step.strip()), _SED.fullmatch(step.strip())
            if letters and len(letters[2]) == len(letters[3]):
                edited = edited.translate(str.maketrans(letters[2], letters[3]))
            elif match:
                edited = edited.replace(match[2], match[3])
            else:
                return None
        return ("replace", edited) if edited != source else None
    if program == "xxd":
        plain = hex_text(re.sub(r"(?:0x|\\x|[\s,])", "", source), text.limit) if "r" in flags else None
        return None if plain is None else ("hex", plain)
    if program == "base32":
        plain = base32_text(source, text.limit, text.budget) if "d" in flags.lower() else None
        return None if plain is None else ("base32", plain)
    if "d" not in flags.lower():
        return None
    found = base64_text(source, text.limit, text.budget)
    return None if found is None else ("gzip-base64" if found[1] else "base64", found[0])


def _translated(arguments: list[str], source: str) -> tuple[Kind, str, bool] | None:
    """Letters that become other letters, or go; a tr that changes case or separators hides nothing by itself."""
    if len(arguments) != _TWO:
        return None
    if arguments[0] in ("-d", "--delete"):
        gone = set(_expanded(arguments[1]))
        kept = "".join(c for c in source if c not in gone)
        letters = sum(c.isalnum() for c in source) - sum(c.isalnum() for c in kept)
        return "tr", kept, letters >= _TR_MIN
    if arguments[0].startswith("-") and len(arguments[0]) > 1:
        return None
    old, new = _expanded(arguments[0]), _expanded(arguments[1])
    if not old or not new:
        return None
    new += new[-1] * (len(old) - len(new))
    result = source.translate({ord(a): b for a, b in zip(old, new, strict=False)})
    changed = sum(a.isalnum() and b.isalnum() and a.lower() != b.lower() for a, b in zip(source, result, strict=True))
    return "tr", result, changed >= _TR_MIN


def _expanded(letters: str) -> str:
    out = []
    for name, first, last, escaped, one in _RANGE.findall(letters):
        if name:
            out.append(_CLASSES[name])
        elif first:
            out.append("".join(map(chr, range(ord(first), min(ord(last), ord(first) + 255) + 1))))
        elif len(escaped) == 3:
            out.append(chr(int(escaped, 8) & 255))
        else:
            out.append(_ESCAPED.get(escaped, escaped) or one)
    return "".join(out)


DECODINGS = (Decoding("pipeline", ("|", "<<", "$(", "`", "<("), _pipeline, marks=marks.PIPE),)
