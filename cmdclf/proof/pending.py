"""The lines that arms of a month asked about and that no recorded verdict answers, as batch files."""

from __future__ import annotations

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

__all__ = ["write_pending"]


def write_pending(month: Month, builder: Builder, out: Path, own: str, *, model: str = "MODEL") -> int:
    """Write `lines.parquet` and batch files of what the arms `combined` and `own` ask in vain; returns how many lines.

    The batch names the model `MODEL`: `cmdclf label export-batch --lines lines.parquet --model NAME` writes it for
    another one. Secrets are redacted there; the Parquet file has the lines as they are.
    """
    waiting: list[str] = []
    for way in ("combined", own):
        built = builder.build(Arm("ab", way, month.settings.budget, "recorded"))
        answers = builder.judge_of(built.arm).judge(built.chosen)
        waiting += [i for i, said in zip(built.chosen, answers, strict=True) if said == "pending"]
    ids = pa.array(sorted(set(waiting)), pa.string())
    lines = month.lines.filter(pc.is_in(month.lines["command_id"], value_set=ids)).sort_by("command_id")
    out.mkdir(parents=True, exist_ok=True)
    pq.write_table(lines, out / "lines.parquet")
    if lines.num_rows:
        write_batch(requests_for(lines), out / "batch", Prompt(), model)
    return int(lines.num_rows)
