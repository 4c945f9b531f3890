"""The server as a process: how it starts, what it logs, how it refuses and how it ends."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys

import pytest

from .conftest import ROOT, bentoml_command, environment, free_port, read_to_end, running, serve_command

MARKER = "hunter2-marker"
TOKEN = "a-long-random-text"


def test_with_a_token_bentoml_serves_every_address_to_those_who_have_it_and_logs_no_command_line(model_dir, tmp_path):
    port = free_port()
    command = bentoml_command("serve", "service.app:CmdClf", "--port", str(port))  # BentoML listens on 0.0.0.0
    env = environment(tmp_path / "bentoml", CMDCLF_MODEL=str(model_dir), CMDCLF_TOKEN=TOKEN)
    right = {"Authorization": f"Bearer {TOKEN}"}
    with running(command, port, ROOT, env, tmp_path / "log.txt") as server:
        for path in ("/score", "/explain", "/metrics", "/docs.json", "/schema.json", "/"):
            method = "POST" if path in ("/score", "/explain") else "GET"
            body = {"lines": ["whoami"]} if method == "POST" else None
            assert server.request(method, path, body)[0] == 401
            assert server.request(method, path, body, Authorization="Bearer wrong")[0] == 401
            assert server.request(method, path, body, **right)[0] == 200
        # Behind a proxy, too, and under any host name.
        answer = server.post("/score", {"lines": ["ls"]}, X_Forwarded_For="203.0.113.9", Host="x.example", **right)
        assert answer[0] == 200
        assert server.request("GET", "/livez")[0] == 200
        assert server.request("GET", "/readyz")[0] == 200

        good = [f"curl -u admin:{MARKER} http://192.0.2.1", {"command_line": "ls", "parent_command_line": MARKER}]
        bad = [3, MARKER, {"command_line": "ls", "platform": MARKER}]
        assert server.post("/score", {"lines": good}, **right)[0] == 200
        assert server.post("/explain", {"lines": good}, **right)[0] == 200
        for body in ({"lines": bad}, {"lines": bad[2:]}, {"lines": MARKER}, MARKER, MARKER.encode()):
            assert server.post("/score", body, **right)[0] == 400
        server.post("/score", {"lines": [MARKER]}, Content_Type=f"multipart/form-data; boundary={MARKER}", **right)
        server.request("GET", f"/{MARKER}?q={MARKER}", **right)
        server.post("/score", {"lines": [MARKER]}, Authorization=f"Bearer {MARKER}")

        body = json.dumps({"lines": [MARKER]}).encode()
        with server.half_sent(body, Authorization=right["Authorization"]) as under_way:
            server.process.terminate()
            under_way.sendall(body)
            answer = read_to_end(under_way)
        assert b"200 OK" in answer
        assert b'"results"' in answer
        assert server.process.wait(timeout=30) == 0
        assert "Service cmdclf initialized" in server.log
        assert "ERROR" not in server.log
        assert MARKER not in server.log
        assert TOKEN not in server.log


def test_without_a_token_other_addresses_are_refused_though_bentoml_listens_on_them(model_dir, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, only chooses the address to send from
        except OSError:
            pytest.skip("this machine has only the loopback address")
        own = probe.getsockname()[0]
    port = free_port()
    command = bentoml_command("serve", "service.app:CmdClf", "--host", "0.0.0.0", "--port", str(port))
    env = environment(tmp_path / "bentoml", CMDCLF_MODEL=str(model_dir), FORWARDED_ALLOW_IPS="*")
    with running(command, port, ROOT, env, tmp_path / "log.txt") as server:
        assert server.post("/score", {"lines": ["ls"]})[0] == 200
        if not own.startswith("127."):
            connection = http.client.HTTPConnection(own, port, timeout=30)
            for headers in ({}, {"Host": "localhost"}, {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"}):
                connection.request(
                    "POST", "/score", '{"lines": ["ls"]}', {"Content-Type": "application/json", **headers}
                )
                response = connection.getresponse()
                assert (response.status, b"CMDCLF_TOKEN" in response.read()) == (403, True)
            connection.request("GET", "/readyz")
            assert connection.getresponse().status == 200
            connection.close()


def test_a_changed_model_is_not_served(model_dir, tmp_path):
    broken = tmp_path / "model"
    shutil.copytree(model_dir, broken)
    with (broken / "classifier.onnx").open("ab") as file:
        file.write(b"x")
    port = free_port()
    env = environment(tmp_path / "bentoml")
    bentoml = bentoml_command("serve", "service.app:CmdClf", "--host", "127.0.0.1", "--port", str(port))
    for command, code, more in (
        (serve_command(broken, port), 2, {}),
        (bentoml, 1, {"CMDCLF_MODEL": str(broken)}),
    ):
        done = subprocess.run(
            command, cwd=ROOT, env=env | more, capture_output=True, text=True, check=False, timeout=60
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "classifier.onnx" in said
        assert "changed after the export" in said
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--host", "0.0.0.0"], "CMDCLF_TOKEN"),
        (["--host", "::"], "CMDCLF_TOKEN"),
        (["--host", "server.example"], "no IP address"),
        (["--port", "0"], "1 to 65535"),
    ],
)
def test_cmdclf_serve_says_what_is_wrong(model_dir, tmp_path, more, says):
    env = environment(tmp_path / "bentoml")
    command = serve_command(model_dir, 1, *more)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_named(server, model_dir, tmp_path):
    env = environment(tmp_path / "bentoml")
    command = serve_command(model_dir, server.port)
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"port {server.port}" in done.stderr


def test_requests_are_refused_while_earlier_ones_still_hold_every_thread(model_dir, tmp_path):
    # BentoML frees a thread's place when its request times out, though the thread goes on: the service counts itself.
    script = """
import os
from bentoml.exceptions import ServiceUnavailable
from service.app import THREADS, CmdClf
service = CmdClf.inner()
held = [service._slot() for _ in range(2 * THREADS)]
for slot in held:
    slot.__enter__()
try:
    service.score(["whoami"])
except ServiceUnavailable as error:
    assert error.error_code.value == 503 and "whoami" not in str(error)
else:
    raise SystemExit("it was scored")
held[0].__exit__(None, None, None)
assert len(service.score(["whoami"])["results"]) == 1
"""
    env = environment(tmp_path / "bentoml", CMDCLF_MODEL=str(model_dir))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
