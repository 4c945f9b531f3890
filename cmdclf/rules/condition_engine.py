"""Rules that are conditions over several fields, decided for many rows at once."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.rules._condition_program import FieldScan, Program, build_program
from cmdclf.rules._implied import parsed
from cmdclf.rules._spelling import glob_regex, text_regex
from cmdclf.rules.buffers import as_string_array, string_buffers
from cmdclf.rules.condition import NAME_ONLY, Condition, FieldTest
from cmdclf.rules.platforms import ANY_PLATFORM

__all__ = ["ConditionEngine"]

_CHUNK_ROWS = 32_768
_WINDOWS = 1

Longs = npt.NDArray[np.int64]
Lists = tuple[Longs, npt.NDArray[np.int32]]


class ConditionEngine:
    """Which conditions hold for which rows.

    One pass over the bytes of each field finds all texts that the conditions look for (Aho-Corasick); chains of jumps
    then decide each rule that the row has a needed text of. Only what is left open by that (wildcards inside a text,
    regular expressions, comparisons of fields) is looked at row by row, with RE2. Time is linear in the bytes.

    Tests of a field that was not given don't hold, and whether it is empty is unknown: neither `empty` nor its contrary
    holds. Likewise unknown are tests of a program's folder where only its name is there. See docs/sigma.md.

    Args:
        conditions: one a rule.
        where: `(rules,) uint8`, the platforms for which each rule is, as bits.
    """

    def __init__(self, conditions: Sequence[Condition], where: npt.NDArray[np.uint8]) -> None:
        self._conditions = tuple(conditions)
        self._where = where
        self._program: Program | None = None

    def pairs(
        self, lines: pa.Array, where: npt.NDArray[np.uint8] | None, fields: Mapping[str, pa.Array]
    ) -> tuple[Longs, Longs]:
        """The rows and the numbers of the rules that hold there, by rule and then by row.

        Args:
            lines: n command lines, as `as_string_array` gives them.
            where: `(n,)` platforms as `platform_bits` gives them.
            fields: n values of each further field that is known, by the names of `condition.FIELDS`.
        """
        if self._program is None:
            self._program = build_program(self._conditions)
        if where is None:
            where = np.full(len(lines), ANY_PLATFORM, np.uint8)
        keys = [np.zeros(0, np.int64)]
        for start in range(0, len(lines), _CHUNK_ROWS):
            rows = slice(start, min(start + _CHUNK_ROWS, len(lines)))
            part = {name: as_string_array(column[rows]) for name, column in {**fields, "command_line": lines}.items()}
            _complete(part, where[rows])
            # A row with neither a line nor an image is no process: it is for no platform, so no rule holds.
            process = ~(_is_empty(part["command_line"]) & _is_empty(part["image"]))
            found = _held(self._program, part, np.where(process, where[rows], 0).astype(np.uint8), self._where)
            keys.append(((found & 0xFFFF_FFFF) << 32) | ((found >> 32) + start))
        every = np.sort(np.concatenate(keys))
        return every & 0xFFFF_FFFF, every >> 32


def _complete(columns: dict[str, pa.Array], where: npt.NDArray[np.uint8]) -> None:
    """Images from the first token of the command line where there are none, and the names of those without a folder."""
    from cmdclf.rules._first_token import first_token_images, names_only

    windows: npt.NDArray[np.bool_] | None = None
    for image, line in (("image", "command_line"), ("parent_image", "parent_command_line")):
        own = columns.get(image)
        if line not in columns or (own is not None and not _is_empty(own).any()):
            continue
        if windows is None:
            windows = _windows(columns["command_line"], where)
        taken = first_token_images(columns[line], windows)
        columns[image] = taken if own is None else pc.if_else(pa.array(_is_empty(own)), taken, own.cast(taken.type))
    for image, name in NAME_ONLY.items():
        if image in columns:
            columns[name] = names_only(columns[image])


def _windows(lines: pa.Array, where: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    from cmdclf.lines import guess_platform

    windows = (where & _WINDOWS).astype(np.bool_)
    unknown = np.flatnonzero(where == ANY_PLATFORM)
    if len(unknown):
        guessed = guess_platform(lines.take(pa.array(unknown)))
        windows[unknown] = np.asarray(pc.equal(guessed, "windows").to_numpy(zero_copy_only=False), np.bool_)
    return windows


def _held(
    program: Program, columns: Mapping[str, pa.Array], where: npt.NDArray[np.uint8], rule_where: npt.NDArray[np.uint8]
) -> Longs:
    """`row << 32 | rule` of all that holds, in no order."""
    from cmdclf.rules._condition_kernels import judge, settle

    rows = len(where)
    lists = [_empty_list(program, columns, rows)]
    for name, scan in program.fields.items():
        if name in columns:
            lists.append(_scanned(columns[name], scan, program.n_atoms))
    code: tuple[Any, ...] = (program.atom, program.then, program.other, program.root, program.is_late)
    led = (program.led_start, program.led, program.always)
    everything: tuple[Any, ...] = (*_stacked(lists), *code, *led, rule_where, where)
    held, open_ = judge(*everything)
    if not len(open_):
        return np.asarray(held)
    lists.append(_late_list(program, columns, open_, rows))
    return np.concatenate([held, open_[settle(open_, *_stacked(lists), *code)]])


def _scanned(column: pa.Array, scan: FieldScan, n_atoms: int) -> Lists:
    from cmdclf.rules._condition_kernels import marked

    table = scan.automaton
    starts, atoms = marked(
        *string_buffers(column),
        table.classes,
        table.moves,
        table.first_accepting,
        table.width,
        table.out_start,
        table.out_set,
        scan.place,
        scan.text_start,
        scan.text,
        scan.atom_start,
        scan.atoms,
        n_atoms,
    )
    return starts, atoms


def _empty_list(program: Program, columns: Mapping[str, pa.Array], rows: int) -> Lists:
    flags: list[npt.NDArray[np.bool_]] = []
    atoms: list[int] = []
    for name, (known, possible) in program.empty.items():
        empty = _is_empty(columns[name]) if name in columns else None
        for atom, rows_of in ((known, empty), (possible, np.ones(rows, np.bool_) if empty is None else empty)):
            if atom >= 0 and rows_of is not None:
                atoms.append(atom)
                flags.append(rows_of)
    matrix = np.array(flags, np.bool_).reshape(len(atoms), rows)
    at, which = np.nonzero(matrix.T)
    return _list(at, np.array(atoms, np.int32)[which], rows)


def _late_list(program: Program, columns: Mapping[str, pa.Array], keys: Longs, rows: int) -> Lists:
    """The late atoms that hold, asked only in the rows where a rule is open that asks for them."""
    order = np.argsort(keys & 0xFFFF_FFFF, kind="stable")
    rules, firsts = np.unique((keys & 0xFFFF_FFFF)[order], return_index=True)
    asked: dict[int, list[Longs]] = {}
    for rule, group in zip(rules.tolist(), np.split((keys >> 32)[order], firsts[1:]), strict=True):
        for atom in program.late_of[rule]:
            asked.setdefault(atom, []).append(group)
    at = [np.zeros(0, np.int64)]
    atoms = [np.zeros(0, np.int32)]
    for atom, groups in asked.items():
        some = groups[0] if len(groups) == 1 else np.unique(np.concatenate(groups))
        true = some[_looked_at(program.late[atom], columns, some)]
        at.append(true)
        atoms.append(np.full(len(true), atom, np.int32))
    where = np.concatenate(at)
    by_row = np.argsort(where, kind="stable")
    return _list(where[by_row], np.concatenate(atoms)[by_row], rows)


def _looked_at(test: FieldTest, columns: Mapping[str, pa.Array], rows: Longs) -> npt.NDArray[np.bool_]:
    """Whether the test holds in these rows."""
    column = columns.get(test.field)
    other = columns.get(test.value) if test.kind == "same" else column
    if column is None or other is None:
        return np.zeros(len(rows), np.bool_)
    text = column.take(pa.array(rows))
    if test.kind == "same":
        return _same(text, other.take(pa.array(rows)), cased=test.cased)
    if test.kind == "cidr":
        network = ipaddress.ip_network(test.value)
        return np.array([_inside(value, network) for value in text.to_pylist()], np.bool_)
    regex = _regex(test)
    held = np.zeros(len(rows), np.bool_)
    # RE2 takes a millisecond a row to find that a line has no thousand characters; null matches nothing.
    long = np.flatnonzero(pc.greater_equal(pc.binary_length(text), _least_length(regex)).fill_null(False))
    run = _RUN.fullmatch(regex)
    if run:
        # And as long for each place of a line that has them: so many characters without a line's end are counted.
        some = text.take(pa.array(long))
        one_line = np.asarray(pc.invert(pc.match_substring(some, "\n")).to_numpy(zero_copy_only=False), np.bool_)
        enough = pc.greater_equal(pc.utf8_length(some), int(run[1])).to_numpy(zero_copy_only=False)
        held[long[one_line & enough]] = True
        long = long[~one_line]
    matched = pc.match_substring_regex(text.take(pa.array(long)), regex)
    held[long] = matched.to_numpy(zero_copy_only=False)
    return held


#: "At least so many characters".
_RUN = re.compile(r"\(?\.\)?\{(\d+),\}")


@lru_cache(maxsize=4096)
def _least_length(regex: str) -> int:
    """A text of fewer bytes can't match."""
    tree = parsed(regex)
    return 0 if tree is None else int(tree.getwidth()[0])


def _regex(test: FieldTest) -> str:
    if test.kind == "re":
        return test.value
    if test.kind == "like":
        return glob_regex(test.value, cased=test.cased)
    inner = text_regex(test.value, cased=test.cased)
    before = r"\A" if test.kind in ("startswith", "equals") else ""
    return before + inner + (r"\z" if test.kind in ("endswith", "equals") else "")


def _same(one: pa.Array, other: pa.Array, *, cased: bool) -> npt.NDArray[np.bool_]:
    one, other = one.cast(pa.large_string()), other.cast(pa.large_string())
    if not cased:
        one, other = pc.ascii_lower(one), pc.ascii_lower(other)
    alike = pc.and_(pc.equal(one, other), pc.not_equal(one, "")).fill_null(False)
    return np.asarray(alike.to_numpy(zero_copy_only=False), np.bool_)


def _inside(value: str | None, network: Any) -> bool:
    try:
        return value is not None and ipaddress.ip_address(value) in network
    except ValueError:
        return False


def _is_empty(column: pa.Array) -> npt.NDArray[np.bool_]:
    empty = pc.equal(pc.binary_length(column), 0).fill_null(True)
    return np.asarray(empty.to_numpy(zero_copy_only=False), np.bool_)


def _list(rows_of: Longs, atoms: npt.NDArray[np.int32], rows: int) -> Lists:
    starts = np.zeros(rows + 1, np.int64)
    np.cumsum(np.bincount(rows_of, minlength=rows), out=starts[1:])
    return starts, atoms


def _stacked(lists: Sequence[Lists]) -> Lists:
    """Starts `(lists, rows + 1)` into one array of atoms."""
    base = np.cumsum([0, *(len(atoms) for _, atoms in lists[:-1])])
    return np.array([starts + at for (starts, _), at in zip(lists, base, strict=True)]), np.concatenate(
        [atoms for _, atoms in lists]
    )
