"""Words that a Posix shell puts together from parts: $'\\x63at', c$@at, c${u:-a}t, ${PATH:0:1}etc, ${v#x}, ${v,,}."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.layer import Decoding, Layer, Text

__all__ = ["DECODINGS", "PARAMETER", "expanded"]

#: What variables begin with on nearly every system; tricks cut letters out of these.
_KNOWN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/",
    "PWD": "/",
    "OLDPWD": "/",
    "SHELL": "/bin/",
    "BASH": "/bin/bash",
    "TMPDIR": "/",
    "MAIL": "/var/",
    "PS2": "> ",
    "PS4": "+ ",
}
#: A name with what is done to its value.
PARAMETER = (
    r"\$\{([A-Za-z_]\w{0,40})(:\s?\d{1,3}(?::\d{1,3})?|##?[^{}$`]{1,60}|%%?[^{}$`]{1,60}|//?[^{}$`]{1,60}|\^\^?|,,?)\}"
)
_CUT = re.compile(rf"\$\{{({'|'.join(_KNOWN)})(:\s?\d{{1,3}}:\d{{1,3}}|%%[^{{}}$`]{{1,40}})\}}")
# Between letters, so that the shell sees one word.
_EMPTY = re.compile(r"(?<=[\w.-])(?:\$[@*]|\$\(\)|``)(?=[\w.-])")
_UNSET = re.compile(r"(?<=[A-Za-z])\$(?:\{([A-Za-z_]\w{0,40})\}|([1-9])|\{([1-9])\})(?=[A-Za-z])")
# What stands for an unset variable, within a word or where a command begins: `${PORT:-80}` alone is a setting.
_DEFAULT = re.compile(
    r"(?:(?<=[A-Za-z])|(?P<start>(?:^|(?<=[;&|(\n]))\s{0,4}[\"']?))\$\{([A-Za-z_]\w{0,40})(:?[-=+])([^{}$`\s]{0,60})\}"
    r"|\$\{([A-Za-z_]\w{0,40})(:?[-=+])([^{}$`\s]{0,60})\}(?=[A-Za-z])"
)
_INDIRECT = re.compile(r"\$\{!([A-Za-z_]\w{0,40})\}")
# Parts that expand to nothing in a command's name, where one is enough.
_NAME = re.compile(
    r"(?:^|(?<=[;&|(\n])|(?<=\ssudo)|(?<=\s-c))\s{0,4}[\"']?[\w./-]{0,60}"
    r"(?:(?:\$[@*]|\$\(\)|``|\$\{[A-Za-z_]\w{0,40}\}|\$[1-9])[\w./-]{1,60}){1,16}"
)
_NAME_PART = re.compile(r"\$[@*]|\$\(\)|``")
_ENOUGH = 2
# Parts that stand beside each other are seen one after the other.
_MOST_PARTS = 8
_ANSI = re.compile(r"\$'((?:[^'\\]|\\.){0,4000})'", re.DOTALL)
_NUMERIC = re.compile(r"\\(?:x[0-9a-fA-F]{1,2}|[0-7]{2,3}|u[0-9a-fA-F]{2,4}|U[0-9a-fA-F]{2,8})")
_ANSI_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|u([0-9a-fA-F]{1,4})|U([0-9a-fA-F]{1,8})|c(.)|(.))", re.DOTALL
)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "E": "\x1b", "f": "\f", "v": "\v"}
_BARE = re.compile(r"[\w./:@%+,=~-]+")


def expanded(value: str, operation: str) -> str | None:
    """What `${name...}` makes of the value: substring, prefix or suffix removed, replacement, change of case.

    Patterns are literals, but for a `*` at the far end of what is removed; None for others.
    """
    if operation[0] == ":":
        start, _, size = operation[1:].strip().partition(":")
        return value[int(start) :][: int(size) if size else None]
    if operation in ("^^", "^", ",,", ","):
        turned = value.upper() if operation[0] == "^" else value.lower()
        return turned if len(operation) == _ENOUGH else turned[:1] + value[1:]
    sign, twice = operation[0], operation[:2] == operation[0] * 2
    pattern = operation[2:] if twice else operation[1:]
    if sign == "/":
        old, _, new = pattern.partition("/")
        # `/%` and `/#` bind the pattern to an end.
        bound = not twice and old[:1] in "#%"
        return None if not old or bound or set(old) & set("*?[\\") else value.replace(old, new, -1 if twice else 1)
    far = pattern.startswith("*") if sign == "#" else pattern.endswith("*")
    literal = pattern.strip("*") if far else pattern
    if not literal or set(literal) & set("*?[\\"):
        return None
    if sign == "#":
        if not far:
            return value.removeprefix(literal)
        at = value.rfind(literal) if twice else value.find(literal)
        return value if at < 0 else value[at + len(literal) :]
    if not far:
        return value.removesuffix(literal)
    at = value.find(literal) if twice else value.rfind(literal)
    return value if at < 0 else value[:at]


def _cut(text: Text) -> Iterator[Layer]:
    """`cat ${PATH:0:1}etc` -> `cat /etc`: letters out of variables that begin alike everywhere."""
    if text.windows:
        return

    def letters(match: re.Match[str]) -> str:
        value = expanded(_KNOWN[match[1]], match[2])
        # `${PATH%%:*}` is a folder, and no letter.
        if (
            not value
            or (match[2][0] == "%" and len(value) > _ENOUGH)
            or (match[2][0] == ":" and sum(map(int, match[2][1:].split(":"))) > len(_KNOWN[match[1]]))
        ):
            return match[0]
        return value

    yield Layer("env", _CUT.sub(letters, text.raw))


def _nothing(text: Text) -> Iterator[Layer]:
    """`wh$@oami`, `who$()ami`, `wh${u}oami /e${u}tc` -> `whoami /etc`: parts of words that expand to nothing.

    One is enough in a command's name, and two elsewhere: `HOST$@REALM` is a name, and `lib${v}x` a variable's use.
    """
    if text.windows:
        return
    raw = text.raw
    unset = Counter(m[1] or m[2] or m[3] for m in _UNSET.finditer(raw))
    gone = {name for name, n in unset.items() if n >= _ENOUGH and not _is_set(name, text)}

    def name(match: re.Match[str]) -> str:
        bare = _UNSET.sub(lambda m: m[0] if _is_set(m[1] or m[2] or m[3], text) else "", match[0])
        return _NAME_PART.sub("", bare)

    raw = _NAME.sub(name, raw)
    if gone:
        raw = _UNSET.sub(lambda m: "" if (m[1] or m[2] or m[3]) in gone else m[0], raw)
    if len(_EMPTY.findall(text.raw)) >= _ENOUGH:
        raw = _EMPTY.sub("", raw)
    yield Layer("quotes", raw)


def _defaults(text: Text) -> Iterator[Layer]:
    """`w${q:-h}oami${v+x}` -> `whoami`: what stands in for a variable that nobody set."""
    if text.windows:
        return

    def given(match: re.Match[str]) -> str:
        name, operation, value = match.group(2, 3, 4) if match[2] else match.group(5, 6, 7)
        if name in _KNOWN or (not name.isupper() and _is_set(name, text)):
            return match[0]
        return (match["start"] or "") + ("" if operation[-1] == "+" else value)

    raw = text.raw
    for _ in range(_MOST_PARTS):
        after = _DEFAULT.sub(given, raw)
        if after == raw or not text.budget.spend(len(raw)):
            break
        raw = after
    yield Layer("env", raw)


def _indirect(text: Text) -> Iterator[Layer]:
    """`h=z;${!h}` -> `h=z;${z}`."""
    if text.windows:
        return

    known: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        if match[1] not in known:
            given = rf"(?:^|(?<=[\s;&|(\"'])){match[1]}=([A-Za-z_]\w{{0,40}})(?=[\s;&|)]|$)"
            found = re.search(given, text.raw) if text.budget.spend(len(text.raw)) else None
            known[match[1]] = f"${{{found[1]}}}" if found else ""
        return known[match[1]] or match[0]

    yield Layer("variable", _INDIRECT.sub(named, text.raw))


def _is_set(name: str, text: Text) -> bool:
    """Whether the line may give the name a value; names in capitals are the environment's."""
    if name.isupper() or not text.budget.spend(len(text.raw)):
        return True
    if name.isdigit():
        return " -- " in text.raw or "set " in text.raw or "()" in text.raw.replace("$()", "")
    given = (
        rf"(?<![\w$]){name}(?:\+?=|\s+in\s)"
        rf"|(?:read|for|export|declare|local|mapfile)\s[^;|&]{{0,80}}\b{name}\b|-[vi]\s?{name}\b"
    )
    return re.search(given, text.raw) is not None


def _ansi_c(text: Text) -> Iterator[Layer]:
    """`$'\\x63\\141t' x` -> `cat x`; `$'\\n'` and `$'a\\tb'`, which spell nothing, stay."""
    if not text.windows:
        yield Layer("escape", _ANSI.sub(_spelt, text.raw))


def _spelt(match: re.Match[str]) -> str:
    if not _NUMERIC.search(match[1]):
        return match[0]
    plain = _ANSI_ESCAPE.sub(_character, match[1])
    if not plain.isprintable():
        return match[0]
    return plain if _BARE.fullmatch(plain) else f"'{plain}'" if "'" not in plain else match[0]


def _character(match: re.Match[str]) -> str:
    if match[5] is not None:
        return chr(ord(match[5]) & 31)
    if match[6] is not None:
        return _NAMED.get(match[6], match[6])
    code = int(match[2], 8) & 255 if match[2] else int(match[1] or match[3] or match[4], 16)
    return chr(code) if code < 0xD800 or 0xE000 <= code <= 0x10FFFF else "\ufffd"


DECODINGS = (
    Decoding("nothing", ("$@", "$*", "$()", "``", "${", "$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8", "$9"), _nothing,
             rewrites=True, marks=marks.EMPTY),
    Decoding("defaults", ("${",), _defaults, rewrites=True, marks=marks.EMPTY),
    Decoding("indirect", ("${!",), _indirect, rewrites=True, marks=marks.EMPTY),
    Decoding("cut_variables", ("${",), _cut, rewrites=True, marks=marks.EMPTY),
    Decoding("ansi_c", ("$'",), _ansi_c, rewrites=True, marks=marks.ESCAPE),
)  # fmt: skip
