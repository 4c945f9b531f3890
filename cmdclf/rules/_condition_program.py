"""Conditions as arrays: what the scan looks for, and a chain of jumps a rule over what it found.

A condition is brought into negation normal form. Plain tests of which one must hold become one atom, a set that is
marked as soon as one of its texts was found. Each rule is then a chain of questions "is this atom marked?" with a place
to go for either answer, as compilers write short-circuit conditions, and is asked only where an atom that it cannot do
without was marked. Tests that the scan can't decide stand last in a chain, behind the texts that they need.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cmdclf.lines.automaton import Automaton, build_automaton
from cmdclf.rules._required import frequency, needed
from cmdclf.rules._spelling import glob_parts, spellings
from cmdclf.rules.condition import (
    NAME_MARK,
    NAME_ONLY,
    PLAIN,
    And,
    Condition,
    FieldTest,
    Not,
    Or,
    conjunction,
    disjunction,
)

__all__ = ["AT_END", "AT_START", "CASED", "FALSE", "TRUE", "FieldScan", "Program", "build_program"]

#: Where a chain of jumps ends.
TRUE, FALSE = -1, -2
AT_START, AT_END, CASED = 1, 2, 4

Ints = npt.NDArray[np.int32]
#: A tree in negation normal form: an atom with its sign, or a word with parts.
Leaf: TypeAlias = tuple[int, bool]
Tree: TypeAlias = "Leaf | tuple[str, list[Tree]]"

_IGNORES_CASE = re.compile(r"\(\?[A-Za-z]*i")
_IMAGES = ("image", "parent_image", "grand_parent_image")
#: About which share of the rows a program's name is found in; programs are less varied than what they are called with.
_IMAGE_SHARE = 0.01
_EMPTY_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class FieldScan:
    """What one field's scan reads: the automaton reports uses, a use says where its text must stand and what it marks.

    Attributes:
        automaton: over all texts that are looked for in the field.
        place: `(uses,)` bits `AT_START`, `AT_END`, `CASED`.
        text_start, text: the texts' bytes as the rule spells them.
        atom_start, atoms: the atoms that each use marks.
    """

    automaton: Automaton
    place: npt.NDArray[np.uint8]
    text_start: Ints
    text: npt.NDArray[np.uint8]
    atom_start: Ints
    atoms: Ints


@dataclass(frozen=True, slots=True)
class Program:
    """All rules' conditions, compiled.

    Attributes:
        fields: the scan of each field that has plain tests.
        n_atoms: how many atoms there are.
        late: atoms that the scan can't decide, with their tests.
        empty: per field the atom for "known to be empty" and the one for "empty for all that is known" (-1: not asked).
        atom, then, other, root: the chains of jumps: node k asks for `atom[k]`; `root` are the rules' first nodes.
        is_late: `(atoms,)` whether the atom is a late one.
        led_start, led: the rules that each atom leads.
        always: rules that no atom leads.
        late_of: per rule its late atoms.
    """

    fields: dict[str, FieldScan]
    n_atoms: int
    late: dict[int, FieldTest]
    empty: dict[str, tuple[int, int]]
    atom: Ints
    then: Ints
    other: Ints
    root: Ints
    is_late: npt.NDArray[np.bool_]
    led_start: Ints
    led: Ints
    always: Ints
    late_of: tuple[tuple[int, ...], ...]


def build_program(conditions: Sequence[Condition]) -> Program:
    """The program of the conditions, one rule each."""
    builder = _Builder()
    trees = [builder.tree(condition, True) for condition in conditions]
    root = [builder.jumps(tree, TRUE, FALSE) for tree in trees]
    leaders = [builder.leaders(tree) for tree in trees]
    led: list[list[int]] = [[] for _ in range(builder.n_atoms)]
    for number, found in enumerate(leaders):
        for atom in sorted(found[1]) if found else ():
            led[atom].append(number)
    nodes = np.array(builder.nodes, np.int32).reshape(-1, 3)
    is_late = np.zeros(builder.n_atoms, np.bool_)
    is_late[sorted(builder.late_atoms)] = True
    return Program(
        fields=builder.scans(),
        n_atoms=builder.n_atoms,
        late={atom: test for test, atom in builder.late.items()},
        empty=builder.empty_fields(),
        atom=np.ascontiguousarray(nodes[:, 0]),
        then=np.ascontiguousarray(nodes[:, 1]),
        other=np.ascontiguousarray(nodes[:, 2]),
        root=np.array(root, np.int32),
        is_late=is_late,
        led_start=_starts(led),
        led=_joined(led),
        always=np.array([n for n, found in enumerate(leaders) if found is None], np.int32),
        late_of=tuple(tuple(sorted(_atoms(tree) & builder.late_atoms)) for tree in trees),
    )


@dataclass
class _Builder:
    n_atoms: int = 0
    sets: dict[frozenset[FieldTest], int] = field(default_factory=dict)
    late: dict[FieldTest, int] = field(default_factory=dict)
    late_atoms: set[int] = field(default_factory=set)
    empty: dict[tuple[str, bool], int] = field(default_factory=dict)
    cost: list[float] = field(default_factory=list)
    nodes: list[tuple[int, int, int]] = field(default_factory=list)

    def tree(self, condition: Condition, sign: bool) -> Tree:
        """The condition, or its contrary, in negation normal form."""
        if isinstance(condition, Not):
            return self.tree(condition.part, not sign)
        if isinstance(condition, FieldTest):
            if condition.kind == "empty":
                return self.empty_atom(condition.field, sign), sign
            if self.is_plain(condition):
                return self.set_atom(_with_possible([condition], sign)), sign
            late, possible = self.late_tree(condition, sign), None if sign else _possible(condition)
            if possible is None:
                return late
            return "and", [(self.set_atom({possible}), sign), late]
        word = "and" if isinstance(condition, And) == sign else "or"
        return self.joined(word, isinstance(condition, Or), condition.parts, sign)

    def joined(self, word: str, any_of: bool, parts: Sequence[Condition], sign: bool) -> Tree:
        # `any_of` plain tests, asked for or ruled out together, are one atom.
        plain = [part for part in parts if any_of and isinstance(part, FieldTest) and self.is_plain(part)]
        trees: list[Tree] = [(self.set_atom(_with_possible(plain, sign)), sign)] if plain else []
        trees += [self.tree(part, sign) for part in parts if part not in plain]
        flat: list[Tree] = []
        for tree in trees:
            flat += tree[1] if tree[0] == word else [tree]  # type: ignore[operator]
        flat.sort(key=lambda tree: (self.has_late(tree), len(_atoms(tree))))
        return flat[0] if len(flat) == 1 else (word, flat)

    def is_plain(self, test: FieldTest) -> bool:
        return test.kind in PLAIN and spellings(test.value, cased=test.cased) is not None

    def has_late(self, tree: Tree) -> bool:
        return not self.late_atoms.isdisjoint(_atoms(tree))

    def late_tree(self, test: FieldTest, sign: bool) -> Tree:
        """The test behind the texts that it needs: `needs and test`, or the contrary of that."""
        if test not in self.late:
            self.late[test] = self.new(1.0)
            self.late_atoms.add(self.late[test])
        needs = _needs(test)
        leaf: Tree = (self.late[test], sign)
        if not needs:
            return leaf
        first = self.tree(conjunction(needs), sign)
        word = "and" if sign else "or"
        return word, [*(first[1] if first[0] == word else [first]), leaf]  # type: ignore[misc]

    def set_atom(self, tests: Iterable[FieldTest]) -> int:
        key = frozenset(tests)
        if key not in self.sets:
            self.sets[key] = self.new(sum(_share(test) for test in key))
        return self.sets[key]

    def empty_atom(self, name: str, sign: bool) -> int:
        if (name, sign) not in self.empty:
            self.empty[name, sign] = self.new(_EMPTY_SHARE)
        return self.empty[name, sign]

    def new(self, cost: float) -> int:
        self.cost.append(cost)
        self.n_atoms += 1
        return self.n_atoms - 1

    def leaders(self, tree: Tree) -> tuple[float, frozenset[int]] | None:
        """Atoms of which one is marked wherever the tree holds, the rarest such, with their share; None: no such."""
        if isinstance(tree[0], int):
            atom, sign = tree
            led = sign and atom not in self.late_atoms
            return (self.cost[atom], frozenset({atom})) if led else None  # type: ignore[arg-type, index]
        found = [self.leaders(part) for part in tree[1]]  # type: ignore[union-attr]
        known = [one for one in found if one is not None]
        if tree[0] == "and":
            return min(known, key=lambda one: (one[0], sorted(one[1])), default=None)
        if len(known) < len(found):
            return None
        return sum(one[0] for one in known), frozenset().union(*(one[1] for one in known))

    def jumps(self, tree: Tree, then: int, other: int) -> int:
        """Append the tree's chain; returns its first node."""
        if isinstance(tree[0], int):
            atom, sign = tree
            self.nodes.append((atom, then, other) if sign else (atom, other, then))  # type: ignore[arg-type]
            return len(self.nodes) - 1
        at = then if tree[0] == "and" else other
        for part in reversed(tree[1]):  # type: ignore[arg-type]
            at = self.jumps(part, at, other) if tree[0] == "and" else self.jumps(part, then, at)
        return at

    def empty_fields(self) -> dict[str, tuple[int, int]]:
        names = dict.fromkeys(name for name, _ in self.empty)
        return {name: (self.empty.get((name, True), -1), self.empty.get((name, False), -1)) for name in names}

    def scans(self) -> dict[str, FieldScan]:
        uses: dict[str, dict[FieldTest, list[int]]] = {}
        for tests, atom in self.sets.items():
            for test in tests:
                uses.setdefault(test.field, {}).setdefault(test, []).append(atom)
        return {name: _field_scan(tests) for name, tests in uses.items()}


_PLACE = {"contains": 0, "startswith": AT_START, "endswith": AT_END, "equals": AT_START | AT_END}


def _field_scan(tests: dict[FieldTest, list[int]]) -> FieldScan:
    literals: dict[bytes, list[int]] = {}
    place: list[int] = []
    texts: list[bytes] = []
    marked: list[list[int]] = []
    for test, atoms in tests.items():
        for spelling in spellings(test.value, cased=test.cased) or ():
            literals.setdefault(spelling, []).append(len(place))
            place.append(_PLACE[test.kind] | (CASED if test.cased else 0))
            texts.append(test.value.encode() if test.cased else spelling)
            marked.append(sorted(atoms))
    return FieldScan(
        automaton=build_automaton(literals),
        place=np.array(place, np.uint8),
        text_start=_starts(texts),
        text=np.frombuffer(b"".join(texts), np.uint8),
        atom_start=_starts(marked),
        atoms=_joined(marked),
    )


def _needs(test: FieldTest) -> list[Condition]:
    """Plain tests that hold wherever the test does."""
    if test.kind == "re":
        found = needed(test.value)
        if _IGNORES_CASE.search(test.value):
            # RE2 takes the Kelvin sign for a k and the long s for an s where it ignores case; the scan doesn't.
            found = [texts for texts in found if not any("k" in text or "s" in text for text in texts)]
        return [disjunction([FieldTest(test.field, "contains", text) for text in sorted(texts)]) for texts in found]
    if test.kind == "like":
        parts = list(glob_parts(test.value))
        last = len(parts) - 1
        return [
            FieldTest(test.field, "startswith" if k == 0 else "endswith" if k == last else "contains", text, test.cased)
            for k, (text, wild) in enumerate(parts)
            if not wild and spellings(text, cased=test.cased) is not None
        ]
    return []


def _with_possible(tests: Sequence[FieldTest], sign: bool) -> set[FieldTest]:
    """The tests; where they are ruled out, also what makes them possible."""
    more = [] if sign else [possible for test in tests if (possible := _possible(test)) is not None]
    return {*tests, *more}


def _possible(test: FieldTest) -> FieldTest | None:
    """What holds where the folder of a program isn't known and the test might hold in some folder; None: never."""
    column = NAME_ONLY.get(test.field)
    if column is None or test.kind in ("same", "cidr", "empty"):
        return None
    if test.kind in ("endswith", "equals"):
        name = re.split(r"[\\/]", test.value)[-1]
        if test.kind == "endswith" and len(name) >= len(test.value) - 1:
            return None  # it asks for the name alone
        return FieldTest(column, "equals", NAME_MARK + name, test.cased)
    return FieldTest(column, "startswith", NAME_MARK)


def _share(test: FieldTest) -> float:
    share = frequency(frozenset({test.value.lower()}))
    return max(share, _IMAGE_SHARE) if test.field in _IMAGES else share


def _atoms(tree: Tree) -> set[int]:
    if isinstance(tree[0], int):
        return {tree[0]}
    return set().union(*(_atoms(part) for part in tree[1]))  # type: ignore[union-attr]


def _starts(parts: Sequence[Sequence[int]]) -> Ints:
    return np.cumsum([0, *(len(part) for part in parts)]).astype(np.int32)


def _joined(parts: Sequence[Sequence[int]]) -> Ints:
    return np.array([number for part in parts for number in part], np.int32)
