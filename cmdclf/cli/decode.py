"""`cmdclf decode`: the layers that command lines hide."""

from __future__ import annotations

import argparse

from cmdclf.cli._lines_io import add_io_arguments, command_lines, open_lines, open_writer, platforms, with_columns

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """FILE, --out, formats, --platform, --max-depth."""
    add_io_arguments(parser)
    parser.add_argument(
        "--max-depth", type=int, default=4, metavar="N", help="how many levels may be nested (default 4)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the input's rows plus `layers` (list of kind and text, outermost first), `decoded` and `cut`.

    `decoded` is the innermost text; `cut` says whether a bound on depth, size or work ended the decoding early.
    """
    import pyarrow as pa

    from cmdclf.errors import CmdclfError
    from cmdclf.lines import decode_line

    if args.max_depth < 1:
        raise CmdclfError("--max-depth must be at least 1", remedy="Leave it out for the default of 4")
    layer_type = pa.list_(pa.struct([("kind", pa.string()), ("text", pa.string())]))
    lines = open_lines(args.file, args.format)
    with open_writer(args, lines, text_columns=("decoded",)) as out:
        for batch in lines:
            texts = command_lines(batch).to_pylist()
            found = [
                None if text is None else decode_line(text, platform, max_depth=args.max_depth)
                for text, platform in zip(texts, platforms(batch, args.platform).to_pylist(), strict=True)
            ]
            layers = [None if f is None else f.layers for f in found]
            cut = [None if f is None else f.cut for f in found]
            # The innermost text; a line that hides nothing is its own.
            decoded = [inner[-1].text if inner else text for text, inner in zip(texts, layers, strict=True)]
            rows = [None if f is None else [{"kind": x.kind, "text": x.text} for x in f] for f in layers]
            columns = {"decoded": pa.array(decoded, pa.string()), "cut": pa.array(cut, pa.bool_())}
            out.write(with_columns(batch, layers=pa.array(rows, layer_type), **columns))
    return 0
