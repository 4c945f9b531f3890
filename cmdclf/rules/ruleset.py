"""A set of rules from one file: matching, checking, its version."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields as fields_of
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import RuleError
from cmdclf.resources import data_path
from cmdclf.rules._implied import implies
from cmdclf.rules.buffers import as_string_array
from cmdclf.rules.condition import written
from cmdclf.rules.condition_engine import ConditionEngine
from cmdclf.rules.engine import Engine, match_everywhere, rule_bits
from cmdclf.rules.platforms import platform_bits
from cmdclf.rules.rule import CATEGORIES, LEVELS, Rule, read_rules
from cmdclf.telemetry import PLATFORMS

__all__ = ["RuleSet"]


class RuleSet:
    """Rules in a fixed order, matched together.

    >>> baseline = RuleSet.bundled("baseline")
    >>> baseline.any(pa.array(["vssadmin delete shadows /all /quiet", "ls -la"]))
    array([ True, False])

    Args:
        rules: the rules; see `load` and `bundled` for the usual ways in.
        name: what messages call the set.
    """

    def __init__(self, rules: Iterable[Rule], *, name: str = "rules") -> None:
        self.rules: tuple[Rule, ...] = tuple(rules)
        self.name = name
        self._engine: Engine | None = None
        self._patterns = np.flatnonzero([rule.match is None for rule in self.rules])
        self._conditions = np.flatnonzero([rule.match is not None for rule in self.rules])
        self._condition_engine: ConditionEngine | None = None

    @classmethod
    def load(cls, path_or_name: str | Path) -> RuleSet:
        """The rules of a TOML file (or a JSON file of `save`), or of the bundled set of that name ("behaviours" ...).

        Raises:
            RuleError: no such file or bundled set, or a faulty entry (names file, rule and remedy).
        """
        path = Path(path_or_name)
        bundled = data_path("rules", f"{path_or_name}.toml")
        if path.suffix not in (".toml", ".json") and path.name == str(path_or_name) and bundled.is_file():
            return cls(read_rules(bundled), name=path.name)
        if not path.is_file():
            names = ", ".join(cls.bundled_names())
            raise RuleError("no such rule file", remedy=f"Give a TOML file or a bundled set: {names}", file=path)
        return cls(read_rules(path), name=path.stem)

    @classmethod
    def bundled(cls, name: str) -> RuleSet:
        """The bundled set of that name."""
        if name not in cls.bundled_names():
            raise RuleError(f"no bundled rules '{name}'", remedy=f"There are: {', '.join(cls.bundled_names())}")
        return cls(read_rules(data_path("rules", f"{name}.toml")), name=name)

    @staticmethod
    def bundled_names() -> list[str]:
        """The names of the bundled sets, sorted."""
        return sorted(path.stem for path in data_path("rules").glob("*.toml"))

    def save(self, path: str | Path) -> None:
        """Write the set as JSON that `load` reads; examples are left out."""
        entries = [_entry(rule) for rule in self.rules]
        Path(path).write_text(json.dumps({"rule": entries}, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def __len__(self) -> int:
        return len(self.rules)

    @property
    def ids(self) -> list[str]:
        """The rules' ids, in the order of `match`'s columns."""
        return [rule.id for rule in self.rules]

    @property
    def version(self) -> str:
        """SHA-256 (hex) over all that decides what matches and what it is called; titles and examples don't count."""
        content = [
            [r.id, r.category, r.regex, r.literals, r.platform, r.technique, r.level, r.precise, r.case]
            + ([] if r.match is None else [written(r.match)])
            for r in self.rules
        ]
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8")).hexdigest()

    def where(
        self,
        *,
        precise: bool | None = None,
        category: str | None = None,
        levels: Sequence[str] = LEVELS,
    ) -> RuleSet:
        """The rules with these properties, in the same order; `where(precise=True)` are those fit for vetoes."""
        chosen = [
            r
            for r in self.rules
            if (precise is None or r.precise == precise)
            and (category is None or r.category == category)
            and r.level in levels
        ]
        return RuleSet(chosen, name=self.name)

    def match(
        self,
        lines: pa.Array | pa.ChunkedArray,
        platform: pa.Array | pa.ChunkedArray | None = None,
        fields: Mapping[str, pa.Array | pa.ChunkedArray] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Which rules match which lines.

        Args:
            lines: n command lines (string or large_string; slices and nulls are fine, a null matches nothing).
            platform: n of windows, linux, macos. Rules for other platforms than the row's don't match it; where it is
                null or left out, all rules apply.
            fields: what else is known of the n events, for rules that are conditions, by the names of
                `condition.FIELDS`: image, parent_image, parent_command_line, user ... Images that are missing are taken
                from the first token of the command line.

        Returns:
            `(n, len(rules)) uint8`, C-contiguous.

        Cost: about 1 ns per byte, RE2 on the rows that hold the literals of a rule, and about 0.1 ms a call to compile
        each pattern that has such a row (those with few rows are kept compiled): prefer batches of thousands.
        """
        found = np.zeros((len(lines), len(self.rules)), np.uint8)
        found[self.pairs(lines, platform, fields)] = 1
        return found

    def pairs(
        self,
        lines: pa.Array | pa.ChunkedArray,
        platform: pa.Array | pa.ChunkedArray | None = None,
        fields: Mapping[str, pa.Array | pa.ChunkedArray] | None = None,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """What `match` gives as two arrays: the row and the rule's number of each match, by rule and then by row."""
        lines = as_string_array(lines)
        for name, column in {"platform": platform, **(fields or {})}.items():
            if column is not None and len(column) != len(lines):
                what = "platforms" if name == "platform" else f"values of {name}"
                raise ValueError(f"{len(lines)} lines but {len(column)} {what}")
        where = None if platform is None else platform_bits(as_string_array(platform))
        if self._engine is None:
            self._engine = Engine([self.rules[k] for k in self._patterns])
        rows, numbers = self._engine.pairs(lines, where)
        if not len(self._conditions):
            return rows, numbers
        if self._condition_engine is None:
            chosen = [self.rules[k] for k in self._conditions]
            bits = np.array([rule_bits(rule) for rule in chosen], np.uint8)
            self._condition_engine = ConditionEngine([rule.match for rule in chosen if rule.match is not None], bits)
        known = {name: as_string_array(column) for name, column in (fields or {}).items()}
        held, which = self._condition_engine.pairs(lines, where, known)
        rows = np.concatenate([rows, held])
        numbers = np.concatenate([self._patterns[numbers], self._conditions[which]])
        order = np.argsort(numbers, kind="stable")
        return rows[order], numbers[order]

    def any(
        self,
        lines: pa.Array | pa.ChunkedArray,
        platform: pa.Array | pa.ChunkedArray | None = None,
        fields: Mapping[str, pa.Array | pa.ChunkedArray] | None = None,
    ) -> npt.NDArray[np.bool_]:
        """`(n,) bool`: whether at least one rule matches."""
        found = np.zeros(len(lines), np.bool_)
        found[self.pairs(lines, platform, fields)[0]] = True
        return found

    def names(
        self,
        lines: pa.Array | pa.ChunkedArray,
        platform: pa.Array | pa.ChunkedArray | None = None,
        fields: Mapping[str, pa.Array | pa.ChunkedArray] | None = None,
    ) -> pa.ListArray:
        """`list<string>` of n rows: the ids of the rules that match each line, in the set's order."""
        rows, columns = self.pairs(lines, platform, fields)
        by_row = np.argsort(rows, kind="stable")
        offsets = np.zeros(len(lines) + 1, np.int32)
        np.cumsum(np.bincount(rows, minlength=len(lines)), out=offsets[1:])
        ids = pa.array(self.ids, pa.string()).take(pa.array(columns[by_row]))
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), ids)

    def levels(
        self,
        lines: pa.Array | pa.ChunkedArray,
        platform: pa.Array | pa.ChunkedArray | None = None,
        fields: Mapping[str, pa.Array | pa.ChunkedArray] | None = None,
    ) -> npt.NDArray[np.int8]:
        """`(n,) int8`: the highest level of the rules that match; 0 none, 1 informational .. 5 critical."""
        level = np.array([LEVELS.index(rule.level) + 1 if rule.level in LEVELS else 0 for rule in self.rules], np.int8)
        highest = np.zeros(len(lines), np.int8)
        rows, columns = self.pairs(lines, platform, fields)
        np.maximum.at(highest, rows, level[columns])
        return highest

    def check(self) -> list[str]:
        """What is wrong with the set, one sentence each; empty where all is well.

        Ids are unique; categories, levels and platforms known; each rule has examples of both kinds that behave; no
        literal is empty or upper-case; no pattern can match without one of its literals.
        """
        problems = [f"{self.name}: the id '{i}' is used {n} times" for i, n in Counter(self.ids).items() if n > 1]
        for rule in self.rules:
            problems += [f"{self.name}: {rule.id}: {text}" for text in (*_faults(rule), *_example_faults(rule))]
        return problems


def _entry(rule: Rule) -> dict[str, Any]:
    """The rule as `read_rules` reads it, without its examples."""
    left_out = ("hits", "misses", *(("match",) if rule.match is None else ("regex", "literals", "case")))
    entry = {key.name: getattr(rule, key.name) for key in fields_of(rule) if key.name not in left_out}
    return entry if rule.match is None else {**entry, "match": written(rule.match)}


def _faults(rule: Rule) -> list[str]:
    faults = []
    if rule.category not in CATEGORIES:
        faults.append(f"unknown category '{rule.category}' (known: {', '.join(CATEGORIES)})")
    if rule.level not in LEVELS:
        faults.append(f"unknown level '{rule.level}' (known: {', '.join(LEVELS)})")
    faults += [f"unknown platform '{p}'" for p in rule.platform if p not in PLATFORMS]
    if rule.match is not None:
        return faults
    if not rule.literals:
        faults.append("no literals")
    faults += ["an empty literal" for literal in rule.literals if not literal]
    faults += [f"the literal '{literal}' is not lower-case" for literal in rule.literals if literal != literal.lower()]
    if rule.literals and all(rule.literals) and not implies(rule.regex, rule.literals):
        faults.append("the pattern is not proven to contain one of its literals, so it is tried on every line")
    return faults


def _example_faults(rule: Rule) -> list[str]:
    if rule.match is not None:
        rules = RuleSet([rule])
        return [f"does not match its hit: {line}" for line in rule.hits if not rules.any(pa.array([line]))[0]] + [
            f"matches its miss: {line}" for line in rule.misses if rules.any(pa.array([line]))[0]
        ]
    faults = [f"no {kind}" for kind, lines in (("hits", rule.hits), ("misses", rule.misses)) if not lines]
    for line in rule.hits:
        if not match_everywhere(pa.array([line]), [rule])[0, 0]:
            faults.append(f"does not match its hit: {line}")
        if not any(literal in line.lower() for literal in rule.literals):
            faults.append(f"no literal in its hit: {line}")
    faults += [f"matches its miss: {line}" for line in rule.misses if match_everywhere(pa.array([line]), [rule])[0, 0]]
    return faults
