"""One rule, and reading rules from TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.errors import RuleError
from cmdclf.rules.condition import Condition, parsed

__all__ = ["CATEGORIES", "LEVELS", "Rule", "read_rules"]

#: What a rule may be about: ATT&CK's tactics as far as a command line shows them, and obfuscation, download
#: cradles and injection, which cut across tactics.
CATEGORIES = (
    "obfuscation",
    "download",
    "execution",
    "execution_proxy",
    "persistence",
    "privilege_escalation",
    "defense_evasion",
    "credential_access",
    "discovery",
    "lateral_movement",
    "collection",
    "exfiltration",
    "tunnelling",
    "impact",
    "injection",
)
LEVELS = ("informational", "low", "medium", "high", "critical")


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern or a condition, with what it means and examples of what it must and must not match.

    Attributes:
        id: unique and stable: feature columns and ledgers are named by it.
        title: what a match means, in a few words.
        category: one of `CATEGORIES`.
        regex: RE2 syntax, found anywhere in the line, ignoring case unless `case`; empty where there is a `match`.
        literals: lower-case; a line without any of them is not looked at.
        platform: where the rule applies; empty for everywhere.
        technique: ATT&CK ids.
        level: informational, low, medium, high or critical.
        precise: almost no administrator would trip it; used for vetoes.
        case: match case exactly.
        hits: lines that must match.
        misses: look-alikes that must not.
        match: the condition that decides instead of a pattern.
    """

    id: str
    title: str
    category: str
    regex: str
    literals: tuple[str, ...]
    platform: tuple[str, ...] = ()
    technique: tuple[str, ...] = ()
    level: str = "medium"
    precise: bool = False
    case: bool = False
    hits: tuple[str, ...] = ()
    misses: tuple[str, ...] = ()
    match: Condition | None = None


_TEXT = ("id", "title", "category", "regex", "level")
_FLAGS = ("precise", "case")
_LISTS = ("literals", "platform", "technique", "hits", "misses")
_REQUIRED = ("id", "title", "category", "regex", "literals")
#: What a rule with a condition does without.
_PATTERN = ("regex", "literals", "case")
_MATCH = "match"


def read_rules(path: Path) -> list[Rule]:
    """The rules of a TOML (or, saved by a RuleSet, JSON) file in its order, each with a pattern that RE2 accepts.

    Raises:
        RuleError: not TOML, an entry with a missing, unknown or mistyped key, or a pattern that RE2 refuses.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise RuleError("not UTF-8 text", remedy="Save the file as UTF-8", file=path) from error
    except RecursionError as error:
        raise RuleError("values nested too deeply", remedy="Mend or remove the nested value", file=path) from error
    except tomllib.TOMLDecodeError as error:
        raise RuleError(f"not valid TOML: {error}", remedy="Mend the TOML at that place", file=path) from error
    except json.JSONDecodeError as error:
        raise RuleError(
            f"not valid JSON: {error}", remedy="Write the file again with RuleSet.save", file=path
        ) from error
    if not isinstance(content, dict):
        raise RuleError("not a rule file", remedy="A rule file holds [[rule]] entries", file=path)
    entries = content.pop("rule", [])
    if content:
        raise RuleError(
            f"unknown top-level key '{next(iter(content))}'",
            remedy="A rule file holds [[rule]] entries only",
            file=path,
        )
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise RuleError("'rule' is not a list of tables", remedy="Start each rule with [[rule]]", file=path)
    return [_rule(entry, number, path) for number, entry in enumerate(entries, start=1)]


def _rule(entry: Mapping[str, Any], number: int, path: Path) -> Rule:
    name = f"rule {number} ('{entry.get('id', '')}')"

    def fault(message: str, remedy: str) -> RuleError:
        return RuleError(f"{name}: {message}", remedy=remedy, file=path)

    known = (*_TEXT, *_FLAGS, *_LISTS, _MATCH)
    needed = tuple(key for key in _REQUIRED if _MATCH not in entry or key not in _PATTERN)
    for key in needed:
        if key not in entry:
            raise fault(f"the key '{key}' is missing", f"Every rule needs {', '.join(needed)}")
    if _MATCH in entry:
        entry = {**entry, **_condition(entry, fault)}
    for key, value in entry.items():
        if key not in known:
            raise fault(f"unknown key '{key}'", f"Known keys are {', '.join(known)}")
        _check_type(key, value, fault)
    fields: dict[str, Any] = {key: tuple(value) if key in _LISTS else value for key, value in entry.items()}
    rule = Rule(**fields)
    if not rule.id:
        raise fault("the id is empty", "Give the rule a unique id")
    if rule.match is not None:
        return rule
    try:
        pc.match_substring_regex(pa.array([""]), rule.regex, ignore_case=not rule.case)
    except pa.ArrowInvalid as error:
        raise fault(
            f"RE2 refuses the pattern: {str(error).removeprefix('Invalid regular expression: ')}",
            "Use RE2 syntax: no look-around, no back-references",
        ) from error
    return rule


def _check_type(key: str, value: object, fault: Callable[[str, str], RuleError]) -> None:
    if key in _TEXT and not isinstance(value, str):
        raise fault(f"'{key}' is not text", f"Write {key} as a quoted string")
    if key in _FLAGS and not isinstance(value, bool):
        raise fault(f"'{key}' is not true or false", f"Write {key} = true or leave it out")
    if key in _LISTS and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise fault(f"'{key}' is not a list of text", f'Write {key} = ["...", "..."]')


def _condition(entry: Mapping[str, Any], fault: Callable[[str, str], RuleError]) -> dict[str, Any]:
    """The keys of a rule whose condition decides."""
    for key in _PATTERN:
        if key in entry:
            raise fault(f"both 'match' and '{key}'", "A rule has either a condition (match) or a pattern (regex)")
    try:
        match = parsed(entry[_MATCH])
    except ValueError as error:
        raise fault(f"'match': {error}", "Write match as docs/sigma.md says") from error
    return {_MATCH: match, "regex": "", "literals": []}
