"""Shell wrappers drawn from one pool for both labels, so that a wrapper tells nothing about the line in it."""

from __future__ import annotations

import base64
import random
import re

__all__ = ["peel", "rewrap", "shell_of"]

_SHELL = re.compile(r'^"?(?:[^"\s]*[\\/])?(?P<name>powershell|pwsh|cmd|bash|sh|zsh|dash)(?:\.exe)?"?\s', re.IGNORECASE)
_POWERSHELL = (
    "powershell.exe -Command {0}",
    "powershell.exe -NoProfile -Command {0}",
    'powershell.exe -NoProfile -ExecutionPolicy Bypass -Command "{1}"',
    'powershell -Command "{1}"',
    'powershell.exe -NonInteractive -Command "& {{{1}}}"',
    '"C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe" -Command "{1}"',
    "C:\\Windows\\System32\\WindowsPowerShell\\v1.0\\powershell.exe -NoLogo -NoProfile -Command {0}",
    "powershell -nop -c {0}",
    'powershell.exe -ExecutionPolicy Unrestricted -NoLogo -Command "{1}"',
    'powershell.exe -WindowStyle Hidden -Command "{1}"',
    "powershell.exe {0}",
    'pwsh.exe -NoProfile -Command "{1}"',
    "powershell.exe -NoProfile -NonInteractive -EncodedCommand {2}",
)
_CMD = (
    "cmd /c {0}",
    "cmd.exe /c {0}",
    'cmd.exe /C "{0}"',
    "C:\\Windows\\system32\\cmd.exe /c {0}",
    'C:\\Windows\\System32\\cmd.exe /d /s /c "{0}"',
    '"C:\\Windows\\system32\\cmd.exe" /c "{0}"',
    "cmd /Q /c {0}",
)
_SH = (
    "sh -c {0}",
    "/bin/sh -c {0}",
    "bash -c {0}",
    "/bin/bash -c {0}",
    "/usr/bin/bash -c {0}",
    "bash -lc {0}",
    "/bin/bash -e -c {0}",
)
_ZSH = ("/bin/zsh -c {0}", "zsh -c {0}", "/bin/sh -c {0}", "/bin/bash -c {0}", "sh -c {0}")


#: What stands between the shell's name and the text that it runs.
_TO_COMMAND = {
    "powershell": re.compile(
        r"(?:\s*[-/](?:nop\w*+|noni\w*+|nol\w*+|noe\w*+|sta|mta|(?:ep|ex\w*|w|wi\w*)\s++\w++))*+\s*"
        r"(?:[-/](?P<flag>c|co\w*|e|ec|en\w*)\s+(?P<text>.+)|(?P<bare>(?<=\s)(?:&\s*)?[^\s/&-].*))$",
        re.IGNORECASE | re.DOTALL,
    ),
    "cmd": re.compile(r"(?:\s*/[dsqevx](?::on|:off)?)*\s*/c\s*(?P<text>.+)$", re.IGNORECASE | re.DOTALL),
    "sh": re.compile(r"(?:\s*-[elx]+)*\s*-[elx]*c\s+(?P<text>.+)$", re.DOTALL),
}
_BLOCK = re.compile(r"&\s*\{(.*)\}\s*$", re.DOTALL)


def shell_of(process_command_line: str) -> str | None:
    """`powershell`, `cmd` or `sh` where the line starts such a shell, else None."""
    match = _SHELL.match(process_command_line)
    if match is None:
        return None
    name = match["name"].lower()
    return {"pwsh": "powershell", "powershell": "powershell", "cmd": "cmd"}.get(name, "sh")


def _unquoted(text: str, shell: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in ('"' if shell != "sh" else "\"'"):
        inner = text[1:-1].replace('\\"', "\0")
        # cmd itself takes off the first and the last quote. Elsewhere a quote inside means that the outer two don't
        # belong together: `"a b" and "c"`.
        if shell == "cmd" or text[0] not in inner:
            return inner.replace("\0", '"')
    return text


def peel(line: str) -> tuple[str, str] | None:
    """(shell, the text that it was told to run), or None where the line runs no text in a shell."""
    shell = shell_of(line)
    if shell is None:
        return None
    head = _SHELL.match(line)
    match = _TO_COMMAND[shell].match(line, (head.end() - 1) if head else 0)
    if match is None:
        return None
    # PowerShell takes text without -Command, too: `powershell.exe Get-Date`, `"powershell.exe" & {Get-Date}`.
    bare = match.groupdict().get("bare")
    text = _unquoted(match["text"] if bare is None else bare, shell)
    if shell == "powershell":
        if bare is None and match["flag"].lower().startswith("e"):
            try:
                text = base64.b64decode(text, validate=True).decode("utf-16-le")
            except ValueError:
                return None
        block = _BLOCK.match(text)
        text = block[1].strip() if block else text
    return (shell, text) if text else None


def rewrap(command_line: str, process_command_line: str, platform: str, rng: random.Random) -> str:
    """The text that a shell was told to run, in a wrapper of the same shell drawn from the one pool of that shell.

    Args:
        command_line: the text as its source has it; it is preferred to peeling where the recorded line adds a shell.
        process_command_line: the line as it was recorded.
        platform: windows, linux or macos.
        rng: where the wrapper comes from.

    A line that runs no text in a shell (a program, a script file, an argv rendering) stays as recorded.
    """
    shell = shell_of(process_command_line)
    peeled = peel(process_command_line)
    if shell is None:
        return process_command_line
    if shell_of(command_line) is None and process_command_line != command_line:
        text = command_line
    elif peeled is None:
        return process_command_line
    else:
        text = peeled[1]
        again = peel(text)
        text = again[1] if again is not None and again[0] == shell else text
    if shell == "powershell":
        style = rng.choice(_POWERSHELL)
    elif shell == "cmd":
        style = rng.choice(_CMD)
    else:
        style = rng.choice(_ZSH if platform == "macos" else _SH)
    encoded = base64.b64encode(text.encode("utf-16-le", "surrogatepass")).decode() if "{2}" in style else ""
    return style.format(text, text.replace('"', '\\"'), encoded)
