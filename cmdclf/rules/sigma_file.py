"""Writing converted rules as a TOML file that people can read and mend."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cmdclf.rules.condition import written
from cmdclf.rules.rule import Rule

__all__ = ["write_rules"]

_HEAD = """\
# Converted from Sigma rules by 'cmdclf rules import-sigma'. The rules stay their authors' work, under the licence that
# came with them; each rule names its file and author. docs/sigma.md says how 'match' is read.
"""


def write_rules(path: str | Path, rules: Iterable[Rule], origin: Mapping[str, str]) -> None:
    """Write rules with a `match` as TOML; the file appears under its name only when it is complete.

    Args:
        path: where to.
        rules: what is written.
        origin: per rule's id a comment: the file and the author that it came from.
    """
    path = Path(path)
    entries = [_HEAD, *(_entry(rule, origin.get(rule.id, "")) for rule in rules)]
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text("\n".join(entries), encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _entry(rule: Rule, origin: str) -> str:
    if rule.match is None:
        raise ValueError(f"the rule {rule.id} has no condition")
    keys = ("id", "title", "category", "level", "platform", "technique")
    values = {key: getattr(rule, key) for key in keys} | {"match": written(rule.match)}
    comment = "".join(character if character.isprintable() else " " for character in origin)
    lines = [f"# {comment}"] if comment else []
    return "\n".join([*lines, "[[rule]]", *(f"{key} = {_value(v)}" for key, v in values.items() if v != ()), ""])


def _value(value: Any) -> str:
    if isinstance(value, str):
        # A literal string shows patterns and paths as they are.
        if value.isprintable() and "'" not in value:
            return f"'{value}'"
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return "[" + ", ".join(_value(part) for part in value) + "]"
