"""What lines are compared by before any vector: their masked text, side by side on all processors."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines import mask

__all__ = ["as_text", "in_slices", "masked_keys", "processors", "text_column"]

_ROWS = 16_384


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def as_text(column: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """The column in one piece; a null reads as empty."""
    return pc.fill_null(
        (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string()), ""
    )


def text_column(lines: pa.Table, name: str) -> pa.StringArray:
    """`as_text` of a table's column."""
    return as_text(lines.column(name))


def masked_keys(lines: pa.Table) -> pa.StringArray:
    """What two lines share on the level `masked`: the platform and the masked text."""
    return in_slices(_masked, lines)


def _masked(lines: pa.Table) -> pa.StringArray:
    return pc.binary_join_element_wise(text_column(lines, "platform"), mask(text_column(lines, "command_line")), "\x1f")


def in_slices(keys: Callable[[pa.Table], pa.StringArray], lines: pa.Table) -> pa.StringArray:
    """`keys(lines)` of a function that looks at each row alone, a slice of rows on each processor at a time."""
    slices = [lines.slice(start, _ROWS) for start in range(0, lines.num_rows, _ROWS)]
    if len(slices) < 2:
        return keys(lines)
    with ThreadPoolExecutor(processors()) as pool:
        return pa.concat_arrays(list(pool.map(keys, slices)))
