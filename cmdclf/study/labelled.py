"""Labelled Parquet files, as the aggregated baseline and the incident tests read them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.errors import StudyError
from cmdclf.lines import guess_platform
from cmdclf.telemetry import clean_array

__all__ = ["read_labelled"]

_COLUMNS = ("command_line", "platform", "label")


def read_labelled(file: Path) -> pa.Table:
    """The rows that are labelled `benign` or `malicious` and have a command line, with all columns of the file.

    command_line, platform and label are strings without nulls: the line by the text rule, a missing platform guessed.

    Raises:
        StudyError: the file can't be read, or lacks one of the three columns.
    """
    try:
        table = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise StudyError(f"it is not a readable Parquet file: {error}", file=file, remedy="Write it again") from error
    missing = [c for c in _COLUMNS if c not in table.column_names]
    if missing:
        raise StudyError(
            f"the column '{missing[0]}' is missing",
            file=file,
            remedy=f"A labelled file has {', '.join(_COLUMNS)}; this one has {', '.join(table.column_names)}",
        )
    try:
        given = {c: table[c].combine_chunks().cast(pa.string()) for c in ("platform", "label")}
        given["command_line"] = clean_array(table["command_line"].combine_chunks())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StudyError(
            f"command_line, platform and label must be text: {error}", file=file, remedy="Write them as strings"
        ) from error
    given["platform"] = pc.coalesce(given["platform"], guess_platform(given["command_line"]))
    for name, column in given.items():
        table = table.set_column(table.column_names.index(name), name, column)
    labelled = pc.is_in(table["label"], value_set=pa.array(["benign", "malicious"]))
    return table.filter(pc.and_(labelled, pc.is_valid(table["command_line"])))
