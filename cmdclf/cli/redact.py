"""`cmdclf redact`: command lines with their secrets replaced by typed placeholders."""

from __future__ import annotations

import argparse

from cmdclf.cli._lines_io import add_io_arguments, command_lines, open_lines, open_writer, parents, with_columns

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FILE, --out, formats, --platform (which redaction does not need)."""
    add_io_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write the input's rows with `command_line` and `parent_command_line` redacted, plus `secrets` (their kinds)."""
    import pyarrow as pa

    from cmdclf.lines import redact_batch

    lines = open_lines(args.file, args.format)
    with open_writer(args, lines) as out:
        for batch in lines:
            texts, kinds = redact_batch(command_lines(batch))
            changed: dict[str, pa.Array] = {"command_line": texts, "secrets": kinds}
            if "parent_command_line" in batch.schema.names:
                changed["parent_command_line"] = redact_batch(parents(batch))[0]
            out.write(with_columns(batch, **changed))
    return 0
