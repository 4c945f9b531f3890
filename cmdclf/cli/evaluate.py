"""`cmdclf evaluate`: a model folder against labelled test files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._arguments import seed
from cmdclf.cli._messages import say
from cmdclf.errors import TelemetryError

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.classify import Scorer

__all__ = ["add_arguments", "run"]

_NEEDED = ("command_line", "platform", "label")


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
    tables = {str(path): _labelled(path) for path in args.files}
    scorer = Scorer.load(args.model or default_model_dir())
    for path, table in tables.items():
        _warn_of_known_sources(path, table, scorer.manifest.get("provenance", {}).get("sources", ()))
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


def _labelled(path: Path) -> pa.Table:
    """The rows of a test file that are benign or malicious and have a command line."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    remedy = "Give a Parquet file with the columns command_line, platform and label"
    if not path.is_file():
        raise TelemetryError("there is no such file", file=path, remedy="Check the path")
    try:
        names = pq.read_schema(path).names
        missing = [name for name in _NEEDED if name not in names]
        if missing:
            raise TelemetryError(f"it has no column {' and no column '.join(missing)}", file=path, remedy=remedy)
        table = pq.read_table(path, columns=[*_NEEDED, *(["source"] if "source" in names else [])])
        table = table.cast(pa.schema([pa.field(name, pa.string()) for name in table.column_names]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TelemetryError(
            f"it can't be read as labelled Parquet ({str(error)[:200]})", file=path, remedy=remedy
        ) from None
    known = pc.is_in(table["label"], value_set=pa.array(["benign", "malicious"]))
    others = pc.value_counts(table.filter(pc.invert(known))["label"]).to_pylist()
    table = table.filter(pc.and_(known, pc.is_valid(table["command_line"])))
    if table.num_rows == 0:
        raise TelemetryError("no row is labelled benign or malicious", file=path, remedy="Check its column label")
    if others:
        named = ", ".join(f"{str(o['values'])[:40]} {o['counts']:,}" for o in others[:5])
        _warn(path, f"rows left out whose label is neither benign nor malicious: {named}")
    table = _without_contradictions(path, table)
    present = set(pc.unique(table["label"]).to_pylist())
    for label in sorted({"benign", "malicious"} - present):
        _warn(path, f"no row is {label}, so nothing can be ranked. Give a file with {label} lines too")
    return table


def _without_contradictions(path: Path, table: pa.Table) -> pa.Table:
    """The rows of lines that have one label."""
    import pyarrow as pa
    import pyarrow.compute as pc

    keys = ["command_line", "platform"]
    labels = table.group_by(keys, use_threads=False).aggregate([("label", "count_distinct")])
    both = labels.filter(pc.greater(labels["label_count_distinct"], 1))
    if both.num_rows == 0:
        return table
    # A join would drop rows without a platform: nulls match nothing there.
    named = set(zip(both["command_line"].to_pylist(), both["platform"].to_pylist(), strict=True))
    rows = zip(table["command_line"].to_pylist(), table["platform"].to_pylist(), strict=True)
    wrong = pa.array([row in named for row in rows], pa.bool_())
    _warn(
        path,
        f"{both.num_rows:,} lines carry both labels, their {pc.sum(wrong).as_py():,} rows are left out "
        f"(the first one: {both['command_line'][0].as_py()[:80]}). Give each line one label",
    )
    table = table.filter(pc.invert(wrong))
    if table.num_rows == 0:
        raise TelemetryError("every line carries both labels", file=path, remedy="Give each line one label")
    return table


def _warn_of_known_sources(path: str, table: pa.Table, trained_on: Collection[str]) -> None:
    if "source" not in table.column_names:
        return
    shared = sorted(set(table["source"].to_pylist()) & set(trained_on))
    if shared:
        more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
        _warn(
            path,
            f"the model was trained on lines of source {', '.join(shared[:3])}{more} too, so its figures flatter it. "
            "Leave these rows out of the test",
        )


def _warn(path: str | Path, text: str) -> None:
    say(f"{path}: {text}", file=sys.stderr)


def _evaluated(scorer: Scorer, table: pa.Table, n_bootstrap: int, seed: int) -> dict[str, Any]:
    import numpy as np
    import pyarrow.compute as pc

    from cmdclf.classify import evaluate
    from cmdclf.lines import mask
    from cmdclf.progress import Progress
    from cmdclf.telemetry import clean_array

    parts, groups = [], []
    with Progress("evaluate", table.num_rows, unit="lines") as progress:
        for batch in table.combine_chunks().to_batches(max_chunksize=8192):
            at = batch.schema.get_field_index("command_line")
            batch = batch.set_column(at, "command_line", clean_array(batch.column(at)))
            parts.append(scorer.probabilities(batch))
            groups += mask(batch.column(at)).to_pylist()
            progress.update(batch.num_rows)
    y = np.asarray(pc.equal(table["label"], "malicious").to_numpy(), dtype=np.int8)
    return evaluate(
        y,
        np.concatenate(parts),
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
