"""The layers of a batch's suspect lines as flat Arrow columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines.decode.gate import line_bytes, suspects
from cmdclf.lines.decode.layer import KINDS
from cmdclf.lines.decode.layers import MAX_CHARACTERS, decode_line
from cmdclf.lines.platform import guess_platform

__all__ = ["DecodedBatch", "decode_batch"]

_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_NO_TEXT = pa.array([], pa.string())


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """The layers of a batch, one after the other.

    Attributes:
        row: `(m,) int32` the line of each layer, ascending; a line's layers come outermost first.
        kind: `(m,) int8` index into `KINDS`.
        depth: `(m,) int8` its level, 1 for what the line itself hides.
        text: `(m,) string` what was decoded.
        cut: `(n,) bool` per line whether a bound on depth, size or work ended its decoding.
        restated_row: `(k,) int32` the lines that read otherwise once everything stands in its place, ascending.
        restated: `(k,) string` those lines, restated (see `restate.py`).
    """

    row: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int8]
    depth: npt.NDArray[np.int8]
    text: pa.StringArray
    cut: npt.NDArray[np.bool_]
    restated_row: npt.NDArray[np.int32]
    restated: pa.StringArray


def decode_batch(lines: pa.StringArray, platform: pa.StringArray | None = None) -> DecodedBatch:
    """The layers of the lines that `suspects` lets through, as `decode_line` finds them; other lines have none.

    Lines whose only layers are wrapped commands or whole variables may be left out: their text is in the line already.
    """
    if platform is None:
        platform = guess_platform(lines)
    wanted = np.flatnonzero(suspects(lines, platform))
    cut = _beyond_bound(lines)
    if wanted.size == 0:
        none, no_kind = np.zeros(0, np.int32), np.zeros(0, np.int8)
        return DecodedBatch(none, no_kind, no_kind, _NO_TEXT, cut, none, _NO_TEXT)
    rows: list[int] = []
    kinds: list[int] = []
    depths: list[int] = []
    texts: list[str] = []
    restated: dict[int, str] = {}
    if wanted.size < len(lines):
        lines, platform = lines.take(pa.array(wanted)), platform.take(pa.array(wanted))
    for row, line, shell in zip(wanted.tolist(), lines.to_pylist(), platform.to_pylist(), strict=True):
        decoded = decode_line(line, shell)
        cut[row] = decoded.cut
        if decoded.restated != line:
            restated[row] = decoded.restated
        depths += decoded.depths
        for layer in decoded.layers:
            rows.append(row)
            kinds.append(_NUMBER[layer.kind])
            texts.append(layer.text)
    return DecodedBatch(
        np.array(rows, np.int32), np.array(kinds, np.int8), np.array(depths, np.int8), _array(texts), cut,
        np.array(list(restated), np.int32), _array(restated.values()),
    )  # fmt: skip


def _array(texts: Iterable[str]) -> pa.StringArray:
    # A lone surrogate, decoded from UTF-16, is no Arrow text.
    return pa.array([t if t.isascii() else t.encode("utf-8", "replace").decode() for t in texts], pa.string())


def _beyond_bound(lines: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Per line whether it is longer than what is looked at: cut, even if its beginning hides nothing."""
    cut = np.zeros(len(lines), np.bool_)
    if len(lines) == 0:
        return cut
    # Few lines have more bytes, let alone characters.
    long = np.flatnonzero(np.diff(line_bytes(lines)[0]) > MAX_CHARACTERS)
    if long.size:
        beyond = pc.greater(pc.utf8_length(lines.take(pa.array(long))), MAX_CHARACTERS)
        cut[long] = pc.fill_null(beyond, False).to_numpy(zero_copy_only=False)
    return cut
