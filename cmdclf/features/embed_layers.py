"""What a line hides, put before it, so that its vector knows what an encoded command does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines import DecodedBatch, decode_batch, guess_platform

__all__ = ["decoded_as_guessed", "with_layers"]

#: As many characters of a layer as the folding's head holds.
_MOST = 1400


def with_layers(lines: pa.StringArray | pa.ChunkedArray, decoded: DecodedBatch | None = None) -> pa.StringArray:
    """The lines, those that hide something with their innermost layer and a blank before them; same length.

    Only lines that the decoding's gate lets through are looked at: a few in a hundred. `decoded` is what `decode_batch`
    gives for the lines alone, or `decoded_as_guessed`, where the caller has it already.
    """
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    layers = decode_batch(lines.cast(pa.string())) if decoded is None else decoded
    if len(layers.row) == 0:
        return lines
    # Layers come outermost first: the last of a line is the innermost.
    last = np.flatnonzero(np.append(layers.row[1:] != layers.row[:-1], True))
    inner = pc.utf8_slice_codeunits(layers.text.take(pa.array(last)), 0, _MOST)
    rows = pa.array(layers.row[last])
    joined = pc.binary_join_element_wise(inner, pc.fill_null(lines.take(rows), ""), " ")
    if len(joined) == len(lines):
        return joined.cast(lines.type)
    mask = np.zeros(len(lines), np.bool_)
    mask[layers.row[last]] = True
    return pc.replace_with_mask(lines, pa.array(mask), joined)


def decoded_as_guessed(lines: pa.StringArray, platform: pa.StringArray, decoded: DecodedBatch) -> DecodedBatch:
    """What `decode_batch` gives for the lines alone, out of `decoded`, what it gives for them and their platforms.

    A line's vector must not depend on what its record says of the platform. The guess differs for few lines; those are
    decoded anew. Only rows, kinds, depths and texts count; `cut` stays that of `decoded`.

    Args:
        lines: without nulls.
        platform: of each line, without nulls.
        decoded: `decode_batch(lines, platform)`.
    """
    guessed = guess_platform(lines)
    rows = np.flatnonzero(_of_windows(guessed) != _of_windows(platform))
    if rows.size == 0:
        return decoded
    few = pa.array(rows)
    anew = decode_batch(lines.take(few), guessed.take(few))
    if anew.row.size == 0 and not np.isin(decoded.row, rows).any():
        return decoded
    kept = np.flatnonzero(~np.isin(decoded.row, rows))
    row = np.concatenate([decoded.row[kept], rows[anew.row].astype(np.int32)])
    order = np.argsort(row, kind="stable")
    return DecodedBatch(
        row[order],
        np.concatenate([decoded.kind[kept], anew.kind])[order],
        np.concatenate([decoded.depth[kept], anew.depth])[order],
        pa.concat_arrays([decoded.text.take(pa.array(kept)), anew.text]).take(pa.array(order)),
        decoded.cut,
    )


#: For so few rows Python is faster than starting one of Arrow's kernels.
_FEW = 16


def _of_windows(platform: pa.StringArray) -> npt.NDArray[np.bool_]:
    # All that decoding asks of a platform.
    if len(platform) <= _FEW:
        return np.array([name == "windows" for name in platform.to_pylist()], np.bool_)
    return np.asarray(pc.equal(platform, "windows").to_numpy(zero_copy_only=False), np.bool_)
