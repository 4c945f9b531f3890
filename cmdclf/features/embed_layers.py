"""Lines as models read them: what a line hides stands in its place."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines import DecodedBatch, decode_batch, guess_platform

__all__ = ["decoded_as_guessed", "with_layers"]

#: As many characters as the folding's head holds.
_MOST = 1400


def with_layers(lines: pa.StringArray | pa.ChunkedArray, decoded: DecodedBatch | None = None) -> pa.StringArray:
    """The lines as they read once what they hide stands in its place (`eval "$(rev<<<sl)"` as `ls`); same length.

    What doesn't hide stays, so that a decoy that decodes to something harmless takes nothing away. A line of which only
    the head would be read has its innermost layer before it. Only lines that the decoding's gate lets through are
    looked at: a few in a hundred. `decoded` is what `decode_batch` gives for the lines alone, or `decoded_as_guessed`,
    where the caller has it already.
    """
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    layers = decode_batch(lines.cast(pa.string())) if decoded is None else decoded
    rows = layers.restated_row
    if len(rows) == 0:
        return lines
    restated = _innermost_first(layers).cast(lines.type)
    if len(rows) == len(lines):
        return restated
    mask = np.zeros(len(lines), np.bool_)
    mask[rows] = True
    return pc.replace_with_mask(lines, pa.array(mask), restated)


def _innermost_first(layers: DecodedBatch) -> pa.StringArray:
    """The restated lines, the long ones with their innermost layer before them unless they show it early enough."""
    restated = layers.restated
    long = np.flatnonzero(pc.greater(pc.utf8_length(restated), _MOST).to_numpy(zero_copy_only=False))
    # Layers come outermost first: the last of a line is the innermost. A line may be restated without any.
    last = np.searchsorted(layers.row, layers.restated_row[long], side="right") - 1
    own = last >= 0
    own[own] = layers.row[last[own]] == layers.restated_row[long[own]]
    if not own.any():
        return restated
    inner = pc.utf8_slice_codeunits(layers.text.take(pa.array(last[own])), 0, _MOST)
    texts = restated.to_pylist()
    for at, text in zip(long[own].tolist(), inner.to_pylist(), strict=True):
        if text not in texts[at][:_MOST]:
            texts[at] = f"{text} {texts[at]}"
    return pa.array(texts, pa.string())


def decoded_as_guessed(lines: pa.StringArray, platform: pa.StringArray, decoded: DecodedBatch) -> DecodedBatch:
    """What `decode_batch` gives for the lines alone, out of `decoded`, what it gives for them and their platforms.

    A line's vector must not depend on what its record says of the platform. The guess differs for few lines; those are
    decoded anew. Only `cut` stays that of `decoded`.

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
    known = np.concatenate([decoded.row, decoded.restated_row])
    if anew.row.size + anew.restated_row.size == 0 and not np.isin(known, rows).any():
        return decoded
    kept = np.flatnonzero(~np.isin(decoded.row, rows))
    row, order = _merged(decoded.row[kept], rows[anew.row])
    still = np.flatnonzero(~np.isin(decoded.restated_row, rows))
    restated_row, restated_order = _merged(decoded.restated_row[still], rows[anew.restated_row])
    return DecodedBatch(
        row,
        np.concatenate([decoded.kind[kept], anew.kind])[order],
        np.concatenate([decoded.depth[kept], anew.depth])[order],
        pa.concat_arrays([decoded.text.take(pa.array(kept)), anew.text]).take(pa.array(order)),
        decoded.cut,
        restated_row,
        pa.concat_arrays([decoded.restated.take(pa.array(still)), anew.restated]).take(pa.array(restated_order)),
    )


def _merged(a: npt.NDArray[np.int32], b: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """(both in ascending order, where each stood); equals keep their order."""
    both = np.concatenate([a, b.astype(np.int32)])
    order = np.argsort(both, kind="stable")
    return both[order], order


#: For so few rows Python is faster than starting one of Arrow's kernels.
_FEW = 16


def _of_windows(platform: pa.StringArray) -> npt.NDArray[np.bool_]:
    # All that decoding asks of a platform.
    if len(platform) <= _FEW:
        return np.array([name == "windows" for name in platform.to_pylist()], np.bool_)
    return np.asarray(pc.equal(platform, "windows").to_numpy(zero_copy_only=False), np.bool_)
