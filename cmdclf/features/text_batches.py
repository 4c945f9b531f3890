"""Which lines share a forward pass of a transformer: distinct, bounded, of like length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["MIN_CHARS", "WINDOW", "distinct_texts", "rows_for", "same_cost_batches", "windows"]

#: Attention has width * width cells for each line and head; with more of them in one pass the caches overflow (measured
#: on MiniLM, two cores: 2^18 cells 54 lines per CPU second, 2^20 48, 2^22 40) and memory grows.
CELLS = 1 << 18
#: Token vectors of one pass, padding included.
TOKENS = 1 << 13
LINES = 64
#: Characters of a line that are tokenised at least; a token may stand for many of them (an unknown word of any length).
MIN_CHARS = 65_536
#: Lines that are tokenised together, and characters, whichever is reached first.
WINDOW = 2048
_WINDOW_CHARS = 1 << 22


def distinct_texts(lines: pa.StringArray, max_chars: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The different texts, shortest first, each cut after `max_chars` characters; and each line's place among them.

    Nulls count as empty lines.
    """
    places: dict[str, int] = {}
    rows = [places.setdefault((text or "")[:max_chars], len(places)) for text in lines.to_pylist()]
    texts = list(places)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rank = np.empty(len(texts), np.int64)
    rank[order] = np.arange(len(texts))
    return [texts[i] for i in order], rank[np.asarray(rows, np.int64)]


def windows(texts: Sequence[str]) -> Iterator[range]:
    """Runs of neighbouring texts of bounded number and size: what is held as tokens at one time."""
    first = chars = 0
    for at, text in enumerate(texts):
        if at > first and (at - first >= WINDOW or chars + len(text) > _WINDOW_CHARS):
            yield range(first, at)
            first, chars = at, 0
        chars += len(text)
    if texts:
        yield range(first, len(texts))


def rows_for(width: int) -> int:
    """How many lines of that many tokens go into one pass."""
    width = max(1, width)
    return max(1, min(LINES, CELLS // (width * width), TOKENS // width))


def same_cost_batches(widths: Sequence[int], *, most: int = LINES) -> Iterator[range]:
    """Runs of neighbours of ascending token counts, so that no pass exceeds the bounds by its padding."""
    first = 0
    while first < len(widths):
        last = first + 1
        while last < len(widths) and last - first < min(most, rows_for(widths[last])):
            last += 1
        yield range(first, last)
        first = last
