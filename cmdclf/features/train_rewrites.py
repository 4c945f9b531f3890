"""The same command written otherwise, as people and as attackers do: for the embedder's training.

Each rewrite takes a line and a source of randomness and gives the line unchanged where it does not apply.
"""

from __future__ import annotations

import base64
import random
import re
from collections.abc import Callable

__all__ = ["REWRITES_UNIX", "REWRITES_WINDOWS", "rewritten"]

_WORD = re.compile(r"[A-Za-z]{4,}")
_INNER = re.compile(
    r"(?is)^(\s*\"?(?:[^\s\"]*[\\/])?(?:powershell|pwsh)(?:\.exe)?\"?(?:\s+[-/](?!c|e|f)\w+(?:\s+\w+)?)*)"
    r"\s+[-/]c(?:ommand)?\s+(.+)$"
)
_SHELL_INNER = re.compile(r"(?s)^(\S*\b(?:ba|z|da)?sh)\s+-l?c\s+(.+)$")


def _in_words(text: str, rng: random.Random, mark: str, share: float = 0.4) -> str:
    """`mark` inside some words."""

    def broken(found: re.Match[str]) -> str:
        word = found[0]
        if rng.random() > share:
            return word
        at = rng.randrange(1, len(word))
        return word[:at] + mark + word[at:]

    return _WORD.sub(broken, text)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _carets(text: str, rng: random.Random) -> str:
    return _in_words(text, rng, "^")


def _quotes(text: str, rng: random.Random) -> str:
    return _in_words(text, rng, '""', 0.3)


def _backticks(text: str, rng: random.Random) -> str:
    return _in_words(text, rng, "`", 0.3) if "powershell" in text.lower() or "pwsh" in text.lower() else text


def _case(text: str, rng: random.Random) -> str:
    return "".join(c.upper() if rng.random() < 0.5 else c.lower() for c in text)


def _blanks(text: str, rng: random.Random) -> str:
    return re.sub(" ", lambda _: " " * rng.randint(1, 5), text)


def _encoded(text: str, rng: random.Random) -> str:
    found = _INNER.match(text)
    if not found:
        return text
    payload = base64.b64encode(_unquoted(found[2]).encode("utf-16-le", "replace")).decode()
    return f"{found[1]} {rng.choice(('-enc', '-e', '-EncodedCommand', '-ec', '/enc', '-eNc'))} {payload}"


def _concatenated(text: str, rng: random.Random) -> str:
    found = _INNER.match(text)
    if not found:
        return text
    script = _unquoted(found[2])

    def cut(word: re.Match[str]) -> str:
        at = rng.randrange(1, len(word[0]))
        return f"('{word[0][:at]}'+'{word[0][at:]}')"

    return text if "'" in script else f'{found[1]} -c "{_WORD.sub(cut, script, count=2)}"'


def _variables(text: str, rng: random.Random) -> str:
    """A path's usual beginning as a variable, or the other way round."""
    pairs = [
        (r"(?i)c:\\windows\\system32\\", "%SystemRoot%\\System32\\"),
        (r"(?i)c:\\windows\\", "%windir%\\"),
        (r"(?i)c:\\program files\\", "%ProgramFiles%\\"),
        (r"(?i)c:\\programdata\\", "%ALLUSERSPROFILE%\\"),
        (r"(?i)\bcmd(?:\.exe)?(?= /)", "%COMSPEC%"),
    ]
    pattern, value = rng.choice(pairs)
    return re.sub(pattern, lambda _: value, text)


def _bare(text: str, rng: random.Random) -> str:
    """The program without its folder or extension, or with them."""
    head, _, rest = text.lstrip().partition(" ")
    if head.startswith('"'):
        return text
    name = re.split(r"[\\/]", head)[-1]
    if name != head:
        short = re.sub(r"(?i)\.exe$", "", name)
        return f"{short if rng.random() < 0.5 else name} {rest}".strip()
    folder = rng.choice(("C:\\Windows\\System32\\", "C:\\WINDOWS\\system32\\")) if "\\" in text or " /" in text else ""
    return f"{folder}{name}{'' if name.lower().endswith('.exe') or not folder else '.exe'} {rest}".strip()


def _flag_marks(text: str, rng: random.Random) -> str:
    """`/x` as `-x`, or the other way round."""
    if rng.random() < 0.5:
        return re.sub(r" /(?=[A-Za-z?]{1,14}(?:[ :]|$))", " -", text)
    return re.sub(r" -(?=[A-Za-z]{1,14}(?:[ :]|$))", " /", text)


def _split_quotes(text: str, rng: random.Random) -> str:
    return _in_words(text, rng, rng.choice(("''", '""', "\\")), 0.3)


def _ifs(text: str, rng: random.Random) -> str:
    found = _SHELL_INNER.match(text)
    if not found:
        return text
    return f"{found[1]} -c {found[2].replace(' ', rng.choice(('${IFS}', '$IFS$9')))}"


def _piped(text: str, rng: random.Random) -> str:
    found = _SHELL_INNER.match(text)
    if not found:
        return text
    payload = base64.b64encode(_unquoted(found[2]).encode("utf-8", "replace")).decode()
    return rng.choice(
        (f"{found[1]} -c 'echo {payload} | base64 -d | sh'", f'{found[1]} -c "$(base64 -d <<< {payload})"')
    )


def _unix_bare(text: str, rng: random.Random) -> str:
    head, _, rest = text.lstrip().partition(" ")
    name = head.rsplit("/", 1)[-1]
    if name != head:
        return f"{name} {rest}".strip()
    return f"{rng.choice(('/usr/bin/', '/bin/', '/usr/local/bin/', '/usr/sbin/'))}{name} {rest}".strip()


def _sudo(text: str, rng: random.Random) -> str:
    return re.sub(r"^sudo (?:-\w+ )*", "", text) if text.startswith("sudo ") else f"sudo {text}"


Rewrite = Callable[[str, random.Random], str]
REWRITES_WINDOWS: tuple[Rewrite, ...] = (
    _carets, _quotes, _backticks, _case, _blanks, _encoded, _encoded, _concatenated, _variables, _bare, _flag_marks,
)  # fmt: skip
REWRITES_UNIX: tuple[Rewrite, ...] = (_split_quotes, _ifs, _piped, _unix_bare, _sudo, _blanks)


def rewritten(text: str, platform: str, rng: random.Random) -> str:
    """The line after one or two rewrites of its platform."""
    ways = REWRITES_WINDOWS if platform == "windows" else REWRITES_UNIX
    for _ in range(rng.choice((1, 1, 2))):
        text = rng.choice(ways)(text, rng)
    return text
