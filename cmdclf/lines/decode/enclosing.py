"""How far what encloses a hidden text goes with it: `iex([Text.Encoding]::UTF8.GetString(...'X'...))` is X, run."""

from __future__ import annotations

import re

__all__ = ["INVOKING", "POSIX", "POWERSHELL", "widened"]

Enclosing = tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]

_LOOK = 200
_MOST = 12
_STREAM = (
    r"\[(?:system\.)?io\.memorystream\](?:::new)?\s?\(?(?:,\s?)?\(?"
    r"\[(?:system\.)?convert\]::frombase64string\(\s?['\"]?"
)


def _pair(before: str, after: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    return re.compile(rf"(?i)(?:{before})$"), re.compile(rf"(?i){after}")


# What turns bytes into a text.
_STREAMS: Enclosing = (
    _pair(
        r"\[(?:system\.)?text\.encoding\]::\w{3,16}\.getstring\(\s?\[(?:system\.)?convert\]::frombase64string\(\s?['\"]?",
        r"['\"]?\s?\)\s?\)",
    ),
    _pair(
        rf"\(?new-object (?:system\.)?io\.streamreader\s?\(\s?\(?new-object "
        rf"(?:system\.)?io\.compression\.(?:deflate|gzip)stream\s?\(\s?{_STREAM}",
        r"['\"]?\s?\)\s?\)?,\s?\[?(?:system\.)?[\w.]{0,40}\]?(?:::)?decompress['\"]?\s?\)\s?\)?"
        r"(?:\s?,\s?\[(?:system\.)?text\.encoding\]::\w{3,16})?\s?\)\s?\)?\.readtoend\(\)",
    ),
)
_NAMED_IEX = r"(?<![\w-])[&.]\s{0,2}\(?\s{0,2}['\"](?:iex|invoke-expression)['\"]\s{0,2}\)?\s{0,2}"
#: What runs a text; before and after, innermost first.
INVOKING: Enclosing = (
    _pair(rf"{_NAMED_IEX}\(\s{{0,2}}", r"\s{0,2}\)"),
    _pair(_NAMED_IEX, ""),
    _pair(r"(?<![\w-])(?:iex|invoke-expression)\s{0,4}(?:-c\w{0,6}\s{1,4})?", ""),
    _pair(
        r"(?<![\w-])&\s{0,2}\(\s{0,2}(?:gal|gcm|get-alias|get-command)\s{1,2}(?:iex|i\*x|invoke-expression)\s{0,2}\)"
        r"\s{0,2}",
        "",
    ),
    _pair(
        r"(?<![\w-])(?:[&.]\s{0,2}|(?:icm|invoke-command)\s{1,2}(?:-s\w{0,10}\s{1,2})?)?\(?\s{0,2}"
        r"\[(?:system\.management\.automation\.)?scriptblock\]::create\(\s{0,2}",
        r"\s{0,2}\)\s{0,2}\)?(?:\.invoke\(\))?",
    ),
    _pair(
        r"\$\{?executioncontext\}?\.invokecommand\.(?:invokescript|newscriptblock)\(\s{0,2}",
        r"\s{0,2}\)(?:\.invoke\(\))?",
    ),
    _pair(r"(?<![\w&)\]])&\s{0,2}", r"(?=[\s;|}\"')]|$)"),
    _pair(r"(?:(?<![\w.\])])|(?<=\biex)|(?<=invoke-expression))\(\s{0,2}", r"\s{0,2}\)"),
    _pair("", r"\s{0,2}\|\s{0,2}(?:&\s{0,2}\(?\s{0,2}['\"])?(?:iex|invoke-expression)(?![\w-])(?:['\"]\s{0,2}\)?)?"),
)  # fmt: skip
POWERSHELL: Enclosing = (*_STREAMS, *INVOKING)
_NAME = r"(?:/usr)?(?:/local)?(?:/bin/)?(?:ba|z|da|k|a)?sh"
#: Command substitution, eval, a pipe into a shell.
POSIX: Enclosing = (
    _pair("", rf"\s{{0,4}}\|\s{{0,4}}(?:sudo\s{{1,4}})?{_NAME}(?:\s{{1,4}}-s?)?(?=[\s;&|)\"'`]|$)"),
    _pair(r"(?<!\$)\$\(\s{0,4}", r"\s{0,4}\)"),
    _pair("`", "`"),
    _pair(r"(?:^|(?<=[\s;&|(\"']))eval\s{1,4}\"", r"\s{0,4}\""),
    _pair(r"(?:^|(?<=[\s;&|(\"']))eval\s{1,4}", r"(?=\s{0,4}(?:[;&|\n)'\"]|$))"),
    _pair(rf"(?:^|(?<=[\s;&|(\"'/])){_NAME}\s{{1,4}}-c\s{{1,4}}\"(?=[$`])", r"\""),
    _pair(
        rf"(?:^|(?<=[\s;&|(\"'/]))(?:{_NAME}(?:\s{{1,4}}-s?)?\s{{0,4}}<|source|\.)\s{{1,4}}<\(\s{{0,4}}",
        r"\s{0,4}\)",
    ),
)  # fmt: skip


def widened(raw: str, start: int, end: int, pairs: Enclosing) -> tuple[int, int]:
    """The span with what encloses it on both sides, as often as something does.

    Looks at most 200 characters to either side, at most twelve times.
    """
    for _ in range(_MOST):
        before, after = raw[max(0, start - _LOOK) : start], raw[end : end + _LOOK]
        for opening, closing in pairs:
            right = closing.match(after)
            left = opening.search(before) if right else None
            if left and right and (left[0] or right[0]):
                start, end = start - len(left[0]), end + right.end()
                break
        else:
            break
    return start, end
