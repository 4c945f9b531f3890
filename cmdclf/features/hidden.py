"""The columns of what a line hides: its decoded layers, measured as lines are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.features._columns import COLUMNS
from cmdclf.features._kernels import measure
from cmdclf.features.rarity import Rarity
from cmdclf.lines.decode import KINDS, PLAIN, DecodedBatch, decode_batch
from cmdclf.rules.buffers import string_buffers

__all__ = ["HIDDEN", "Hidden", "find_hidden", "measure_hidden"]

_HIDING = tuple(kind for kind in KINDS if kind not in PLAIN)
_COLUMN = {name: at for at, (name, _) in enumerate(COLUMNS)}
#: Columns of the innermost text that stand beside the line's own.
_INNERMOST = (
    "length_log",
    "entropy",
    "ratio_punct",
    "n_urls",
    "n_ipv4",
    "rarity_mean",
    "rarity_max",
    "surprise_mean",
    "surprise_max16",
)

#: (name, meaning) of each column that this module fills; all but hidden_cut are 0 for a line that hides nothing.
HIDDEN: list[tuple[str, str]] = [
    ("hidden_layers", "decoded layers that undo something which hides text"),
    ("hidden_kinds", "different kinds of those layers"),
    ("hidden_depth", "levels of texts within texts that were decoded"),
    ("hidden_cut", "1 where a bound on depth, size or work ended the decoding early"),
    ("hidden_growth", "natural logarithm of the innermost text's length over the line's, both in bytes and plus 1"),
    *((f"hidden_{name}", f"{name} of the innermost decoded text") for name in _INNERMOST),
    *((f"hidden_kind_{kind.replace('-', '_')}", f"1 where a layer is of the kind {kind}") for kind in _HIDING),
]
_PLACE = {name: at for at, (name, _) in enumerate(HIDDEN)}
_KIND_PLACE = np.array([_PLACE.get(f"hidden_kind_{kind.replace('-', '_')}", -1) for kind in KINDS], np.int64)


@dataclass(frozen=True, slots=True)
class Hidden:
    """The decoded layers of a batch, from each line's first one that undoes something which hides text.

    What comes before that one, such as the command of `cmd /c`, stands in the line as it is.

    Attributes:
        row: `(m,) int64` the line of each layer, ascending.
        kind: `(m,) int64` index into `KINDS`.
        depth: `(m,) int64` its level, 1 for what the line itself hides.
        text: m texts, a line's outermost first.
        cut: `(k,) int64` the lines whose decoding a bound ended.
    """

    row: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    depth: npt.NDArray[np.int64]
    text: pa.Array
    cut: npt.NDArray[np.int64]


def find_hidden(lines: pa.Array, platform: pa.Array | None, decoded: DecodedBatch | None = None) -> Hidden:
    """What the lines hide. Lines that hide nothing cost a few nanoseconds a byte, others some 0.1 ms each.

    Without `decoded`, what `decode_batch` gives for them, they are decoded here.
    """
    decoded = decode_batch(lines, platform) if decoded is None else decoded
    if decoded.row.size == 0:
        nothing = np.zeros(0, np.int64)
        return Hidden(nothing, nothing, nothing, decoded.text, np.flatnonzero(decoded.cut))
    row = decoded.row.astype(np.int64)
    kind = decoded.kind.astype(np.int64)
    hides = _KIND_PLACE[kind] >= 0
    so_far = np.cumsum(hides)
    first = np.flatnonzero(np.diff(row, prepend=-1))  # of each line
    before: npt.NDArray[np.int64] = np.repeat((so_far - hides)[first], np.diff(np.append(first, row.size)))
    kept = np.flatnonzero(so_far > before)
    depth = decoded.depth[kept].astype(np.int64)
    return Hidden(row[kept], kind[kept], depth, decoded.text.take(pa.array(kept)), np.flatnonzero(decoded.cut))


def measure_hidden(hidden: Hidden, rarity: Rarity, out: npt.NDArray[np.float32], at: int) -> None:
    """Fill the columns from `at` on, which come in as zeros; `out` already holds the lines' own columns."""
    out[hidden.cut, at + _PLACE["hidden_cut"]] = 1.0
    if hidden.row.size == 0:
        return
    last = np.flatnonzero(np.diff(hidden.row, append=-1))
    rows = hidden.row[last]
    hiding = _KIND_PLACE[hidden.kind] >= 0
    out[hidden.row[hiding], at + _KIND_PLACE[hidden.kind[hiding]]] = 1.0
    first_kind = at + len(HIDDEN) - len(_HIDING)
    out[rows, at + _PLACE["hidden_layers"]] = np.bincount(hidden.row[hiding], minlength=rows[-1] + 1)[rows]
    out[rows, at + _PLACE["hidden_depth"]] = hidden.depth[last]
    out[rows, at + _PLACE["hidden_kinds"]] = out[rows, first_kind : first_kind + len(_HIDING)].sum(axis=1)

    buffers = string_buffers(hidden.text.take(pa.array(last)))
    inner = np.zeros((len(rows), len(COLUMNS)), np.float32)
    measure(*buffers, inner)
    rarity.measure(*buffers, inner)
    length_log = _COLUMN["length_log"]
    out[rows, at + _PLACE["hidden_growth"]] = inner[:, length_log] - out[rows, length_log]
    for name in _INNERMOST:
        out[rows, at + _PLACE[f"hidden_{name}"]] = inner[:, _COLUMN[name]]
