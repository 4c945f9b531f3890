"""Characters that a reader may take for others, or not see at all, by name."""

from __future__ import annotations

import unicodedata
from collections import Counter

__all__ = ["odd_characters"]

_MOST = 12


def odd_characters(text: str) -> list[str]:
    """`U+0430 CYRILLIC SMALL LETTER A (2 times)` for each character outside printable ASCII, line feeds aside.

    In order of appearance, at most 12, then how many more kinds there are.
    """
    counts = Counter(c for c in text if not (" " <= c <= "~" or c == "\n"))
    found = [
        f"U+{ord(c):04X} {unicodedata.name(c, 'unnamed')}" + (f" ({n} times)" if n > 1 else "")
        for c, n in list(counts.items())[:_MOST]
    ]
    return found + ([f"and {len(counts) - _MOST} more kinds"] if len(counts) > _MOST else [])
