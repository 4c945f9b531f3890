"""`python -m cmdclf.classify.train_pools`: a general model from labelled pools, measured on sources held out.

The bundled model was made so. A study augments a classifier from an estate's own telemetry; this is what stands in
before there is one: everything that labelled pools say, wrappers drawn anew for both labels so that neither is known by
how its pool was made, whole sources held out, and near-duplicates of the training lines removed from the test.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.classify.export import export_model
from cmdclf.classify.featurise import Featuriser
from cmdclf.classify.grams import Doubted, fit_with_doubted, folds_of, out_of_fold
from cmdclf.classify.metrics import evaluate
from cmdclf.classify.model import Classifier
from cmdclf.classify.neighbours import Neighbours
from cmdclf.classify.training import TRAINING
from cmdclf.dedup import remove_near
from cmdclf.errors import CmdclfError, TelemetryError
from cmdclf.features import Embedder, FeatureMaker, load_embedder
from cmdclf.lexicon.pools import LexiconPool, ParquetPool, Pool
from cmdclf.lexicon.split import split_pool
from cmdclf.telemetry import command_ids

__all__ = ["main", "require_both_labels", "train_pools"]


def train_pools(
    pools: Sequence[str | Path],
    out: str | Path,
    *,
    verdicts: str | Path | None = None,
    leave_out_licences: bool = True,
    hold_out: float = 1 / 3,
    lexicon_lines: int = 0,
    neighbours: bool = False,
    everything: bool = False,
    seed: int = 0,
    name: str = "pools",
) -> dict[str, Any]:
    """Train on all pools but the held-out sources, export to `out`, and return the metrics on the held-out sources.

    Args:
        pools: labelled Parquet files.
        out: model folder to write.
        verdicts: Parquet with process_command_line, platform, verdict, and perhaps p_malicious (0 to 100): lines whose
            label a verdict contradicts or leaves open train the n-grams with both labels, by how likely each is, and
            the trees not at all; the test keeps its labels.
        leave_out_licences: leave out of training the rows whose column `license` names a GPL alone.
        hold_out: share of the sources that test.
        lexicon_lines: lines of each of the bundled lexicon's templates that are trained on too; none of them tests.
        neighbours: put one line of each of the bundled lexicon's templates into the folder, for explanations to name;
            the pools' own lines never are.
        everything: after the test, fit once more on all sources, and export that: the metrics are of the first model.
        seed: of split, wrappers and trees.
        name: the model's name.

    Raises:
        CmdclfError: a pool can't be read or split.
    """
    pool = ParquetPool(pools, rewrap=True, seed=seed)
    require_both_labels(pool, pools)
    split = split_pool(pool, hold_out=hold_out, labelled_share=1.0, seed=seed)
    train_rows = np.concatenate([split.benign, split.labelled, split.incidents])
    wrong, likely = _doubted(pool, train_rows, verdicts)
    barred = _barred(pool, train_rows, pools) if leave_out_licences else np.zeros(len(train_rows), bool)
    doubtful, train_rows = train_rows[wrong & ~barred], train_rows[~(wrong | barred)]
    likely = likely[wrong & ~barred]
    for label, name_of in ((True, "malicious"), (False, "benign")):
        if not (pool.table.malicious[train_rows] == label).any():
            raise CmdclfError(
                f"no {name_of} line is left to train on: {int(wrong.sum())} lines were left out for their verdicts,"
                f" {int(barred.sum())} for their licence",
                file=Path(pools[0]),
                remedy="Give more pools, or leave out --verdicts",
            )
    train, test = _lines(pool, train_rows, seed), _lines(pool, split.test, seed + 1)
    if lexicon_lines:
        lexicon = LexiconPool(repeats=lexicon_lines)
        rendered = _lines(lexicon, np.repeat(np.arange(len(lexicon.table)), lexicon_lines), seed + 2)
        train = _first_of_each(pa.concat_tables([train, rendered]))
    embedder = load_embedder()
    embeddings = [embedder.embed(t["command_line"].combine_chunks()) for t in (test, train)]
    keep, removed = remove_near(test, embeddings[0], train, embeddings[1])
    test = test.filter(pa.array(keep))
    fitted = _fit(train, _Doubts(pool, doubtful, likely), embedder, seed)
    scores = fitted.classifier.predict_proba(fitted.featuriser.matrix_of(test))[:, 1]
    metrics = _measure(test, scores) | {"removed": dict(removed), "held_out": sorted(split.held_out)}
    if everything:
        rows = split.test
        out_of = _doubted(pool, rows, verdicts)
        rest = ~(_barred(pool, rows, pools) if leave_out_licences else np.zeros(len(rows), bool))
        doubtful = np.concatenate([doubtful, rows[out_of[0] & rest]])
        likely = np.concatenate([likely, out_of[1][out_of[0] & rest]])
        train_rows = np.concatenate([train_rows, rows[~out_of[0] & rest]])
        train = _first_of_each(pa.concat_tables([train, _lines(pool, rows[~out_of[0] & rest], seed)]))
        fitted = _fit(train, _Doubts(pool, doubtful, likely), embedder, seed)
    y = train["label"].to_numpy()
    provenance = {
        "command": "python -m cmdclf.classify.train_pools",
        "pools": [Path(p).name for p in pools],
        "benign": int((y == 0).sum()),
        "malicious": int((y == 1).sum()),
        "in_doubt": len(doubtful),
        "trained_on_the_test_too": everything,
        "left_out": {"licence": int((barred & ~wrong).sum()), **pool.dropped},
        "lexicon_lines": lexicon_lines,
        "sources": sorted(set(pool.table.source[train_rows].astype(str))),
        "seed": seed,
    }
    near = Neighbours.of_lexicon(LexiconPool(repeats=1), embedder.embed) if neighbours else None
    export_model(
        out, fitted.classifier, fitted.featuriser, name=name, provenance=provenance, metrics=metrics, neighbours=near
    )
    return metrics


@dataclass(frozen=True)
class _Fitted:
    classifier: Classifier
    featuriser: Featuriser


@dataclass(frozen=True)
class _Doubts:
    """Rows of a pool whose label a verdict contradicts or leaves open, and how likely each is malicious."""

    pool: ParquetPool
    rows: npt.NDArray[np.int64]
    malicious: npt.NDArray[np.float64]


def _fit(train: pa.Table, doubts: _Doubts, embedder: Embedder, seed: int) -> _Fitted:
    """N-grams on all lines, trees on those with sure labels, and a sigmoid that sees both on other sources."""
    y = train["label"].to_numpy()
    families = np.asarray(train["family"].to_pylist(), dtype=str)
    text = train["command_line"].combine_chunks()
    fold = folds_of(families, y, seed)
    line, _ = doubts.pool.lines(doubts.rows, random.Random(f"train pools {seed}"))
    # A source's doubtful lines go with the rest of the source; those of sources without sure lines go anywhere.
    of = dict(zip(families.tolist(), fold.tolist(), strict=True))
    sources = doubts.pool.table.families[doubts.rows].astype(str).tolist()
    doubted = Doubted(line.cast(pa.string()), doubts.malicious, np.array([of.get(s, 0) for s in sources], np.int64))
    grams = fit_with_doubted(text, y, doubted)
    featuriser = Featuriser(FeatureMaker().fit(train.to_batches()), embedder, grams=grams)
    matrix = featuriser.matrix_of(train)
    # The sigmoid must see how n-grams do on sources that they weren't fitted on.
    matrix[:, -1] = out_of_fold(text, y, fold, doubted)
    classifier = Classifier(
        max_iter=200, learning_rate=0.1, max_leaf_nodes=16, min_samples_leaf=40, l2_regularization=10.0,
        max_features=0.2, beside=1, folds=3, random_state=seed,
    )  # fmt: skip
    return _Fitted(classifier.fit(matrix, y, groups=families), featuriser)


def require_both_labels(pool: Pool, files: Sequence[str | Path]) -> None:
    """Nothing, where the pool that these files make has lines of both labels.

    Raises:
        TelemetryError: it has lines of one label only.
    """
    names = ", ".join(str(path) for path in files)
    for label, mask in (("malicious", pool.table.malicious), ("benign", ~pool.table.malicious)):
        if not mask.any():
            raise TelemetryError(
                f"no line is {label}, or none that says so without dual use",
                file=names,
                remedy=f"Give a pool with {label} lines beside it",
            )


def _lines(pool: Pool, rows: npt.NDArray[np.int64], seed: int) -> pa.Table:
    """TRAINING columns, `hard` and `family` (source, or template with its twins) of these rows, each line once."""
    line, _ = pool.lines(rows, random.Random(f"train pools {seed}"))
    table = pool.table
    platform = pa.array(table.platform[rows], pa.string())
    lines = pa.table(
        {
            "command_id": command_ids(platform, line),
            "platform": platform,
            "command_line": line,
            "label": pa.array(table.malicious[rows].astype(np.int8)),
            "weight": pa.array(np.ones(len(rows), np.float32)),
            "source": pa.array(table.source[rows], pa.string()),
            "group": pa.array(table.group_id[rows].astype(str), pa.string()),
            "hard": pa.array(table.hard[rows]),
            "family": pa.array(table.families[rows].astype(str), pa.string()),
        }
    )
    assert lines.select(TRAINING.names).schema.names == TRAINING.names
    return _first_of_each(lines)


def _first_of_each(lines: pa.Table) -> pa.Table:
    """Each line once, in order of its first appearance."""
    _, first = np.unique(np.asarray(lines["command_id"].to_pylist()), return_index=True)
    return lines.take(pa.array(np.sort(first)))


def _doubted(
    pool: ParquetPool, rows: npt.NDArray[np.int64], verdicts: str | Path | None
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """(which rows a recorded verdict calls the opposite of their label, or unsure; how likely they are malicious).

    The file's `p_malicious` (0 to 100) says how likely; without it a verdict counts fully and `unsure` as one half.
    """
    if verdicts is None:
        return np.zeros(len(rows), bool), np.zeros(len(rows))
    given = pq.read_table(verdicts).to_pydict()
    chance = {"malicious": 1.0, "benign": 0.0}
    shares = given.get("p_malicious", [None] * len(given["verdict"]))
    known = {
        key: (verdict, chance.get(verdict, 0.5) if p is None else p / 100)
        for key, verdict, p in zip(
            zip(given["platform"], given["process_command_line"], strict=True), given["verdict"], shares, strict=True
        )
    }
    keys = zip(pool.table.platform[rows], pool.original(rows).to_pylist(), strict=True)
    found = [known.get(key, ("", 0.0)) for key in keys]
    said = np.array([verdict for verdict, _ in found], object)
    wrong = (said != "") & (said != np.where(pool.table.malicious[rows], "malicious", "benign"))
    return np.asarray(wrong, bool), np.array([p for _, p in found], np.float64)


def _barred(pool: ParquetPool, rows: npt.NDArray[np.int64], pools: Sequence[str | Path]) -> npt.NDArray[np.bool_]:
    """Which of the rows come from a source whose licence is a GPL and nothing else."""
    gpl: set[str] = set()
    for path in pools:
        if {"source", "license"} <= set(pq.read_schema(path).names):
            table = pq.read_table(path, columns=["source", "license"])
            licence = pc.fill_null(table["license"], "")
            alone = pc.and_(pc.match_substring(licence, "GPL"), pc.invert(pc.match_substring(licence, " OR ")))
            gpl |= set(table.filter(alone)["source"].to_pylist())
    return np.isin(pool.table.source[rows].astype(str), sorted(gpl))


def _measure(test: pa.Table, scores: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Metrics against all benign lines of the held-out sources, and against the hard ones alone."""
    y = test["label"].to_numpy()
    groups = np.asarray(test["group"].to_pylist())
    hard = np.asarray(test["hard"].to_pylist()) | (y == 1)
    platforms = np.asarray(test["platform"].to_pylist())
    whole = evaluate(y, scores, groups=groups, platforms=platforms, n_bootstrap=300, roc=False)
    whole["hard"] = evaluate(y[hard], scores[hard], groups=groups[hard], n_bootstrap=300, roc=False)
    for part in (whole, whole["hard"]):
        # No figure that a handful of benign lines would decide; `unresolved` says why.
        part["tpr_at_fpr"] |= dict.fromkeys(part["unresolved"])
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    """The command line of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", nargs="+", required=True, metavar="FILE", help="labelled Parquet files")
    parser.add_argument("--out", required=True, metavar="DIR", help="model folder to write")
    parser.add_argument("--verdicts", metavar="FILE", help="recorded verdicts: doubtful lines train with both labels")
    parser.add_argument("--with-gpl", action="store_true", help="train on rows of GPL-licensed sources too")
    parser.add_argument(
        "--lexicon-lines", type=int, default=0, metavar="N", help="also train on N lines of each bundled template"
    )
    parser.add_argument(
        "--neighbours", action="store_true", help="also keep a line of each bundled template, for explanations to name"
    )
    parser.add_argument(
        "--everything", action="store_true", help="after the test, fit on all sources and export that model"
    )
    parser.add_argument("--name", default="pools", help="the model's name")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    try:
        metrics = train_pools(
            args.pool, args.out, verdicts=args.verdicts, leave_out_licences=not args.with_gpl, seed=args.seed,
            name=args.name, lexicon_lines=args.lexicon_lines, neighbours=args.neighbours, everything=args.everything,
        )  # fmt: skip
    except (CmdclfError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(metrics, indent=1, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
