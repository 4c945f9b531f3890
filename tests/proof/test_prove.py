"""A proof from pool to results: resumed, repeated, with other settings, and its faults."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.classify.training import known_from, with_known
from cmdclf.errors import StudyError
from cmdclf.lexicon.pools import ParquetPool
from cmdclf.proof import month as month_module
from cmdclf.proof import prove, runner
from cmdclf.proof.build import Builder
from cmdclf.proof.month import prepare_month
from cmdclf.proof.pending import write_pending
from cmdclf.proof.verdicts import read_verdicts, verdicts_hash, verdicts_on
from cmdclf.telemetry import command_ids


class Killed(BaseException):
    """Nobody catches it, as nobody catches a kill."""


@pytest.fixture
def fitted(monkeypatch, few):
    """Names of the arms that are fitted; raises once so many were."""
    names: list[str] = []
    limit = [10**9]
    real = runner._fit

    def fit(task, *others):
        if len(names) >= limit[0]:
            raise Killed
        names.append(task.name)
        return real(task, *others)

    monkeypatch.setattr(runner, "_fit", fit)
    return names, limit


def test_a_proof_killed_between_arms_goes_on_and_ends_with_the_same_bytes(
    small, proved, fitted, tmp_path, capsys, results
):
    out = tmp_path / "out"
    shutil.copytree(proved, out)
    (out / "results.json").unlink()
    shutil.rmtree(out / "rotation-1" / "arms")
    names, limit = fitted
    limit[0] = 3
    with pytest.raises(Killed):
        prove(small, out, progress=False)
    first = list(names)
    assert len(first) == 3
    assert not (out / "results.json").exists()
    # One that was kept is damaged meanwhile: it is fitted again, no other.
    damaged = sorted((out / "rotation-0" / "arms").iterdir())[0]
    damaged.write_bytes(damaged.read_bytes()[:200])
    names.clear()
    limit[0] = 10**9
    capsys.readouterr()
    prove(small, out, progress=False)
    assert [f"warning: {text}" for text in results["warnings"]] == capsys.readouterr().err.splitlines()
    assert (out / "results.json").read_bytes() == (proved / "results.json").read_bytes()
    held = len(list((proved / "rotation-1" / "arms").iterdir()))
    assert len(names) == 1 + held - len(first)
    assert len(set(names[1:]) & set(first)) == 0


def test_every_arm_of_every_rotation_is_in_the_results(results, small):
    for arm in results["arms"].values():
        assert len(arm["auc"]["rotations"]) == small.rotations
        low, high = arm["auc"]["ci95"]
        assert 0 <= low <= arm["auc"]["mean"] <= high <= 1
        assert arm["auc"]["mean"] == pytest.approx(np.mean(arm["auc"]["rotations"]), abs=1e-6)
    held = [set(r["held_out"]) for r in results["rotations"]]
    assert not held[0] & held[1]
    assert len(held[0] | held[1]) == 14
    assert results["settings"]["pools"] == ["lines.parquet"]


def test_a_verdict_that_is_missing_waits_in_a_batch_and_half_of_them_are_warned_of(results, proved):
    waiting = pq.read_table(proved / "pending" / "lines.parquet")
    assert waiting.num_rows > 0
    requests = [json.loads(line) for f in (proved / "pending" / "batch").glob("*.jsonl")
                for line in f.read_text(encoding="utf-8").splitlines()]  # fmt: skip
    assert len(requests) == waiting.num_rows
    said = [text for text in results["warnings"] if "unanswered" in text]
    assert len(said) == 1
    assert "--verdicts" in said[0]
    assert "pending/" in said[0]


def test_answers_to_what_waits_are_verdicts_that_leave_nothing_waiting(small, proved, month, tmp_path):
    waiting = pq.read_table(proved / "pending" / "lines.parquet")
    by_id = waiting.select(["command_id"]).append_column("verdict", pa.array(["benign"] * waiting.num_rows))
    by_line = waiting.append_column("verdict", pa.array(["benign"] * waiting.num_rows))
    for answers in (by_id, by_line):
        pq.write_table(answers, tmp_path / "answers.parquet")
        settings = dataclasses.replace(small, verdicts=(*small.verdicts, tmp_path / "answers.parquet"))
        other = dataclasses.replace(month, settings=settings)
        other.__dict__.update({k: month.__dict__[k] for k in ("counts", "everything", "published")})
        ways = ["random", "combined"]
        assert write_pending(other, Builder(other), tmp_path / "pending", ways) == 0
        assert pq.read_metadata(tmp_path / "pending" / "lines.parquet").num_rows == 0
    assert write_pending(month, Builder(month), tmp_path / "pending", ways) > 0


def test_the_incident_test_holds_no_near_duplicate_of_a_line_of_the_lexicon_that_arms_train_on(
    small, proved, month, known, monkeypatch, tmp_path
):
    lines = month.test.lines
    mine = lines.slice(0, 3).select(["command_id", "platform", "command_line"])
    twin = known_from(
        mine.append_column("label", pa.array(["benign"] * 3)).select(["command_line", "platform", "label"]),
        source="lexicon",
    )
    monkeypatch.setattr(month_module, "lexicon_rows", lambda folder, lines: with_known(known, twin))
    pool = ParquetPool(small.pools, rewrap=True, seed=small.seed)
    shutil.copytree(proved / "rotation-0", tmp_path / "copy")
    other = prepare_month(small, pool, tmp_path / "copy", 0, small.usual, progress=False)
    other.w.store.close()
    left = set(other.test.lines["command_id"].to_pylist())
    assert not left & set(mine["command_id"].to_pylist())
    assert left < set(lines["command_id"].to_pylist())
    assert runner._month_key(other) != runner._month_key(month)


def test_a_budget_beyond_the_candidates_is_warned_of(results):
    arm = results["arms"]["ab | k-means | 20 | noise 0.01"]
    assert arm["asked"] < 20
    (said,) = [text for text in results["warnings"] if "exceeds the candidates" in text]
    assert "`ab, k-means, 20, noise 0.01`" in said
    assert "of 20" in said


def test_a_month_with_other_settings_in_the_same_folder_is_made_anew(small, tmp_path, monkeypatch):
    for stage in ("find_anomalies", "group_anomalies"):
        monkeypatch.setattr(month_module, stage, lambda w: None)
    pool = ParquetPool(small.pools, rewrap=True, seed=small.seed)
    tiny = dataclasses.replace(small, train_days=1, per_day=300)
    arms = tmp_path / "arms"
    for per_day, kept in ((300, False), (300, True), (400, False)):
        arms.mkdir(exist_ok=True)
        (arms / "old.npz").write_bytes(b"")
        s = dataclasses.replace(tiny, per_day=per_day)
        month = prepare_month(s, pool, tmp_path, 0, s.usual, progress=False)
        assert sum(month.late.events) == per_day
        month.w.store.close()
        if per_day == 400 or kept:
            assert (arms / "old.npz").exists() is kept


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pools": ()}, "pools = ()"),
        ({"rotations": 1}, "rotations = 1"),
        ({"rotations": 15}, "rotations = 15: the pools have 14 sources with malicious lines"),
        ({"train_days": 0}, "train_days = 0"),
        ({"test_days": 0}, "test_days = 0"),
        ({"per_day": 99}, "per_day = 99"),
        ({"budget": 9}, "budget = 9"),
        ({"budgets": (10, 0)}, "budgets = (10, 0)"),
        ({"noise": 0.5}, "noise = 0.5"),
        ({"noises": (-0.1,)}, "noises = (-0.1,)"),
        ({"rounds": 0}, "rounds = 0"),
        ({"weight": 0.0}, "weight = 0.0"),
        ({"shares": (1.0,)}, "shares = (1.0,)"),
        ({"share_top": -0.1}, "share_top = -0.1"),
        ({"shares": (0.45,)}, "shares = (0.45,)"),
        ({"shares": (0.1, 0.1)}, "shares = (0.1, 0.1)"),
        ({"bootstrap": 19}, "bootstrap = 19"),
        ({"varied": 3}, "varied = 3"),
        ({"lexicon_lines": -1}, "lexicon_lines = -1"),
    ],
)
def test_an_impossible_setting_is_named_with_a_remedy(small, tmp_path, change, named):
    with pytest.raises(StudyError) as caught:
        prove(dataclasses.replace(small, **change), tmp_path, progress=False)
    assert named in str(caught.value)
    assert caught.value.remedy


def test_a_budget_that_no_month_can_fill_is_named(month, builder):
    from cmdclf.proof.arms import Arm

    with pytest.raises(StudyError, match="fewer than the budget of 5,000"):
        builder.build(Arm("ab", "random", 5000, "noise 0"))


def test_faulty_verdicts_are_named(tmp_path, small):
    file = tmp_path / "said.parquet"
    with pytest.raises(StudyError, match="no such file"):
        prove(dataclasses.replace(small, verdicts=(*small.verdicts, file)), tmp_path / "out", progress=False)
    file.write_bytes(b"no Parquet")
    with pytest.raises(StudyError, match="not a readable Parquet file") as caught:
        read_verdicts(file)
    assert str(file) in str(caught.value)
    pq.write_table(pa.table({"platform": ["linux"], "verdict": ["benign"]}), file)
    with pytest.raises(StudyError, match="the column 'process_command_line' is missing"):
        read_verdicts(file)
    pq.write_table(pa.table({"command_id": ["0" * 32]}), file)
    with pytest.raises(StudyError, match="the column 'verdict' is missing"):
        read_verdicts(file)


def test_verdicts_are_known_by_their_lines_or_by_ids_alone_and_the_last_one_counts(tmp_path):
    line = pa.array(["id", "ls", "id", "ps", None], pa.string())
    platform = pa.array(["linux", "linux", "macos", "linux", "linux"])
    lines, ids = tmp_path / "lines.parquet", tmp_path / "ids.parquet"
    said = ["benign", "unsure", "malicious"]
    pq.write_table(
        pa.table({"platform": ["linux"] * 3, "process_command_line": ["id", "ls", "id"], "verdict": said}), lines
    )
    assert verdicts_on([lines], platform, line) == ["malicious", "unsure", None, None, None]
    pq.write_table(
        pa.table({"command_id": command_ids(platform, line.fill_null(""))[1:4], "verdict": ["benign"] * 3}), ids
    )
    assert verdicts_on([lines, ids], platform, line) == ["malicious", "benign", "benign", "benign", None]
    assert verdicts_on([], platform, line) == [None] * 5
    assert len({verdicts_hash(files) for files in ((), (lines,), (ids,), (lines, ids), (ids, lines))}) == 5


def test_other_verdicts_refit_the_arms_that_they_judge_and_no_other(small, proved, fitted, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(proved, out)
    file = tmp_path / "more.parquet"
    pq.write_table(pa.table({"command_id": ["0" * 32], "verdict": ["benign"]}), file)
    prove(dataclasses.replace(small, verdicts=(*small.verdicts, file)), out, progress=False)
    assert fitted[0] == ["ab | combined | 20 | recorded"] * small.rotations
