"""Methods of .NET's strings on literals, as their value: Insert, Remove, Substring, Trim, Format, Reverse."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.literals import FIELD, LEFT, LITERAL, literal, value

__all__ = ["DECODINGS"]

_ARGUMENT = rf"(?:\d{{1,4}}|{LITERAL})"
_METHOD = re.compile(
    rf"(?i)({LEFT})\.(insert|remove|substring|trim|trimstart|trimend|tolower|toupper|tolowerinvariant|toupperinvariant|"
    rf"tostring|normalize)\(\s{{0,2}}({_ARGUMENT}(?:\s{{0,2}},\s{{0,2}}{_ARGUMENT}){{0,2}})?\s{{0,2}}\)"
)
_GIVEN = re.compile(_ARGUMENT)
_STATIC = re.compile(
    rf"(?i)\[(?:system\.)?string\]::(format|concat)\(\s{{0,2}}({LITERAL}(?:\s{{0,2}},\s{{0,2}}{LITERAL}){{1,64}})\s{{0,2}}\)"
)
_PERCENT = re.compile(
    rf"(?i)\[[\w.]{{3,40}}\]::(?:unescapedatastring|urldecode|htmldecode)\(\s{{0,2}}({LITERAL})\s{{0,2}}\)"
)
_TEXT_OF = re.compile(
    rf"(?i)\[(?:system\.)?text\.encoding\]::\w{{3,16}}\.getstring\(\s{{0,2}}(?:\[byte\[\]\]\s{{0,2}})?(?:@?\(\s{{0,2}}({LITERAL})\s{{0,2}}\)"
    rf"|({LITERAL}))\s{{0,2}}\)"
)
_LETTERS = (
    rf"\[regex\]::matches\(\s{{0,2}}({LITERAL})\s{{0,2}},\s{{0,2}}['\"]\.['\"]\s{{0,2}},\s{{0,2}}"
    r"['\"]?(?:16|(?:\[[\w.]{1,60}\]::)?righttoleft)['\"]?\s{0,2}\)"
    r"(?:\s?\|\s?(?:%|foreach(?:-object)?)\s?\{\s?\$_(?:\.value)?\s?\}|\.value)?"
)
_BACKWARDS = re.compile(
    rf"(?i)(?:-join\s{{0,2}})?(?:{_LETTERS}|\(\s{{0,2}}{_LETTERS}\s{{0,2}}\))(?:\s{{0,2}}-join\s{{0,2}}(?:''|\"\"))?"
)
_REVERSED = re.compile(
    rf"(?i)\$(\w{{1,40}})\s{{0,4}}=\s{{0,4}}(?:\[char\[\]\]\s{{0,2}})?\(?({LITERAL})\)?(?:\.tochararray\(\))?\s{{0,4}};\s{{0,4}}"
    r"\[array\]::reverse\(\s{0,2}\$\1\s{0,2}\)\s{0,4}(?=[;}]|$)"
)
_HERE = re.compile(r"@(['\"])\r?\n([^\r\n'\"]{1,4000})\r?\n\1@")
_COMMANDS = """
add-type bitsadmin certutil convertto-securestring copy-item get-alias get-childitem get-command get-content get-item
get-itemproperty get-process get-service get-variable get-wmiobject get-ciminstance import-module invoke-command
invoke-expression invoke-item invoke-restmethod invoke-webrequest invoke-wmimethod invoke-cimmethod new-item
new-itemproperty new-object new-psdrive new-service out-file out-string register-scheduledtask remove-item
set-alias set-content set-executionpolicy set-item set-itemproperty set-mppreference set-variable start-bitstransfer
start-job start-process stop-process stop-service test-connection where-object write-host write-output
foreach-object select-object select-string sort-object get-host get-location get-date
"""
_ALIASES = {"iex": "invoke-expression", "iwr": "invoke-webrequest", "irm": "invoke-restmethod", "gci": "get-childitem"}
_WILD = re.compile(
    r"(?i)(?<![\w-])(?:gcm|get-command|gal|get-alias)\s{1,2}(?:-n\w{0,3}\s{1,2})?(['\"]?)([\w-]{0,30}[*?][\w*?-]{0,30})\1"
)
_CALLED = re.compile(
    r"(?i)([&.]\s{0,2}\(\s{0,2})(?:gcm|get-command|gal|get-alias)\s{1,2}(?:-n\w{0,3}\s{1,2})?(['\"]?)([a-z]{2,12}(?:-[a-z]{2,40})?)\2\s{0,2}\)"
)
_MOST_ROUNDS = 16
_CALL = 100


def _of_literal(method: str, text: str, given: list[str]) -> str | None:
    """What the method makes of the text; None for arguments that it can't have."""
    numbers = [int(one) for one in given if one.isdigit()]
    texts = [one[1:-1] for one in given if not one.isdigit()]
    if method == "insert":
        if len(numbers) != 1 or len(texts) != 1 or numbers[0] > len(text):
            return None
        return text[: numbers[0]] + texts[0] + text[numbers[0] :]
    if method in ("remove", "substring"):
        if texts or not 1 <= len(numbers) <= 2 or sum(numbers) > len(text):
            return None
        start, end = numbers[0], sum(numbers) if len(numbers) > 1 else len(text)
        return text[:start] + text[end:] if method == "remove" else text[start:end]
    if method.startswith("trim"):
        gone = "".join(texts) or None
        if numbers or any(len(one) != 1 for one in texts):
            return None
        return {"trim": text.strip, "trimstart": text.lstrip, "trimend": text.rstrip}[method](gone)
    if given:
        return None
    return text.lower() if "lower" in method else text.upper() if "upper" in method else text


def _until_done(raw: str, text: Text, step: Callable[[str], str]) -> str:
    for _ in range(_MOST_ROUNDS):
        after = step(raw)
        if after == raw or not text.budget.spend(len(raw)):
            return after
        raw = after
    return raw


def _methods(text: Text) -> Iterator[Layer]:
    """`'ix'.Insert(1,'e')` -> `'iex'`, also in chains; `[string]::Concat('i','ex')` likewise."""

    def folded(match: re.Match[str]) -> str:
        source = value(match[1])
        if not text.budget.spend(_CALL + len(source)):
            return match[0]
        found = _of_literal(match[2].lower(), source, _GIVEN.findall(match[3] or ""))
        return match[0] if found is None else literal(found)

    def static(match: re.Match[str]) -> str:
        items = [one[1:-1] for one in re.findall(LITERAL, match[2])]
        if match[1].lower() == "concat":
            return literal("".join(items))
        if any(int(n) >= len(items) - 1 for n in FIELD.findall(items[0])):
            return match[0]
        return literal(FIELD.sub(lambda m: items[1 + int(m[1])], items[0]))

    yield Layer("index", _until_done(_STATIC.sub(static, text.raw), text, lambda raw: _METHOD.sub(folded, raw)))


def _converted(text: Text) -> Iterator[Layer]:
    """`[uri]::UnescapeDataString('%69ex')`, `[Text.Encoding]::UTF8.GetString(...)` of what is a literal by now."""
    raw = _PERCENT.sub(lambda m: literal(unquote(m[1][1:-1])), text.raw)
    yield Layer("percent", raw)
    yield Layer("char", _TEXT_OF.sub(lambda m: m[1] or m[2], raw))


def _here_strings(text: Text) -> Iterator[Layer]:
    """A here-string of one line as the literal that it is."""
    yield Layer("quotes", _HERE.sub(lambda m: literal(m[2]), text.raw))


def _backwards(text: Text) -> Iterator[Layer]:
    """`[regex]::Matches('xei','.','RightToLeft')` joined, `$c='xei'.ToCharArray();[array]::Reverse($c)` -> `'iex'`."""
    raw = _BACKWARDS.sub(lambda m: literal((m[1] or m[2])[-2:0:-1]), text.raw)
    for match in list(_REVERSED.finditer(raw))[:_MOST_ROUNDS]:
        if not text.budget.spend(len(raw)):
            break
        backwards = literal(match[2][-2:0:-1])
        raw = raw.replace(match[0], f"${match[1]}={backwards}")
        name = rf"\${match[1]}(?!\w)"
        joined = "|".join(
            (
                rf"-join\s{{0,2}}(?:{name}|\(\s{{0,2}}{name}\s{{0,2}}\))",
                rf"(?:{name}|\(\s{{0,2}}{name}\s{{0,2}}\))\s{{0,2}}-join\s{{0,2}}(?:''|\"\")",
            )
        )
        raw = backwards.join(re.split(f"(?i){joined}", raw))
        if len(re.findall(name, raw)) == 1:
            raw = raw.replace(f"${match[1]}={backwards}", "").lstrip("; ")
        if raw == backwards:
            raw = backwards[1:-1]
    yield Layer("reverse", raw)


def _wildcards(text: Text) -> Iterator[Layer]:
    """`&(gcm i*e-ex*)` -> `&('invoke-expression')`, where the wildcards fit one usual command."""

    def name(match: re.Match[str]) -> str:
        pattern = re.compile(re.escape(match[2].lower()).replace(r"\*", ".*").replace(r"\?", "."))
        fitting = {_ALIASES.get(one, one) for one in (*_COMMANDS.split(), *_ALIASES) if pattern.fullmatch(one)}
        return match[0] if len(fitting) != 1 else f"gcm {fitting.pop()}"

    raw = _WILD.sub(name, text.raw)
    yield Layer("env", _CALLED.sub(r"\1'\3')", raw))


DECODINGS = (
    Decoding(
        "methods",
        (".insert(", ".remove(", ".substring(", ".trim", ".tolower", ".toupper", ".tostring(", ".normalize(",
         "string]::format(", "string]::concat("),
        _methods, rewrites=True, marks=marks.FOLD,
    ),
    Decoding("converted", ("datastring(", "urldecode(", "htmldecode(", ".getstring("), _converted, rewrites=True,
             marks=marks.FOLD | marks.CODES),
    Decoding("here_strings", ("@'", '@"'), _here_strings, rewrites=True, marks=marks.FOLD),
    Decoding("backwards", ("]::reverse(", "]::matches("), _backwards, rewrites=True, marks=marks.REVERSAL),
    Decoding("command_wildcards", ("gcm", "get-command", "gal", "get-alias"), _wildcards, rewrites=True,
             marks=marks.FOLD),
)  # fmt: skip
