"""How many templates of what a lexicon holds."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from cmdclf.lexicon.render import render
from cmdclf.lexicon.template import Template

__all__ = ["COMPLEX_LENGTH", "is_complex", "lexicon_stats", "twin_pairs"]

#: From this many characters on, a line counts as long.
COMPLEX_LENGTH = 150
_LABELS = ("benign", "malicious")
_CHAIN = re.compile(r"\|{1,2}|&&|;\s|\$\(|`[^`\s]+\s[^`]*`|\bForEach-Object\b|\bxargs\b|\bfor\s+/f\b", re.IGNORECASE)
_SHELLS = re.compile(r"\b(?:powershell|pwsh|cmd|bash|zsh|sh)(?:\.exe)?\"?\s", re.IGNORECASE)


def is_complex(template: Template, line: str) -> bool:
    """Whether a template is hard, holds a payload, is long, chains commands or nests shells.

    Args:
        template: where the line comes from.
        line: one rendering.
    """
    if template.hard or template.payload or len(line) >= COMPLEX_LENGTH:
        return True
    # A chain within quotes runs in the inner shell, and counts all the same.
    return bool(_CHAIN.search(line)) or len(_SHELLS.findall(line)) > 1


def twin_pairs(templates: Sequence[Template]) -> set[tuple[str, str]]:
    """(benign id, malicious id) of all twins; a pair that names each other counts once."""
    label = {t.id: t.label for t in templates}
    pairs = {(t.id, t.twin) for t in templates if t.twin in label}
    return {(a, b) if label[a] == "benign" else (b, a) for a, b in pairs if label[a] != label[b]}


def lexicon_stats(templates: Sequence[Template]) -> dict[str, Any]:
    """Counts by label, platform, role, tool and technique, twins, and quantiles of length; ready for JSON.

    Each template is rendered once from its id, so that the same lexicon gives the same numbers. `rare_complex` counts
    benign templates of weight 0 for which `is_complex` holds.
    """
    lines = [render(t, random.Random(t.id)).command_line for t in templates]
    named: dict[str, list[Sequence[str]]] = {
        "platform": [(t.platform,) for t in templates],
        "role": [(t.role,) for t in templates],
        "tool": [(t.tool or "-",) for t in templates],
        "technique": [t.technique for t in templates],
    }
    out: dict[str, Any] = {"templates": len(templates), "labels": {}}
    for label in _LABELS:
        mine = [(t, line) for t, line in zip(templates, lines, strict=True) if t.label == label]
        lengths = [len(line) for _, line in mine] or [0]
        quantiles = np.quantile(lengths, (0.1, 0.25, 0.5, 0.75, 0.9, 0.99), method="nearest")
        out["labels"][label] = {
            "templates": len(mine),
            "recurring": sum(t.weight > 0 for t, _ in mine),
            "hard": sum(t.hard for t, _ in mine),
            "complex": sum(is_complex(t, line) for t, line in mine),
            "rare_complex": sum(not t.weight and is_complex(t, line) for t, line in mine),
            "payload": sum(bool(t.payload) for t, _ in mine),
            "parent": sum(bool(t.parent) for t, _ in mine),
            "twin": sum(bool(t.twin) for t, _ in mine),
            "length": dict(zip(("p10", "p25", "p50", "p75", "p90", "p99"), (int(q) for q in quantiles), strict=True)),
        }
    used = {name for names in named["technique"] for name in names}
    out["techniques"] = len({name.partition(".")[0] for name in used})
    out["techniques_and_subtechniques"] = len(used)
    out["twin_pairs"] = len(twin_pairs(templates))
    out["tools"] = len({t.tool for t in templates if t.tool})
    for title, values in named.items():
        counts: dict[str, Counter[str]] = {}
        for template, names in zip(templates, values, strict=True):
            for name in names:
                counts.setdefault(name, Counter())[template.label] += 1
        order = sorted(counts, key=lambda name: (-counts[name].total(), name))
        out[title] = {name: {label: counts[name][label] for label in _LABELS} for name in order}
    return out
