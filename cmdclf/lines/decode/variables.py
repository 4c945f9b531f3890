"""Variables that the line itself sets and then puts together: `$a='ie';$b='x';&($a+$b)`, `a=c;b=at;$a$b x`.

A variable that is only passed on (`p=/tmp; ls $p`) hides nothing and stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.expansions import PARAMETER, expanded
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.literals import LITERAL, literal
from cmdclf.lines.decode.quoting import SHELL_WORD, plain_word

__all__ = ["DECODINGS"]

_MAX_NAMES = 64
_MAX_USES = 2048
_MAX_TRIES = 8
_LOOK = 64
_SH_DELIMITERS = " \t\r\n;&|(\"'"
_PS_ASSIGNED = re.compile(
    rf"\$(\w{{1,40}})\s{{0,4}}=\s{{0,4}}({LITERAL})(?=\s{{0,4}}(?:[;)}}\r\n]|\.tochararray|$))", re.IGNORECASE
)
# Called or added before the name; put beside another or taken apart after it.
_PS_BEFORE = re.compile(
    r"(?i)(?:(?:^|[\s;({=])[&.]\s{0,2}\(?\s{0,2}|(?:iex|invoke-expression)\s{0,2}\(?\s{0,2}|\+\s{0,2})[\"']?$"
)
_PS_AFTER = re.compile(
    r"(?i)\s{0,2}\+(?!=)|\$|\[-?\d|\.(?:replace|split|substring|tochararray)|\s{0,2}-(?:join|split|[ci]?replace|f|bxor)\b"
)
_PS_USE = re.compile(r"\$\{?(\w{1,40})\}?(?!\s{0,4}=[^=]|\w)")
_PS_BACKWARDS = re.compile(
    r"(?i)\$\{?(\w{1,40})\}?\s?\[\s?(?:-1\s?\.\.\s?-\s?\(?\s?\$\{?\1\}?\.(?:length|count)\s?\)?"
    r"|\(?\s?\$\{?\1\}?\.(?:length|count)\s?(?:-\s?1\s?)?\)?\s?\.\.\s?0)\s?\](?:\s?-join\s?(?:''|\"\"))?"
)
_SCRIPT = re.compile(r"powershell|pwsh")
_FRONT = 200
_WITHIN = re.compile(r"[\w$/\\:]")
_DOUBLE = re.compile(r"\"[^\"]{0,2000}\"")
_SH_VALUE = re.compile(rf"({SHELL_WORD}|)(?=[\s;&|)]|$)")
# All that eval runs comes from variables.
_SH_EVAL = re.compile(r"((?:^|(?<=[\s;&|(\"']))eval\s{1,4})\"((?:\$\{?[A-Za-z_]\w{0,40}\}?){1,64})\"")
_SH_BEFORE = re.compile(r"(?:^|[;&|(`\n]|(?<![\w-])(?:eval|exec|then|do)\s)\s{0,4}\"?[\w./-]{0,40}$")
_SH_USE = re.compile(rf"\$(?:\{{([A-Za-z_]\w{{0,40}})\}}|([A-Za-z_]\w{{0,40}}))|{PARAMETER}")


def _powershell_variables(text: Text) -> Iterator[Layer]:
    """`$a='ie';$b='x';&($a+$b)` -> `...;&('ie'+'x')`, `"$a$b"` -> `"iex"`."""
    if '\\"' in text.raw and _SCRIPT.search(text.lower[:_FRONT]):
        # Its quotes are those of the line; the script itself is looked at once they are off.
        return
    known = {m[1].lower(): m[2][1:-1] for m, _ in zip(_PS_ASSIGNED.finditer(text.raw), range(_MAX_NAMES), strict=False)}
    if not known or not any(_is_built(m, text) for m in _PS_USE.finditer(text.raw) if m[1].lower() in known):
        return
    room = text.limit

    def use(match: re.Match[str], *, quoted: bool) -> str:
        nonlocal room
        text_of = known.get(match[1].lower())
        if text_of is None:
            return match[0]
        room -= len(text_of) + 2
        if room < 0:
            text.budget.cut = True
            return match[0]
        # Within a word (`$a$b/x`) the values stand side by side.
        around = match.string[max(0, match.start() - 1) : match.start()] + match.string[match.end() : match.end() + 1]
        return literal(text_of) if quoted and not _WITHIN.search(around) else text_of

    def backwards(match: re.Match[str]) -> str:
        text_of = known.get(match[1].lower())
        if text_of is None or len(text_of) > room:
            return match[0]
        text.budget.settled.add(text_of)
        return literal(text_of[::-1])

    raw = _PS_BACKWARDS.sub(backwards, text.raw)
    # A script in the line's quotes is no string.
    inside = _DOUBLE.sub(
        lambda m: m[0] if _PS_ASSIGNED.search(m[0]) else _PS_USE.sub(lambda n: use(n, quoted=False), m[0]), raw
    )
    yield Layer("variable", _PS_USE.sub(lambda n: use(n, quoted=True), inside))


def _is_built(match: re.Match[str], text: Text) -> bool:
    if not text.budget.spend(_LOOK):
        return False
    before = match.string[max(0, match.start() - _LOOK) : match.start()]
    return bool(_PS_AFTER.match(match.string, match.end()) or _PS_BEFORE.search(before))


def _shell_variables(text: Text) -> Iterator[Layer]:
    """`a=c;b=at;$a$b /etc/hosts` -> `a=c;b=at;cat /etc/hosts`."""
    if text.windows:
        return
    uses = list(islice(_SH_USE.finditer(text.raw), _MAX_USES))
    # What is used and set: to look for every assignment costs more.
    names = list(dict.fromkeys(m[1] or m[2] or m[3] for m in uses))[:_MAX_NAMES]
    known = {name: value for name in names if (value := _assigned(name, text)) and any(map(str.isalpha, value))}
    if not any(_is_command(m, text) for m in uses if (m[1] or m[2] or m[3]) in known):
        return
    room = text.limit

    def use(match: re.Match[str]) -> str:
        nonlocal room
        text_of = known.get(match[1] or match[2] or match[3])
        if text_of is not None and match[4]:
            text.budget.settled.add(text_of)
            text_of = expanded(text_of, match[4])
        if text_of is None:
            return match[0]
        room -= len(text_of)
        if room < 0:
            text.budget.cut = True
            return match[0]
        return text_of

    # Its quotes go too: the values may hold others.
    raw = _SH_EVAL.sub(lambda m: m[1] + _SH_USE.sub(use, m[2]) if _all_known(m[2], known) else m[0], text.raw)
    yield Layer("variable", _SH_USE.sub(use, raw))


def _all_known(uses: str, known: dict[str, str]) -> bool:
    return all((m[1] or m[2] or m[3]) in known for m in _SH_USE.finditer(uses))


def _assigned(name: str, text: Text) -> str | None:
    """The last value that a shell line gives the name."""
    at = len(text.raw)
    for _ in range(_MAX_TRIES):
        at = text.raw.rfind(name + "=", 0, at)
        if at < 0 or not text.budget.spend(len(text.raw) // 8):
            return None
        match = _SH_VALUE.match(text.raw, at + len(name) + 1)
        if match and (at == 0 or text.raw[at - 1] in _SH_DELIMITERS):
            return plain_word(match[1])
    return None


def _is_command(match: re.Match[str], text: Text) -> bool:
    """Whether the variable is, or is part of, a command's name, or stands beside another."""
    if not text.budget.spend(_LOOK):
        return False
    if match.string.startswith("$", match.end()):
        return True
    return _SH_BEFORE.search(match.string[max(0, match.start() - _LOOK) : match.start()]) is not None


DECODINGS = (
    Decoding("powershell_variables", ("$",), _powershell_variables, rewrites=True, marks=marks.VARIABLE),
    Decoding("shell_variables", ("$",), _shell_variables, rewrites=True, marks=marks.SHELL_VARIABLE),
)
