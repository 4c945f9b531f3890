"""What pySigma made of a rule's detection, as a condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cmdclf.rules.condition import FIELDS, Condition, FieldTest, Not, conjunction, disjunction

if TYPE_CHECKING:
    from sigma.rule import SigmaDetections

    from cmdclf.rules.sigma import Unconvertible

__all__ = ["condition_of", "fault_of"]

_COLUMNS = {name: column for column, name in FIELDS.items()}
#: Where a value without a field is looked for: in all that a process event has to say.
_KEYWORD_FIELDS = ("command_line", "image", "parent_command_line", "parent_image", "user")
_FLAGS = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}
#: pySigma's condition parser calls itself at each bracket and tries what it can.
_MAX_CONDITION = 2000
_MAX_BRACKETS = 20


def condition_of(detections: SigmaDetections) -> Condition:
    """The condition; several conditions of one rule are alternatives.

    Raises:
        Unconvertible: the rule says what our conditions can't.
        sigma.exceptions.SigmaError: pySigma finds a fault in it.
    """
    alternatives = []
    for one in detections.parsed_condition:
        if not isinstance(one.condition, str):
            raise _unconvertible("faulty condition", "the condition is no text", "Write the condition as text")
        if len(one.condition) > _MAX_CONDITION or one.condition.count("(") > _MAX_BRACKETS:
            raise _unconvertible("faulty condition", "the condition is too long", "Write '1 of name_*'")
        alternatives.append(_condition(one.parsed))
    return disjunction(alternatives)


def _condition(node: Any) -> Condition:
    from sigma.conditions import (
        ConditionAND,
        ConditionFieldEqualsValueExpression,
        ConditionNOT,
        ConditionOR,
        ConditionValueExpression,
    )

    if isinstance(node, ConditionAND):
        return conjunction([_condition(part) for part in node.args])
    if isinstance(node, ConditionOR):
        return disjunction([_condition(part) for part in node.args])
    if isinstance(node, ConditionNOT):
        return Not(_condition(node.args[0]))
    if isinstance(node, ConditionFieldEqualsValueExpression):
        return _test(_column(node.field), node.value)
    if isinstance(node, ConditionValueExpression):
        return disjunction([_keyword(name, node.value) for name in _KEYWORD_FIELDS])
    raise _unconvertible("faulty condition", "a part of the condition is empty", "Give each selection a test")


def _column(name: str) -> str:
    if name not in _COLUMNS:
        raise _unconvertible(
            "unknown field",
            f"no process start has a field '{name}'",
            "Use Sigma's names of process_creation: CommandLine, Image, ParentImage ...",
        )
    return _COLUMNS[name]


def _test(column: str, value: Any) -> Condition:
    from sigma.types import (
        SigmaBool,
        SigmaCasedString,
        SigmaCIDRExpression,
        SigmaExists,
        SigmaExpansion,
        SigmaFieldReference,
        SigmaNull,
        SigmaNumber,
        SigmaRegularExpression,
        SigmaString,
        SigmaTimestampPart,
    )

    if isinstance(value, SigmaString):
        return _text(column, value.s, cased=isinstance(value, SigmaCasedString))
    if isinstance(value, SigmaExpansion):
        return disjunction([_test(column, one) for one in value.values])
    if isinstance(value, SigmaNull):
        return FieldTest(column, "empty")
    if isinstance(value, SigmaExists):
        return Not(FieldTest(column, "empty")) if value.exists else FieldTest(column, "empty")
    if isinstance(value, SigmaRegularExpression):
        if value.contains_placeholder():
            raise _placeholder(str(value.regexp))
        flags = "".join(sorted(_FLAGS[flag.name] for flag in value.flags))
        pattern = value.escape([], escape_escape_char=False, flag_prefix=False)
        return FieldTest(column, "re", f"(?{flags}){pattern}" if flags else pattern)
    if isinstance(value, SigmaBool):
        return FieldTest(column, "equals", str(value).lower())
    if isinstance(value, SigmaNumber) and not isinstance(value, SigmaTimestampPart):
        return FieldTest(column, "equals", str(value))
    if isinstance(value, SigmaCIDRExpression):
        return FieldTest(column, "cidr", str(value.network))
    if isinstance(value, SigmaFieldReference) and not (value.starts_with or value.ends_with):
        return FieldTest(column, "same", _column(value.field))
    raise _unconvertible(
        "unsupported modifier",
        f"a test of kind {type(value).__name__.removeprefix('Sigma')} on {FIELDS[column]}",
        "Use contains, startswith, endswith, all, re, cased, windash, base64offset, exists, cidr or a plain fieldref",
    )


def _text(column: str, parts: Sequence[Any], *, cased: bool) -> Condition:
    """A text with wildcards, as the simplest test that says the same."""
    from sigma.types import Placeholder, SpecialChars

    placeholders = [part.name for part in parts if isinstance(part, Placeholder)]
    if placeholders:
        raise _placeholder(placeholders[0])
    many = SpecialChars.WILDCARD_MULTI
    inner = list(parts)
    while inner and inner[0] == many:
        inner.pop(0)
    while inner and inner[-1] == many:
        inner.pop()
    if not inner:
        return Not(FieldTest(column, "empty")) if parts else FieldTest(column, "empty")
    before, after = parts[0] == many, parts[-1] == many
    if all(isinstance(part, str) for part in inner):
        kind = {(True, True): "contains", (False, True): "startswith", (True, False): "endswith"}
        text = "".join(inner)
        if not text:
            return Not(FieldTest(column, "empty")) if before or after else FieldTest(column, "empty")
        return FieldTest(column, kind.get((before, after), "equals"), text, cased)
    return FieldTest(column, "like", "".join(_wild(part, many) for part in parts), cased)


def _wild(part: Any, many: Any) -> str:
    if isinstance(part, str):
        return "".join(f"\\{character}" if character in "\\*?" else character for character in part)
    return "*" if part == many else "?"


def _keyword(column: str, value: Any) -> Condition:
    """A value without a field stands anywhere in the record."""
    from sigma.types import SigmaString, SpecialChars

    if isinstance(value, SigmaString):
        many = SpecialChars.WILDCARD_MULTI
        parts = [*([] if value.startswith(many) else [many]), *value.s, *([] if value.endswith(many) else [many])]
        return _text(column, parts, cased=False)
    return _test(column, value)


def fault_of(error: Exception) -> Unconvertible:
    """What pySigma found wrong, under the reason that it is counted by."""
    from sigma import exceptions

    message = " ".join(str(error).split())[:300]
    if isinstance(error, exceptions.SigmaRegularExpressionError):
        return _unconvertible("pattern that RE2 refuses", message, "Use RE2 syntax: no look-around, no back-references")
    if isinstance(error, exceptions.SigmaModifierError | exceptions.SigmaModifiedError):
        unknown = message.startswith("Unknown modifier")
        return _unconvertible(
            "unknown modifier" if unknown else "faulty value", message, "See the modifiers in the Sigma specification"
        )
    if isinstance(error, exceptions.SigmaConditionError):
        return _unconvertible("faulty condition", message, "Mend the rule's condition")
    if isinstance(error, exceptions.SigmaValueError | exceptions.SigmaTypeError):
        return _unconvertible("faulty value", message, "Mend the value in the rule's detection")
    return _unconvertible("faulty rule", message, "Mend the file, or take it out of the folder")


def _placeholder(name: str) -> Unconvertible:
    return _unconvertible(
        "placeholder", f"nobody says what %{name}% stands for", "Write the values in its place, without |expand"
    )


def _unconvertible(kind: str, message: str, remedy: str) -> Unconvertible:
    from cmdclf.rules.sigma import Unconvertible

    return Unconvertible(kind, message, remedy)
