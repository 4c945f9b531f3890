"""The promotion gate on files: tests read, scored with both models, compared, and shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._labelled_tests import known_sources, probabilities, read_test, warn, warn_of_known_sources
from cmdclf.errors import CmdclfError, TelemetryError

if TYPE_CHECKING:
    import pyarrow as pa

    from cmdclf.classify import GateTest, Margins, Scored, Scorer

__all__ = ["GateFile", "compared", "read_gate_tests", "shown"]

_OPTIONAL = ("source", "group_id", "group", "benign_group", "hard", "dual_use")
_TRUE = ("true", "1")


@dataclass(frozen=True)
class GateFile:
    """A test file, ready to be scored.

    Attributes:
        path: of the file.
        lines: command_line, platform, label and perhaps source.
        test: its rows as the gate takes them.
        dual_use: malicious rows that were left out since benign people run them, too.
    """

    path: Path
    lines: pa.Table
    test: GateTest
    dual_use: int


def read_gate_tests(incidents: Sequence[Path], time_split: Path | None) -> list[GateFile]:
    """The tests of a comparison, the time-split test last.

    Raises:
        TelemetryError: a file can't be read, lacks a column, or holds one class (a time split may be all benign).
        CmdclfError: a file is given twice.
    """
    paths = [*incidents, *([time_split] if time_split else [])]
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise CmdclfError("this test is given twice", file=path, remedy="Give each file once")
        seen.add(path.resolve())
    files = [path.name for path in paths]
    names = [path.name if files.count(path.name) == 1 else str(path) for path in paths]
    return [_read(path, name, path is time_split) for path, name in zip(paths, names, strict=True)]


def _read(path: Path, name: str, late: bool) -> GateFile:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from cmdclf.classify import GateTest
    from cmdclf.dedup.keys import masked_keys
    from cmdclf.lines import guess_platform
    from cmdclf.telemetry import clean_array

    table = read_test(path, also=_OPTIONAL)
    given = set(table.column_names)

    def is_true(column: str, values: Sequence[str] = _TRUE) -> pa.Array:
        if column not in given:
            return pa.repeat(pa.scalar(False), table.num_rows)
        return pc.is_in(table[column].combine_chunks(), value_set=pa.array(values))

    dual_use = pc.and_(is_true("dual_use"), is_true("label", ["malicious"]))
    table = table.filter(pc.invert(dual_use))
    text = clean_array(table["command_line"].combine_chunks())
    table = table.set_column(table.schema.get_field_index("command_line"), "command_line", text)
    platform = pc.coalesce(table["platform"].combine_chunks(), guess_platform(text))
    table = table.set_column(table.schema.get_field_index("platform"), "platform", platform)
    bad = np.asarray(is_true("label", ["malicious"]).to_numpy(zero_copy_only=False))
    for label, present in (("benign", not bad.all()), ("malicious", bad.any() or late)):
        if not present:
            raise TelemetryError(
                f"no row is {label}, so nothing can be compared",
                file=path,
                remedy=f"Give a file with {label} lines too",
            )
    named = [table[column].combine_chunks() for column in ("group_id", "group") if column in given]
    groups = pc.dictionary_encode(pc.coalesce(*named, masked_keys(table))).indices.to_numpy(zero_copy_only=False)
    hard = pc.or_(is_true("hard"), is_true("benign_group", ["hard"])).to_numpy(zero_copy_only=False)
    test = GateTest(
        name, bad.astype(np.int8), groups, platform.to_numpy(zero_copy_only=False), np.asarray(hard, bool) & ~bad, late
    )
    return GateFile(path, table, test, pc.sum(dual_use).as_py() or 0)


def compared(
    candidate: Scorer, current: Scorer, files: Sequence[GateFile], *, margins: Margins, bootstrap: int, seed: int
) -> dict[str, Any]:
    """What the gate found, JSON-able: models, tests, every comparison, warnings, verdict and reasons."""
    import numpy as np

    from cmdclf.classify import compare, refusals

    warnings = _warnings(candidate, current, files)
    comparisons = []
    for file in files:
        stands, comes = _scored(current, file, "current"), _scored(candidate, file, "candidate")
        comparisons += compare(file.test, stands, comes, margins=margins, n=bootstrap, seed=seed)
    reasons = refusals(comparisons, [file.test.name for file in files if not file.test.late])
    return {
        "candidate": candidate.model,
        "current": current.model,
        "verdict": "refused" if reasons else "acceptable",
        "reasons": reasons,
        "warnings": warnings,
        "margins": asdict(margins),
        "bootstrap": bootstrap,
        "seed": seed,
        "tests": [
            {
                "file": str(file.path),
                "name": file.test.name,
                "time_split": file.test.late,
                "benign": int((file.test.labels == 0).sum()),
                "malicious": int((file.test.labels == 1).sum()),
                "groups": len(np.unique(file.test.groups)),
                "dual_use_left_out": file.dual_use,
            }
            for file in files
        ],
        "comparisons": [
            asdict(c) | {"ci95": None if c.ci95 is None else list(c.ci95)} for c in comparisons
        ],
    }  # fmt: skip


def _scored(scorer: Scorer, file: GateFile, who: str) -> Scored:
    from cmdclf.classify import Scored

    scores = probabilities(scorer, file.lines, f"{who}, {file.test.name}").astype(float)
    narrow = scorer.manifest["thresholds"].get("0.001") is not None
    return Scored(scores, scorer.malicious_from, 0.001 if narrow else 0.01)


def _warnings(candidate: Scorer, current: Scorer, files: Sequence[GateFile]) -> list[str]:
    said = []
    if candidate.model == current.model:
        said.append("both models are the same")
        warn(candidate.model, said[0])
    for who, scorer in (("the candidate", candidate), ("the current model", current)):
        for file in files:
            found = [
                warn_of_known_sources(file.path, file.lines, known_sources(scorer.manifest), who),
                _known_lines(file, scorer, who),
            ]
            said += [f"{file.path}: {text}" for text in found if text]
    return said


def _known_lines(file: GateFile, scorer: Scorer, who: str) -> str | None:
    """Warn of lines that differ from the labelled lines of the model folder in numbers, names and the like only."""
    import pyarrow.compute as pc

    from cmdclf.lines import mask

    if scorer.neighbours is None:
        return None
    known = mask(scorer.neighbours.rows["command_line"].combine_chunks())
    text = mask(file.lines["command_line"].combine_chunks())
    count = pc.sum(pc.is_in(text, value_set=known)).as_py() or 0
    if not count:
        return None
    said = (
        f"{count:,} of {len(text):,} lines are lines that {who} was trained on, or differ from them only in numbers, "
        "names and the like, so its figures flatter it. Leave them out of the test"
    )
    warn(file.path, said)
    return said


def shown(result: dict[str, Any]) -> list[str]:
    """The comparisons as a table, then what has too few rows, then the reasons."""
    head = ("test", "rows", "measure", "benign", "malicious", "current", "candidate", "difference [95 %]", "verdict")
    rows: list[tuple[str, ...]] = [head]
    for c in result["comparisons"]:
        difference = "-" if c["difference"] is None else f"{c['difference']:+.4f}"
        if c["ci95"] is not None:
            difference += f" [{c['ci95'][0]:+.4f}, {c['ci95'][1]:+.4f}]"
        figures = ["-" if c[key] is None else f"{c[key]:.4f}" for key in ("current", "candidate")]
        counts = (f"{c['benign']:,}", f"{c['malicious']:,}")
        rows.append((c["test"], c["rows"], c["measure"], *counts, *figures, difference, c["verdict"]))
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    few = [c for c in result["comparisons"] if c["verdict"] == "too few rows"]
    lines += [f"{c['test']}, {c['rows']}, {c['measure']}: {c['why']}" for c in few]
    return [*lines, *(f"worse: {reason}" for reason in result["reasons"])]
