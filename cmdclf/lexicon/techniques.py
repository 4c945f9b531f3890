"""The (sub)techniques of MITRE ATT&CK for Enterprise that a template may name."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from cmdclf.resources import data_path

__all__ = ["Techniques", "techniques"]


class Techniques(NamedTuple):
    """Valid ids (`T1059`, `T1059.001`), and ids that were merged into another one -> that one."""

    valid: frozenset[str]
    merged: dict[str, str]


@cache
def techniques() -> Techniques:
    """The bundled list; its first line names the version."""
    valid: set[str] = set()
    merged: dict[str, str] = {}
    for line in data_path("attack-techniques.txt").read_text(encoding="utf-8").splitlines():
        old, arrow, new = line.partition(" -> ")
        if arrow and not line.startswith("#"):
            merged[old] = new
        elif line and not line.startswith("#"):
            technique, *parts = line.split()
            valid |= {technique, *(f"{technique}.{part}" for part in parts)}
    return Techniques(frozenset(valid), merged)
