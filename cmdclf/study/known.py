"""What is known before any label is bought: the bundled lexicon's lines as rows to train on."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pyarrow as pa

from cmdclf.classify.training import TRAINING, known_from
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lexicon.split import every_template
from cmdclf.resources import data_path
from cmdclf.study.workplace import kept, settings_hash

__all__ = ["LEXICON", "lexicon_rows", "template_ids"]

#: Of how a lexicon's lines are rendered: raise it where they change, and what was kept is rendered again.
_VERSION = 1
#: What TRAINING's `source` says of these rows.
LEXICON = "lexicon"


def lexicon_rows(folder: Path, lines: int) -> pa.Table:
    """TRAINING rows: so many lines of each of the bundled lexicon's templates, both labels, each line once.

    They are rendered once and kept in the folder, until the lexicon changes.
    """
    if not lines:
        return TRAINING.empty_table()
    files = _files()
    version = settings_hash(_VERSION, [hashlib.sha256(file.read_bytes()).hexdigest() for file in files], lines)
    return kept(
        folder / f"lexicon-{version}.parquet",
        lambda: known_from(every_template(LexiconPool(repeats=1), lines), source=LEXICON),
    )


def template_ids() -> frozenset[str]:
    """The ids of the bundled lexicon's templates."""
    return frozenset(name for file in _files() for name in _ID.findall(file.read_text(encoding="utf-8")))


_ID = re.compile(r'^id = "([^"\n]+)"', re.MULTILINE)


def _files() -> list[Path]:
    return sorted(data_path("lexicon").rglob("*.toml"))
