from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    rows = [(f"tool{i} --n {1000 + i}", "benign", f"docs-{i % 6}") for i in range(400)]
    rows += [(f"bad{i} http://192.0.2.1/{i}", "malicious", f"attacks-{i % 6}") for i in range(60)]
    lines, labels, sources = zip(*rows, strict=True)
    path = tmp_path / "pool.parquet"
    platform = ["linux"] * len(rows)
    pq.write_table(pa.table({"command_line": lines, "platform": platform, "label": labels, "source": sources}), path)
    return path


def arguments(pool: Path, lake: Path, *more: str) -> list[str]:
    return ["replay", "--pool", str(pool), "--days", "2", "--per-day", "500", "--lake", str(lake), "--quiet", *more]


def test_replay_prints_its_counts_and_writes_the_files_asked_for(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    incident, labelled = tmp_path / "out" / "incident.parquet", tmp_path / "out" / "labelled.parquet"
    more = ["--incident", str(incident), "--labelled", str(labelled)]
    assert main(arguments(pool, tmp_path / "lake", *more)) == 0
    printed = capsys.readouterr().out
    assert "events: 1,000 on 2 days" in printed
    assert "distinct lines:" in printed
    assert "malicious events per day: 3 to 3, 6 in all" in printed
    held = set(pq.read_table(incident)["source"].to_pylist())
    truth = pq.read_table(tmp_path / "lake.truth.parquet")
    assert not held & set(truth["source"].to_pylist())
    assert set(pq.read_table(labelled)["label"].to_pylist()) == {"malicious"}
    assert not set(pq.read_table(labelled)["group_id"].to_pylist()) & set(truth["group_id"].to_pylist())


def test_a_second_replay_into_the_same_lake_needs_overwrite(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(pool, tmp_path / "lake")) == 0
    assert main(arguments(pool, tmp_path / "lake")) == 0
    assert main(arguments(pool, tmp_path / "lake", "--seed", "1")) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(arguments(pool, tmp_path / "lake", "--seed", "1", "--overwrite")) == 0


def test_a_missing_pool_is_one_sentence_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(tmp_path / "nowhere.parquet", tmp_path / "lake")) == 2
    error = capsys.readouterr().err
    assert "nowhere.parquet" in error
    assert "Traceback" not in error


def test_a_distinct_day_has_as_many_lines_as_events(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(pool, tmp_path / "lake", "--distinct", "--head-templates", "60")) == 0
    printed = capsys.readouterr().out
    assert "events: 1,000 on 2 days" in printed
    assert "distinct lines: 1,000 " in printed
    truth = pq.read_table(tmp_path / "lake.truth.parquet")
    assert len(set(truth["command_line"].to_pylist())) == 1000
    assert main(arguments(pool, tmp_path / "other", "--distinct", "--per-day", "50000000")) == 2
    assert "different lines, not 99,900,000" in capsys.readouterr().err
    assert not list(tmp_path.glob("other*"))


def test_a_missing_pool_and_a_period_beyond_the_calendar_are_named(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(tmp_path / "gone.parquet", tmp_path / "lake")) == 2
    assert "gone.parquet: there is no such file" in capsys.readouterr().err
    assert main(arguments(pool, tmp_path / "lake", "--start", "9999-12-30")) == 2
    assert "start = 9999-12-30 is impossible" in capsys.readouterr().err
    assert not (tmp_path / "lake").exists()
