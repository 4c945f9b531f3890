"""The streaming day: equal however it is cut, resumed, and threaded; and equal to a day read as one."""

from __future__ import annotations

import random
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.detect import (
    FOREST,
    DayModel,
    EmptyDayError,
    IsolationForestDetector,
    StreamedDay,
    WorkFolder,
    published_detectors,
    top_scores,
)
from cmdclf.errors import CmdclfError, ModelIntegrityError
from cmdclf.features import FeatureMaker
from cmdclf.store import Store, distinct

DAY = date(2026, 3, 1)
STRANGE = ["powershell -nop -w hidden -enc " + "SQBFAFgA" * 40, "$" * 300, "cmd /c " + "^s^e^t " * 30]


def _lines(n: int) -> list[str]:
    rng = random.Random(5)
    words = ["".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 9))) for _ in range(60)]
    kinds = ("svchost.exe -k {} -p {}", "ping {}.example.com -n {}", "notepad C:\\docs\\{}\\{}.txt", "git fetch {} {}")
    ordinary = {rng.choice(kinds).format(rng.choice(words), f"{rng.choice(words)}{i}") for i in range(n)}
    return sorted(ordinary) + STRANGE


def _file(path, lines):
    n = len(lines)
    columns = {
        "event_time": pa.array([0] * n, pa.timestamp("us", "UTC")), "platform": ["windows"] * n, "command_line": lines,
        "parent_command_line": pa.nulls(n, pa.string()), "host": ["h"] * n, "count": pa.array([1] * n, pa.int32()),
    }  # fmt: skip
    texts = {name: pa.array(columns[name], pa.string()) for name in ("platform", "command_line", "host")}
    pq.write_table(pa.table(columns | texts), path)
    return path


def _small_parts(monkeypatch):
    monkeypatch.setattr(distinct, "_PART_BYTES", 1)
    monkeypatch.setattr(distinct, "_ROW_GROUP_ROWS", 2048)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    lines = _lines(9000)
    return [_file(folder / "a.parquet", lines[:5000]), _file(folder / "b.parquet", lines[4000:])]


def _full(files, work, *, top_k=20, fit_rows=1500, seed=0, **options):
    with WorkFolder(work) as folder:
        day = StreamedDay(files, folder, **options)
        forest = IsolationForestDetector(n_estimators=20, random_state=seed)
        return day.full_scale(top_k, maker=FeatureMaker(), forest=forest, fit_rows=fit_rows), day


@pytest.fixture(scope="module")
def expected(files):
    """The day as the study sees it: lines out of the store, no parts, one stream."""
    with Store.open(":memory:") as store:
        store.add_day(DAY, files)
        lines = store.lines([DAY], batch_rows=700)
        forest = IsolationForestDetector(n_estimators=20, random_state=0)
        model = DayModel(FeatureMaker(), forest).fit_lines(lines, 1500)
        return top_scores(lines, model.scores, [FOREST], 20)


def test_a_streamed_day_is_the_day_of_the_study(files, expected, tmp_path):
    result, _ = _full(files, tmp_path / "work")
    assert result.found == expected
    assert set(STRANGE) <= set(result.lines.column("command_line").to_pylist())
    assert result.lines.column("command_id").to_pylist() == expected.column("command_id").to_pylist()
    assert result.scored == result.distinct == len(_lines(9000))
    assert result.events == result.distinct + 1000


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_threads_nor_parts_change_a_bit(files, expected, tmp_path, monkeypatch, threads):
    _small_parts(monkeypatch)
    result, _ = _full(files, tmp_path / "work", threads=threads)
    assert result.found == expected
    assert len(list((tmp_path / "work").glob("score-*/*.parquet"))) >= 4


def test_what_is_finished_is_used_again_and_other_inputs_start_anew(files, expected, tmp_path):
    work = tmp_path / "work"
    _, first = _full(files, work)
    assert {"distinct", "count", "fit", "score"} <= set(first.seconds)
    kept = {path: path.stat().st_mtime_ns for path in work.rglob("*.parquet")}
    again, second = _full(files, work)
    assert again.found == expected
    assert not {"count", "fit"} & set(second.seconds)
    assert {path: path.stat().st_mtime_ns for path in work.rglob("*.parquet")} == kept

    other, third = _full(files, work, seed=1)
    assert other.found != expected
    assert "count" in third.seconds, "another seed is another model"
    assert {p for p in kept if p.parent.name.startswith("distinct")} <= set(work.rglob("*.parquet"))

    _full(files[:1], work)
    assert not {p for p in kept if p.exists()}, "other files are another day, and the old one's work is gone"


def test_a_day_that_failed_half_way_goes_on_at_the_next_part(files, expected, tmp_path, monkeypatch):
    _small_parts(monkeypatch)
    scored = []
    whole = DayModel.score

    def failing(model, batch):
        if len(scored) == 2:
            raise RuntimeError("no more")
        scored.append(batch.num_rows)
        return whole(model, batch)

    with monkeypatch.context() as patched:
        patched.setattr(DayModel, "score", failing)
        with pytest.raises(RuntimeError, match="no more"):
            _full(files, tmp_path / "work", threads=1)
    done = list((tmp_path / "work").glob("score-*/*.parquet"))
    assert len(done) == 2
    times = {path: path.stat().st_mtime_ns for path in done}
    result, _ = _full(files, tmp_path / "work", threads=1)
    assert result.found == expected
    assert {path: path.stat().st_mtime_ns for path in done} == times


def test_a_loaded_model_scores_to_the_bit(files, tmp_path):
    batch = pa.record_batch({"command_id": ["1", "2"], "platform": ["linux"] * 2, "command_line": ["ls", "rm -rf /"]})
    model = DayModel(FeatureMaker(buckets=2**10), IsolationForestDetector(n_estimators=10)).fit_lines([batch])
    model.save(tmp_path / "model")
    loaded = DayModel.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score(batch), model.score(batch))
    with pytest.raises(TypeError, match="can't be fitted again"):
        loaded.fit_lines([batch])
    (tmp_path / "model" / "forest" / "threshold.npy").unlink()
    with pytest.raises(ModelIntegrityError, match="forest"):
        DayModel.load(tmp_path / "model")


def test_a_day_without_lines_and_a_day_of_one_line(tmp_path):
    none, _ = _full([_file(tmp_path / "none.parquet", [])], tmp_path / "w0")
    assert (none.found.num_rows, none.distinct, none.scored) == (0, 0, 0)
    one, _ = _full([_file(tmp_path / "one.parquet", ["whoami"] * 100_000)], tmp_path / "w1")
    assert (one.distinct, one.events) == (1, 100_000)
    assert one.lines.column("command_line").to_pylist() == ["whoami"]
    with pytest.raises(EmptyDayError):
        DayModel(FeatureMaker(), IsolationForestDetector()).fit_lines([])


def _reduced(files, work, sample, **options):
    def embed(lines):
        texts = lines.to_pylist()
        return np.array([[t.count(c) for c in "aeiou. -\\^$"] + [len(t)] for t in texts], np.float32)

    with WorkFolder(work) as folder:
        day = StreamedDay(files, folder, **options)
        detectors = published_detectors("reduced")
        return day.reduced_scale(
            10, day=DAY, sample=sample, seed=2, embed=embed, embedder="counts", detectors=detectors, fit_rows=800
        )


def test_reduced_scale_scores_the_stores_sample_however_it_is_cut(files, tmp_path, monkeypatch):
    once = _reduced(files, tmp_path / "a", 3000)
    _small_parts(monkeypatch)
    again = _reduced(files, tmp_path / "b", 3000, threads=1)
    assert again.found == once.found
    assert (once.scored, once.distinct) == (3000, len(_lines(9000)))
    with Store.open(":memory:") as store:
        store.add_day(DAY, files)
        drawn = set(store.sample(DAY, 3000, seed=2).column("command_id").to_pylist())
    assert set(once.found.column("command_id").to_pylist()) <= drawn
    assert once.found.column("detector").to_pylist() == ["kmeans_distance"] * 10 + ["pca_reconstruction"] * 10


def test_one_process_at_a_time_works_in_a_folder_and_foreign_files_stay(tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "score-mine.txt").write_text("x")
    with WorkFolder(tmp_path / "work") as work:
        with pytest.raises(CmdclfError, match="another process works in this folder"), WorkFolder(tmp_path / "work"):
            pass
        work.stage("score", "0" * 16).mkdir()
        work.stage("score", "1" * 16)
        work.remove()
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["score-mine.txt"]
