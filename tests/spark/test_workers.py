"""The executors' functions without Spark: counts add up, however the lines are divided."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.detect import DayModel, IsolationForestDetector
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.spark import workers


def _batch(lines):
    ids = pa.array([f"{k:032x}" for k in range(len(lines))], pa.string())
    platforms = pa.array(["linux"] * len(lines), pa.string())
    return pa.record_batch(
        [ids, platforms, pa.array(lines, pa.string())], names=["command_id", "platform", "command_line"]
    )


def _counted(batches):
    work = workers.counting({"buckets": 64}, FEATURE_VERSION)
    return list(work(iter(batches)))


@given(st.lists(st.lists(st.text(max_size=30), max_size=5), max_size=5))
def test_counts_of_parts_are_added_to_those_of_the_whole(parts):
    divided = [row for part in parts for row in _counted([_batch(part)])]
    whole = _counted([_batch([line for part in parts for line in part])])
    if not parts:
        assert list(workers.merging(iter(divided))) == []
        return
    (added,) = workers.merging(iter(divided))
    assert added.column("lines") == whole[0].column("lines")
    ours, theirs = (workers.unpack(row.column("counts")[0].as_py()).arrays() for row in (added, whole[0]))
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values)
        assert ours[name].dtype == values.dtype


def test_a_sent_model_scores_as_the_one_at_home(tmp_path):
    batch = _batch([f"ls -l /srv/{k}" for k in range(50)])
    forest = IsolationForestDetector(n_estimators=10)
    model = DayModel(FeatureMaker(buckets=1024), forest).fit_lines([batch])
    model.save(tmp_path / "model")
    files = workers.folder_files(tmp_path / "model")
    for _ in range(2):  # loaded, and then at hand
        (found,) = workers.scoring(lambda: files, 7)(iter([batch.slice(0, 20), batch.slice(20)]))
        scores = dict(zip(batch.column("command_id").to_pylist(), model.score(batch), strict=True))
        best = sorted(scores, key=lambda name: (-scores[name], name))[:7]
        assert found.column("command_id").to_pylist() == best
        assert found.column("score").to_pylist() == [scores[name] for name in best]
