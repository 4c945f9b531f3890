"""The Aho-Corasick automaton over ASCII-lower-cased bytes, as a dense table.

A. Aho and M. Corasick, "Efficient string matching: an aid to bibliographic search", CACM 18(6), 1975; failure
links are folded into the transition table, so the scan takes exactly one step per byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Automaton", "build_automaton"]


@dataclass(frozen=True, slots=True)
class Automaton:
    """The arrays that the scans of the rules and of the secrets read."""

    classes: npt.NDArray[np.uint8]
    moves: npt.NDArray[np.uint32]
    first_accepting: int
    width: int
    out_start: npt.NDArray[np.int32]
    out_set: npt.NDArray[np.int32]


def build_automaton(literals: Mapping[bytes, Iterable[int]]) -> Automaton:
    """An automaton that reports, for each literal (lower-case bytes, none empty), the numbers of its sets."""
    classes = _byte_classes(literals)
    width = int(classes.max()) + 1
    children: list[dict[int, int]] = [{}]
    outputs: list[set[int]] = [set()]
    for literal, numbers in literals.items():
        state = 0
        for byte in literal:
            symbol = int(classes[byte])
            state_next = children[state].get(symbol)
            if state_next is None:
                state_next = len(children)
                children[state][symbol] = state_next
                children.append({})
                outputs.append(set())
            state = state_next
        outputs[state].update(numbers)

    table = np.zeros((len(children), width), np.int32)
    failure = [0] * len(children)
    order = [0]
    for state in order:  # breadth first: the list grows while it is walked
        if state:
            table[state] = table[failure[state]]
            outputs[state] |= outputs[failure[state]]
        for symbol, child in children[state].items():
            failure[child] = int(table[failure[state], symbol]) if state else 0
            table[state, symbol] = child
            order.append(child)
    return _flatten(classes, table, outputs)


def _flatten(classes: npt.NDArray[np.uint8], table: npt.NDArray[np.int32], outputs: list[set[int]]) -> Automaton:
    width = table.shape[1]
    accepting = np.array([bool(out) for out in outputs])
    order = np.concatenate([np.flatnonzero(~accepting), np.flatnonzero(accepting)])
    number = np.empty(len(order), np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    first = int((~accepting).sum())
    emitted = [sorted(outputs[state]) for state in order[first:]]
    return Automaton(
        classes=classes,
        moves=np.ascontiguousarray((number[table[order]] * width).reshape(-1).astype(np.uint32)),
        first_accepting=first * width,
        width=width,
        out_start=np.cumsum([0, *(len(out) for out in emitted)]).astype(np.int32),
        out_set=np.array([number for out in emitted for number in out], np.int32),
    )


def _byte_classes(literals: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """Bytes that no literal holds share class 0; an upper-case ASCII letter has its lower-case letter's class."""
    classes = np.zeros(256, np.uint8)
    for number, byte in enumerate(sorted({byte for literal in literals for byte in literal})):
        classes[byte] = number + 1 if number < 255 else 0
    for upper in range(ord("A"), ord("Z") + 1):
        classes[upper] = classes[upper + 32]
    return classes
