"""The lines that label actions work on, and what they say about them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli._messages import say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.labels import LabelReport
    from cmdclf.store import Store

__all__ = ["lines_of", "opened_store", "pending_lines", "show_report"]


def opened_store(path: Path, *, needed: bool) -> Store:
    """The store, made where it doesn't exist and isn't needed.

    Raises:
        StoreError: it is needed and doesn't exist.
    """
    from cmdclf.errors import StoreError
    from cmdclf.store import Store

    if needed and not path.is_file():
        raise StoreError("there is no such store", file=path, remedy="Check the path, or run a study first")
    return Store.open(path)


def lines_of(path: Path) -> pa.Table:
    """The lines of a file as `label_lines` takes them."""
    import pyarrow as pa

    from cmdclf.labels.tables import read_table, text_column, with_command_id

    table, file = read_table(path)
    text = text_column(table, None, file)
    if text is not None and "command_id" in table.column_names:
        table = table.drop_columns("command_id")  # the text decides who a line is
    table = with_command_id(table, text, file)
    columns = {"command_id": table["command_id"], "platform": table["platform"], "command_line": table[text]}
    if "parent_command_line" in table.column_names:
        columns["parent_command_line"] = table["parent_command_line"]
    return pa.table(columns)


def pending_lines(store: Store) -> pa.Table:
    """LINES: representatives of all anomalies in the store that nobody has given a verdict on."""
    import pyarrow.compute as pc

    from cmdclf.labels.review import representatives

    ids = representatives(store)
    answered = store.verdicts(ids)["command_id"].combine_chunks()
    return store.lines_by_id(ids.filter(pc.invert(pc.is_in(ids, answered))))


def show_report(report: LabelReport, judge: str) -> None:
    """Print what a labelling run came to."""
    say(
        f"{judge}: {report.asked:,} lines, {report.answered:,} answered ({report.new:,} now),"
        f" {report.pending:,} pending;"
        f" {report.benign:,} benign, {report.malicious:,} malicious, {report.unsure:,} unsure"
        f" ({report.vetoed:,} vetoed); {report.cost_usd:.4f} USD"
    )
    for note, count in report.notes.items():
        say(f"  {count:,} x {note}")
    if report.stopped:
        say(f"cmdclf label: stopped early: {report.stopped}; what was answered is kept", file=sys.stderr)
