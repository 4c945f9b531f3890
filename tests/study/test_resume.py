from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys

import pyarrow.compute as pc

from cmdclf.store import Store


def _start(study, out, before=None):
    command = [sys.executable, "-m", "cmdclf", "run", str(study), "--out", str(out), "--quiet"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, preexec_fn=before
    )


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


def test_a_disk_that_fills_up_is_said_with_a_remedy_and_what_was_finished_is_gone_on_from(small_study, tmp_path):
    few = small_study.with_name("few.toml")
    text = small_study.read_text().replace("bootstrap = 100", 'bootstrap = 20\nbaselines = ["rb"]\narms = ["base"]')
    few.write_text(text.replace("max_iter = 20", 'max_iter = 5\nexport = "rb"'))
    _start(few, tmp_path / "whole").communicate()
    size = (tmp_path / "whole" / "study.duckdb").stat().st_size
    out = tmp_path / "out"
    # A limit on the size of a file stands in for the full disk: the same call fails, with EFBIG instead of ENOSPC.
    limited = _start(few, out, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2)))
    _, errors = limited.communicate()
    assert limited.returncode == 2, errors.decode()
    assert len(errors.decode().strip().splitlines()) == 1
    assert "run the same command again" in errors.decode()
    assert not (out / "results.json").exists()
    again = _start(few, out)
    _, errors = again.communicate()
    assert again.returncode == 0, errors.decode()
    mine, theirs = (json.loads((f / "results.json").read_text()) for f in (out, tmp_path / "whole"))
    assert {**mine, "timings": 0} == {**theirs, "timings": 0}
