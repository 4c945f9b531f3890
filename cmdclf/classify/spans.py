"""What each stretch of a line adds to an n-gram model's log-odds: characters of the line as it was given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from cmdclf.classify.grams import GramModel

__all__ = ["Span", "line_spans"]

#: A word of more characters is cut after its marks, so that a whole script without blanks is not one span.
_LONG_WORD = 32
_WORD = re.compile(r"\S+")
_PIECE = re.compile(r"[^;|&,()\"'=/\\{}<>?]*[;|&,()\"'=/\\{}<>?]+|[^;|&,()\"'=/\\{}<>?]+")
#: Neighbouring words of one sign are one span where each adds less than this share of what all words move.
_WEAK = 0.05


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text and its part of the log-odds.

    Attributes:
        in_layer: it lies in the innermost decoded layer, else in the line itself.
        start, end: characters (code points) of that text, `end` exclusive.
        text: what stands there.
        log_odds: the sum over its bytes of the n-grams' parts, the blanks around it included.
    """

    in_layer: bool
    start: int
    end: int
    text: str
    log_odds: float


def line_spans(grams: GramModel, line: str, read: str) -> list[Span]:
    """The spans of what a model read of a line, in their order; `grams.bias_` and their sum are the line's log-odds.

    The model reads lower case; Arrow lowers code point by code point, so that the n-th character read is the n-th one
    of the line, whatever its length in bytes. A span is a word, a piece of a long one, or several weak ones together.

    Args:
        grams: the fitted model.
        line: the line as it was given.
        read: what the model reads: the line, or the innermost decoded layer, a blank and the line.
    """
    data, parts = grams.spans_read(read)
    begins = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    # The first byte is a blank of the model's own, and so is the last one where nothing was cut off.
    of_character = np.bincount(np.cumsum(begins) - 1, parts, minlength=1).astype(np.float64)
    seen = min(len(of_character) - 1, len(read))
    layer = read[: len(read) - len(line) - 1] if len(read) > len(line) else None
    if layer is None:
        return _spans(line[:seen], of_character, False)
    split = min(len(layer), seen)
    # The blank between both counts with the layer.
    edge = min(split + 2, len(of_character))
    found = _spans(layer[:split], of_character[:edge], True)
    if seen > split + 1:
        # No blank of the model's own stands before the line: the first value is nought.
        values = np.concatenate([[0.0], of_character[edge:]])
        found += _spans(line[: seen - split - 1], values, False)
    elif len(of_character) > edge:
        # The line is empty, or cut off: what is left is the blank at the end.
        last = found[-1]
        found[-1] = Span(True, last.start, last.end, last.text, last.log_odds + float(of_character[edge:].sum()))
    return found


def _spans(text: str, values: NDArray[np.float64], in_layer: bool) -> list[Span]:
    """Spans of a text, `values[1 + i]` being the part of its i-th character; the ends' blanks count with their word."""
    units = [unit for word in _WORD.finditer(text) for unit in _pieces(text, *word.span())]
    if not units:
        return [Span(in_layer, 0, 0, "", float(values.sum()))]
    firsts = np.array([0, *(start + 1 for start, _ in units[1:])])
    parts = np.add.reduceat(values, firsts)
    weak = np.abs(parts) < _WEAK * np.abs(parts).sum()
    joined: list[list[int]] = []
    for i in range(len(units)):
        if joined and weak[i] and weak[i - 1] and (parts[i] > 0) == (parts[i - 1] > 0):
            joined[-1][1] = i
        else:
            joined.append([i, i])
    return [
        Span(in_layer, units[a][0], units[b][1], text[units[a][0] : units[b][1]], float(parts[a : b + 1].sum()))
        for a, b in joined
    ]


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where the pieces of a word lie; a short word is one."""
    if end - start <= _LONG_WORD:
        return [(start, end)]
    return [piece.span() for piece in _PIECE.finditer(text, start, end)]
