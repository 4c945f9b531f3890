"""What a line hides, put before it, so that its vector knows what an encoded command does."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines import decode_batch

__all__ = ["with_layers"]

#: As many characters of a layer as the folding's head holds.
_MOST = 1400


def with_layers(lines: pa.StringArray | pa.ChunkedArray) -> pa.StringArray:
    """The lines, those that hide something with their innermost layer and a blank before them; same length.

    Only lines that the decoding's gate lets through are looked at: a few in a hundred.
    """
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    layers = decode_batch(lines.cast(pa.string()))
    if len(layers.row) == 0:
        return lines
    # Layers come outermost first: the last of a line is the innermost.
    last = np.flatnonzero(np.append(layers.row[1:] != layers.row[:-1], True))
    inner = pc.utf8_slice_codeunits(layers.text.take(pa.array(last)), 0, _MOST)
    rows = pa.array(layers.row[last])
    joined = pc.binary_join_element_wise(inner, pc.fill_null(lines.take(rows), ""), " ")
    mask = np.zeros(len(lines), np.bool_)
    mask[layers.row[last]] = True
    return pc.replace_with_mask(lines, pa.array(mask), joined)
