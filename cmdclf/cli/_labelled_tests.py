"""Labelled test files as `evaluate` and `promote` read them, what they warn about, and their scores."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._messages import say
from cmdclf.errors import TelemetryError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from cmdclf.classify import Scorer

__all__ = ["known_sources", "probabilities", "read_test", "warn", "warn_of_known_sources"]

_NEEDED = ("command_line", "platform", "label")


def warn(path: str | Path, text: str) -> None:
    """A warning about a file, on standard error."""
    say(f"{path}: {text}", file=sys.stderr)


def read_test(path: Path, *, also: Sequence[str] = ("source",)) -> pa.Table:
    """The rows of a test file that are benign or malicious and have a command line; all columns as text.

    Labels may be numbers, too, as in a study's own tests: 1 is malicious, 0 benign. Lines with both labels are left
    out. What is left out is warned about.

    Args:
        path: of the Parquet file.
        also: columns that are read where the file has them, beside command_line, platform and label.

    Raises:
        TelemetryError: the file is missing, unreadable, lacks a column, or has no row of a known label.
    """
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
        table = pq.read_table(path, columns=[*_NEEDED, *(name for name in also if name in names)])
        if pa.types.is_integer(table.schema.field("label").type):
            named = pc.if_else(pc.equal(table["label"], 1), "malicious", "benign")
            known = pc.is_in(table["label"], value_set=pa.array([0, 1], table["label"].type))
            named = pc.if_else(known, named, table["label"].cast(pa.string()))
            table = table.set_column(table.schema.get_field_index("label"), "label", named)
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
        warn(path, f"rows left out whose label is neither benign nor malicious: {named}")
    return _without_contradictions(path, table)


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
    warn(
        path,
        f"{both.num_rows:,} lines carry both labels, their {pc.sum(wrong).as_py():,} rows are left out "
        f"(the first one: {both['command_line'][0].as_py()[:80]}). Give each line one label",
    )
    table = table.filter(pc.invert(wrong))
    if table.num_rows == 0:
        raise TelemetryError("every line carries both labels", file=path, remedy="Give each line one label")
    return table


def known_sources(manifest: Mapping[str, Any]) -> set[str]:
    """The sources that a model was trained on, as its manifest tells; a study's carry `labelled:` before the name."""
    sources = manifest.get("provenance", {}).get("sources", ())
    return {str(source).removeprefix("labelled:") for source in sources}


def warn_of_known_sources(
    path: str | Path, table: pa.Table, trained_on: Collection[str], model: str = "the model"
) -> str | None:
    """Warn where the test holds sources that the model was trained on; returns the warning."""
    if "source" not in table.column_names:
        return None
    shared = sorted(set(table["source"].to_pylist()) & set(trained_on))
    if not shared:
        return None
    more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
    text = (
        f"{model} was trained on lines of source {', '.join(shared[:3])}{more} too, so its figures flatter it. "
        "Leave these rows out of the test"
    )
    warn(path, text)
    return text


def probabilities(scorer: Scorer, table: pa.Table, label: str) -> npt.NDArray[np.float32]:
    """(n,) float32 score of each row, command lines by the text rule; `label` names the progress."""
    import numpy as np

    from cmdclf.progress import Progress
    from cmdclf.telemetry import clean_array

    parts = []
    with Progress(label, table.num_rows, unit="lines") as progress:
        for batch in table.select(["command_line", "platform"]).combine_chunks().to_batches(max_chunksize=8192):
            parts.append(scorer.probabilities(batch.set_column(0, "command_line", clean_array(batch.column(0)))))
            progress.update(batch.num_rows)
    return np.concatenate(parts)
