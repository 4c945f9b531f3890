from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.errors import TelemetryError
from cmdclf.lexicon.pools import LexiconPool, ParquetPool
from cmdclf.lexicon.wrappers import peel

from .conftest import write_pool


def test_rows_without_a_clear_label_are_dropped_and_counted(parquet_pool: ParquetPool) -> None:
    assert parquet_pool.dropped == {
        "label unknown": 1,
        "malicious of dual use": 1,
        "line with both labels": 2,
        "repeated line": 1,
    }
    assert len(parquet_pool.table) == 2280
    assert parquet_pool.table.malicious.sum() == 180


def test_the_recorded_line_is_used_where_there_is_one(parquet_pool: ParquetPool) -> None:
    lines, _ = parquet_pool.lines(np.array([0]), random.Random(0))
    assert lines[0].as_py().startswith("powershell.exe -NoProfile -Command Get-Thing0x")


def test_sources_can_be_kept_or_left_out(tmp_path: Path) -> None:
    path = write_pool(tmp_path / "pool.parquet")
    kept = ParquetPool([path], keep=["docs-1", "attacks-2"])
    assert set(kept.table.source) == {"docs-1", "attacks-2"}
    rest = ParquetPool([path], leave_out=["docs-1", "attacks-2"])
    assert len(rest.table) == 2280 - len(kept.table)


def test_rewrapping_keeps_the_text_and_draws_one_pool_for_both_labels(tmp_path: Path) -> None:
    path = write_pool(tmp_path / "pool.parquet")
    pool = ParquetPool([path], rewrap=True)
    rows = np.flatnonzero(pool.table.platform == "windows")
    lines, _ = pool.lines(rows, random.Random(0))
    heads: dict[bool, set[str]] = {True: set(), False: set()}
    for row, line in zip(rows, lines.to_pylist(), strict=True):
        peeled = peel(line)
        assert peeled is not None
        assert peeled[1].startswith(("Get-Thing", "Invoke-Bad"))
        if " -EncodedCommand " not in line:
            heads[bool(pool.table.malicious[row])].add(line.split("Get-Thing")[0].split("Invoke-Bad")[0])
    assert heads[True] <= heads[False]
    assert len(heads[True]) > 5


def test_the_recorded_line_stays_known_after_rewrapping(tmp_path: Path) -> None:
    path = write_pool(tmp_path / "pool.parquet")
    plain, rewrapped = ParquetPool([path]), ParquetPool([path], rewrap=True)
    rows = np.arange(len(plain.table))
    assert plain.original(rows).equals(plain.lines(rows, random.Random(0))[0])
    assert rewrapped.original(rows).equals(plain.original(rows))
    assert not rewrapped.lines(rows, random.Random(0))[0].equals(rewrapped.original(rows))


def test_a_drawn_line_is_the_template_with_other_parameters(parquet_pool: ParquetPool) -> None:
    rng = random.Random(0)
    lines, parents = parquet_pool.draws(np.zeros(10, np.int64), rng)
    drawn = set(lines.to_pylist())
    assert parents.null_count == 10
    assert len(drawn) == 10
    assert all(line.startswith("powershell.exe -NoProfile -Command Get-Thing0x --id ") for line in drawn)


def test_a_lexicon_pool_knows_weights_and_renders(lexicon_pool: LexiconPool) -> None:
    assert (lexicon_pool.table.weight > 0).sum() == 40
    lines, parents = lexicon_pool.lines(np.arange(5), random.Random(0))
    assert len(lines) == len(parents) == 5


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"command_line": ["x"], "platform": ["linux"]}, "column label is missing"),
        ({"command_line": ["x", "y"], "platform": ["linux"] * 2, "label": ["benign", "good"]}, "row 2: label 'good'"),
    ],
)
def test_a_faulty_pool_is_refused_with_file_and_remedy(
    tmp_path: Path, columns: dict[str, list[str]], said: str
) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(TelemetryError) as caught:
        ParquetPool([path])
    assert said in str(caught.value)
    assert "p.parquet" in str(caught.value)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    path.write_text("not parquet")
    with pytest.raises(TelemetryError, match="no Parquet file"):
        ParquetPool([path])


def test_lines_that_a_lake_cannot_hold_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    lines = ["ok", "a\0b", "  ", "x" * 1_100_000]
    pq.write_table(pa.table({"command_line": lines, "platform": ["linux"] * 4, "label": ["benign"] * 4}), path)
    pool = ParquetPool([path])
    assert len(pool.table) == 1
    assert pool.dropped == {"empty, NUL or over 1 MiB": 3}
    assert pool.table.source[0] == "p"


def test_a_pool_of_no_rows_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    empty = pa.array([], pa.string())
    pq.write_table(pa.table({"command_line": empty, "platform": empty, "label": empty}), path)
    assert len(ParquetPool([path]).table) == 0
