"""A labelling process that is killed, and the next one that goes on."""

import os
import signal
import subprocess
import sys
import threading
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.store import Store

from .openai_server import MODEL, answer, completion, openai_server

LINES = 120
BEFORE = 40


class Stalling:
    """Answers the first requests, then holds all others back until it is released."""

    def __init__(self, answers):
        self.left = answers
        self.lock = threading.Lock()
        self.stalled = threading.Event()
        self.release = threading.Event()

    def __call__(self, server, line, body):
        with self.lock:
            self.left -= 1
            held = self.left < 0
        if held:
            self.stalled.set()
            self.release.wait(timeout=60)
        return completion(answer())


def label_run(folder, server):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "cmdclf", "label", "run", "--store", folder / "store.duckdb"),
            *("--lines", folder / "lines.parquet", "--judge", "openai", "--model", MODEL),
            *("--base-url", server.url, "--concurrency", "2", "--no-guard"),
        ],
        env=os.environ | {"OPENAI_API_KEY": "x"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def ledger(folder):
    with Store.open(folder / "store.duckdb") as store:
        rows = store.verdicts()
        history = [store.verdict_history(i).num_rows for i in rows["command_id"].to_pylist()]
        assert history == [1] * rows.num_rows, "a line has two verdicts"
        return set(rows["text_sha256"].to_pylist())


@pytest.fixture
def lines(tmp_path):
    texts = [f"tool.exe /n {i}" for i in range(LINES)]
    pq.write_table(pa.table({"platform": ["windows"] * LINES, "command_line": texts}), tmp_path / "lines.parquet")
    return texts


def stopped(folder, server, script, sign):
    """The exit code of a run that got a signal while the server held its answers back."""
    process = label_run(folder, server)
    try:
        assert script.stalled.wait(timeout=60)
        process.send_signal(sign)
        process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode


def test_a_killed_run_loses_no_recorded_verdict_and_the_next_asks_no_answered_line_again(tmp_path, lines):
    script = Stalling(BEFORE)
    with openai_server(script) as server:
        assert stopped(tmp_path, server, script, signal.SIGKILL) == -signal.SIGKILL
        kept = ledger(tmp_path)
        # Answers that were on their way between server and disk are the only ones that a kill may cost.
        assert BEFORE - 8 <= len(kept) <= BEFORE
        asked_before = Counter(line["command_line"] for line in server.lines)

        script.left = LINES
        script.release.set()
        server.lines.clear()
        again = label_run(tmp_path, server)
        out, err = again.communicate(timeout=60)
        assert again.returncode == 0, err
        asked_after = Counter(line["command_line"] for line in server.lines)

    assert f"{LINES} answered ({LINES - len(kept)} now), 0 pending" in out
    assert kept < ledger(tmp_path)
    assert len(ledger(tmp_path)) == LINES
    assert set(asked_after.values()) == {1}
    assert sum(asked_after.values()) == LINES - len(kept)
    assert set(asked_before) | set(asked_after) == set(lines)


def test_an_interrupted_run_ends_with_130_and_keeps_every_answer_once(tmp_path, lines):
    script = Stalling(BEFORE)
    with openai_server(script) as server:
        assert stopped(tmp_path, server, script, signal.SIGINT) == 130
    assert BEFORE - 8 <= len(ledger(tmp_path)) <= BEFORE
