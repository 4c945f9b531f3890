"""Checks around a judge: does a line try to instruct it, and do precise rules contradict a benign verdict?"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from cmdclf.lines import decode_layers
from cmdclf.rules import RuleSet

__all__ = ["GUARD", "guard"]

#: One row per line, in the order of the lines.
GUARD = pa.schema(
    [
        pa.field("injection", pa.bool_(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("veto", pa.bool_(), nullable=False),
    ]
)


@lru_cache(maxsize=2)
def _rules(name: str) -> RuleSet:
    return RuleSet.bundled(name)


def guard(lines: pa.Table) -> pa.Table:
    """For every line whether it shows prompt injection, why, and whether a benign verdict on it is vetoed.

    The command line and everything that it decodes to are matched against the bundled injection phrases and the precise
    rules of the bundled baseline; the parent's command line, which an attacker can write too, against the injection
    phrases. An injection hit or a precise rule is a veto.

    Args:
        lines: `platform` and `command_line` (string), optionally `parent_command_line`, unredacted: the guard runs
            here, nothing leaves.

    Returns:
        `GUARD`: injection bool; reasons list<string>, for instance `injection:ID` or `rule:ID`, with ` (decoded)` where
        only a decoded layer shows it and ` (parent)` where the parent does; veto bool.
    """
    count = lines.num_rows
    # A null platform means that nobody knows it: rules of every platform apply then, as they do for an empty name.
    texts: list[str] = [text or "" for text in lines["command_line"].to_pylist()]
    platforms: list[str] = [platform or "" for platform in lines["platform"].to_pylist()]
    owners = list(range(count))
    marks = [""] * count
    for row in range(count):
        for layer in decode_layers(texts[row], platforms[row] or None):
            texts.append(layer.text)
            platforms.append(platforms[row])
            owners.append(row)
            marks.append(" (decoded)")
    whole = len(texts)
    if "parent_command_line" in lines.column_names:
        for row, parent in enumerate(lines["parent_command_line"].to_pylist()):
            if parent:
                texts.append(parent)
                platforms.append(platforms[row])
                owners.append(row)
                marks.append(" (parent)")

    reasons: list[dict[str, None]] = [{} for _ in range(count)]  # ordered and distinct
    injection = np.zeros(count, bool)
    for row, rule, mark in _hits("injection", texts, platforms, owners, marks, precise_only=False):
        reasons[row].setdefault(f"injection:{rule}{mark}")
        injection[row] = True
    veto = injection.copy()
    for row, rule, mark in _hits("baseline", texts[:whole], platforms[:whole], owners, marks, precise_only=True):
        reasons[row].setdefault(f"rule:{rule}{mark}")
        veto[row] = True
    return pa.table(
        [
            pa.array(injection),
            pa.array([_shown(found) for found in reasons], GUARD.field("reasons").type),
            pa.array(veto),
        ],
        schema=GUARD,
    )


def _hits(
    name: str, texts: list[str], platforms: list[str], owners: list[int], marks: list[str], *, precise_only: bool
) -> list[tuple[int, str, str]]:
    """(row, rule id, mark) of every hit, rows' own texts first."""
    rules = _rules(name)
    hits = rules.match(pa.array(texts, pa.string()), pa.array(platforms, pa.string()))
    if precise_only:
        hits = hits * np.array([rule.precise for rule in rules.rules], hits.dtype)
    where, which = np.nonzero(hits)
    return [
        (owners[text], rules.ids[rule], marks[text]) for text, rule in zip(where.tolist(), which.tolist(), strict=True)
    ]


def _shown(found: dict[str, None]) -> list[str]:
    """The reasons without those that only repeat for a decoded layer what the line itself shows."""
    return [reason for reason in found if not (reason.endswith(" (decoded)") and reason[: -len(" (decoded)")] in found)]
