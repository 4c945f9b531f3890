"""Sigma rules evaluated one record at a time, straight from pySigma's parse tree: the peer and the check of the engine.

Written from the Sigma specification and docs/sigma.md alone; it shares no code with the package. Three values: True,
False and None for unknown (Kleene).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sigma.collection import SigmaCollection
from sigma.conditions import ConditionAND, ConditionFieldEqualsValueExpression, ConditionNOT, ConditionOR
from sigma.types import (
    SigmaCasedString,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaRegularExpression,
    SigmaString,
    SpecialChars,
)

Record = dict[str, str]
Answer = bool | None
Asked = Callable[[Record], Answer]
KEYWORD_FIELDS = ("CommandLine", "Image", "ParentCommandLine", "ParentImage", "User")


def plain_rules(folder: Path, ids: set[str]) -> list[tuple[str, str, Asked]]:
    """(id, product or "", question) of each rule of these ids."""
    rules = []
    for path in sorted(folder.rglob("*.yml")):
        for rule in SigmaCollection.from_yaml(path.read_text(encoding="utf-8"), collect_errors=True).rules:
            if str(rule.id) in ids:
                asked = [_question(one.parsed) for one in rule.detection.parsed_condition]
                rules.append((str(rule.id), rule.logsource.product or "", _any(asked)))
    return rules


def record_of(line: str, platform: str, parent: str | bool | None) -> Record:
    """What a line alone (parent False) or a line with its parent's says; images from first tokens."""
    record = {"CommandLine": line, "Image": image_of(line, platform)}
    if parent is not False:
        record |= {"ParentCommandLine": parent or "", "ParentImage": image_of(parent or "", platform)}
    return record


def image_of(line: str, platform: str) -> str:
    """The first token as a sensor would have recorded it."""
    windows = platform == "windows"
    line = line.lstrip(" \t")
    if line[:1] == '"' or (line[:1] == "'" and not windows):
        token = line[1:].split(line[0])[0]
    else:
        token = re.split(r"[ \t]", line, maxsplit=1)[0]
        if windows and "\\" in token and token != line and not token.lower().endswith(".exe"):
            path = re.match(r'[^ \t]*[ \t][^"]*?\.exe(?=[ \t"]|$)', line, re.IGNORECASE)
            token = path[0] if path else token
    if not token:
        return ""
    last = re.split(r"[\\/:]" if windows else r"/", token)[-1]
    bare = last == token
    token = (("\\" if windows else "/") if bare else "") + token
    return token + (".exe" if windows and "." not in last else "")


def _any(asked: list[Asked]) -> Asked:
    def answer(record: Record) -> Answer:
        unknown = False
        for one in asked:
            found = one(record)
            if found:
                return True
            unknown = unknown or found is None
        return None if unknown else False

    return answer


def _not(asked: Asked) -> Asked:
    def answer(record: Record) -> Answer:
        found = asked(record)
        return None if found is None else not found

    return answer


def _question(node: Any) -> Asked:
    if isinstance(node, ConditionOR):
        return _any([_question(part) for part in node.args])
    if isinstance(node, ConditionAND):  # De Morgan
        return _not(_any([_not(_question(part)) for part in node.args]))
    if isinstance(node, ConditionNOT):
        return _not(_question(node.args[0]))
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return _test(node.field, node.value)
    return _any([_test(field, _anywhere(node.value)) for field in KEYWORD_FIELDS])


def _anywhere(value: Any) -> Any:
    if isinstance(value, SigmaString):
        return SpecialChars.WILDCARD_MULTI + value + SpecialChars.WILDCARD_MULTI
    return value


def _test(field: str, value: Any) -> Asked:
    if isinstance(value, SigmaExpansion):
        return _any([_test(field, one) for one in value.values])
    if isinstance(value, SigmaNull | SigmaExists) or (isinstance(value, SigmaString) and not any(value.s)):
        empty: Asked = lambda record: record[field] == "" if field in record else None  # noqa: E731
        return _not(empty) if isinstance(value, SigmaExists) and value.exists else empty
    if isinstance(value, SigmaFieldReference):
        return lambda record: bool(record.get(field)) and record[field].lower() == record.get(value.field, "").lower()
    if isinstance(value, SigmaRegularExpression):
        flags = re.ASCII
        for flag in value.flags:
            flags |= getattr(re, flag.name)
        pattern = re.compile(str(value.regexp), flags)
        found: Callable[[str], bool] = lambda text: pattern.search(text) is not None  # noqa: E731
        ends, whole = None, None
    else:
        text = value if isinstance(value, SigmaString) else SigmaString(str(value).lower())
        found, ends, whole = _text(text, cased=isinstance(value, SigmaCasedString))
    images = field in ("Image", "ParentImage")

    def answer(record: Record) -> Answer:
        if field not in record:
            return False
        text = record[field]
        if found(text):
            return True
        return _in_some_folder(text, ends, whole) if images else False

    return answer


def _text(value: SigmaString, *, cased: bool) -> tuple[Callable[[str], bool], str | None, str | None]:
    """The test of a text; what it asks of the end, and of the whole, where that is all it asks."""
    fold: Callable[[str], str] = (lambda text: text) if cased else str.lower
    parts = [fold(part) if isinstance(part, str) else part for part in value.s]
    many = SpecialChars.WILDCARD_MULTI
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) == 1 and all(isinstance(part, str) or part == many for part in parts):
        text, before, after = texts[0], parts[0] == many, parts[-1] == many
        if before and after:
            return (lambda record: text in fold(record)), None, None
        if before:
            return (lambda record: fold(record).endswith(text)), text, None
        if after:
            return (lambda record: fold(record).startswith(text)), None, None
        return (lambda record: fold(record) == text), None, text
    if not texts and many in parts and SpecialChars.WILDCARD_SINGLE not in parts:
        return (lambda record: record != ""), None, None
    regex = "".join(re.escape(p) if isinstance(p, str) else ".*" if p == many else "." for p in parts)
    pattern = re.compile(regex, re.DOTALL)
    return (lambda record: pattern.fullmatch(fold(record)) is not None), None, None


def _in_some_folder(image: str, ends: str | None, whole: str | None) -> Answer:
    """None where the image has no folder and the test might hold in one."""
    parts = re.split(r"[\\/]", image)
    if not image or (image[1:2] == ":" and len(image) > 2) or (parts[0] == "" and len(parts) > 2):
        return False
    if ends is None and whole is None:
        return None
    asked = ends if ends is not None else whole or ""
    name = re.split(r"[\\/]", asked)[-1]
    if ends is not None and len(name) >= len(ends) - 1:
        return False
    return None if name == parts[-1].lower() else False
