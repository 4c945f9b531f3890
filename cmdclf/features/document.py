"""Prints docs/features.md: every column of the hand-engineered features.

python -m cmdclf.features.document > docs/features.md
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from cmdclf.features._columns import COLUMNS, REFERENCES
from cmdclf.features.handmade import FEATURE_VERSION, Feature, FeatureMaker

__all__ = ["page"]

_INTRO = """# The hand-engineered features

`FeatureMaker` turns a batch of command lines into {count} float32 columns, the same on a laptop, in the service and on
a cluster. This is feature version {version}; a model records the version that it was trained with and refuses another.
The groups (entropy, characters, tokens, behavioural checks) are those that Ben Gelman and Sean Bergeron name (Black Hat
USA 2025); where a column's idea comes from elsewhere, its source says so. A line without text has zeros throughout, its
platform aside.

Each group's columns stand here in the matrix's order. This page is printed by `python -m cmdclf.features.document`.
"""

_GROUPS = {
    "Characters and words": (
        "Measured on the line's UTF-8 bytes in one pass. Letters, digits and punctuation are those of ASCII."
    ),
    "Tokens and rarity": (
        "A token is hashed without case and with each run of digits as one 0; hexadecimal tokens of at least 16 bytes"
        " and tokens longer than 64 are known by their size alone. Rarity is measured against the lines that the maker"
        " was fitted on, usually the day's: how common each token, each pair of neighbouring tokens and each pair of"
        " neighbouring characters is there. Counts of parts of a day add up exactly (`Rarity.merge`)."
    ),
    "Behavioural checks": (
        "1 where the pattern matches the line or one of its decoded layers; 0 where it is for other platforms than the"
        " line's. A check is no verdict: administrators do most of these things too. The patterns are in"
        " `data/rules/behaviours.toml`, and a model's folder holds those that it was trained with."
    ),
    "Counts of checks": "Sums of the checks' columns.",
    "Platform": "All 0 where it isn't known.",
    "What the line hides": (
        "A layer is what one undoing of `cmdclf decode` gives. Only layers from the first on that undoes something"
        " which hides text count: the command of `cmd /c` or `sh -c` and variables such as `%SystemRoot%` hide nothing."
        " All columns but hidden_cut are 0 for a line that hides nothing. The last layer is the innermost text."
    ),
}


def page() -> str:
    """The page as Markdown, for the bundled behavioural checks."""
    features = FeatureMaker().describe()
    parts = [_INTRO.format(count=len(features), version=FEATURE_VERSION)]
    for title, text in _GROUPS.items():
        rows = [feature for feature in features if _group(feature.name) == title]
        parts.append(f"## {title}\n\n{text}\n\n" + "\n".join(_table(rows)) + "\n")
    references = "\n".join(f"- {name}: {text}." for name, text in REFERENCES.items())
    return "\n".join([*parts, f"## Sources\n\n{references}\n"])


_KERNEL = [name for name, _ in COLUMNS]
_CHARACTERS = frozenset(_KERNEL[: _KERNEL.index("n_tokens")])
_PREFIXES = {
    "check_": "Behavioural checks",
    "checks_": "Counts of checks",
    "platform_": "Platform",
    "hidden_": "What the line hides",
}


def _group(name: str) -> str:
    if name in _CHARACTERS:
        return "Characters and words"
    return next((group for prefix, group in _PREFIXES.items() if name.startswith(prefix)), "Tokens and rarity")


def _table(features: list[Feature]) -> Iterator[str]:
    yield "| column | meaning | values | type | source |"
    yield "|---|---|---|---|---|"
    for feature in features:
        meaning = re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", feature.meaning)
        yield f"| `{feature.name}` | {meaning} | {_values(feature.name)} | {feature.dtype} | {feature.source} |"


_VALUES = {
    "0 or 1": r"check_.*|platform_.*|odd_.*|hidden_cut|hidden_kind_.*",
    "0..1": r"(?:.*_)?ratio(?:_.*)?|.*share",
    "bits": r".*entropy|.*surprise_.*",
    "nats": r".*rarity_.*",
    "logarithm": r".*length_log|hidden_growth",
    "bytes": r"length_bytes|.*run_.*|word_mean|first_word|token_mean|token_max",
}


def _values(name: str) -> str:
    return next((values for values, pattern in _VALUES.items() if re.fullmatch(pattern, name)), "count")


if __name__ == "__main__":
    sys.stdout.write(page())
