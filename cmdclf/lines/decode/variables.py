"""Variables that the line itself sets and then puts together: `$a='ie';$b='x';&($a+$b)`, `a=c;b=at;$a$b x`.

A variable that is only passed on (`p=/tmp; ls $p`) hides nothing and stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.literals import LITERAL, literal

__all__ = ["DECODINGS"]

_MAX_NAMES = 64
_PS_ASSIGNED = re.compile(
    rf"\$(\w{{1,40}})\s{{0,4}}=\s{{0,4}}({LITERAL})(?=\s{{0,4}}(?:[;)}}\r\n]|\.tochararray|$))", re.IGNORECASE
)
# Called, put beside another, or taken apart.
_PS_BUILT = re.compile(
    r"(?i)(?:(?:^|[\s;({=])[&.]\s{0,2}\(?\s{0,2}|(?:iex|invoke-expression)\s{0,2}\(?\s{0,2}|\+\s{0,2})[\"']?\$\{?(\w{1,40})"
    r"|\$\{?(\w{1,40})\}?(?:\s{0,2}\+(?!=)|\$|\[-?\d|\.(?:replace|split|substring|tochararray)"
    r"|\s{0,2}-(?:join|split|[ci]?replace|f|bxor)\b)"
)
_PS_USE = re.compile(r"\$\{?(\w{1,40})\}?(?!\s{0,4}=[^=]|\w)")
_WITHIN = re.compile(r"[\w$/\\:]")
_DOUBLE = re.compile(r"\"[^\"]{0,2000}\"")
_SH_ASSIGNED = re.compile(
    r"(?:^|(?<=[\s;&|(\"']))([A-Za-z_]\w{0,40})=('[^']{0,500}'|\"[^\"$`]{0,500}\"|[\w./:@%+,-]{0,500})(?=[\s;&|)]|$)"
)
_SH_BUILT = re.compile(
    r"(?:^|[;&|(`\n]|(?<![\w-])(?:eval|exec|then|do)\s)\s{0,4}\"?[\w./-]{0,40}\$\{?([A-Za-z_]\w{0,40})"
    r"|\$\{?([A-Za-z_]\w{0,40})\}?\$"
)
_SH_USE = re.compile(r"\$(?:\{([A-Za-z_]\w{0,40})\}|([A-Za-z_]\w{0,40}))")


def _powershell_variables(text: Text) -> Iterator[Layer]:
    """`$a='ie';$b='x';&($a+$b)` -> `...;&('ie'+'x')`, `"$a$b"` -> `"iex"`."""
    known = {m[1].lower(): m[2][1:-1] for m, _ in zip(_PS_ASSIGNED.finditer(text.raw), range(_MAX_NAMES), strict=False)}
    if not known or not any((m[1] or m[2]).lower() in known for m in _PS_BUILT.finditer(text.raw)):
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

    inside = _DOUBLE.sub(lambda m: _PS_USE.sub(lambda n: use(n, quoted=False), m[0]), text.raw)
    yield Layer("variable", _PS_USE.sub(lambda n: use(n, quoted=True), inside))


def _shell_variables(text: Text) -> Iterator[Layer]:
    """`a=c;b=at;$a$b /etc/hosts` -> `a=c;b=at;cat /etc/hosts`."""
    if text.windows:
        return
    known = {}
    for match, _ in zip(_SH_ASSIGNED.finditer(text.raw), range(_MAX_NAMES), strict=False):
        quoted = match[2][:1] in ("'", '"')
        word = match[2][1:-1] if quoted else match[2]
        if any(map(str.isalpha, word)):
            known[match[1]] = word
    if not known or not any((m[1] or m[2]) in known for m in _SH_BUILT.finditer(text.raw)):
        return
    room = text.limit

    def use(match: re.Match[str]) -> str:
        nonlocal room
        text_of = known.get(match[1] or match[2])
        if text_of is None:
            return match[0]
        room -= len(text_of)
        if room < 0:
            text.budget.cut = True
            return match[0]
        return text_of

    yield Layer("variable", _SH_USE.sub(use, text.raw))


DECODINGS = (
    Decoding("powershell_variables", ("$",), _powershell_variables, rewrites=True),
    Decoding("shell_variables", ("$",), _shell_variables, rewrites=True),
)
