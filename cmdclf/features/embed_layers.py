"""Lines as models read them: what a line hides stands in its place."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines import decode_batch

__all__ = ["with_layers"]

#: As many characters as the folding's head holds.
_MOST = 1400


def with_layers(lines: pa.StringArray | pa.ChunkedArray) -> pa.StringArray:
    """The lines as they read once what they hide stands in its place (`eval "$(rev<<<sl)"` as `ls`); same length.

    What doesn't hide stays, so that a decoy that decodes to something harmless takes nothing away. A line of which only
    the head would be read has its innermost layer before it. Only lines that the decoding's gate lets through are
    decoded: a few in a hundred.
    """
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    layers = decode_batch(lines.cast(pa.string()))
    rows = layers.restated_row
    if len(rows) == 0:
        return lines
    restated = layers.restated
    long = np.flatnonzero(pc.greater(pc.utf8_length(restated), _MOST).to_numpy(zero_copy_only=False))
    if len(long):
        # Layers come outermost first: the last of a line is the innermost.
        last = np.searchsorted(layers.row, rows[long], side="right") - 1
        inner = pc.utf8_slice_codeunits(layers.text.take(pa.array(last)), 0, _MOST)
        texts = restated.to_pylist()
        for at, text in zip(long.tolist(), inner.to_pylist(), strict=True):
            if text not in texts[at][:_MOST]:
                texts[at] = f"{text} {texts[at]}"
        restated = pa.array(texts, pa.string())
    mask = np.zeros(len(lines), np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(lines, pa.array(mask), restated.cast(lines.type))
