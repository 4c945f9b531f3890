"""Line-oriented verbs' input and output: text, JSON lines, CSV or Parquet in; the same rows plus columns out.

For a verb (`score`, `embed`, `decode`, ...)::

    def add_arguments(parser):
        add_io_arguments(parser)          # FILE or -, --out, --format, --out-format, --platform

    def run(args):
        lines = open_lines(args.file, format=args.format)
        with open_writer(args, lines) as out:
            for batch in lines:           # pa.RecordBatch, <= batch_rows rows, all original columns in their order
                texts = command_lines(batch)               # pa.StringArray, null where the row has none
                where = platforms(batch, args.platform)    # pa.StringArray without nulls, guessed where not given
                out.write(with_columns(batch, score=...))
        return 0

Promises: the file is streamed, never loaded; row count, order and columns are kept; at least one batch comes, which may
be empty, so that the output always exists with its columns; a file appears under its name only when it is complete.
How the formats are read stands in `_lines_read.py`, how they are written in `_lines_write.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.cli._lines_read import FORMATS, LinesInput, open_lines
from cmdclf.cli._lines_write import LinesWriter

__all__ = [
    "LinesInput",
    "LinesWriter",
    "add_io_arguments",
    "command_lines",
    "fields",
    "open_lines",
    "open_writer",
    "parents",
    "platforms",
    "with_columns",
]

PLATFORMS = ("windows", "linux", "macos")


def add_io_arguments(parser: argparse.ArgumentParser) -> None:
    """Add FILE, --out, --format, --out-format and --platform to a verb's parser."""
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="text (one line each), JSON lines, CSV or Parquet with a column command_line; -: standard input (default)",
    )
    parser.add_argument("--out", default="-", metavar="FILE", help="where the rows go; - is standard output (default)")
    parser.add_argument("--format", choices=FORMATS, help="format of FILE (default: by extension and content)")
    parser.add_argument(
        "--out-format",
        choices=FORMATS,
        help="format of --out (default: by extension; on standard output FILE's own or jsonl)",
    )
    parser.add_argument(
        "--platform", choices=PLATFORMS, help="platform of rows that name none (default: guessed line by line)"
    )


def open_writer(
    args: argparse.Namespace,
    lines: LinesInput,
    *,
    text_columns: tuple[str, ...] = ("command_line",),
    text_row: Callable[[dict[str, Any]], str] | None = None,
) -> LinesWriter:
    """The writer that the arguments of `add_io_arguments` ask for.

    Args:
        args: with `out` and `out_format`.
        lines: the input, whose format standard output takes over if it is CSV or JSON lines.
        text_columns: the columns that plain text shows, separated by tabs.
        text_row: makes the whole text of a row out of those columns instead.
    """
    chosen = args.out_format
    if chosen is None and args.out == "-":
        chosen = lines.format if lines.format in ("csv", "jsonl") else "jsonl"
    return LinesWriter(args.out, format=chosen, text_columns=text_columns, text_row=text_row)


def command_lines(batch: pa.RecordBatch) -> pa.StringArray:
    """(n,) string: the batch's command lines by the text rule (UTF-8, NUL as the text `\\x00`); null where null."""
    return _clean(batch.column("command_line"))


def parents(batch: pa.RecordBatch) -> pa.StringArray:
    """(n,) string: the parents' command lines, null where the row or the whole input has none."""
    if "parent_command_line" not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    return _clean(batch.column("parent_command_line"))


def fields(batch: pa.RecordBatch, names: tuple[str, ...]) -> dict[str, pa.StringArray]:
    """Those of these columns that the batch has, as text: numbers are written out, lists and the like are left out."""
    found = {}
    for name in names:
        at = batch.schema.get_field_index(name)
        if at >= 0 and not pa.types.is_nested(batch.schema.field(at).type):
            found[name] = _clean(batch.column(at))
    return found


def platforms(batch: pa.RecordBatch, default: str | None = None) -> pa.StringArray:
    """(n,) string without nulls: the row's own platform, else `default`, else a guess by the line.

    A platform other than windows, linux and macos (in any case) counts as missing.
    """
    from cmdclf.lines import guess_platform

    rest = pa.repeat(pa.scalar(default), batch.num_rows) if default else guess_platform(command_lines(batch))
    if "platform" not in batch.schema.names:
        return rest
    own = pc.ascii_trim_whitespace(pc.utf8_lower(_clean(batch.column("platform"))))
    known = pc.fill_null(pc.is_in(own, value_set=pa.array(PLATFORMS)), False)
    return pc.if_else(known, own, rest)


def with_columns(batch: pa.RecordBatch, **columns: pa.Array) -> pa.RecordBatch:
    """The batch with columns added at the end; a column of that name is replaced in its place."""
    for name, values in columns.items():
        field = pa.field(name, values.type)
        at = batch.schema.get_field_index(name)
        batch = batch.append_column(field, values) if at < 0 else batch.set_column(at, field, values)
    return batch


def _clean(column: pa.Array) -> pa.StringArray:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        column = pa.array(
            [None if v is None else v.decode("utf-8", "backslashreplace") for v in column.to_pylist()], pa.string()
        )
    return pc.replace_substring(column.cast(pa.string()), "\0", "\\x00")
