"""Whether a command line's quotes and brackets close, by the rules of the shell that reads it.

Every scan is one pass of a regular expression whose alternatives cannot match the same text, so it takes linear time.
"""

from __future__ import annotations

import re

from cmdclf.lexicon.wrappers import peel

__all__ = ["powershell_fault", "quoting_fault", "sh_fault", "windows_fault"]

#: Text between two things that matter, whole quoted texts, brackets; what none of them matches is an open quote.
_POWERSHELL = re.compile(
    r"""[^`'"()\[\]{}]++ | `. | '[^']*+' | "(?:[^"`]|`.)*+" | (?P<bracket>[()\[\]{}]) | `
      | (?P<open>['"])""",
    re.VERBOSE | re.DOTALL,
)
_SH = re.compile(
    r"""[^\\'"$]++ | \\. | \$'(?:[^'\\]|\\.)*+' | '[^']*+' | "(?:[^"\\]|\\.)*+" | \$(?!') | \\
      | (?P<open>\$?['"])""",
    re.VERBOSE | re.DOTALL,
)
#: An apostrophe within a word: `don't` arrives whole where a sensor joins arguments by blanks.
_APOSTROPHE = re.compile(r"(?<=[A-Za-z])'(?=[a-z])")
_PAIR = {")": "(", "]": "[", "}": "{"}


def powershell_fault(text: str) -> str | None:
    """What does not close in PowerShell text, or None."""
    stack: list[str] = []
    for match in _POWERSHELL.finditer(text):
        if match["open"]:
            return f"the quote {match['open']} at character {match.start() + 1} of its PowerShell text is never closed"
        bracket = match["bracket"]
        if not bracket:
            continue
        if bracket in "([{":
            stack.append(bracket)
        elif not stack or stack.pop() != _PAIR[bracket]:
            return f"the bracket {bracket} at character {match.start() + 1} of its PowerShell text closes nothing"
    return f"a bracket {stack[-1]} of its PowerShell text is never closed" if stack else None


def sh_fault(text: str) -> str | None:
    """The quote that never closes in text for a Posix shell, or None."""
    for match in _SH.finditer(text):
        if match["open"]:
            return f"the quote {match['open'][-1]} at character {match.start() + 1} is never closed"
    return None


def windows_fault(line: str) -> str | None:
    r"""A message where the double quotes are odd however they are counted, or None.

    A program counts a quote after a backslash as text and cmd does not; cmd takes a quote after a caret as text. A line
    such as `"C:\dir\"` is odd to one and even to the other, and occurs.
    """
    quotes = line.count('"')
    escaped = len(re.findall(r'(?<!\\)(?:\\\\)*+\\"', line))
    if quotes % 2 and (quotes - escaped) % 2 and (quotes - line.count('^"')) % 2:
        return "its double quotes are odd in number"
    return None


def quoting_fault(line: str, platform: str) -> str | None:
    """What is wrong with the quoting of a rendered line, or None.

    On Windows the double quotes of the whole line and, where it runs PowerShell text (encoded or not), quotes and
    brackets of that; elsewhere quotes as `sh` reads them. Of a line that runs text in a shell that text is judged, as a
    sensor that joins arguments by blanks loses the outer quotes; for the same reason an apostrophe in a word is none.
    """
    if platform == "windows" and (fault := windows_fault(line)):
        return fault
    peeled = peel(line)
    if peeled is not None and peeled[0] == "powershell":
        return powershell_fault(peeled[1])
    if platform == "windows":
        return None
    text = line if peeled is None else peeled[1]
    fault = sh_fault(text)
    return fault if fault and sh_fault(_APOSTROPHE.sub("", text)) else None
