"""What cmd.exe undoes: carets, empty quotes, environment variables and their substrings, /c."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.quoting import unquoted

__all__ = ["DECODINGS"]

# What every Windows has, with the values of a default installation: obfuscators cut letters out of these.
_VARIABLES = {
    "comspec": r"C:\Windows\system32\cmd.exe",
    "systemroot": r"C:\Windows",
    "windir": r"C:\Windows",
    "systemdrive": "C:",
    "homedrive": "C:",
    "programfiles": r"C:\Program Files",
    "programfiles(x86)": r"C:\Program Files (x86)",
    "programw6432": r"C:\Program Files",
    "commonprogramfiles": r"C:\Program Files\Common Files",
    "commonprogramfiles(x86)": r"C:\Program Files (x86)\Common Files",
    "commonprogramw6432": r"C:\Program Files\Common Files",
    "programdata": r"C:\ProgramData",
    "allusersprofile": r"C:\ProgramData",
    "public": r"C:\Users\Public",
    "os": "Windows_NT",
    "pathext": ".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC",
    "processor_architecture": "AMD64",
    "psmodulepath": r"C:\Program Files\WindowsPowerShell\Modules;C:\Windows\system32\WindowsPowerShell\v1.0\Modules",
}
_REFERENCE = re.compile(
    r"(?i)([%!])([a-z_][\w()]{0,63})"
    r"(?::~(-?\d{1,5})(?:,(-?\d{1,5}))?|:([^%!=\r\n]{1,40})=([^%!\r\n]{0,40}))?\1"
)
_SET = re.compile(r"(?i)(?:^|[\s&|(\"])set\s{1,8}\"?([a-z_]\w{0,63})=([^&|\"\r\n]{0,2000})")
_INDEXED = re.compile(r"(?i)\$env:(\w{1,64})\[([\d,\s-]{1,200})\]\s{0,4}-join\s{0,4}(?:''|\"\")")
_PS_ENV = re.compile(r"(?i)\$\{?env:(comspec|systemroot|windir|programdata|public|programfiles|systemdrive)\b\}?")
_EMPTY_QUOTES = re.compile(r"(?<=[\w.-])(?:\"\"|'')(?=[\w.-])")
_SPLIT_QUOTES = re.compile(r"(?<=\w)([\"'])(\w{1,3})\1(?=\w)")
_WRAPPER = re.compile(r"(?i)(?:(?<![\w.-])cmd(?:\.exe)?|%comspec%)[\"']?\s{1,8}[^&|\r\n]{0,60}?/[ckr](?![\w/])\s{0,8}")
_GLUED = re.compile(r"(?i)(?:(?<![\w.-])cmd(?:\.exe)?|%comspec%)[\"']?\s{0,8}/[ckr](?=[\w\"])")
_CARET = re.compile(r"(?<![\[('=^|])\^{1,3}(?=[\w/\\.:-])(?<![\[('=]\^)")
_MAX_VALUE = 4096


def _carets(text: Text) -> Iterator[Layer]:
    """`p^o^wershell`: outside double quotes a caret before a letter is nothing.

    One that escapes an operator (`^&`), or opens a regular expression (`'^a'`, `[^a]`), stays.
    """
    if not text.windows:
        return
    parts = text.raw.split('"')
    # Every second part stands inside quotes, where a caret is a character like any other.
    parts[::2] = [_CARET.sub("", part) for part in parts[::2]]
    yield Layer("caret", '"'.join(parts))


def _empty_quotes(text: Text) -> Iterator[Layer]:
    """`who""ami`, `w'h'o'am'i`: quotes inside a word vanish, in cmd and in Posix shells alike."""
    yield Layer("quotes", _SPLIT_QUOTES.sub(r"\2", _EMPTY_QUOTES.sub("", text.raw)))


def _environment(text: Text) -> Iterator[Layer]:
    """`%COMSPEC%`, `%PROGRAMFILES:~10,1%`, `%VAR:a=b%`, `!VAR!`, with variables that the line itself sets."""
    known = dict(_VARIABLES)
    for name, value in _SET.findall(text.raw):
        known[name.lower()] = value[:_MAX_VALUE].rstrip() if text.windows else value[:_MAX_VALUE]
    room = text.limit

    def expanded(match: re.Match[str]) -> str:
        nonlocal room
        value = known.get(match[2].lower())
        if value is None:
            return match[0]
        if match[3] is not None:
            value = _substring(value, int(match[3]), None if match[4] is None else int(match[4]))
        elif match[5] is not None:
            value = re.sub(re.escape(match[5]), lambda _: match[6], value, flags=re.IGNORECASE)[:_MAX_VALUE]
        # A line of many short references to one long value must not grow without bound.
        room -= len(value)
        return value if room >= 0 else match[0]

    yield Layer("env", _REFERENCE.sub(expanded, text.raw))


def _substring(value: str, start: int, length: int | None) -> str:
    """cmd's `:~start,length`: negative numbers count from the end."""
    begin = max(0, len(value) + start) if start < 0 else start
    if length is None:
        return value[begin:]
    return value[begin : (len(value) + length) if length < 0 else begin + length]


def _powershell_environment(text: Text) -> Iterator[Layer]:
    """`$env:ComSpec[4,24,25]-join''` -> `'iex'`; `$env:public` -> its usual value."""

    def picked(match: re.Match[str]) -> str:
        value = _VARIABLES.get(match[1].lower(), "")
        try:
            return "'" + "".join(value[int(n)] for n in match[2].split(",")) + "'"
        except (ValueError, IndexError):
            return match[0]

    named = _PS_ENV.sub(lambda m: _VARIABLES[m[1].lower()], _INDEXED.sub(picked, text.raw))
    yield Layer("env", named)


def _cmd_wrapper(text: Text) -> Iterator[Layer]:
    """`cmd.exe /d /s /c "X"` -> `X`."""
    match = _WRAPPER.search(text.raw) or _GLUED.search(text.raw)
    if match:
        yield Layer("wrapper", unquoted(text.raw[match.end() :]))


DECODINGS = (
    Decoding("cmd_wrapper", ("cmd", "%comspec%"), _cmd_wrapper),
    Decoding("carets", ("^",), _carets, rewrites=True),
    Decoding("empty_quotes", ('"', "'"), _empty_quotes, rewrites=True),
    Decoding("environment", ("%", "!"), _environment, rewrites=True),
    Decoding("powershell_environment", ("env:",), _powershell_environment, rewrites=True),
)
