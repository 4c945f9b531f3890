from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main
from cmdclf.telemetry import PROCESS_EVENT, Lake, command_id

STRANGE = "powershell.exe -nop -w hidden -enc " + "SQBFAFgAIAAoAE4AZQB3AC0ATwBiAGoAZQBjAHQA" * 12


def _lake(root, days) -> Lake:
    lake = Lake(root)
    for day, lines in days.items():
        rows = [
            {
                "event_time": datetime(day.year, day.month, day.day, 9, i % 60, tzinfo=UTC),
                "platform": "windows",
                "command_line": line,
                "source_format": "test",
                "quoting": "native",
                "count": 1,
            }
            for i, line in enumerate(lines)
        ]
        lake.write(pa.Table.from_pylist(rows, schema=PROCESS_EVENT).to_batches(), name=f"part-{day}")
    return lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    # Of several kinds: in a day of one kind the strange line would be a principal component of its own.
    kinds = (
        "svchost.exe -k {}",
        "ping {}.example.com",
        "notepad.exe C:\\docs\\{}.txt",
        "net use \\\\srv\\{}",
        "git fetch {}",
    )
    words = ("alpha", "beta", "gamma", "delta", "print", "backup", "report", "update", "north", "south", "east", "west")
    ordinary = [kind.format(f"{a}{b}") for kind in kinds for a in words for b in words[:5]]
    days = {date(2026, 3, 1): ordinary[:50], date(2026, 3, 2): [*ordinary, STRANGE]}
    return _lake(tmp_path_factory.mktemp("lake"), days).root


@pytest.mark.parametrize(("scale", "detectors"), [("full", 1), ("reduced", 2)])
def test_the_last_days_candidates_come_with_score_and_rank_per_detector(lake, tmp_path, capsys, scale, detectors):
    out = tmp_path / "found.parquet"
    assert main(["anomalies", "--lake", str(lake), "--scale", scale, "--top", "5", "--out", str(out)]) == 0
    table = pq.read_table(out)
    assert table.column_names == ["command_line", "platform", "detector", "score", "rank", "command_id", "day"]
    assert table.num_rows == 5 * detectors
    assert table.column("rank").to_pylist() == [1, 2, 3, 4, 5] * detectors
    assert set(table.column("day").to_pylist()) == {date(2026, 3, 2)}
    for name in table.column("detector").unique().to_pylist():
        rows = table.filter(pc.equal(table.column("detector"), name)).to_pylist()
        assert rows[0]["command_line"] == STRANGE
        assert rows[0]["command_id"] == command_id("windows", STRANGE)
        assert [r["score"] for r in rows] == sorted((r["score"] for r in rows), reverse=True)
    assert "301 events, 301 distinct lines, 301 scored" in capsys.readouterr().out


def test_the_same_lake_and_seed_give_the_same_file(lake, tmp_path):
    written = []
    for name in ("a.parquet", "b.parquet"):
        arguments = ["--scale", "reduced", "--sample", "100", "--seed", "3", "--out", str(tmp_path / name)]
        assert main(["anomalies", "--lake", str(lake), *arguments]) == 0
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_a_day_that_is_missing_is_an_error_that_names_the_days_there_are(lake, tmp_path, capsys):
    out = tmp_path / "found.parquet"
    assert main(["anomalies", "--lake", str(lake), "--day", "2026-04-01", "--out", str(out)]) == 2
    assert "the lake has no day 2026-04-01. It has 2: 2026-03-01, 2026-03-02" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_wrong_days_numbers_and_lakes_are_explained(lake, tmp_path, capsys):
    out = str(tmp_path / "found.parquet")
    for arguments, words in (
        (["--lake", str(lake), "--day", "yesterday"], "Write it as YYYY-MM-DD"),
        (["--lake", str(lake), "--top", "0"], "--top is 0"),
        (["--lake", str(tmp_path / "nix")], "there are no days of process events here"),
        (["--lake", str(lake), "--sample", "1"], "--sample is 1. Give a number of at least 2"),
        (["--lake", str(lake), "--memory", "10"], "--memory is 10. Give a number of at least 256"),
        (["--lake", str(lake), "--threads", "0"], "--threads is 0"),
    ):
        assert main(["anomalies", *arguments, "--out", out]) == 2
        assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_lake_file_is_named(tmp_path, capsys):
    lake = _lake(tmp_path / "lake", {date(2026, 3, 1): ["whoami"]})
    (file,) = lake.files(date(2026, 3, 1))
    file.write_bytes(file.read_bytes()[:100])
    assert main(["anomalies", "--lake", str(lake.root), "--out", str(tmp_path / "out.parquet")]) == 2
    assert file.name in capsys.readouterr().err
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("seed", ["-1", "4294967296", "x"])
def test_a_seed_that_no_generator_takes_is_refused(lake, tmp_path, capsys, seed):
    with pytest.raises(SystemExit) as end:
        main(["anomalies", "--lake", str(lake), "--out", str(tmp_path / "out.csv"), "--seed", seed])
    assert end.value.code == 2
    assert "is no whole number from 0 to 4294967295" in capsys.readouterr().err


def test_rows_on_standard_output_come_without_the_summary(lake, capsys):
    assert main(["anomalies", "--lake", str(lake), "--out", "-", "--top", "3"]) == 0
    captured = capsys.readouterr()
    assert [json.loads(line)["rank"] for line in captured.out.splitlines()] == [1, 2, 3]
    assert "scored at full scale" in captured.err
