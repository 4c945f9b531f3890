"""What the notebooks share: opening the study, and showing foreign text as text."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import marimo as mo
import polars as pl
import pyarrow as pa

from cmdclf.errors import CmdclfError
from cmdclf.features import Embedder, load_embedder
from cmdclf.store import Store
from cmdclf.study.views import finished_study, study_embedder, visible

DEFAULT_STUDY = "demo-out"
_CELL_CHARACTERS = 400
_TEXT_CHARACTERS = 20_000
_WIDTHS = {"command_line": 620, "reason": 260, "meaning": 330, "title": 330, "vetoed_by": 260}
_PRE = (
    "white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem;line-height:1.45;margin:.2rem 0;"
    "padding:.6rem .8rem;border:1px solid rgba(128,128,128,.35);border-radius:6px;max-height:22rem;overflow:auto"
)


def open_study() -> Path:
    """The folder named by `--study`. Without a finished study there, the script ends with one line and exit code 1,
    and the app shows what is missing in place of all that follows."""
    try:
        return finished_study(str(mo.cli_args().get("study") or DEFAULT_STUDY))
    except CmdclfError as error:
        if mo.app_meta().mode == "script":
            raise SystemExit(str(error)) from error
        return mo.stop(True, problem("There is no finished study to look at", error))


def open_store() -> tuple[Path, Embedder]:
    """The store of the study named by `--study`, or the one named by `--store`, and an embedder that fits it."""
    given = mo.cli_args().get("store")
    if given is None:
        study = open_study()
        return study / "study.duckdb", study_embedder(study)
    try:
        Store.open(str(given), read_only=True).close()
        return Path(str(given)).resolve(), load_embedder()
    except CmdclfError as error:
        if mo.app_meta().mode == "script":
            raise SystemExit(str(error)) from error
        return mo.stop(True, problem("There is no store to look at", error))


def problem(title: str, error: CmdclfError) -> mo.Html:
    """A callout that says what is wrong and what to do about it."""
    return mo.callout(mo.vstack([mo.md(f"**{title}**"), code(str(error))]), kind="danger")


def code(text: str) -> mo.Html:
    """Foreign text as it is: escaped, wrapped, and with its invisible characters written out."""
    return mo.Html(f'<pre style="{_PRE}">{html.escape(visible(text, _TEXT_CHARACTERS))}</pre>')


def frame(table: pa.Table) -> pl.DataFrame:
    """The Arrow table for altair and marimo."""
    return pl.DataFrame(pl.from_arrow(table))


def lines_table(table: pa.Table, *, hide: tuple[str, ...] = ("command_id",), **options: Any) -> mo.ui.table:
    """A table of foreign text.

    marimo makes links of the URLs in text cells and fetches those that end like a picture: a command line could so
    make the reader's browser call home. Every text column is therefore shown through `mo.plain_text`.
    """
    data = frame(table)
    texts = [name for name, kind in data.schema.items() if kind == pl.String]
    settings: dict[str, Any] = {
        "selection": None,
        "page_size": 10,
        "show_column_summaries": False,
        "show_data_types": False,
        "format_mapping": {name: _cell for name in texts} | dict.fromkeys(_floats(data), _number),
        "column_widths": {name: width for name, width in _WIDTHS.items() if name in data.columns},
        "hidden_columns": [name for name in hide if name in data.columns],
    }
    return mo.ui.table(data, **(settings | options))


def queue_rows(queue: pa.Table) -> pa.Table:
    """The review queue with its reasons as text, `why`."""
    return queue.append_column("why", pa.array([", ".join(r) for r in queue["reasons"].to_pylist()], pa.string()))


def picked(table: mo.ui.table) -> dict[str, Any] | None:
    """The one selected row, or None."""
    rows = table.value
    return rows.row(0, named=True) if isinstance(rows, pl.DataFrame) and rows.height else None


def _floats(data: pl.DataFrame) -> list[str]:
    return [name for name, kind in data.schema.items() if kind.is_float()]


def _cell(value: str | None) -> mo.Html:
    return mo.plain_text(visible(value or "", _CELL_CHARACTERS, one_line=True))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
