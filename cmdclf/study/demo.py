"""The demo: the bundled lexicon as a month of telemetry, and a study on it with the recorded ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lexicon.replay import ReplaySettings, replay, truth_path
from cmdclf.lexicon.split import incident_test, labelled_pool, split_pool
from cmdclf.resources import data_path
from cmdclf.study.config import load_study
from cmdclf.study.runner import run_study

__all__ = ["DEMO_REPLAY", "prepare_demo", "run_demo"]

#: The bundled month: small enough for a laptop's coffee break, large enough for intervals.
DEMO_REPLAY = ReplaySettings(
    days=52, per_day=2500, seed=7, hold_out=1 / 3, head_templates=600, share_top=0.6, top=50, tail_share=0.08,
    malicious_per_day=6, hosts=120, labelled_share=0.2,
)  # fmt: skip

#: Lines of each rare template, in the month and among the labelled attacks.
_REPEATS = 3

_STUDY = """\
# The demo's study, written by `cmdclf demo`. `cmdclf run` on this file does the same.
[study]
name = "cmdclf demo"
seeds = [0]

[data]
lake = "lake"
train_days = 31
test_days = 21
incident = "incident.parquet"

[full]
top_k = 60

[reduced]
sample = 1000
top_k = 30
n_clusters = 32

[labels]
judge = "recorded"
recorded = "ledger.parquet"
match = "masked"        # a recorded verdict also answers for lines that differ in volatile parts only
budget = 500

[model]
labelled = "labelled.parquet"
lexicon_lines = 0       # usually 1, but this month is made from the lexicon: the mined arm would know the answers
"""


def prepare_demo(out: str | Path, *, progress: bool = True) -> Path:
    """Write the demo's lake, tests, ledger and `study.toml` into `out`; returns the path of the study file.

    Nothing is written again when it is there already: the replay's files depend on seed and lexicon alone.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    # A few lines of each rare template: twelve of every labelled attack would drown the frequent benign lines.
    pool = LexiconPool(repeats=_REPEATS)
    replay(pool, folder / "lake", DEMO_REPLAY, overwrite=True, progress=progress)
    split = split_pool(
        pool, hold_out=DEMO_REPLAY.hold_out, rotation=DEMO_REPLAY.rotation,
        labelled_share=DEMO_REPLAY.labelled_share, seed=DEMO_REPLAY.seed,
    )  # fmt: skip
    test = incident_test(pool, split, seed=DEMO_REPLAY.seed)
    # Two short templates may give one and the same line.
    seen = pq.read_table(truth_path(folder / "lake"), columns=["command_line"])["command_line"].combine_chunks()
    pq.write_table(test.filter(pc.invert(pc.is_in(test["command_line"], value_set=seen))), folder / "incident.parquet")
    pq.write_table(labelled_pool(pool, split, seed=DEMO_REPLAY.seed), folder / "labelled.parquet")
    pq.write_table(pq.read_table(data_path("ledger", "demo.parquet")), folder / "ledger.parquet")
    study = folder / "study.toml"
    study.write_text(_STUDY, encoding="utf-8")
    return study


def run_demo(out: str | Path, *, progress: bool = True) -> dict[str, Any]:
    """Prepare the demo and run its study; returns the results, which also lie in `out`."""
    return run_study(load_study(prepare_demo(out, progress=progress)), out, progress=progress)
