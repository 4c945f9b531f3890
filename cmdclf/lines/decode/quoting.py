"""The argument of a wrapper (`sh -c`, `cmd /c`, `powershell -Command`) without its own quotes."""

from __future__ import annotations

import re

__all__ = ["SHELL_WORD", "plain_word", "shell_word", "shell_word_end", "unquoted"]

#: A shell word that stands for itself: pieces in quotes or not, without variables and substitutions.
SHELL_WORD = r"(?:'[^']{0,8000}+'|\"(?:[^\"\\$`]|\\.){0,8000}+\"|\\[^\n]|[^\s|;&<>$`'\"()\\]{1,8000}+){1,500}+"
_PIECE = re.compile(r"'([^']{0,8000})'|\"((?:[^\"\\$`]|\\.){0,8000})\"|\\([^\n])", re.DOTALL)
_IN_DOUBLE = re.compile(r"\\([\"\\$`])")


def unquoted(rest: str) -> str:
    """Windows style: one pair of outer double quotes (or single ones) removed, `\\"` inside made plain."""
    rest = rest.strip()
    quote = rest[:1]
    if quote in ('"', "'") and quote:
        closing = rest.rfind(quote)
        if closing > 0 and not rest[closing + 1 :].strip():
            rest = rest[1:closing]
        elif closing == 0:
            rest = rest[1:]
    return rest.replace('\\"', '"').strip()


def shell_word(rest: str) -> str:
    """Posix style: the first word if it is quoted, with its escapes undone; else everything.

    Sensors that join argv by blanks lose the quotes, so an unquoted argument is taken to reach to the end.
    """
    rest = rest.strip()
    quote = rest[:1]
    if quote == "'":
        closing = rest.find("'", 1)
        # '\'' inside single quotes is how a quote is written there.
        while closing > 0 and rest.startswith("'\\''", closing):
            closing = rest.find("'", closing + 4)
        return (rest[1:] if closing < 0 else rest[1:closing]).replace("'\\''", "'").strip()
    if quote != '"':
        return rest
    out: list[str] = []
    at = 1
    while at < len(rest) and rest[at] != '"':
        if rest[at] == "\\" and at + 1 < len(rest) and rest[at + 1] in '"\\$`':
            at += 1
        out.append(rest[at])
        at += 1
    return "".join(out).strip()


def shell_word_end(rest: str) -> int:
    """Where `shell_word` ends in the text that it was given."""
    at = len(rest) - len(rest.lstrip())
    quote = rest[at : at + 1]
    if quote == "'":
        closing = rest.find("'", at + 1)
        while closing > 0 and rest.startswith("'\\''", closing):
            closing = rest.find("'", closing + 4)
        return len(rest) if closing < 0 else closing + 1
    if quote != '"':
        return len(rest)
    at += 1
    while at < len(rest) and rest[at] != '"':
        at += 2 if rest[at] == "\\" and at + 1 < len(rest) and rest[at + 1] in '"\\$`' else 1
    return min(at + 1, len(rest))


def plain_word(word: str) -> str:
    """A shell word (`SHELL_WORD`) without its quotes and escapes: `a'b c'"d"\\e` -> `ab cde`."""
    return _PIECE.sub(_plain_piece, word)


def _plain_piece(piece: re.Match[str]) -> str:
    if piece[1] is not None:
        return piece[1]
    if piece[2] is not None:
        return _IN_DOUBLE.sub(r"\1", piece[2])
    return piece[3]
