from __future__ import annotations

import base64
import gzip
import hashlib
import json
import random
import signal
import subprocess
import sys
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


def _random_lines(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    kinds = (
        "svchost.exe -k {} -s {}",
        "ping {}.example.com -n {}",
        "notepad.exe C:\\docs\\{}\\{}.txt",
        "git fetch {} {}",
    )
    return [rng.choice(kinds).format(f"{rng.randrange(300):x}", f"{i}{rng.randrange(10**6)}") for i in range(n)]


def _bombs() -> list[str]:
    """Lines built to make decoders work without end."""
    nested = "calc.exe"
    while len(nested) < 200_000:
        nested = "powershell -enc " + base64.b64encode(nested.encode("utf-16-le")).decode()
    packed = base64.b64encode(gzip.compress(bytes(50 << 20))).decode()
    return [
        nested,
        "cmd /c " + "^" * 10_000 + "calc",
        f"powershell [IO.Compression.GzipStream]::new([Convert]::FromBase64String('{packed}'))",
        "cmd /v /c set a=" + "%a%" * 5000 + "&call echo !a!",
        "bash -c " + "$(" * 5000 + ")" * 5000,
        "A" * (1 << 20),
    ]


@pytest.fixture
def bad_lake(tmp_path):
    """A day with every kind of bad input among good lines."""
    good = _random_lines(20_000)
    day = date(2026, 3, 1)
    lake = _lake(tmp_path / "lake", {day: good[:200]})
    (template,) = lake.files(day)
    folder = template.parent
    first = pq.read_table(template).slice(0, 1)

    def write(name, lines, **options):
        table = first.take(pa.array([0] * len(lines))).set_column(
            2, PROCESS_EVENT.field(2), pa.array(lines, pa.string())
        )
        pq.write_table(table, folder / name, **options)
        return folder / name

    write("bombs.parquet", _bombs())
    write("copies.parquet", [STRANGE] * 100_000)
    write("huge.parquet", ["x" * (8 << 20), "y" * (8 << 20), "whoami"])
    damaged = write(
        "damaged.parquet", good, row_group_size=5000, data_page_size=4000, write_batch_size=50, use_dictionary=False
    )
    column = pq.read_metadata(damaged).row_group(2).column(2)
    content = bytearray(damaged.read_bytes())
    begin = column.data_page_offset + column.total_compressed_size // 2
    content[begin : begin + 6000] = b"\xff" * 6000
    damaged.write_bytes(content)
    truncated = write("truncated.parquet", good[:1000])
    truncated.write_bytes(truncated.read_bytes()[:-100])
    return lake


@pytest.mark.parametrize("scale", ["full", "reduced"])
def test_a_day_of_bad_input_is_processed_and_what_was_set_aside_is_counted_and_named(bad_lake, tmp_path, capsys, scale):
    before = {path: hashlib.sha256(path.read_bytes()).digest() for path in bad_lake.root.rglob("*.parquet")}
    out = tmp_path / "found.parquet"
    assert main(["anomalies", "--lake", str(bad_lake.root), "--scale", scale, "--top", "20", "--out", str(out)]) == 0
    aside = {
        (row["file"].rpartition("/")[2], row["reason"].split(" (")[0]): row["rows"]
        for row in pq.read_table(tmp_path / "found.parquet.set-aside.parquet").to_pylist()
    }
    lost = aside.pop(("damaged.parquet", "a damaged page"))
    assert 1000 < lost < 4000, "of the 5,000 rows of that row group"
    assert aside == {
        ("huge.parquet", "a command line longer than 1 MiB"): 2,
        ("truncated.parquet", "not a whole Parquet file"): None,
    }
    said = capsys.readouterr()
    for words in ("huge.parquet: 2 rows: a command line longer", f"damaged.parquet: {lost:,} rows: a damaged page",
                  "truncated.parquet: an unknown number of rows: not a whole"):  # fmt: skip
        assert words in said.err
    # 200 of the good lines are in a second file, too.
    distinct = 20_000 - lost + len(_bombs()) + 2
    events = 200 + 20_000 - lost + len(_bombs()) + 100_000 + 1
    assert f"{events:,} events, {distinct:,} distinct lines" in said.out
    found = pq.read_table(out)
    assert found.num_rows == 20 * len(set(found.column("detector").to_pylist()))
    if scale == "full":
        assert set(_bombs()) & set(found.column("command_line").to_pylist())
    assert {path: hashlib.sha256(path.read_bytes()).digest() for path in bad_lake.root.rglob("*.parquet")} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found.parquet", "found.parquet.set-aside.parquet", "lake"]


def test_a_list_of_what_was_set_aside_does_not_outlive_its_cause(lake, tmp_path):
    stale = tmp_path / "found.parquet.set-aside.parquet"
    stale.write_bytes(b"of an earlier run")
    assert main(["anomalies", "--lake", str(lake), "--out", str(tmp_path / "found.parquet")]) == 0
    assert not stale.exists()


def test_a_day_without_lines_and_a_day_of_one_line(tmp_path, capsys):
    lake = _lake(tmp_path / "lake", {date(2026, 3, 1): ["whoami"] * 50, date(2026, 3, 2): ["x"]})
    (empty,) = lake.files(date(2026, 3, 2))
    pq.write_table(pq.read_table(empty).slice(0, 0), empty)
    out = tmp_path / "found.parquet"
    assert main(["anomalies", "--lake", str(lake.root), "--out", str(out)]) == 0
    assert "0 events, 0 distinct lines, 0 scored at full scale, 0 rows" in capsys.readouterr().out
    assert pq.read_table(out).num_rows == 0
    one = ["anomalies", "--lake", str(lake.root), "--day", "2026-03-01", "--out", str(out)]
    assert main(one) == 0
    assert pq.read_table(out).column("command_line").to_pylist() == ["whoami"]
    assert "50 events, 1 distinct lines, 1 scored" in capsys.readouterr().out
    assert main([*one, "--scale", "reduced"]) == 2
    assert "reduced scale needs at least 2 distinct lines, 2026-03-01 has 1" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["found.parquet", "lake"]


_STALLING = """
import sys
from cmdclf.cli import main
from cmdclf.detect import daystream
from cmdclf.store import distinct

distinct._PART_BYTES, distinct._ROW_GROUP_ROWS = 1, 2048  # a small day in several parts
written, write_top = [], daystream.write_top

def stalling(path, top):
    if len(written) == 2:
        print("stalled", flush=True)
        sys.stdin.read()  # until it is killed
    write_top(path, top)
    written.append(path)

daystream.write_top = stalling
main(sys.argv[1:])
"""


def test_a_killed_run_goes_on_at_the_next_part_and_ends_with_the_same_bytes(tmp_path):
    lake = _lake(tmp_path / "lake", {date(2026, 3, 1): [*_random_lines(20_000), STRANGE]})
    out, work = tmp_path / "found.parquet", tmp_path / "found.parquet.work"
    arguments = ["anomalies", "--lake", str(lake.root), "--top", "30", "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", _STALLING, *arguments, "--threads", "1"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "stalled\n", process.stderr.read()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    done = {path: path.stat().st_mtime_ns for path in work.glob("score-*/*.parquet")}
    assert len(done) == 2
    assert len(list(work.glob("distinct-*/*.parquet"))) > 4

    # Kept here, to see what the second run did.
    assert main([*arguments, "--work", str(work)]) == 0
    resumed = out.read_bytes()
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert len(list(work.glob("score-*/*.parquet"))) == len(list(work.glob("distinct-*/*.parquet")))
    out.unlink()
    assert main([*arguments, "--work", str(tmp_path / "fresh"), "--threads", "2"]) == 0
    assert out.read_bytes() == resumed
