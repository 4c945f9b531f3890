"""The platform of a command line whose record does not say it, by what the line itself shows."""

from __future__ import annotations

import re
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["guess_platform"]

_MACOS = (
    r"(?:^|[\s\"'=(])(?:/Applications/|/System/Library/|/Library/|/Users/|/Volumes/|/private/(?:var|tmp|etc)/)"
    r"|\b(?:osascript|launchctl|plutil|scutil|networksetup|dscl|spctl|csrutil|pmset|diskutil|hdiutil|codesign|xattr"
    r"|softwareupdate|sw_vers|mdfind|mdutil|xcode-select|xcrun|profiles show|defaults (?:read|write|delete))\b"
    r"|\.app/Contents/"
)
_WINDOWS = (
    r"(?i)(?:^|[\s\"'=(,;@])[a-z]:[\\/]|\\\\[\w.$?-]+\\|[\w)%\]]\\[\w.%$ -]+"
    r"|\.(?:exe|dll|bat|cmd|ps1|msi|vbs|hta|cpl)\b"
    r"|%[a-z_()0-9]{3,30}%|\$env:|\bHK(?:LM|CU|CR|U|EY_)"
    r"|(?-i:(?:^|[|;({\"'=&]\s*|-[Cc]ommand\s+[\"']?|-c\s+[\"']?)[A-Z][a-z]+-[A-Z][A-Za-z0-9]+(?:\s|$|[)|;\"']))"
    r"|(?:^|[\s(=;{!])\[[a-z.]{3,80}\]\s*(?:::|['\"$(])|^\s*\$[a-z_]\w*\s*=|\$psboundparameters|\$_\."
    r"|^\W*(?:powershell|pwsh|choco|cmd)(?:\s|$)"
    r"|^\W*(?:reg|net|net1|schtasks|wmic|netsh|sc|rundll32|regsvr32|mshta|certutil|bitsadmin|wevtutil|vssadmin"
    r"|bcdedit|icacls|takeown|tasklist|taskkill|ipconfig|systeminfo|nltest|dsquery|gpupdate|gpresult|msiexec|fsutil)\b\s+[/a-z]"
)
# Posix programs take backslashes as escapes, so their lines look like Windows paths to the pattern above.
_POSIX = (
    r"^\s*(?:sudo\s|sh\s+-|bash\s|/bin/|/usr/|/sbin/|/opt/|/etc/|/var/|/home/|grep\s|egrep\s|sed\s|awk\s|find\s+[./~]|echo\s+-e|printf\s|"
    r"tr\s|perl\s+-|for\s+\w+\s+in\s|if\s+\[)"
)

#: So few lines are matched one by one: Arrow compiles its patterns anew for each call, which takes a millisecond.
_FEW = 16
#: Where Python and RE2 differ: the vertical tab as white space, and letters beyond ASCII that are a k or an s in any case.
_OTHERWISE = re.compile("[\x0b\u017f\u212a]")


@cache
def _compiled() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """The patterns for Python."""
    return re.compile(_POSIX, re.ASCII), re.compile(_MACOS, re.ASCII), re.compile(_WINDOWS, re.ASCII)


def _guess_one(text: str | None) -> str:
    if text is None:
        return "linux"
    posix, macos, windows = (pattern.search(text) is not None for pattern in _compiled())
    if windows and not posix and not macos:
        return "windows"
    return "macos" if macos else "windows" if windows and not posix else "linux"


def guess_platform(arr: pa.StringArray) -> pa.StringArray:
    """(n,) string of `windows`, `linux` or `macos`: a guess by drive letters, extensions, cmdlets, tools and folders.

    A heuristic for input without a platform column; `linux` where nothing speaks for another. Null lines give `linux`.
    """
    if len(arr) <= _FEW:
        texts = arr.to_pylist()
        if not any(text is not None and _OTHERWISE.search(text) for text in texts):
            return pa.array([_guess_one(text) for text in texts], pa.string())
    text = arr.cast(pa.string())
    posix = pc.match_substring_regex(text, _POSIX)
    macos = pc.match_substring_regex(text, _MACOS)
    windows = pc.and_not(pc.match_substring_regex(text, _WINDOWS), posix)
    # A /Users/ path on a Windows line is still Windows: the drive letter or the .exe decides.
    guess = pc.if_else(
        pc.and_not(windows, macos), "windows", pc.if_else(macos, "macos", pc.if_else(windows, "windows", "linux"))
    )
    return pc.fill_null(guess, "linux").cast(pa.string())
