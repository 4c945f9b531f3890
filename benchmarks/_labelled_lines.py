"""Labelled lines that classifiers are judged on: public pools and the lexicon, in folds of whole sources.

Pools are labelled Parquet files (command_line, platform, label; source, group_id, hard, dual_use where known). Lines of
label unknown, malicious lines of dual use and lines that both labels claim are left out and counted.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from cmdclf.classify.train_pools import require_both_labels
from cmdclf.errors import CmdclfError, TelemetryError
from cmdclf.lexicon import Lexicon, render
from cmdclf.lexicon.pools import ParquetPool
from cmdclf.lexicon.wrappers import rewrap

__all__ = ["FOLDS", "Lines", "check_folds", "fold_of", "from_lexicon", "from_pools", "thinned"]

FOLDS = 5
VERDICTS = ("benign", "malicious", "unsure")


@dataclass(frozen=True)
class Lines:
    """Labelled lines; all arrays have shape (n,).

    Attributes:
        agree: a recorded verdict confirms the label; benign rows without a verdict count as confirmed.
        clean: no recorded verdict contradicts the label or calls it unsure.
        likely: float64, how likely a line is malicious by its recorded verdict; NaN without one.
        dropped: reason -> rows that were left out when the lines were read.
    """

    text: list[str]
    malicious: np.ndarray
    hard: np.ndarray
    platform: np.ndarray
    source: np.ndarray
    group: np.ndarray
    agree: np.ndarray
    clean: np.ndarray
    likely: np.ndarray
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.text)

    def take(self, rows: np.ndarray) -> Lines:
        """These rows."""
        arrays = (getattr(self, f.name)[rows] for f in fields(self) if f.name not in ("text", "dropped"))
        return Lines([self.text[i] for i in rows], *arrays, self.dropped)


def from_pools(
    paths: Sequence[str | Path],
    verdicts: str | Path | None,
    seed: int,
    *,
    redraw: bool = False,
    most: int | None = None,
) -> Lines:
    """The labelled rows of the pools, wrappers drawn anew from one pool for both labels.

    Args:
        paths: labelled Parquet files.
        verdicts: Parquet with platform, process_command_line, verdict; None: all rows count as confirmed.
        seed: of wrappers and values.
        redraw: draw numbers, names, addresses and the like anew too, from the same values for both labels.
        most: at most so many benign and half as many malicious rows, drawn at random.

    Raises:
        CmdclfError: a file can't be read, holds an unknown label or verdict, or all files together hold one label only.
    """
    pool = ParquetPool(paths, rewrap=True, seed=seed)
    require_both_labels(pool, paths)
    rows = np.arange(len(pool.table)) if most is None else _some(pool.table.malicious, most, seed)
    table, malicious = pool.table, pool.table.malicious[rows]
    said = _verdicts(verdicts) if verdicts else {}
    keys = zip(table.platform[rows], pool.original(rows).to_pylist(), strict=True)
    found = [said.get(key, ("", np.nan)) for key in keys]
    verdict, likely = np.array([v for v, _ in found], object), np.array([p for _, p in found], np.float64)
    agree = np.where(malicious, (verdict == "malicious") | (not said), (verdict == "benign") | (verdict == ""))
    clean = (verdict == "") | (verdict == np.where(malicious, "malicious", "benign"))
    rng = random.Random(seed)
    text = (pool.draws(rows, rng) if redraw else pool.lines(rows, rng))[0].to_pylist()
    columns = (getattr(table, name)[rows] for name in ("hard", "platform", "source", "group_id"))
    return Lines(text, malicious, *columns, agree.astype(bool), clean, likely, dict(pool.dropped))


def _verdicts(path: str | Path) -> dict[tuple[str, str], tuple[str, float]]:
    """(platform, line) -> (verdict, how likely it is malicious: the file's `p_malicious`, else by the verdict)."""
    columns = ["platform", "process_command_line", "verdict"]
    try:
        missing = set(columns) - set(pq.read_schema(path).names)
        if missing:
            remedy = "Verdicts have the columns platform, process_command_line and verdict"
            raise TelemetryError(f"column {' and '.join(sorted(missing))} is missing", file=path, remedy=remedy)
        given = pq.read_table(path).to_pydict()
    except (OSError, pa.ArrowInvalid) as error:
        raise TelemetryError("the verdicts can't be read", file=path, remedy="Give a Parquet file") from error
    for row, verdict in enumerate(given["verdict"], 1):
        if verdict not in VERDICTS:
            raise TelemetryError(f"verdict '{verdict}'", file=path, row=row, remedy=f"Use {', '.join(VERDICTS)}")
    keys = zip(given["platform"], given["process_command_line"], strict=True)
    shares = given.get("p_malicious", [None] * len(given["verdict"]))
    likely = [
        {"malicious": 1.0, "benign": 0.0}.get(verdict, 0.5) if share is None else share / 100
        for verdict, share in zip(given["verdict"], shares, strict=True)
    ]
    return dict(zip(keys, zip(given["verdict"], likely, strict=True), strict=True))


def from_lexicon(lexicon: Lexicon, renderings: int, seed: int) -> Lines:
    """So many lines of each template, wrappers drawn anew from the pool that other lines get; `group` is the template.

    Lines of a template stand together.
    """
    rng = random.Random(f"lexicon {seed}")
    text, owner = [], []
    for i, template in enumerate(lexicon):
        made = {render(template, rng).command_line for _ in range(renderings)}
        text += [rewrap(line, line, template.platform, rng) for line in sorted(made)]
        owner += [i] * len(made)
    of = [lexicon.templates[i] for i in owner]
    sure = np.ones(len(of), bool)
    return Lines(
        text,
        np.array([t.label == "malicious" for t in of], bool),
        np.array([t.hard and t.label == "benign" for t in of], bool),
        *(np.array([getattr(t, name) for t in of], object) for name in ("platform", "role", "id")),
        sure,
        sure,
        np.full(len(of), np.nan),
    )


def fold_of(source: np.ndarray, malicious: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) int, the fold of each line: sources of either label dealt out by size, so that all folds hold both.

    Sources that share a group go into the same fold.
    """
    names, at = np.unique(source.astype(str), return_inverse=True)
    groups, of = np.unique(group.astype(str), return_inverse=True)
    n = len(names) + len(groups)
    links = sparse.coo_matrix((np.ones(len(at)), (at, len(names) + of)), shape=(n, n))
    unit = connected_components(links, directed=False)[1][at]
    fold: dict[int, int] = {}
    for label in (True, False):
        units, counts = np.unique(unit[malicious == label], return_counts=True)
        filled = np.zeros(FOLDS)
        for i in np.lexsort((rng.random(len(units)), -counts)):
            place = fold.setdefault(int(units[i]), int(filled.argmin()))
            filled[place] += counts[i]
    return np.array([fold[int(u)] for u in unit])


def check_folds(lines: Lines, fold: np.ndarray) -> None:
    """Every source and group lies in one fold, and every fold and its rest hold both labels.

    Raises:
        CmdclfError: it is not so.
    """
    for what, names in (("source", lines.source), ("group", lines.group)):
        pairs = np.unique(np.array([f"{k}\0{name}" for k, name in zip(fold, names, strict=True)]))
        held = [pair.split("\0", 1)[1] for pair in pairs]
        if len(held) != len(set(held)):
            twice = next(name for i, name in enumerate(sorted(held)) if name == sorted(held)[i - 1])
            raise CmdclfError(
                f"{what} '{twice}' lies on both sides of a split", remedy="Keep a source and a group in one fold"
            )
    for label, name in ((True, "malicious"), (False, "benign")):
        holding = len(np.unique(fold[lines.malicious == label]))
        if holding < FOLDS:
            raise CmdclfError(
                f"only {holding} of {FOLDS} folds hold {name} lines",
                remedy=f"Give pools with at least {FOLDS} sources that have {name} lines",
            )


def thinned(lines: Lines, limit: int, seed: int) -> Lines:
    """At most so many benign and half as many malicious lines, drawn at random."""
    return lines.take(_some(lines.malicious, limit, seed))


def _some(malicious: np.ndarray, limit: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = [
        np.sort(rng.permutation(np.flatnonzero(malicious == label))[: limit // (1 + label)]) for label in (False, True)
    ]
    return np.concatenate(rows)
