"""What each character that an n-gram model reads stands for: characters of the line or of one of its decoded layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmdclf.classify._spans_align import aligned
from cmdclf.lines.decode.layers import MAX_CHARACTERS

__all__ = ["LINE", "Origins"]

Ints = NDArray[np.int64]
#: Stands for the line where others are numbers of layers.
LINE = -1
#: A shorter text is in many a layer by chance.
_TELLING = 4
#: Characters of a layer that are looked for; as many replaced stretches are looked for in layers.
_LOOKED = 1000
_MOST_GAPS = 64


class Origins:
    """Where the characters of `read`, a line with what it hides in its place, come from.

    What is the line's own stands where it stands in the line. What was put in is a layer's text, or else all of the
    stretch of the line that it replaced.

    Args:
        line: the line as it was given.
        read: as `with_layers` gives it.
        layers: texts of the line's decoded layers, outermost first.

    Attributes:
        where: (m,) number of a layer or `LINE`.
        start, end: (m,) the stretch of that text; empty only where something was put into the line at that place.
    """

    def __init__(self, line: str, read: str, layers: Sequence[str]) -> None:
        if read != line:
            # What is hidden beyond isn't decoded; a layer may stand before the line.
            line, read = line[:MAX_CHARACTERS], read[: 2 * MAX_CHARACTERS]
        self.start, self.end, copied = aligned(line, read)
        self.where = np.full(len(read), LINE, np.int64)
        self._read = read
        self._layers = layers
        edges = np.flatnonzero(np.diff(np.concatenate([[True], copied, [True]]).astype(np.int8))).tolist()
        for first, stop in list(zip(edges[::2], edges[1::2], strict=True))[:_MOST_GAPS]:
            self._find(first, stop)

    def respelt(self, read: str, spelt: str) -> tuple[Ints, Ints, Ints]:
        """`where`, `start` and `end` of each character of a text that was made of the beginning `read` of what is read.

        A character that stands for several has all of their stretch.
        """
        if not read:
            nothing = np.zeros(len(spelt), np.int64)
            return nothing + LINE, nothing, nothing
        start, end, _ = aligned(read, spelt)
        first = np.minimum(start, len(read) - 1)
        last = np.maximum(first, end - 1)
        where, left, right = self.where[first], self.start[first], self.end[last]
        apart = (self.where[last] != where) | (right < left)
        return where, left, np.where(apart, self.end[first], right)

    def _find(self, first: int, stop: int) -> None:
        """Look for what was put in: in one layer, or whole layers and what is between them."""
        if self._within(first, stop):
            return
        pieces = [(first, stop)]
        for number in range(len(self._layers) - 1, -1, -1):
            text = self._layers[number][:_LOOKED]
            left: list[tuple[int, int]] = []
            for a, b in pieces:
                at = self._read.find(text, a, b) if text else -1
                if at < 0 or (len(text) < _TELLING and not self._stands_alone(at, at + len(text))):
                    left.append((a, b))
                    continue
                end, layer = at + len(text), self._layers[number]
                while end < b and end - at < len(layer) and self._read[end] == layer[end - at]:
                    end += 1
                self._put(number, at, 0, end - at)
                left += [piece for piece in ((a, at), (end, b)) if piece[0] < piece[1]]
            pieces = left
        if pieces != [(first, stop)]:
            for a, b in pieces:
                if not self._read[a:b].isspace():
                    self._within(a, b)
                else:
                    # Blanks count with what is before them.
                    beside = a - 1 if a else b
                    self.where[a:b] = self.where[beside]
                    self.start[a:b], self.end[a:b] = self.start[beside], self.end[beside]

    def _within(self, first: int, stop: int) -> bool:
        """Whether the text is in a layer, the shortest of them; put down with the rest of its first and last word."""
        read = self._read
        text = read[first:stop].strip()
        holding = [
            (len(layer), k)
            for k, layer in enumerate(self._layers)
            if text and text in layer and (len(text) >= _TELLING or text == layer)
        ]
        if not holding:
            return False
        number = min(holding)[1]
        layer = self._layers[number]
        at = layer.find(text)
        begin = first + len(read[first:stop]) - len(read[first:stop].lstrip())
        size = len(text)
        # Where the word began or ended as before by chance.
        while begin and at and read[begin - 1] == layer[at - 1] and not read[begin - 1].isspace():
            begin, at, size = begin - 1, at - 1, size + 1
        end = begin + size
        while end < len(read) and at + size < len(layer) and read[end] == layer[at + size] and not read[end].isspace():
            end, size = end + 1, size + 1
        self._put(number, begin, at, size)
        # The blanks around it.
        self.where[first:stop] = number
        for blanks, beside in ((slice(first, begin), begin), (slice(end, stop), end - 1)):
            self.start[blanks], self.end[blanks] = self.start[beside], self.end[beside]
        return True

    def _put(self, number: int, begin: int, at: int, size: int) -> None:
        """That so many characters from `begin` on are those of the layer from `at` on."""
        self.where[begin : begin + size] = number
        self.start[begin : begin + size] = np.arange(at, at + size)
        self.end[begin : begin + size] = np.arange(at + 1, at + size + 1)

    def _stands_alone(self, first: int, stop: int) -> bool:
        around = self._read[max(0, first - 1) : first] + self._read[stop : stop + 1]
        return not any(character.isalnum() for character in around)
