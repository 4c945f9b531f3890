"""Which characters of a text stand where in another one that was made from it: what is the same, what was replaced."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stretches", "aligned"]

Ints = NDArray[np.int64]
#: For each character of the new text: start and end of what it stands for in the old one; whether it is that character.
Stretches = tuple[Ints, Ints, NDArray[np.bool_]]

#: Pieces of so many characters that occur once in either text stand for each other.
_ANCHOR = 5
# One character for another, so that places stay.
_ALIKE = str.maketrans(
    {c: " " for c in "\t\v\f\u00a0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))}
    | dict.fromkeys("\u2013\u2014\u2015", "-")
)


def aligned(old: str, new: str) -> Stretches:
    """What each character of `new` stands for in `old`.

    Beginning and end that are the same, then runs around pieces of five characters that occur once in either text and
    in the same order, then marks that were left out. What is between them was replaced as a whole: all of its
    characters have all of the old stretch, which is empty where text was put in. Linear time but for a sort of the
    pieces.

    Source: anchors as in patience diff (unique common pieces, longest increasing sequence).
    """
    if old == new:
        at = np.arange(len(new))
        return at, at + 1, np.ones(len(new), np.bool_)
    return _Alignment(old.translate(_ALIKE), new.translate(_ALIKE)).stretches()


class _Alignment:
    def __init__(self, old: str, new: str) -> None:
        self._old, self._new = old, new
        self._start = np.zeros(len(new), np.int64)
        self._end = np.zeros(len(new), np.int64)
        self._copied = np.zeros(len(new), np.bool_)

    def stretches(self) -> Stretches:
        old, new = _points(self._old), _points(self._new)
        shorter = min(len(old), len(new))
        first = _same(old[:shorter], new[:shorter])
        last = _same(old[first:][::-1][: shorter - first], new[first:][::-1][: shorter - first])
        self._copy(0, 0, first)
        old_end, new_end = len(old) - last, len(new) - last
        self._copy(old_end, new_end, last)
        if not self._without_marks(first, old_end, first, new_end):
            self._between(first, old_end, new_end)
        return self._start, self._end, self._copied

    def _between(self, first: int, old_end: int, new_end: int) -> None:
        """The middle of both texts, which starts at the same place in both."""
        i = j = first
        for at, to in _anchors(self._old, self._new, first, old_end, new_end):
            if at < i or to < j:
                continue
            back = 0
            while at - back > i and to - back > j and self._old[at - back - 1] == self._new[to - back - 1]:
                back += 1
            size = _ANCHOR
            while at + size < old_end and to + size < new_end and self._old[at + size] == self._new[to + size]:
                size += 1
            self._gap(i, at - back, j, to - back)
            self._copy(at - back, to - back, size + back)
            i, j = at + size, to + size
        self._gap(i, old_end, j, new_end)

    def _copy(self, at: int, to: int, size: int) -> None:
        self._start[to : to + size] = np.arange(at, at + size)
        self._end[to : to + size] = np.arange(at + 1, at + size + 1)
        self._copied[to : to + size] = True

    def _gap(self, i: int, old_end: int, j: int, new_end: int) -> None:
        if not self._without_marks(i, old_end, j, new_end):
            self._start[j:new_end] = i
            self._end[j:new_end] = old_end

    def _without_marks(self, i: int, old_end: int, j: int, new_end: int) -> bool:
        """Whether the new stretch is the old one without some of its marks and blanks; then it is put down."""
        old, new = self._old, self._new
        found: list[int] = []
        for to in range(j, new_end):
            while i < old_end and old[i] != new[to] and not old[i].isalnum():
                i += 1
            if i == old_end or old[i] != new[to]:
                return False
            found.append(i)
            i += 1
        if any(character.isalnum() for character in old[i:old_end]):
            return False
        self._start[j:new_end] = found
        self._end[j:new_end] = self._start[j:new_end] + 1
        self._copied[j:new_end] = True
        return True


def _points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def _same(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> int:
    """How many elements from the start on are equal."""
    differs = np.flatnonzero(a != b)
    return int(differs[0]) if differs.size else len(a)


def _anchors(old: str, new: str, first: int, old_end: int, new_end: int) -> list[tuple[int, int]]:
    """(place in old, place in new) of pieces that occur once in either, both ascending."""
    there = _once(old, first, old_end)
    pairs = [(there[piece], to) for piece, to in _once(new, first, new_end).items() if piece in there]
    # The longest sequence whose old places ascend too; the new ones do already.
    tops: list[int] = []
    at_top: list[int] = []
    before: list[int] = []
    for k, (at, _) in enumerate(pairs):
        pile = bisect_left(tops, at)
        tops[pile : pile + 1] = [at]
        at_top[pile : pile + 1] = [k]
        before.append(at_top[pile - 1] if pile else -1)
    chain: list[tuple[int, int]] = []
    k = at_top[-1] if at_top else -1
    while k >= 0:
        chain.append(pairs[k])
        k = before[k]
    return chain[::-1]


def _once(text: str, start: int, end: int) -> dict[str, int]:
    """Where each piece that occurs once begins, in the text's order."""
    places: dict[str, int] = {}
    again: set[str] = set()
    for i in range(start, end - _ANCHOR + 1):
        piece = text[i : i + _ANCHOR]
        if piece in places:
            again.add(piece)
        else:
            places[piece] = i
    return {piece: i for piece, i in places.items() if piece not in again}
