"""`cmdclf dedup --calibrate`: which cosine an embedder's near-duplicates need, read off labelled pairs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from cmdclf.cli._messages import say

if TYPE_CHECKING:
    from cmdclf.dedup.calibrate import Calibration

__all__ = ["run"]

_SHOWN = (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.92, 0.95, 0.98)


def run(args: argparse.Namespace) -> int:
    """Print how the pairs are decided at each threshold, and the threshold to take."""
    import numpy as np

    from cmdclf.dedup.calibrate import calibrate, read_pairs
    from cmdclf.errors import CmdclfError
    from cmdclf.features.embedders import load_embedder
    from cmdclf.resources import data_path

    if not 0 <= args.most_wrong < 1:
        raise CmdclfError(f"--most-wrong {args.most_wrong:g} is no share", remedy="Give a number from 0 up to 1")
    path = data_path("pairs", "near.jsonl") if args.calibrate == "bundled" else Path(args.calibrate)
    pairs, left_out = read_pairs(path)
    embedder = load_embedder(args.embedder)
    a, b = (embedder.embed(pairs[side].combine_chunks()) for side in ("a", "b"))
    found = calibrate(pairs, np.einsum("ij,ij->i", a, b), most_wrong=args.most_wrong)
    if left_out:
        say(f"{left_out:,} rows were left out: a field is missing or of another type")
    say(f"{embedder.name}: {found.same:,} pairs that may share a verdict, {found.different:,} that may not")
    say(f"{'cosine >=':<11}{'same joined':>13}{'different joined':>18}{'(cosine alone: same':>23}{'different)':>12}")
    for i, threshold in enumerate(found.thresholds):
        if threshold in _SHOWN or threshold == found.chosen:
            say(_line(found, i))
    if found.chosen is None:
        say(f"No threshold keeps wrong joins to {found.most_wrong:.1%}: take another embedder, or look at these pairs")
    else:
        say(f"take {found.chosen:g}: --threshold {found.chosen:g}, or study.threshold_cosine = {found.chosen:g}")
    if args.out and str(args.out) != "-":
        Path(args.out).write_text(json.dumps(_record(found, embedder.name), indent=1) + "\n", encoding="utf-8")
    return 0


def _line(found: Calibration, i: int) -> str:
    from cmdclf.labels.audit import exact_interval

    joined, wrong = int(found.joined_same[i]), int(found.joined_different[i])
    _, high = exact_interval(wrong, found.different)
    return (
        f"{found.thresholds[i]:<11.2f}{joined / found.same:>13.3f}{wrong / found.different:>10.3f} (< {high:.3f})"
        f"{found.near_same[i] / found.same:>20.3f}{found.near_different[i] / found.different:>11.3f}"
        f"{'  <- take' if found.thresholds[i] == found.chosen else ''}"
    )


def _record(found: Calibration, name: str) -> dict[str, object]:
    return {
        "embedder": name,
        "same": found.same,
        "different": found.different,
        "most_wrong": found.most_wrong,
        "chosen": found.chosen,
        "thresholds": found.thresholds.tolist(),
        "joined_same": found.joined_same.tolist(),
        "joined_different": found.joined_different.tolist(),
        "near_same": found.near_same.tolist(),
        "near_different": found.near_different.tolist(),
    }
