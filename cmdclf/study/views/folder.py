"""The study's folder: is it finished, its store, its embedder, its texts made fit to be shown."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.classify import Featuriser
from cmdclf.errors import StudyError
from cmdclf.features import Embedder
from cmdclf.store import Store

__all__ = ["finished_study", "looked_up", "newest_stages", "reading", "study_embedder", "visible"]

_REMEDY = "Run 'cmdclf demo --out DIR' or 'cmdclf run STUDY.toml --out DIR' first, then give --study DIR"
#: Control characters, and format characters that turn or hide text: a line must look like what it is.
_INVISIBLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\uffff\U000e0000-\U000e0fff]"
)


def finished_study(folder: str | Path) -> Path:
    """The folder of a finished study, made absolute.

    Raises:
        StudyError: there is no such folder, or no study has finished in it.
        StoreError: its store can't be read: damaged, or open for writing in another process.
    """
    out = Path(folder).resolve()
    if not out.is_dir():
        raise StudyError("there is no such folder", file=folder, remedy=_REMEDY)
    for name in ("study.duckdb", "results.json", "arms", "model"):
        if not (out / name).exists():
            raise StudyError(f"no study has finished here, '{name}' is missing", file=folder, remedy=_REMEDY)
    with reading(out):
        return out


def reading(folder: Path) -> Store:
    """The study's store, open for reading; close it soon (`with`), for nobody can write while it is open."""
    return Store.open(folder / "study.duckdb", read_only=True)


def study_embedder(folder: Path) -> Embedder:
    """The embedder that the study's exported model carries.

    Raises:
        ModelIntegrityError: the model's featuriser can't be loaded.
    """
    return Featuriser.load(folder / "model").embedder


def visible(text: str, limit: int | None = None, *, one_line: bool = False) -> str:
    r"""The text with characters that hide or turn others written out (`\xNN`, `\uNNNN`), cut at `limit` characters.

    Command lines are foreign text: a right-to-left mark can make `exe.txt` out of `txt.exe`. The line feed stays unless
    `one_line`. A cut text says how many characters are left out.
    """
    cut = text if limit is None else text[:limit]
    shown = _INVISIBLE.sub(_escaped, cut)
    if one_line:
        shown = shown.replace("\n", "\\n")
    return shown if len(cut) == len(text) else f"{shown} … (+{len(text) - len(cut):,} characters)"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def newest_stages(store: Store) -> list[dict[str, Any]]:
    """The last record of each stage and day: a study that ran again with other settings leaves the older ones there."""
    newest: dict[tuple[str, date | None], dict[str, Any]] = {}
    for row in store.stages().to_pylist():
        key = (row["stage"], row["day"])
        if key not in newest or row["finished_at"] > newest[key]["finished_at"]:
            newest[key] = row
    return list(newest.values())


def looked_up(ids: pa.ChunkedArray, table: pa.Table, column: str) -> pa.ChunkedArray:
    """The table's value for each id, null where it has none; its `command_id` are distinct."""
    places = pc.index_in(ids, value_set=table["command_id"].combine_chunks())
    return table[column].take(places)
