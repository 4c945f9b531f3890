"""A literal through filters that only spell it differently: echo X | rev, | tr a-z n-za-m, | base64 -d, | xxd -r -p."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.layer import Decoding, Kind, Layer, Text
from cmdclf.lines.decode.payload import base32_text, base64_text, hex_text

__all__ = ["DECODINGS"]

_WORD = r"(?:'[^']{0,8000}'|\"[^\"$`]{0,8000}\"|[^\s|;&<>$`'\"()]{1,8000})"
_SOURCE = re.compile(
    rf"(?<![\w.-])(?:echo|printf)\s{{1,4}}(?:-[neE]{{1,3}}\s{{1,4}}){{0,3}}(?:['\"]?%[sb](?:\\n)?['\"]?\s{{1,4}})?"
    rf"({_WORD}(?: {{1,2}}{_WORD}){{0,7}})\s{{0,4}}(?=\|)"
)
_HERE = re.compile(rf"<<<\s{{0,4}}({_WORD})")
_FILTER = re.compile(
    r"\s{0,4}\|\s{0,4}(?:/usr)?(?:/bin/)?(rev|tac|tr|base64|base32|xxd|openssl|gunzip|gzip|zcat|sed)\b([^|;&\n]{0,200})"
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
_COMPRESSED = ("gunzip", "gzip", "zcat", "tac")
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_CUT = re.compile(r"\s{0,4}\|\s{0,4}(?:cut|awk|head|grep)\b")
_MAX_FILTERS = 8
_TR_MIN = 3
_LOOK_BACK = 120


def _pipeline(text: Text) -> Iterator[Layer]:
    """`echo 'tac' | rev` -> `cat`; a filter that isn't known here (`sh`) ends the pipeline."""
    for match in _SOURCE.finditer(text.raw):
        source = _unquoted(match[1])
        kind: Kind | None = None
        at = match.end()
        for _ in range(_MAX_FILTERS):
            step = _FILTER.match(text.raw, at)
            if step is None or not text.budget.spend(len(source)):
                break
            if step[1] not in _COMPRESSED:
                done = _filtered(step[1], step[2], source, text)
                if done is None:
                    break
                kind, source = done
            at = step.end()
        # `rev | cut -f1 | rev` takes the last field.
        if kind is not None and not (kind == "reverse" and _CUT.match(text.raw, at)):
            yield Layer(kind, source)
    for match in _HERE.finditer(text.raw):
        if not text.budget.spend(3 * _LOOK_BACK):
            return
        step = _BEFORE.search(text.raw[max(0, match.start() - _LOOK_BACK) : match.start()])
        done = _filtered(step[1], step[2], _unquoted(match[1]), text) if step else None
        if done is not None:
            yield Layer(*done)


def _unquoted(word: str) -> str:
    if word[0] in "'\"" and word[0] == word[-1] and len(word) > 1 and word[0] not in word[1:-1]:
        return word[1:-1]
    return word.replace("'", "").replace('"', "")


def _filtered(program: str, rest: str, source: str, text: Text) -> tuple[Kind, str] | None:
    """What the filter makes of the text; None if it makes no other text."""
    arguments = [a or b or c for a, b, c in _ARGUMENT.findall(rest)]
    flags = "".join(a for a in arguments if a.startswith("-"))
    if program == "rev":
        return ("reverse", source[::-1]) if any(map(str.isalpha, source)) else None
    if program == "tr":
        return _translated(arguments, source)
    if program == "sed":
        match = _SED.fullmatch(next((a for a in arguments if not a.startswith("-")), ""))
        return ("replace", source.replace(match[2], match[3])) if match and match[2] in source else None
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


def _translated(arguments: list[str], source: str) -> tuple[Kind, str] | None:
    """Letters that become other letters, or go; a tr that changes case or separators hides nothing."""
    if len(arguments) != 2:
        return None
    if arguments[0] in ("-d", "--delete"):
        gone = set(_expanded(arguments[1]))
        kept = "".join(c for c in source if c not in gone)
        letters = sum(c.isalnum() for c in source) - sum(c.isalnum() for c in kept)
        return ("tr", kept) if letters >= _TR_MIN else None
    if arguments[0].startswith("-") and len(arguments[0]) > 1:
        return None
    old, new = _expanded(arguments[0]), _expanded(arguments[1])
    if not old or not new:
        return None
    new += new[-1] * (len(old) - len(new))
    result = source.translate({ord(a): b for a, b in zip(old, new, strict=False)})
    changed = sum(a.isalnum() and b.isalnum() and a.lower() != b.lower() for a, b in zip(source, result, strict=True))
    return ("tr", result) if changed >= _TR_MIN else None


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


DECODINGS = (
    Decoding("pipeline", ("| ", "|r", "|t", "|b", "|x", "|o", "|s", "|/", "<<<"), _pipeline, marks=marks.PIPE),
)
