"""The tests: expert-labelled incidents and the days right after the training period, cleaned of what training saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.classify import auc, bootstrap_auc, evaluate
from cmdclf.dedup import TWIN_COSINE, remove_near
from cmdclf.dedup.keys import masked_keys
from cmdclf.errors import StudyError
from cmdclf.study.config import Baseline
from cmdclf.study.labelled import read_labelled
from cmdclf.study.workplace import Workplace
from cmdclf.telemetry import command_ids

__all__ = ["Test", "decontaminate", "incident_tests", "measure", "time_split_test"]


@dataclass(frozen=True, slots=True)
class Test:
    """One test set.

    Attributes:
        name: `incident` for the first file, its stem for others, `time_split`.
        lines: command_id, platform, command_line, label (int8, 1 = malicious), source, group (null where the test
            doesn't say), benign_group (hard, complex, simple; null for malicious lines and where it doesn't say).
        rows: how many lines it had before near-duplicates of the training sets were removed.
        removed: of these, by level: exact, masked, cosine.
    """

    name: str
    lines: pa.Table
    rows: int = 0
    removed: dict[str, int] = field(default_factory=dict)

    @property
    def labels(self) -> npt.NDArray[np.int8]:
        """(n,) 1 = malicious."""
        return np.asarray(self.lines["label"].combine_chunks().to_numpy(zero_copy_only=False))


def incident_tests(files: Sequence[Path]) -> list[Test]:
    """The expert-labelled tests of a study.

    Raises:
        StudyError: a file can't be read, lacks a column, lacks one of the two labels, or has the name of another test.
    """
    names = ["incident", "time_split"]
    for file in files[1:]:
        if file.stem in names:
            raise StudyError(
                f"two tests would be called '{file.stem}'", file=file, remedy="Give the file a name of its own"
            )
        names.append(file.stem)
    return [_incident(file, "incident" if number == 0 else file.stem) for number, file in enumerate(files)]


def _incident(file: Path, name: str) -> Test:
    table = read_labelled(file)
    if "dual_use" in table.column_names:
        table = table.filter(
            pc.invert(pc.and_(pc.equal(table["label"], "malicious"), pc.fill_null(table["dual_use"], False)))
        )
    label = pc.equal(table["label"], "malicious").cast(pa.int8())
    malicious = pc.sum(label.cast(pa.int64())).as_py() or 0
    if not 0 < malicious < table.num_rows:
        raise StudyError(
            f"a test needs both labels, this one has {malicious} malicious of {table.num_rows} labelled lines",
            file=file,
            remedy="Give a file whose column 'label' holds both 'benign' and 'malicious'",
        )
    platform, line = table["platform"].combine_chunks(), table["command_line"].combine_chunks()
    given = set(table.column_names)
    lines = pa.table(
        {
            "command_id": command_ids(platform, line),
            "platform": platform,
            "command_line": line,
            "label": label,
            "group": table["group_id"] if "group_id" in given else pa.nulls(table.num_rows, pa.string()),
            "source": table["source"] if "source" in given else pa.array([file.stem] * table.num_rows),
            "benign_group": table["benign_group"] if "benign_group" in given else pa.nulls(table.num_rows, pa.string()),
        }
    )
    return Test(name, lines, lines.num_rows)


def time_split_test(baseline: Baseline, labelled: pa.Table) -> Test:
    """The days after training, labelled by the baseline itself, as published: it shows drift, not quality.

    Args:
        baseline: whose labels these are.
        labelled: TRAINING rows made from the test days by the same function as the training set.
    """
    keep = ["command_id", "platform", "command_line", "label", "source"]
    nothing = pa.nulls(labelled.num_rows, pa.string())
    lines = labelled.select(keep).append_column("group", nothing).append_column("benign_group", nothing)
    return Test("time_split", lines, lines.num_rows)


def decontaminate(w: Workplace, test: Test, train: pa.Table) -> Test:
    """The test without the lines that equal a training line exactly, masked, or within the cosine threshold.

    Args:
        w: gives embedder and threshold.
        test: the test.
        train: command_id, platform, command_line of everything that any arm trained on: all arms of a baseline are
            judged on the same lines.
    """
    threshold = max(TWIN_COSINE, w.threshold_cosine)
    keep, counts = remove_near(test.lines, w.embed(test.lines), train, w.embed(train), threshold)
    return replace(test, lines=test.lines.filter(pa.array(keep)), removed=dict(counts))


def measure(test: Test, scores: npt.NDArray[np.floating], *, n_bootstrap: int, seed: int = 0) -> dict[str, Any]:
    """`evaluate` of one arm on one test, with the removed near-duplicates and each benign group apart.

    Intervals resample groups, not lines: the test's own (one script or template), or lines with the same masked text.
    """
    y = test.labels
    if not 0 < int(y.sum()) < len(y):
        return {
            "n_benign": int((y == 0).sum()),
            "n_malicious": int(y.sum()),
            "auc": None,
            "rows": test.rows,
            "removed": test.removed,
            "note": "one class is left after near-duplicates of the training sets were removed",
        }
    groups = test_groups(test.lines)
    sources = test.lines["source"].combine_chunks().to_numpy(zero_copy_only=False)
    platforms = test.lines["platform"].combine_chunks().to_numpy(zero_copy_only=False)
    result = evaluate(
        y, scores, sources=sources, platforms=platforms, groups=groups, n_bootstrap=n_bootstrap, seed=seed
    )
    result |= {"rows": test.rows, "removed": test.removed}
    kinds = test.lines["benign_group"].to_pylist()
    by_group: dict[str, Any] = {}
    for kind in sorted({k for k in kinds if k is not None}):
        rows = np.array([k == kind for k in kinds]) | (y == 1)
        if y[rows].all():
            continue
        lo, hi = bootstrap_auc(y[rows], scores[rows], n_bootstrap, seed, groups[rows])
        by_group[kind] = {
            "n_benign": int((y[rows] == 0).sum()),
            "auc": round(auc(y[rows], scores[rows]), 6),
            "auc_ci95": [round(lo, 6), round(hi, 6)],
        }
    if by_group:
        result["by_benign_group"] = by_group
    return result


def test_groups(lines: pa.Table) -> npt.NDArray[np.int32]:
    """(n,) number of each test line's group, for resampling."""
    named = pc.coalesce(lines["group"].combine_chunks().cast(pa.string()), masked_keys(lines))
    return np.asarray(pc.dictionary_encode(named).indices.to_numpy(zero_copy_only=False))


def training_union(tables: Sequence[pa.Table]) -> pa.Table:
    """command_id, platform, command_line of all these training sets, each line once."""
    keep = ["command_id", "platform", "command_line"]
    union = pa.concat_tables([t.select(keep) for t in tables])
    seen = pc.dictionary_encode(union["command_id"].combine_chunks()).indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(seen, return_index=True)
    return union.take(pa.array(np.sort(first)))


def remembered(
    make: Callable[[pa.RecordBatch], npt.NDArray[np.float32]],
) -> Callable[[pa.Table], npt.NDArray[np.float32]]:
    """`make` for tables, with each line's row computed once: arms share most of their lines."""
    place: dict[str, int] = {}
    blocks: list[npt.NDArray[np.float32]] = []

    def matrix(lines: pa.Table) -> npt.NDArray[np.float32]:
        ids = lines["command_id"].to_pylist()
        new = {i: row for row, i in enumerate(ids) if i not in place}
        if new:
            fresh = lines.select(["command_id", "platform", "command_line"]).take(pa.array(list(new.values())))
            rows = make(fresh)
            for i in new:
                place[i] = len(place)
            blocks.append(rows)
        if len(blocks) > 1:
            blocks[:] = [np.concatenate(blocks)]
        return blocks[0][[place[i] for i in ids]] if blocks else np.empty((0, 0), np.float32)

    return matrix
