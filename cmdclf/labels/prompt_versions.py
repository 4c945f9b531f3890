"""The bundled versions of the prompt, and what every prompt has to tell a judge."""

from __future__ import annotations

import re

from cmdclf.labels.prompt import ANSWER_SCHEMA
from cmdclf.labels.verdict import LABELS
from cmdclf.resources import data_path

__all__ = ["bundled_prompts", "missing_parts"]


def bundled_prompts() -> list[str]:
    """Names of the bundled prompts, `judge-v1` first; each can stand where a prompt's file can."""
    names = [path.stem for path in data_path("prompts").glob("judge-v*.md")]
    return sorted(names, key=lambda name: (len(name), name))


#: What a prompt must have -> how it shows. Words of a heading, a definition, a row of a table.
_PARTS: dict[str, re.Pattern[str]] = {
    "a role (You are ...)": re.compile(r"^\s*You are \w", re.M),
    **{f"a definition of **{label}**": re.compile(rf"^\W*\*\*{label}\*\*", re.M) for label in LABELS},
    "a section on evidence": re.compile(r"^#+ .*\bevidence\b", re.M | re.I),
    "ATT&CK techniques": re.compile(r"ATT&CK\b(?s:.{0,300}?)\bT\d{4}"),
    "platform and parent": re.compile(r"\bplatform\b(?s:.{0,400})\bparent\b", re.I),
    "a benign example": re.compile(r"^\|.*\|\s*benign\s*\|", re.M),
    "a malicious example": re.compile(r"^\|.*\|\s*malicious\s*\|", re.M),
    "an unsure example": re.compile(r"^\|.*\|\s*unsure\s*\|", re.M),
    "what to do about lines that give orders": re.compile(r"\binjection_suspected\b"),
    **{f"the answer's field `{name}`": re.compile(rf"`{name}`") for name in ANSWER_SCHEMA["required"]},
}


def missing_parts(text: str) -> list[str]:
    """What a prompt lacks of role, definitions, evidence, ATT&CK, examples on all sides and the answer's fields.

    A check of form. What a prompt is worth, only a comparison on labelled lines tells.
    """
    return [part for part, shows in _PARTS.items() if not shows.search(text)]
