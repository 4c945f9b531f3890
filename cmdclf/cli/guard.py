"""`cmdclf guard`: prompt injection and vetoes, line by line, and how often each kind was seen."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from cmdclf.cli._lines_io import (
    add_io_arguments,
    command_lines,
    open_lines,
    open_writer,
    parents,
    platforms,
    with_columns,
)
from cmdclf.cli._messages import say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_io_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Write every row with `injection`, `reasons` and `veto`; the counts go to stderr."""
    import pyarrow as pa

    from cmdclf.labels import guard, injection_kinds

    rows = injections = vetoes = 0
    kinds: Counter[str] = Counter()

    lines = open_lines(args.file, format=args.format)
    with open_writer(args, lines, text_columns=("injection", "veto", "reasons", "command_line")) as out:
        for batch in lines:
            columns = [platforms(batch, args.platform), command_lines(batch), parents(batch)]
            names = ["platform", "command_line", "parent_command_line"]
            checked = guard(pa.table(columns, names=names)).combine_chunks()
            out.write(with_columns(batch, **{name: checked[name].combine_chunks() for name in checked.column_names}))
            rows += checked.num_rows
            injections += checked["injection"].to_pylist().count(True)
            vetoes += checked["veto"].to_pylist().count(True)
            kinds.update(injection_kinds(checked))
    seen = f" ({', '.join(f'{kind} {n:,}' for kind, n in kinds.most_common())})" if kinds else ""
    say(f"{rows:,} lines, {injections:,} with an injection{seen}, {vetoes:,} vetoed", file=sys.stderr)
    return 0
