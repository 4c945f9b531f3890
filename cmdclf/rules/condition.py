"""Conditions over the fields of a process event: tests joined by and, or and not, as rule files write them.

A condition is written as a nested list::

    ["and", ["image", "endswith", "\\\\certutil.exe"], ["command_line", "contains", "urlcache", "verifyctl"],
            ["not", ["parent_image", "endswith", "\\\\ccmexec.exe"]]]

A test names a field, what is asked of it, and values of which one must do (`|all`: all of them must).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "FIELDS",
    "KINDS",
    "And",
    "Condition",
    "FieldTest",
    "Not",
    "Or",
    "conjunction",
    "disjunction",
    "parsed",
    "written",
]

#: The column of a field, and what Sigma calls it.
FIELDS: dict[str, str] = {
    "command_line": "CommandLine",
    "image": "Image",
    "parent_command_line": "ParentCommandLine",
    "parent_image": "ParentImage",
    "user": "User",
    "parent_user": "ParentUser",
    "grand_parent_image": "GrandParentImage",
    "current_directory": "CurrentDirectory",
    "original_file_name": "OriginalFileName",
    "product": "Product",
    "company": "Company",
    "description": "Description",
    "file_version": "FileVersion",
    "integrity_level": "IntegrityLevel",
    "hashes": "Hashes",
    "imphash": "imphash",
    "md5": "md5",
    "sha1": "sha1",
    "sha256": "sha256",
    "logon_id": "LogonId",
    "logon_guid": "LogonGuid",
    "process_id": "ProcessId",
    "process_guid": "ProcessGuid",
    "parent_process_id": "ParentProcessId",
    "parent_process_guid": "ParentProcessGuid",
    "terminal_session_id": "TerminalSessionId",
}

#: Columns that the engine adds: the program's name, behind a mark, where nothing says in which folder it lies.
NAME_ONLY = {"image": "name only", "parent_image": "parent's name only"}
NAME_MARK = "/"

#: Tests of one text: decided in the scan; then those that look at the rows that are left.
PLAIN = ("contains", "startswith", "endswith", "equals")
KINDS = (*PLAIN, "like", "re", "empty", "same", "cidr")

MAX_DEPTH = 40
MAX_TESTS = 50_000


@dataclass(frozen=True, slots=True)
class FieldTest:
    """One question about one field.

    Attributes:
        field: one of `FIELDS`.
        kind: `contains`, `startswith`, `endswith`, `equals`; `like` (`*` any text, `?` one character, after `\\` they
            and `\\` stand for themselves); `re` (RE2, found anywhere, case counts unless `(?i)`); `empty` (null or no
            text; no value); `same` (the value names another field: both hold the same text, and some); `cidr` (an
            address of that network).
        value: what is looked for.
        cased: whether case counts (`re` has its own flags, `cidr` and `empty` know no case).
    """

    field: str
    kind: str
    value: str = ""
    cased: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one part holds."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part doesn't hold."""

    part: Condition


Condition: TypeAlias = FieldTest | And | Or | Not


def conjunction(parts: Sequence[Condition]) -> Condition:
    """All of the parts; nested ones are taken apart, repetitions left out."""
    return _joined(And, parts)


def disjunction(parts: Sequence[Condition]) -> Condition:
    """One of the parts, likewise."""
    return _joined(Or, parts)


def _joined(kind: type[And] | type[Or], parts: Sequence[Condition]) -> Condition:
    flat: dict[Condition, None] = {}
    for part in parts:
        flat.update(dict.fromkeys(part.parts if isinstance(part, And | Or) and type(part) is kind else (part,)))
    return next(iter(flat)) if len(flat) == 1 else kind(tuple(flat))


def parsed(content: object) -> Condition:
    """The condition that a rule file's list stands for.

    Raises:
        ValueError: says what is wrong with which part.
    """
    budget = [MAX_TESTS]
    return _parsed(content, budget, 0)


def _parsed(content: object, budget: list[int], depth: int) -> Condition:
    if depth > MAX_DEPTH:
        raise ValueError(f"conditions are nested more than {MAX_DEPTH} deep")
    if not isinstance(content, list) or not content or not isinstance(content[0], str):
        raise ValueError(f"{_short(content)} is no list that starts with and, or, not or a field")
    head, *rest = content
    if head in ("and", "or"):
        if not rest:
            raise ValueError(f"'{head}' without parts")
        return (conjunction if head == "and" else disjunction)([_parsed(part, budget, depth + 1) for part in rest])
    if head == "not":
        if len(rest) != 1:
            raise ValueError("'not' takes one part")
        return Not(_parsed(rest[0], budget, depth + 1))
    budget[0] -= len(rest)
    if budget[0] < 0:
        raise ValueError(f"a condition has more than {MAX_TESTS:,} tests")
    return _tests(head, rest)


def _tests(field: str, rest: list[Any]) -> Condition:
    if field not in FIELDS:
        raise ValueError(f"unknown field {_short(field)} (known: {', '.join(FIELDS)})")
    if not rest or not all(isinstance(value, str) for value in rest):
        raise ValueError(f"the test of {field} is no list of text")
    kind, *marks = rest[0].split("|")
    if kind not in KINDS or not set(marks) <= {"all", "cased"}:
        raise ValueError(f"unknown test {_short(rest[0])} (known: {', '.join(KINDS)}, with |all and |cased)")
    values = rest[1:]
    if kind == "empty":
        if values or marks:
            raise ValueError("'empty' takes no value")
        return FieldTest(field, kind)
    if not values:
        raise ValueError(f"the test '{kind}' of {field} has no value")
    tests = [FieldTest(field, kind, value, "cased" in marks) for value in values]
    for test in tests:
        _check(test)
    return (conjunction if "all" in marks else disjunction)(tests)


def _check(test: FieldTest) -> None:
    try:
        test.value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the value {_short(test.value)} is no text that can be stored") from None
    if test.kind in PLAIN and not test.value:
        raise ValueError(f"the test '{test.kind}' of {test.field} looks for no text")
    if test.kind == "re":
        try:
            pc.match_substring_regex(pa.array([""]), test.value)
        except pa.ArrowInvalid as error:
            fault = str(error).removeprefix("Invalid regular expression: ")
            raise ValueError(f"RE2 refuses the pattern {_short(test.value)}: {fault}") from None
    if test.kind == "same" and test.value not in FIELDS:
        raise ValueError(f"'same' compares with a field, not with {_short(test.value)}")
    if test.kind == "cidr":
        from ipaddress import ip_network

        try:
            ip_network(test.value)
        except ValueError as error:
            raise ValueError(f"no network: {error}") from None


def written(condition: Condition) -> list[Any]:
    """The list that `parsed` reads; tests of one field that differ in their value alone become one."""
    if isinstance(condition, Not):
        return ["not", written(condition.part)]
    if isinstance(condition, FieldTest):
        return _list(condition, [condition.value], "")
    word, mark = ("and", "|all") if isinstance(condition, And) else ("or", "")
    together: dict[object, list[FieldTest]] = {}
    for number, part in enumerate(condition.parts):
        alike = isinstance(part, FieldTest) and part.kind != "empty"
        key = (part.field, part.kind, part.cased) if isinstance(part, FieldTest) and alike else number
        together.setdefault(key, []).append(part)  # type: ignore[arg-type]
    parts = [
        written(group[0]) if len(group) == 1 else _list(group[0], [test.value for test in group], mark)
        for group in together.values()
    ]
    return parts[0] if len(parts) == 1 else [word, *parts]


def _list(test: FieldTest, values: list[str], mark: str) -> list[Any]:
    if test.kind == "empty":
        return [test.field, test.kind]
    return [test.field, test.kind + mark + ("|cased" if test.cased else ""), *values]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
