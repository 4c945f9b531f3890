from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pyarrow.compute as pc

from cmdclf.store import Store


def _start(study, out):
    command = [sys.executable, "-m", "cmdclf", "run", str(study), "--out", str(out), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)


def test_a_study_killed_in_the_middle_goes_on_and_ends_as_if_it_had_not_been(small_study, finished_study, tmp_path):
    out = tmp_path / "out"
    running = _start(small_study, out)
    # The first exported arm tells that the run is between labelling and its end.
    while running.poll() is None and not list((out / "arms").glob("*/model/manifest.json")):
        os.sched_yield()
    assert running.poll() is None, running.communicate()[1].decode()
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    assert not (out / "results.json").exists()
    with Store.open(out / "study.duckdb") as store:
        asked = pc.sum(store.verdict_counts()["lines"]).as_py()
        finished = store.stages().num_rows
    assert asked > 0
    assert finished > 0

    again = _start(small_study, out)
    _, errors = again.communicate()
    assert again.returncode == 0, errors.decode()
    mine, theirs = (json.loads((f / "results.json").read_text()) for f in (out, finished_study))
    assert {**mine, "timings": 0} == {**theirs, "timings": 0}
    with Store.open(out / "study.duckdb") as store:
        for command_id in store.verdicts()["command_id"].to_pylist():
            assert store.verdict_history(command_id).num_rows == 1
