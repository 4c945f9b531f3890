"""`cmdclf evaluate`: a model folder against labelled test files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._arguments import seed
from cmdclf.cli._labelled_tests import known_sources, probabilities, read_test, warn, warn_of_known_sources
from cmdclf.cli._messages import say

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.classify import Scorer

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE",
        help="Parquet with command_line, platform, label (benign or malicious; others are left out) and perhaps source",
    )  # fmt: skip
    parser.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="model folder (default: $CMDCLF_MODEL, else ./model, else the bundled)",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write all figures as JSON, with slices and ROC points"
    )
    parser.add_argument(
        "--bootstrap", type=int, default=1000, metavar="N", help="resamples of the intervals (default: %(default)s)"
    )
    parser.add_argument("--seed", type=seed, default=0, help="of the bootstrap (default: %(default)s)")
    parser.epilog = (
        "Each file is a test of its own. Intervals resample groups of lines that differ only in numbers, names and the "
        "like. Rows that resemble the model's training set are not removed here: a study does that and counts them."
    )


def run(args: argparse.Namespace) -> int:
    """Print one row per file; write all figures where asked for."""
    from cmdclf.classify import Scorer, default_model_dir
    from cmdclf.errors import CmdclfError

    if args.bootstrap < 1:
        raise CmdclfError(f"--bootstrap is {args.bootstrap}", remedy="Give a number of at least 1")
    tables = {str(path): read_test(path) for path in args.files}
    for path, table in tables.items():
        for label in sorted({"benign", "malicious"} - set(table["label"].to_pylist())):
            warn(path, f"no row is {label}, so nothing can be ranked. Give a file with {label} lines too")
    scorer = Scorer.load(args.model or default_model_dir())
    for path, table in tables.items():
        warn_of_known_sources(path, table, known_sources(scorer.manifest))
    tests = {path: _evaluated(scorer, table, args.bootstrap, args.seed) for path, table in tables.items()}
    for line in _table(tests):
        say(line)
    if args.json:
        content = {"model": scorer.model, "tests": tests}
        # Whole or not at all: a full disk must not leave half a result under the name of the last one.
        part = args.json.with_name(args.json.name + ".part")
        try:
            part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            part.replace(args.json)
        finally:
            part.unlink(missing_ok=True)
    return 0


def _evaluated(scorer: Scorer, table: pa.Table, n_bootstrap: int, seed: int) -> dict[str, Any]:
    import numpy as np
    import pyarrow.compute as pc

    from cmdclf.classify import evaluate
    from cmdclf.lines import mask
    from cmdclf.telemetry import clean_array

    groups = mask(clean_array(table["command_line"].combine_chunks())).to_pylist()
    y = np.asarray(pc.equal(table["label"], "malicious").to_numpy(), dtype=np.int8)
    return evaluate(
        y,
        probabilities(scorer, table, "evaluate"),
        sources=table["source"].to_pylist() if "source" in table.column_names else None,
        platforms=table["platform"].to_pylist(),
        groups=groups,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def _table(tests: dict[str, dict[str, Any]]) -> list[str]:
    head = ("test", "benign", "malicious", "AUC [95 %]", "TPR at FPR 1e-2", "TPR at FPR 1e-3", "FPR at TPR 0.9")
    rows: list[tuple[str, ...]] = [head]
    for name, test in tests.items():
        lo, hi = test["auc_ci95"]
        area = "-" if test["auc"] is None else f"{test['auc']:.4f} [{lo:.4f}, {hi:.4f}]"
        # A rate that a handful of benign lines would decide gets its reason below instead of a number.
        carried = [None if fpr in test["unresolved"] else test["tpr_at_fpr"][fpr] for fpr in ("0.01", "0.001")]
        rates = [*carried, test["fpr_at_tpr"]["0.9"]]
        shown = ["-" if r is None else f"{r:.4f}" for r in rates]
        rows.append((Path(name).name, f"{test['n_benign']:,}", f"{test['n_malicious']:,}", area, *shown))
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = {
        f"{Path(name).name}: TPR at FPR {fpr} {note}"
        for name, test in tests.items()
        for fpr, note in test["unresolved"].items()
    }
    return lines + sorted(notes)
