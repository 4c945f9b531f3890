"""Environment variables in cmd and PowerShell: whole, cut into substrings, replaced, set by the line itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.layer import Decoding, Layer, Text

__all__ = ["DECODINGS", "replaced", "set_by", "substring"]

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
# PowerShell's own, indexed to spell `iex`.
_AUTOMATIC = {
    "shellid": "Microsoft.PowerShell",
    "pshome": r"C:\Windows\System32\WindowsPowerShell\v1.0",
    "verbosepreference": "SilentlyContinue",
    "debugpreference": "SilentlyContinue",
    "warningpreference": "Continue",
}
_REFERENCE = re.compile(
    r"(?i)([%!])([a-z_][\w()]{0,63})"
    r"(?::~(-?\d{1,5})(?:,(-?\d{1,5}))?|:([^%!=\r\n]{1,40})=([^%!\r\n]{0,40}))?\1"
)
_SET = re.compile(r"(?i)(?:^|[\s&|(\"])set\s{1,8}\"?([a-z_]\w{0,63})=(?:\"([^\"\r\n]{1,2000})\"|([^&|\"\r\n]{0,2000}))")
_JOIN = r"(?:\s{0,4}-join\s{0,4}(?:''|\"\"))?"
_INDEXED = re.compile(
    rf"(?i)\$(?:\{{?env:(\w{{1,64}})\}}?|({'|'.join(_AUTOMATIC)})(?:\.tostring\(\))?)\[([\d,\s-]{{1,200}})\]{_JOIN}"
)
_PS_ENV = re.compile(r"(?i)\$\{?env:(comspec|systemroot|windir|programdata|public|programfiles|systemdrive)\b\}?")
_PS_OWN = re.compile(r"(?i)\$\{?env:(\w{1,63})\}?(?![\w\[])")
_DRIVES = frozenset({"systemdrive", "homedrive"})
_MAX_VALUE = 4096


def _environment(text: Text) -> Iterator[Layer]:
    """`%COMSPEC%`, `%PROGRAMFILES:~10,1%`, `%VAR:a=b%`, `!VAR!`, with variables that the line itself sets."""
    own = set_by(text.raw) if "set" in text.lower else {}
    room = text.limit
    hides = False

    def expanded(match: re.Match[str]) -> str:
        nonlocal room, hides
        name = match[2].lower()
        value = own.get(name, _VARIABLES.get(name))
        if value is None:
            return match[0]
        if match[3] is not None:
            value = substring(value, int(match[3]), None if match[4] is None else int(match[4]))
        elif match[5] is not None:
            if not text.budget.spend(4 * len(value)):
                return match[0]
            text.budget.settled.add(value.strip())
            value = replaced(value, match[5], match[6])[:_MAX_VALUE]
        # A line of many short references to one long value must not grow without bound.
        room -= len(value)
        if room < 0:
            text.budget.cut = True
            return match[0]
        hides = hides or name in own or match[3] is not None or match[5] is not None
        return value

    result = _REFERENCE.sub(expanded, text.raw)
    yield Layer("env" if hides else "plain-env", result)


def replaced(value: str, old: str, new: str) -> str:
    """The value with a text replaced wherever it stands, in any case of its letters."""
    return re.sub(re.escape(old), new.replace("\\", r"\\"), value, flags=re.IGNORECASE)


def set_by(raw: str) -> dict[str, str]:
    """The variables that a line sets, by name in lower case.

    `set PATH=x;%PATH%` says what was there before, not what the line hides, and is left out.
    """
    found = {}
    for name, quoted, plain in _SET.findall(raw):
        value = quoted or plain.rstrip()
        if not re.search(rf"(?i)[%!]{name}[%!]", value):
            found[name.lower()] = value
    return found


def substring(value: str, start: int, length: int | None) -> str:
    """cmd's `:~start,length`: negative numbers count from the end."""
    begin = max(0, len(value) + start) if start < 0 else start
    if length is None:
        return value[begin:]
    return value[begin : (len(value) + length) if length < 0 else begin + length]


def _indexed_variables(text: Text) -> Iterator[Layer]:
    """`$env:ComSpec[4,24,25]-join''` -> `'iex'`; `$ShellId[1]` -> `'i'`."""

    def picked(match: re.Match[str]) -> str:
        if match[1] and match[1].lower() in _DRIVES:
            # `$env:SystemDrive[0]` is how one asks for the drive's letter.
            return match[0]
        value = _VARIABLES.get(match[1].lower(), "") if match[1] else _AUTOMATIC[match[2].lower()]
        try:
            return "'" + "".join(value[int(n)] for n in match[3].split(",")) + "'"
        except (ValueError, IndexError):
            return match[0]

    yield Layer("env", _INDEXED.sub(picked, text.raw))


def _powershell_environment(text: Text) -> Iterator[Layer]:
    """`$env:public` -> its usual value."""
    yield Layer("plain-env", _PS_ENV.sub(lambda m: _VARIABLES[m[1].lower()], text.raw))


def _passed_on(text: Text) -> Iterator[Layer]:
    """`set x=ls&&powershell iex $env:x` -> `...;iex 'ls'`: what cmd set before it called PowerShell."""
    own = set_by(text.raw) if "set" in text.lower else {}
    if not own:
        return

    def value(match: re.Match[str]) -> str:
        found = own.get(match[1].lower())
        return match[0] if found is None or not text.budget.spend(len(found)) else f"'{found}'"

    yield Layer("env", _PS_OWN.sub(value, text.raw)[: text.limit])


DECODINGS = (
    Decoding("passed_on", ("$env:", "${env:"), _passed_on, rewrites=True, marks=marks.ENVIRONMENT),
    Decoding("environment", ("%", "!"), _environment, rewrites=True),
    Decoding(
        "indexed_variables",
        ("env:", "$shellid", "$pshome", "preference"),
        _indexed_variables,
        rewrites=True,
        marks=marks.FOLD,
    ),
    Decoding("powershell_environment", ("env:",), _powershell_environment, rewrites=True),
)
