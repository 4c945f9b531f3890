"""Spark finds what the single machine finds, to the bit; and writes the same features."""

from __future__ import annotations

import random
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.cli import main
from cmdclf.detect import IsolationForestDetector, StreamedDay, WorkFolder
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lexicon.replay import ReplaySettings, replay
from cmdclf.spark import SparkDay, SparkJobError
from cmdclf.spark.faults import translated
from cmdclf.spark.lake import is_remote, lake_days
from cmdclf.store import distinct_parts, part_batches
from cmdclf.telemetry import MAX_LINE_BYTES, PROCESS_EVENT, Lake

pytestmark = pytest.mark.spark
DAY = date(2026, 1, 5)
#: As another program might write them: each column may be null.
LOOSE = pa.schema([field.with_nullable(True) for field in PROCESS_EVENT])


def _write(path, rows, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    time = datetime(DAY.year, DAY.month, DAY.day)
    table = pa.Table.from_pylist(
        [{"event_time": time, "platform": p, "command_line": line, "count": n} for p, line, n in rows], schema=LOOSE
    )
    pq.write_table(table, path, **options)
    return path


def _odd_rows():
    ordinary = "curl -s https://example.com/"
    rows = [(p, ordinary, n) for p in ("windows", "linux", "macos", "plan9", "", "linux ") for n in (1, 7, None)]
    rows += [("windows", text, 2) for text in ("", " ", "\t", "dir ", "dir", "DIR", "é", "e\u0301", "日本語 --ключ 🦊")]
    rows += [
        ("linux", "x" * MAX_LINE_BYTES, 1),
        ("linux", "y" * (MAX_LINE_BYTES + 1), 3),
        ("linux", "z" * (8 << 20), 1),
    ]
    rows += [(None, "whoami", 1), ("linux", None, 1), ("p" * 257, "whoami", 1), ("p" * 256, "whoami", 1)]
    rows += [("windows", "powershell -enc " + "SQBFAFgA" * 300, 1), ("linux", "$(" * 2000 + ")" * 2000, 1)]
    return rows


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """A replayed day, some events once more, and odd ones; in a folder with characters that globs use."""
    root = tmp_path_factory.mktemp("a [lake] {x}") / "lake"
    settings = ReplaySettings(days=1, per_day=1500, seed=3, head_templates=80, top=20, malicious_per_day=8, start=DAY)
    replay(LexiconPool(repeats=3), root, settings)
    (file, *_) = Lake(root).files(DAY)
    pq.write_table(pq.read_table(file).slice(100, 300), file.with_name("again 100%.parquet"))
    rows = _odd_rows()
    random.Random(1).shuffle(rows)
    _write(file.with_name("odd.parquet"), rows, row_group_size=20)
    return root


def _both(lake, folder, *arguments, day=DAY):
    """What the two commands wrote: rows and what was set aside."""
    written = []
    for verb, more in ((["anomalies"], []), (["spark", "anomalies"], list(arguments))):
        out = folder / f"{verb[0]}.parquet"
        assert main([*verb, "--lake", str(lake), "--day", str(day), "--top", "60", "--out", str(out), *more]) == 0
        aside = out.with_name(out.name + ".set-aside.parquet")
        written.append((pq.read_table(out), pq.read_table(aside) if aside.exists() else None))
    return written


@pytest.mark.parametrize("partitions", ["1", "6"])
def test_the_two_commands_write_the_same_rows_however_many_partitions(
    spark, lake, tmp_path, capsys, monkeypatch, partitions
):
    monkeypatch.setattr("cmdclf.spark.day._MOST_COUNTS", 3)  # so that counts are merged on the executors, too
    ours, sparks = _both(lake, tmp_path, "--partitions", partitions)
    assert ours[0].num_rows == 60
    assert sparks == ours
    assert {row["reason"].split(" ")[0]: row["rows"] for row in ours[1].to_pylist()} == {"a": 2, "no": 3}
    said = [line.split(" in ")[0] for line in capsys.readouterr().out.splitlines()]
    assert said[0] == said[1]
    assert "distinct lines" in said[0]


def test_the_fits_sample_is_the_same_where_it_is_a_part_of_the_day(spark, lake, tmp_path):
    names = ("spark.sql.shuffle.partitions", "spark.sql.execution.arrow.maxRecordsPerBatch")
    before = [spark.conf.get(name) for name in names]
    settings = {"maker": FeatureMaker(buckets=2**12), "fit_rows": 150}
    ours = SparkDay(spark, str(lake), DAY).anomalies(30, forest=IsolationForestDetector(random_state=5), **settings)
    with WorkFolder(tmp_path / "work") as work:
        theirs = StreamedDay(Lake(lake).files(DAY), work).full_scale(
            30, forest=IsolationForestDetector(random_state=5), **settings
        )
    assert ours.found == theirs.found
    assert ours.lines == theirs.lines
    assert (ours.events, ours.distinct, ours.set_aside) == (theirs.events, theirs.distinct, theirs.set_aside)
    assert [spark.conf.get(name) for name in names] == before, "the session's settings are as they were"


@pytest.mark.parametrize("rows", [[("linux", "whoami", 5)] * 40, []], ids=["one line", "none"])
def test_a_day_of_one_line_and_a_day_of_none(spark, tmp_path, rows):
    _write(tmp_path / "lake" / f"day={DAY}" / "part.parquet", rows)
    ours, sparks = _both(tmp_path / "lake", tmp_path)
    assert sparks == ours
    assert ours[0].column("command_line").to_pylist() == ["whoami"][: len(rows)]


def test_damaged_files_give_what_can_be_read_of_them_and_the_rest_is_named(spark, tmp_path):
    folder = tmp_path / "lake" / f"day={DAY}"
    good = [("linux", f"tar czf /backup/{k}.tgz /srv/{k * 7919 % 6007}", 1) for k in range(4000)]
    _write(folder / "good.parquet", good[:500])
    options = {"row_group_size": 1000, "data_page_size": 2000, "write_batch_size": 50, "use_dictionary": False}
    damaged = _write(folder / "damaged.parquet", good, **options)
    column = pq.read_metadata(damaged).row_group(2).column(2)
    content = bytearray(damaged.read_bytes())
    begin = column.data_page_offset + column.total_compressed_size // 2
    content[begin : begin + 2000] = b"\xff" * 2000
    damaged.write_bytes(content)
    truncated = _write(folder / "truncated.parquet", good[:10])
    truncated.write_bytes(truncated.read_bytes()[:-20])
    _write(folder / "_odd.parquet", [*_odd_rows()[-4:], ("windows", "v" * (MAX_LINE_BYTES + 1), 1)])
    other = pq.read_table(folder / "good.parquet").slice(0, 1).drop_columns("count")
    pq.write_table(other, folder / "other.parquet")
    binary = pa.array([b"echo \xff\xfe", b"echo fine"], pa.binary())
    broken = pq.read_table(folder / "good.parquet").slice(0, 2)
    text = pa.StringArray.from_buffers(2, *binary.buffers()[1:])
    pq.write_table(broken.set_column(2, LOOSE.field(2), text), folder / "bytes.parquet")

    ours, sparks = _both(tmp_path / "lake", tmp_path)
    assert sparks == ours
    names = {row["file"].rpartition("/")[2] for row in ours[1].to_pylist()}
    assert names == {"damaged.parquet", "truncated.parquet", "_odd.parquet", "other.parquet", "bytes.parquet"}


def test_a_day_without_a_usable_file_is_an_error_that_names_one(spark, tmp_path, capsys):
    file = _write(tmp_path / "lake" / f"day={DAY}" / "part.parquet", [("linux", "whoami", 1)])
    file.write_bytes(file.read_bytes()[:50])
    out = tmp_path / "out.parquet"
    assert main(["spark", "anomalies", "--lake", str(tmp_path / "lake"), "--out", str(out)]) == 2
    assert "part.parquet: no file of the day can be used" in capsys.readouterr().err
    assert not out.exists()


def test_features_are_those_of_the_single_machine(spark, lake, tmp_path, capsys):
    out = tmp_path / "features.parquet"
    arguments = ["spark", "features", "--lake", str(lake), "--day", str(DAY), "--out", str(out)]
    assert main(arguments) == 0
    parts = distinct_parts(Lake(lake).files(DAY), tmp_path / "parts")
    batches = [batch for part in parts.files for batch in part_batches(part.path)]
    lines = pa.Table.from_batches(batches).sort_by("command_id")
    written = pq.read_table(out).sort_by("command_id")
    assert written.select(lines.column_names).to_pylist() == lines.to_pylist()
    maker = FeatureMaker().fit(lines)
    assert written.column_names[4:] == maker.feature_names
    matrix = np.column_stack([written.column(name).to_numpy() for name in maker.feature_names])
    np.testing.assert_array_equal(matrix, maker.matrix(lines))
    capsys.readouterr()

    assert main(arguments) == 2
    assert "Remove it, or name another with --out" in capsys.readouterr().err


def test_what_a_worker_says_reaches_the_user_without_the_stacks(spark, lake, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("cmdclf.spark.day.FEATURE_VERSION", "0")
    out = tmp_path / "out.parquet"
    assert main(["spark", "anomalies", "--lake", str(lake), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert f"RuntimeError: the executors' cmdclf makes features of version {FEATURE_VERSION}, not 0" in said
    assert "Traceback" not in said
    assert "at org.apache" not in said
    assert not out.exists()


def test_a_library_that_executors_lack_is_named(spark):
    def work(batches):
        import no_such_library  # noqa: F401

        yield from batches

    fault = pytest.raises(SparkJobError, match=r"'no_such_library'\. Install it where the executors run")
    with fault, translated("to test"):
        spark.range(3).mapInArrow(work, "id long").collect()


def test_a_lake_that_only_spark_can_open_gives_the_same_rows(spark, lake, monkeypatch):
    settings = {"maker": FeatureMaker(buckets=2**12), "forest": IsolationForestDetector(n_estimators=10)}
    ours = SparkDay(spark, str(lake), DAY).anomalies(30, **settings)
    assert not is_remote(str(lake))
    assert is_remote("s3a://bucket/lake")
    monkeypatch.setattr("cmdclf.spark.lake.is_remote", lambda _: True)
    url = f"file://{lake}"
    assert lake_days(spark, url) == [DAY]
    assert lake_days(spark, f"{url}-none") == []
    remote = SparkDay(spark, url, DAY).anomalies(30, **settings)
    assert (remote.found, remote.lines, remote.events) == (ours.found, ours.lines, ours.events)
    assert remote.set_aside.column("rows") == ours.set_aside.column("rows")
