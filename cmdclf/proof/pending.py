"""The lines that arms of a month asked about and that no recorded verdict answers, as batch files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.labels.batch_export import write_batch
from cmdclf.labels.prompt import Prompt
from cmdclf.labels.requests import requests_for
from cmdclf.proof.arms import Arm
from cmdclf.proof.build import Builder
from cmdclf.proof.month import Month
from cmdclf.telemetry import command_ids

__all__ = ["write_pending"]


def write_pending(month: Month, builder: Builder, out: Path, ways: Sequence[str], *, model: str = "MODEL") -> int:
    """Write `lines.parquet` and batch files of what these ways ask in vain; returns how many lines.

    The lines are the pool's own, as the month draws their numbers and names anew: answers by their `command_id`, or by
    `process_command_line` and `platform`, are verdicts for the next run. What lay there goes.

    The batch names the model `MODEL`: `cmdclf label export-batch --lines lines.parquet --model NAME` writes it for
    another one. Secrets are redacted there; the Parquet file has the lines as they are.
    """
    waiting: set[str] = set()
    for way in ways:
        built = builder.build(Arm("ab", way, month.settings.budget, "recorded"))
        answers = builder.judge_of(built.arm).judge(built.chosen)
        waiting |= {i for i, said in zip(built.chosen, answers, strict=True) if said == "pending"}
    rows = month.truth.filter(pc.is_in(month.truth["command_id"], value_set=pa.array(sorted(waiting), pa.string())))
    platform, line = (rows[c].combine_chunks() for c in ("platform", "original_command_line"))
    lines = pa.table(
        {
            "command_id": command_ids(platform, line), "platform": platform, "command_line": line,
            "process_command_line": line,
        }
    ).group_by(["command_id", "platform", "command_line", "process_command_line"]).aggregate([])  # fmt: skip
    lines = lines.sort_by("command_id")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    pq.write_table(lines, out / "lines.parquet")
    if lines.num_rows:
        write_batch(requests_for(lines), out / "batch", Prompt(), model)
    return int(lines.num_rows)
