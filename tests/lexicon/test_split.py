from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest

from cmdclf.errors import CmdclfError
from cmdclf.lexicon.pools import LexiconPool, ParquetPool
from cmdclf.lexicon.split import incident_test, labelled_pool, split_pool


def test_both_labels_are_held_out_by_whole_sources(parquet_pool: ParquetPool) -> None:
    split = split_pool(parquet_pool, seed=3)
    table = parquet_pool.table
    assert sum(s.startswith("attacks") for s in split.held_out) == 2
    assert sum(s.startswith("docs") for s in split.held_out) == 7
    assert set(table.source[split.test]) == split.held_out
    replayed = np.concatenate([split.benign, split.incidents, split.labelled])
    assert not set(table.source[replayed]) & split.held_out
    assert len(replayed) + len(split.test) == len(table)


def test_three_rotations_hold_out_every_source_once(parquet_pool: ParquetPool) -> None:
    held = [split_pool(parquet_pool, seed=1, rotation=r).held_out for r in range(3)]
    assert sum(len(h) for h in held) == len(set().union(*held)) == 27


def test_no_group_is_both_labelled_and_replayed(parquet_pool: ParquetPool) -> None:
    split = split_pool(parquet_pool, labelled_share=0.4)
    groups = parquet_pool.table.group_id
    labelled, replayed = set(groups[split.labelled]), set(groups[split.incidents])
    assert not labelled & replayed
    assert len(labelled) == round(0.4 * len(labelled | replayed))


def test_the_split_depends_on_the_seed_only(parquet_pool: ParquetPool) -> None:
    assert split_pool(parquet_pool, seed=5).held_out == split_pool(parquet_pool, seed=5).held_out
    assert len({split_pool(parquet_pool, seed=s).held_out for s in range(5)}) > 1


def test_a_pool_with_too_few_sources_is_refused(parquet_pool: ParquetPool) -> None:
    with pytest.raises(CmdclfError, match="no share"):
        split_pool(parquet_pool, hold_out=1.0)
    calm = np.flatnonzero(~parquet_pool.table.malicious)
    parquet_pool.table.malicious[calm] = True
    with pytest.raises(CmdclfError, match="too few sources with benign lines"):
        split_pool(parquet_pool)


def test_the_incident_test_has_held_out_lines_of_each_group_only(parquet_pool: ParquetPool) -> None:
    split = split_pool(parquet_pool)
    table = incident_test(parquet_pool, split, malicious=40, hard=30, complex_=20, simple=25)
    assert set(table["source"].to_pylist()) <= split.held_out
    groups = table["benign_group"].to_pylist()
    assert [groups.count(g) for g in (None, "hard", "complex", "simple")] == [40, 30, 20, 25]
    for row in table.to_pylist():
        assert (row["label"] == "malicious") == (row["benign_group"] is None)
        assert row["hard"] == (row["benign_group"] == "hard")
        if row["benign_group"] == "complex":
            assert len(row["command_line"]) >= 150
        if row["benign_group"] == "simple":
            assert len(row["command_line"]) <= 80


def test_the_labelled_pool_has_distinct_malicious_lines(lexicon_pool: LexiconPool) -> None:
    split = split_pool(lexicon_pool, seed=2)
    table = labelled_pool(lexicon_pool, split, seed=2)
    assert set(table["label"].to_pylist()) == {"malicious"}
    assert set(table["group_id"].to_pylist()) == set(lexicon_pool.table.group_id[split.labelled])
    assert pc.count_distinct(table["command_line"]).as_py() == len(table) == 6 * len(split.labelled)


def test_a_lexicon_holds_out_templates_with_their_twins() -> None:
    pool = LexiconPool()
    split = split_pool(pool, labelled_share=0.3)
    table, templates = pool.table, {t.id: t for t in pool.lexicon}
    tested = set(table.group_id[split.test])
    replayed = set(table.group_id[np.concatenate([split.benign, split.incidents, split.labelled])])
    assert not tested & replayed
    assert all(templates[i].twin in tested for i in tested if templates[i].twin)
    assert 0.25 < len(tested) / len(table) < 0.42
    # Every topic has its share: the test is about other lines, not about other subjects.
    topics = set(table.source[split.test])
    assert len(topics & set(table.source[split.benign])) > 0.5 * len(topics)
