"""Sigma's process-creation rules as rules of our own, by way of pySigma.

Sigma: https://sigmahq.io/sigma-specification (rules 2.1). pySigma reads a rule and applies its modifiers; the outcome
becomes a `Condition`. What can't be converted is set aside with its file, the reason and a remedy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import CmdclfError, MissingExtraError, RuleError
from cmdclf.rules.condition import And, Condition, FieldTest, Not, parsed, written
from cmdclf.rules.rule import LEVELS, Rule
from cmdclf.rules.ruleset import RuleSet

if TYPE_CHECKING:
    from sigma.policy import SigmaPolicy
    from sigma.rule import SigmaRule

__all__ = ["SetAside", "SigmaImport", "can_hold", "import_sigma", "sigma_levels"]

#: No rule is that long; a longer file is something else.
MAX_FILE_BYTES = 256 * 1024
#: What a rule without a level gets.
_DEFAULT_LEVEL = "medium"
OTHER_SOURCE, BELOW_LEVEL = "other log source", "below the level asked for"
#: Reasons of what is no process-creation rule.
_NO_RULE = (OTHER_SOURCE, "no Sigma rule", "broken YAML", "unreadable file", "correlation or filter")
_PRODUCTS = {"windows": ("windows",), "linux": ("linux",), "macos": ("macos",), None: ()}
#: ATT&CK's tactics, as Sigma tags them, and ours.
_CATEGORIES = {
    "reconnaissance": "discovery",
    "resource-development": "execution",
    "initial-access": "execution",
    "execution": "execution",
    "persistence": "persistence",
    "privilege-escalation": "privilege_escalation",
    "defense-evasion": "defense_evasion",
    "defense-impairment": "defense_evasion",
    "stealth": "defense_evasion",
    "credential-access": "credential_access",
    "discovery": "discovery",
    "lateral-movement": "lateral_movement",
    "collection": "collection",
    "command-and-control": "tunnelling",
    "exfiltration": "exfiltration",
    "impact": "impact",
}


class Unconvertible(CmdclfError):
    """A Sigma rule that our rules can't express; `kind` is the reason it is counted under."""

    def __init__(self, kind: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file or a rule in it that didn't become a rule: the reason it is counted under, what is wrong, what to do."""

    file: str
    kind: str
    message: str
    remedy: str


@dataclass(slots=True)
class SigmaImport:
    """What became of a folder of Sigma rules.

    Attributes:
        rules: the converted rules, by file name.
        origin: per rule's id its file and author.
        set_aside: everything else, in the same order.
        files: how many files were looked at.
    """

    rules: list[Rule] = field(default_factory=list)
    origin: dict[str, str] = field(default_factory=dict)
    set_aside: list[SetAside] = field(default_factory=list)
    files: int = 0

    @property
    def process_creation(self) -> int:
        """How many process-creation rules there were."""
        return len(self.rules) + sum(one.kind not in _NO_RULE for one in self.set_aside)

    @property
    def failed(self) -> int:
        """How many of them could not be converted."""
        return sum(one.kind not in (*_NO_RULE, BELOW_LEVEL) for one in self.set_aside)

    @property
    def reasons(self) -> dict[str, int]:
        """How many were set aside for which reason, the most frequent first."""
        return dict(Counter(one.kind for one in self.set_aside).most_common())


def import_sigma(folder: str | Path, *, level: str = LEVELS[0]) -> SigmaImport:
    """The process-creation rules of all `*.yml` and `*.yaml` files under a folder (or of one file).

    Args:
        folder: where the rules lie.
        level: rules below this level are left out.

    Raises:
        MissingExtraError: pySigma is not installed.
        RuleError: there is no such folder, or no file in it that looks like a rule.
    """
    try:
        import sigma.collection  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("sigma", "Importing Sigma rules") from error
    root = Path(folder)
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.suffix in (".yml", ".yaml"))
    if not root.exists():
        raise RuleError("no such folder", remedy="Give a folder of Sigma rules (*.yml)", file=root)
    if not files:
        raise RuleError("no *.yml file in the folder", remedy="Give a folder of Sigma rules (*.yml)", file=root)
    found = SigmaImport(files=len(files))
    for path in files:
        _one_file(path, str(path.relative_to(root)) if path != root else path.name, level, found)
    return found


def _one_file(path: Path, name: str, level: str, found: SigmaImport) -> None:
    try:
        rules = list(_read(path))
    except Unconvertible as error:
        found.set_aside.append(SetAside(name, error.kind, error.message, error.remedy))
        return
    for source in rules:
        try:
            rule = _rule(source, path, level)
            if rule.id in found.origin:
                raise Unconvertible(
                    "id used twice", f"the id {rule.id} stands in {found.origin[rule.id]} too", "Remove one of the two"
                )
        except Unconvertible as error:
            found.set_aside.append(SetAside(name, error.kind, error.message, error.remedy))
            continue
        found.rules.append(rule)
        found.origin[rule.id] = name + (f", {source.author}" if source.author else "")


def _read(path: Path) -> Iterator[Any]:
    """The rules in a file as pySigma reads them."""
    import yaml
    from sigma.collection import SigmaCollection
    from sigma.exceptions import SigmaError

    remedy = "Mend the file, or take it out of the folder"
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unconvertible("unreadable file", error.strerror or str(error), "Check the file's permissions") from error
    if len(raw) > MAX_FILE_BYTES:
        raise Unconvertible("no Sigma rule", f"the file is longer than {MAX_FILE_BYTES // 1024} KiB", remedy)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unconvertible("no Sigma rule", "the file is not UTF-8 text", "Save it as UTF-8") from error
    if _depth(text) > 100:
        raise Unconvertible("broken YAML", "brackets are nested more than 100 deep", remedy)
    try:
        rules = SigmaCollection.from_yaml(text, collect_errors=True, policy=_policy()).rules
    except yaml.YAMLError as error:
        raise Unconvertible("broken YAML", _one_line(error), remedy) from error
    except SigmaError as error:
        raise Unconvertible("no Sigma rule", _one_line(error), remedy) from error
    except (AttributeError, TypeError, ValueError, KeyError, IndexError, RecursionError) as error:
        # What pySigma doesn't expect in a file, it meets with Python's own errors.
        raise Unconvertible("no Sigma rule", f"pySigma can't read it ({type(error).__name__})", remedy) from error
    if not rules:
        raise Unconvertible("no Sigma rule", "the file holds no rule", remedy)
    yield from rules


@cache
def _policy() -> SigmaPolicy:
    """pySigma's own, but RE2 doesn't write on the terminal what is reported anyway."""
    import re2
    from sigma.policy import SigmaPolicy
    from sigma.policy.regex_engine import RE2RegexEngine, RegexPattern

    class Quiet(RE2RegexEngine):  # type: ignore[misc]
        def compile(self, pattern: str, flags: int = 0) -> RegexPattern:
            options = re2.Options()
            options.log_errors = False
            letters = "".join(letter for letter in "ims" if flags & getattr(re, letter.upper()))
            try:
                return re2.compile(f"(?{letters}){pattern}" if letters else pattern, options)
            except re2.error as error:
                text = error.args[0]
                raise re2.error(text.decode(errors="replace") if isinstance(text, bytes) else text) from None

    return SigmaPolicy(regex_engine=Quiet())


def _rule(source: SigmaRule, path: Path, level: str) -> Rule:
    from sigma.exceptions import SigmaError
    from sigma.rule import SigmaRule as Plain

    from cmdclf.rules.sigma_values import fault_of

    if not isinstance(source, Plain):
        raise Unconvertible(
            "correlation or filter", "correlations and filters are about several rules", "Nothing: they have no line"
        )
    if source.logsource.category != "process_creation" and not (source.errors and source.logsource.category is None):
        raise Unconvertible(
            OTHER_SOURCE, f"the log source is {source.logsource.category or 'no category'}", "Nothing: no process start"
        )
    if source.errors:
        fault = fault_of(source.errors[0])
        if source.logsource.category is None and fault.kind == "faulty rule":
            fault.kind = "no Sigma rule"
        raise fault
    product = source.logsource.product
    if product not in _PRODUCTS:
        raise Unconvertible("unknown product", f"the product '{product}'", "Name windows, linux or macos")
    own = source.level.name.lower() if source.level else _DEFAULT_LEVEL
    try:
        match = _match(source)
    except SigmaError as error:
        raise fault_of(error) from error
    except RecursionError as error:
        raise Unconvertible("faulty condition", "the condition is nested too deeply", "Write it flatter") from error
    if LEVELS.index(own) < LEVELS.index(level):
        raise Unconvertible(BELOW_LEVEL, f"its level is {own}", f"Import with --level {own}")
    tags = [tag for tag in source.tags if tag.namespace == "attack"]
    names = [tag.name.lower().replace("_", "-") for tag in tags]
    return Rule(
        id=str(source.id or path.stem),
        title=source.title,
        category=next((_CATEGORIES[name] for name in names if name in _CATEGORIES), "execution"),
        regex="",
        literals=(),
        platform=_PRODUCTS[product],
        technique=tuple(name.upper() for name in names if name[:1] == "t" and name[1:5].isdigit()),
        level=own,
        match=match,
    )


def _match(source: SigmaRule) -> Condition:
    from cmdclf.rules.sigma_values import condition_of

    match = condition_of(source.detection)
    try:
        # What the file will say is what is checked: patterns for RE2, text that can be written, depth, size.
        return parsed(written(match))
    except ValueError as error:
        kind = "pattern that RE2 refuses" if "RE2" in str(error) else "faulty condition"
        raise Unconvertible(kind, str(error), "Rewrite that part of the rule") from error


def _depth(text: str) -> int:
    """How deep brackets might be nested; the C part of the YAML reader calls itself once a level."""
    deepest = open_ = 0
    for character in text:
        if character in "[{":
            open_ += 1
            deepest = max(deepest, open_)
        elif character in "]}":
            open_ = max(0, open_ - 1)
    return deepest


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def can_hold(condition: Condition, fields: Sequence[str]) -> bool:
    """Whether the condition could hold for some record that has these fields and no others."""
    return True in _outcomes(condition, frozenset(fields))


def _outcomes(condition: Condition, fields: frozenset[str]) -> frozenset[bool | None]:
    """What the condition may come to: true, false, unknown (None)."""
    if isinstance(condition, Not):
        return frozenset(None if value is None else not value for value in _outcomes(condition.part, fields))
    if isinstance(condition, FieldTest):
        if condition.field in fields and (condition.kind != "same" or condition.value in fields):
            return frozenset({True, False})
        return frozenset({None if condition.kind == "empty" else False})
    parts = [_outcomes(part, fields) for part in condition.parts]
    # In Kleene's order false < unknown < true, `and` is the least, `or` the greatest.
    least = isinstance(condition, And)
    rank: Mapping[bool | None, int] = {False: 0, None: 1, True: 2}
    reached = parts[0]
    for part in parts[1:]:
        pick = min if least else max
        reached = frozenset(pick(a, b, key=lambda value: rank[value]) for a in reached for b in part)
    return reached


def sigma_levels(
    rules: RuleSet,
    lines: pa.Array | pa.ChunkedArray,
    platform: pa.Array | pa.ChunkedArray | None = None,
    fields: Mapping[str, pa.Array | pa.ChunkedArray] | None = None,
) -> npt.NDArray[np.int8]:
    """`(n,) int8`: the highest level of the rules that match, 0 where none does, 1 informational .. 5 critical.

    A score for tables that set Sigma beside a classifier: a rule set without training. Arguments as `RuleSet.match`.
    """
    return rules.levels(lines, platform, fields)
