"""How text compares where case doesn't count: ASCII letters with each other, others with their one-character variants.

The Kelvin sign is no `k` and the dotted capital I no `i`: no letter outside ASCII equals one of ASCII.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from math import prod

__all__ = ["glob_parts", "glob_regex", "spellings", "text_regex"]

_MOST = 64


def _variants(character: str) -> list[str]:
    if character.isascii():
        return sorted({character.lower(), character.upper()})
    lower = character.lower()
    lower = lower if len(lower) == 1 and not lower.isascii() else character
    upper = lower.upper()
    alike = len(upper) == 1 and not upper.isascii() and upper.lower() == lower
    return [lower, upper] if alike and upper != lower else [lower]


def spellings(text: str, *, cased: bool) -> list[bytes] | None:
    """The text in all cases of its letters outside ASCII, ASCII letters lower; None where there are too many."""
    choices = [[c.lower() if c.isascii() else c] if cased or c.isascii() else _variants(c) for c in text]
    if prod(len(choice) for choice in choices) > _MOST:
        return None
    return ["".join(characters).encode() for characters in itertools.product(*choices)]


def text_regex(text: str, *, cased: bool) -> str:
    """A case-sensitive RE2 pattern for the text in every case that counts as the same."""
    if cased:
        return re.escape(text)
    return "".join(
        re.escape(v[0]) if len(v) == 1 else f"[{''.join(v)}]" for v in (_variants(character) for character in text)
    )


def glob_parts(value: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a `like` value: text, or a wildcard (then True)."""
    text = ""
    at = 0
    while at < len(value):
        character = value[at]
        if character == "\\" and at + 1 < len(value) and value[at + 1] in "*?\\":
            text += value[at + 1]
            at += 2
            continue
        if character in "*?":
            if text:
                yield text, False
            yield character, True
            text = ""
        else:
            text += character
        at += 1
    if text:
        yield text, False


def glob_regex(value: str, *, cased: bool) -> str:
    """The RE2 pattern of a `like` value, for the whole text."""
    inner = "".join(
        (".*" if part == "*" else ".") if wild else text_regex(part, cased=cased) for part, wild in glob_parts(value)
    )
    return rf"(?s)\A{inner}\z"
