"""`cmdclf redact`: command lines with their secrets replaced by typed placeholders."""

from __future__ import annotations

import argparse

from cmdclf.cli._lines_io import (
    add_io_arguments,
    command_lines,
    open_lines,
    open_writer,
    parents,
    platforms,
    with_columns,
)

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FILE, --out, formats, --platform (which says what carets and backticks mean in lines that hide text)."""
    add_io_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the input's rows with `command_line` and `parent_command_line` redacted, plus `secrets` (their kinds).

    An encoded payload that carries a secret becomes `<secret:encoded>`.
    """
    import pyarrow as pa

    from cmdclf.lines import redact_hidden_batch

    lines = open_lines(args.file, args.format)
    with open_writer(args, lines) as out:
        for batch in lines:
            where = platforms(batch, args.platform)
            texts, kinds = redact_hidden_batch(command_lines(batch), where)
            changed: dict[str, pa.Array] = {"command_line": texts, "secrets": kinds}
            if "parent_command_line" in batch.schema.names:
                changed["parent_command_line"] = redact_hidden_batch(parents(batch), where)[0]
            out.write(with_columns(batch, **changed))
    return 0
