"""From which cosine on lines of equal behaviour share a verdict, read off labelled pairs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.dedup.behaviour import behaviour_keys
from cmdclf.errors import CmdclfError

__all__ = ["PAIRS", "Calibration", "calibrate", "read_pairs"]

#: What `calibrate` takes: two lines of one platform, and whether b may take a's verdict without being read.
PAIRS = pa.schema(
    [
        pa.field("platform", pa.string(), nullable=False),
        pa.field("a", pa.string(), nullable=False),
        pa.field("b", pa.string(), nullable=False),
        pa.field("same", pa.bool_(), nullable=False),
    ]
)
#: Fewer pairs of a kind say nothing about 2 %.
FEWEST = 50


def read_pairs(path: Path) -> tuple[pa.Table, int]:
    """Labelled pairs from Parquet or JSON lines, and how many rows were left out because a field is missing or odd.

    Raises:
        CmdclfError: no such file, a row that is no JSON object (names it), or no column of that name.
    """
    if not path.is_file():
        raise CmdclfError("no such file", file=path, remedy="Give Parquet or JSON lines with platform, a, b and same")
    if path.suffix == ".parquet":
        try:
            rows = pq.read_table(path).to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            raise CmdclfError("the file is no Parquet", file=path, remedy="Write the pairs again") from error
    else:
        rows = [_row(path, n, text) for n, text in enumerate(path.read_bytes().splitlines(), 1) if text.strip()]
    kept = [row for row in rows if all(isinstance(row.get(f.name), bool if f.name == "same" else str) for f in PAIRS)]
    if not kept:
        raise CmdclfError(
            "no row holds platform, a, b (text) and same (true or false)", file=path, remedy="Name the columns so"
        )
    named = [{name: row[name] for name in PAIRS.names} for row in kept]
    return pa.Table.from_pylist(named, PAIRS), len(rows) - len(kept)


def _row(path: Path, number: int, text: bytes) -> dict[str, object]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise CmdclfError("the row is not JSON", file=path, row=number, remedy="One JSON object a line") from error
    if not isinstance(row, dict):
        raise CmdclfError("the row is no JSON object", file=path, row=number, remedy="One JSON object a line")
    return row


@dataclass(frozen=True, slots=True)
class Calibration:
    """How pairs were decided at each threshold.

    Attributes:
        thresholds: (k,) float64, rising.
        same, different: how many pairs of each kind.
        joined_same, joined_different: (k,) int64, pairs that would share a verdict: cosine and behaviour agree.
        near_same, near_different: (k,) int64, the same by the cosine alone.
        chosen: the highest threshold that costs at most one in a hundred of the same pairs that any threshold joins, of
            those at which at most `most_wrong` of the different pairs share a verdict; None if there is none.
        most_wrong: that share.
    """

    thresholds: npt.NDArray[np.float64]
    same: int
    different: int
    joined_same: npt.NDArray[np.int64]
    joined_different: npt.NDArray[np.int64]
    near_same: npt.NDArray[np.int64]
    near_different: npt.NDArray[np.int64]
    chosen: float | None
    most_wrong: float


def calibrate(
    pairs: pa.Table,
    cosine: npt.NDArray[np.floating],
    *,
    most_wrong: float = 0.02,
    thresholds: npt.NDArray[np.float64] | None = None,
) -> Calibration:
    """Decides every pair at every threshold.

    Args:
        pairs: see `PAIRS`.
        cosine: (n,) of each pair's vectors.
        most_wrong: the share of different pairs that may share a verdict at the chosen threshold.
        thresholds: rising; 0.40 to 0.99 in steps of 0.01 by default.

    Raises:
        CmdclfError: fewer than 50 pairs of a kind.
    """
    steps = np.round(np.arange(0.40, 0.995, 0.01), 2) if thresholds is None else thresholds
    same = pairs["same"].to_numpy().astype(bool)
    if min(same.sum(), (~same).sum()) < FEWEST:
        raise CmdclfError(
            f"{int(same.sum())} pairs that are the same and {int((~same).sum())} that differ say too little",
            remedy=f"Label at least {FEWEST} of each",
        )
    keys = [
        behaviour_keys(pa.table({"platform": pairs["platform"], "command_line": pairs[side]})).to_pylist()
        for side in ("a", "b")
    ]
    agree = np.array([a == b for a, b in zip(*keys, strict=True)])
    near = np.asarray(cosine)[:, None] >= steps[None, :]
    joined = near & agree[:, None]
    wrong = joined[~same].sum(0)
    fine = np.flatnonzero(wrong <= most_wrong * (~same).sum())
    right = joined[same].sum(0)
    fine = fine[right[fine] >= 0.99 * right[fine].max(initial=0)]
    return Calibration(
        steps,
        int(same.sum()),
        int((~same).sum()),
        right,
        wrong,
        near[same].sum(0),
        near[~same].sum(0),
        float(steps[fine[-1]]) if len(fine) else None,
        most_wrong,
    )
