"""Settings that all tests share."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings

SMALL_STUDY = """
[study]
name = "small"
bootstrap = 100

[data]
lake = "lake"
train_days = 3
test_days = 2
incident = "incident.parquet"

[full]
top_k = 30
n_estimators = 25

[reduced]
sample = 300
top_k = 15
n_clusters = 8

[labels]
judge = "truth"
truth = "lake.truth.parquet"
noise = 0.01
budget = 30

[model]
labelled = "labelled.parquet"
benign_min_events = 2
max_iter = 20
"""

# Deadlines fail on busy machines and say nothing about the code.
settings.register_profile("cmdclf", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cmdclf")


@pytest.fixture(scope="session")
def small_study(tmp_path_factory) -> Path:
    """The study.toml of a small replay of the bundled lexicon, judged by its truth; not run yet."""
    from cmdclf.lexicon.pools import LexiconPool
    from cmdclf.lexicon.replay import ReplaySettings, replay
    from cmdclf.lexicon.split import incident_test, labelled_pool, split_pool

    folder = tmp_path_factory.mktemp("study")
    pool = LexiconPool(repeats=4)
    settings = ReplaySettings(days=5, per_day=600, seed=3, head_templates=60, top=20, malicious_per_day=8, hosts=30)
    replay(pool, folder / "lake", settings)
    split = split_pool(pool, hold_out=settings.hold_out, labelled_share=settings.labelled_share, seed=settings.seed)
    pq.write_table(incident_test(pool, split, seed=3), folder / "incident.parquet")
    pq.write_table(labelled_pool(pool, split, seed=3), folder / "labelled.parquet")
    study = folder / "study.toml"
    study.write_text(SMALL_STUDY, encoding="utf-8")
    return study


@pytest.fixture(scope="session")
def finished_study(small_study) -> Path:
    """The folder of the small study after its run: store, arms, model, results.json, report.html."""
    from cmdclf.study import load_study, run_study

    out = small_study.parent / "out"
    run_study(load_study(small_study), out, progress=False)
    return out
