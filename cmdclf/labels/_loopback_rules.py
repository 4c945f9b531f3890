"""The verdicts of the loopback server: the bundled rules, no language model."""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa

from cmdclf.labels._loopback_replies import answer
from cmdclf.labels.guard import guard
from cmdclf.rules import RuleSet

__all__ = ["RULES_MODEL", "verdict_by_rules"]

#: Says in every ledger row that no language model spoke.
RULES_MODEL = "loopback-rules"


@cache
def _baseline() -> RuleSet:
    return RuleSet.bundled("baseline")


def verdict_by_rules(line: dict[str, Any]) -> str:
    """The answer's JSON for the data between a request's fences; the same line always gets the same answer.

    An injection phrase is `unsure`, a precise rule `malicious`, another rule of the baseline `unsure`, the rest
    `benign` with a low confidence: rules miss much.
    """
    text, parent = (str(line.get(name) or "") for name in ("command_line", "parent_command_line"))
    platform = str(line.get("platform") or "")
    table = pa.table(
        {
            "platform": pa.array([platform], pa.string()),
            "command_line": pa.array([text], pa.string()),
            "parent_command_line": pa.array([parent], pa.string()),
        }
    )
    [checked] = guard(table).to_pylist()
    why = ", ".join(checked["reasons"])[:200]
    if checked["injection"]:
        return answer("unsure", 0.5, f"rules, no language model: {why}", injection=True)
    if checked["veto"]:
        return answer("malicious", 0.95, f"rules, no language model: {why}")
    baseline = _baseline()
    hits = baseline.match(table["command_line"].combine_chunks(), table["platform"].combine_chunks())
    names = [baseline.ids[i] for i in hits[0].nonzero()[0].tolist()]
    if names:
        return answer("unsure", 0.5, f"rules, no language model: {', '.join(names)[:200]}")
    return answer("benign", 0.6, "rules, no language model: none of them hits")
