"""The argument of a wrapper (`sh -c`, `cmd /c`, `powershell -Command`) without its own quotes."""

from __future__ import annotations

__all__ = ["shell_word", "unquoted"]


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
