"""What each stretch of a line, and of what it hides, adds to an n-gram model's log-odds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmdclf.classify._grams_spelling import one_spelling_of
from cmdclf.classify._spans_origin import LINE, Origins
from cmdclf.classify.grams import MOST_BYTES, GramModel

__all__ = ["Span", "line_spans"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

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
        layer: the number of the decoded layer that it lies in, None for the line itself.
        start, end: characters (code points) of that text, `end` exclusive.
        text: what stands there.
        log_odds: the sum over its bytes of the n-grams' parts, the blanks around it included.
    """

    layer: int | None
    start: int
    end: int
    text: str
    log_odds: float


def line_spans(grams: GramModel, line: str, read: str, layers: Sequence[str] = ()) -> list[Span]:
    """The spans of what a model read of a line; `grams.bias_` and their sum are the line's log-odds.

    Spans of layers come first, each text's in its order. A span is a word, a piece of a long one, or several weak ones
    together. Text that nothing was read of has none. The model reads lower case; Arrow lowers code point by code point,
    so that characters keep their places, whatever their length in bytes.

    Args:
        grams: the fitted model.
        line: the line as it was given.
        read: what the model reads: the line with what it hides in its place, as `with_layers` gives it.
        layers: texts of the line's decoded layers, outermost first.
    """
    head = read[:MOST_BYTES]
    data, parts = grams.spans_read(read)
    begins = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    of_character = np.bincount(np.cumsum(begins) - 1, parts, minlength=1).astype(np.float64)
    # The first byte is a blank of the model's own, and so is the last one where nothing was cut off: they count with
    # their neighbours.
    spelt = one_spelling_of([head])[0][: len(of_character) - 1]
    if not spelt:
        return [Span(None, 0, len(line), line, float(of_character.sum()))]
    values = of_character[1 : len(spelt) + 1]
    values[0] += of_character[0]
    values[-1] += of_character[len(spelt) + 1 :].sum()
    where, start, end = Origins(line, read, layers).respelt(head, spelt)
    found: list[Span] = []
    for number in sorted(set(where.tolist()), key=lambda number: (number == LINE, number)):
        own = where == number
        text = line if number == LINE else layers[number]
        found += _spans(text, *_laid(text, start[own], end[own], values[own]), None if number == LINE else number)
    return found


def _laid(text: str, start: Ints, end: Ints, values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(what each character of the text adds, whether it was read): what a stretch adds is shared by its characters."""
    last = max(len(text), 1)
    start = np.minimum(start, last - 1)
    end = np.minimum(np.maximum(end, start + 1), last)
    adds = np.zeros(last)
    touched = np.zeros(last, np.bool_)
    single = end - start == 1
    np.add.at(adds, start[single], values[single])
    touched[start[single]] = True
    wide = np.flatnonzero(~single)
    if wide.size:
        # A replaced stretch's characters stand together.
        new = np.flatnonzero(np.diff(start[wide], prepend=-1) | np.diff(end[wide], prepend=-1))
        for a, b, value in zip(start[wide[new]], end[wide[new]], np.add.reduceat(values[wide], new), strict=True):
            adds[a:b] += value / (b - a)
            touched[a:b] = True
    return adds, touched


def _spans(text: str, adds: Floats, touched: NDArray[np.bool_], layer: int | None) -> list[Span]:
    """Spans of a text, `adds[i]` being the part of its i-th character; blanks count with the word before them."""
    read = np.flatnonzero(touched)
    seen = text[: read[-1] + 1]
    words = (unit for word in _WORD.finditer(seen) for unit in _pieces(seen, *word.span()))
    # Counted from the text's start on, whether a unit was read or not.
    numbered = [(k, a, b) for k, (a, b) in enumerate(words) if touched[a:b].any()]
    if not numbered:
        first = int(read[0])
        return [Span(layer, first, len(seen), seen[first:], float(adds.sum()))]
    firsts = np.array([0, *(start for _, start, _ in numbered[1:])])
    parts = np.add.reduceat(adds, firsts)
    weak = np.abs(parts) < _WEAK * np.abs(parts).sum()
    joined: list[list[int]] = []
    for i, (number, _, _) in enumerate(numbered):
        beside = i > 0 and numbered[i - 1][0] == number - 1
        if beside and weak[i] and weak[i - 1] and (parts[i] > 0) == (parts[i - 1] > 0):
            joined[-1][1] = i
        else:
            joined.append([i, i])
    return [
        Span(
            layer, numbered[a][1], numbered[b][2], text[numbered[a][1] : numbered[b][2]], float(parts[a : b + 1].sum())
        )
        for a, b in joined
    ]


def _pieces(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Where the pieces of a word lie; a short word is one."""
    if end - start <= _LONG_WORD:
        return [(start, end)]
    return [piece.span() for piece in _PIECE.finditer(text, start, end)]
