"""A small proof: a labelled pool of rendered templates, recorded verdicts on some of its lines, one month of it."""

from __future__ import annotations

import functools
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.classify.training import known_from
from cmdclf.lexicon.pools import LexiconPool, ParquetPool
from cmdclf.lexicon.split import every_template
from cmdclf.lexicon.template import Lexicon
from cmdclf.proof import ProofSettings, arms, runner
from cmdclf.proof import month as month_module
from cmdclf.proof.build import Builder
from cmdclf.proof.month import Month, prepare_month
from cmdclf.resources import data_path
from cmdclf.study.config import Model
from cmdclf.study.known import LEXICON

SOURCES = 14
MALICIOUS, BENIGN = 420, 700


def _part_of_lexicon(folder: Path, number: int) -> Lexicon:
    """Every twelfth file of the bundled lexicon, from that one on."""
    folder.mkdir()
    for file in sorted(data_path("lexicon").glob("*.toml"))[number::12]:
        shutil.copy(file, folder)
    return Lexicon.load(folder)


@pytest.fixture(scope="session", autouse=True)
def known(tmp_path_factory) -> Iterator[pa.Table]:
    """What arms that know the lexicon know here: templates that the pool isn't made of."""
    lexicon = _part_of_lexicon(tmp_path_factory.mktemp("known") / "templates", 5)
    rows = known_from(every_template(LexiconPool(lexicon, repeats=1)), source=LEXICON)
    rows = rows.take(np.arange(0, rows.num_rows, max(rows.num_rows // 500, 1)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(month_module, "lexicon_rows", lambda folder, lines: rows.slice(0, rows.num_rows * lines))
        yield rows


@pytest.fixture(scope="session")
def pool_file(tmp_path_factory) -> Path:
    """Rendered lines of 14 sources, each with both labels."""
    folder = tmp_path_factory.mktemp("pools")
    pool = LexiconPool(_part_of_lexicon(folder / "templates", 0), repeats=1)
    table = pool.table
    rng = np.random.default_rng(5)
    bad, good = (rng.permutation(np.flatnonzero(mask)) for mask in (table.malicious, ~table.malicious))
    rows = np.concatenate([bad[:MALICIOUS], good[:BENIGN]])
    lines, _ = pool.lines(rows, random.Random(5))
    columns = {
        "command_line": lines,
        "platform": pa.array(table.platform[rows], pa.string()),
        "label": pa.array(np.where(table.malicious[rows], "malicious", "benign").astype(object), pa.string()),
        "source": pa.array([f"source-{n % SOURCES:02d}" for n in range(len(rows))]),
        "hard": pa.array(table.hard[rows]),
    }
    pq.write_table(pa.table(columns), folder / "lines.parquet")
    return folder / "lines.parquet"


@pytest.fixture(scope="session")
def verdicts_file(pool_file) -> Path:
    """A judge's verdicts on every third line, one of ten of them wrong."""
    rows = pq.read_table(pool_file).to_pylist()[::3]
    right = [row["label"] for row in rows]
    said = [("benign" if v == "malicious" else "malicious") if n % 10 == 0 else v for n, v in enumerate(right)]
    file = pool_file.with_name("verdicts.parquet")
    columns = {"process_command_line": [r["command_line"] for r in rows], "platform": [r["platform"] for r in rows]}
    pq.write_table(pa.table(columns | {"verdict": said}), file)
    return file


@pytest.fixture(scope="session")
def small(pool_file, verdicts_file) -> ProofSettings:
    return ProofSettings(
        (pool_file,), (verdicts_file,), rotations=2, train_days=2, test_days=1, per_day=600, top_k=40, sample=150,
        reduced_top_k=15, budget=20, budgets=(10,), noises=(0.0,), shares=(), any_length=False, varied=0, bootstrap=20,
    )  # fmt: skip


_OURS = ("random, audited, lexicon", "mined, audited", arms.OWN)


def few_arms(s: ProofSettings, *, main_only: bool = False, detailed: bool = True) -> list[arms.Arm]:
    """Of each kind of arm one or two, so that every section of the document has its table."""
    usual = f"noise {s.noise:g}"
    plan = [arms.Arm("ab", way, s.budget, usual) for way in ("full", "combined", "random", "k-means", *_OURS)]
    plan += [arms.Arm("ab", way, 0, usual) for way in ("base", "all benign", "lexicon alone", "lexicon")]
    plan += [arms.Arm("rb", way, s.budget, usual) for way in ("combined", "random", *_OURS)]
    plan += [arms.Arm("rb", "base", 0, usual), arms.Arm("ab", "combined", 10, usual)]
    plan += [arms.Arm("ab", way, s.budget, usual, tokens=True) for way in ("random", arms.OWN)]
    plan += [arms.Arm("ab", "combined", s.budget, judge) for judge in ("noise 0", "hostile 0.01", "recorded")]
    return [*plan, arms.Arm("ab", "combined", s.budget, usual, days=1)]


@pytest.fixture
def few(monkeypatch):
    """Proofs of these arms alone."""
    with_few(monkeypatch)


def with_few(patch: pytest.MonkeyPatch) -> None:
    """These arms alone, and trees that are fitted in no time."""
    patch.setattr(runner, "plan_of", few_arms)
    patch.setattr(month_module, "Model", functools.partial(Model, max_iter=10))
    patch.setattr(runner, "shipped_plan", lambda s: [arms.Arm("ab", "base", 0, f"noise {s.noise:g}")])


@pytest.fixture(scope="session")
def proved(small, tmp_path_factory) -> Path:
    """The folder of a finished proof of few arms."""
    out = tmp_path_factory.mktemp("proof") / "out"
    with pytest.MonkeyPatch.context() as patch:
        with_few(patch)
        runner.prove(small, out, progress=False)
    return out


@pytest.fixture(scope="session")
def results(proved) -> dict[str, Any]:
    return json.loads((proved / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def month(small, proved) -> Iterator[Month]:
    """The first rotation of that proof."""
    pool = ParquetPool(small.pools, rewrap=True, seed=small.seed)
    made = prepare_month(small, pool, proved / "rotation-0", 0, small.usual, progress=False)
    yield made
    made.w.store.close()


@pytest.fixture(scope="session")
def builder(month) -> Builder:
    return Builder(month)
