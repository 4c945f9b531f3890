"""The gate alone: who is let in, and how much of a body is read."""

from __future__ import annotations

import asyncio
import json

import pytest

pytest.importorskip("bentoml", reason="needs the extra 'service'")

from service.entries import to_batch
from service.gate import Gate, checked
from service.metrics import Metrics

BODY = json.dumps({"lines": ["whoami"]}).encode()


async def behind(scope, receive, send):
    """An application that answers with the lines that the gate has read."""
    body = "".join(checked.get().column("command_line").to_pylist()).encode() if scope["method"] == "POST" else b"page"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def ask(gate, *, path="/score", method="POST", client=("127.0.0.1", 5), headers=(), parts=(BODY,), kind="http"):
    """(status, body, how many parts of the body were read)."""
    scope = {"type": kind, "path": path, "method": method, "client": client, "headers": list(headers)}
    messages = [{"type": "http.request", "body": p, "more_body": k + 1 < len(parts)} for k, p in enumerate(parts)]
    sent, read = [], 0

    async def receive():
        nonlocal read
        read += 1
        return messages[read - 1] if read <= len(messages) else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(gate(scope, receive, send))
    return sent[0].get("status"), b"".join(m.get("body", b"") for m in sent), read


def make(**settings):
    return Gate(behind, Metrics(), {"/score": to_batch}, open_paths=frozenset({"/livez"}), **settings)


@pytest.mark.parametrize("client", [("127.0.0.1", 1), ("127.8.9.1", 1), ("::1", 1), ("::ffff:127.0.0.1", 1), None])
def test_this_machine_is_served_without_a_token(client):
    assert ask(make(), client=client) == (200, b"whoami", 1)


@pytest.mark.parametrize(
    "client", [("192.0.2.7", 1), ("10.0.0.1", 1), ("::ffff:192.0.2.7", 1), ("2001:db8::1", 1), ("testclient", 1)]
)
def test_other_machines_are_refused_without_a_token_whatever_the_server_listens_on(client):
    status, body, read = ask(make(), client=client)
    assert (status, read) == (403, 0)
    assert b"CMDCLF_TOKEN" in body
    assert ask(make(), client=client, path="/metrics", method="GET")[0] == 403
    assert ask(make(), client=client, path="/livez", method="GET")[0] == 200


@pytest.mark.parametrize("name", [b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip"])
def test_a_proxy_on_this_machine_needs_a_token(name):
    assert ask(make(), headers=[(name, b"127.0.0.1")])[0] == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost:3000", 200),
        (b"127.0.0.1:3000", 200),
        (b"[::1]:3000", 200),
        (b"rebound.example:3000", 403),
        (b"[", 403),
    ],
)
def test_a_web_page_under_its_own_name_is_refused_without_a_token(host, status):
    assert ask(make(), headers=[(b"host", host)])[0] == status


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (b"Bearer s3cret", 200),
        (b"bearer s3cret", 200),
        (b"Bearer s3cre", 401),
        (b"Bearer s3cret2", 401),
        (b"Basic s3cret", 401),
        (b"s3cret", 401),
        (b"", 401),
    ],
)
def test_with_a_token_only_the_right_one_is_let_in_from_anywhere(given, status):
    gate = make(token="s3cret")
    for client in (("127.0.0.1", 1), ("192.0.2.7", 1)):
        assert ask(gate, client=client, headers=[(b"authorization", given)])[0] == status


def test_with_a_token_nothing_but_health_is_open():
    gate = make(token="s3cret")
    for path in ("/docs.json", "/metrics", "/", "/score", "/schema.json"):
        assert ask(gate, path=path, method="GET")[0] == 401
    assert ask(gate, path="/livez", method="GET")[0] == 200


def test_web_sockets_are_closed():
    scope = {"type": "websocket", "path": "/score", "client": ("127.0.0.1", 1), "headers": []}
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(make()(scope, None, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_the_body_is_counted_as_it_arrives_and_reading_ends():
    gate = make(max_body_bytes=len(BODY))
    assert ask(gate)[0] == 200
    assert ask(gate, parts=(BODY, b" "))[0] == 413
    assert ask(gate, parts=(BODY,), headers=[(b"content-length", b"1")])[0] == 200
    status, _, read = ask(gate, parts=(b"x" * len(BODY),) * 100)
    assert status == 413
    assert read <= 9


def test_a_client_that_goes_away_frees_its_place():
    gate = make(max_requests=1)
    assert ask(gate, parts=())[0] == 400
    assert ask(gate)[0] == 200


def test_paths_that_strangers_make_up_do_not_become_metrics():
    gate = make()
    for k in range(50):
        ask(gate, path=f"/secret-{k}", method="GET")
    page = gate.metrics.page()[0].decode()
    assert 'endpoint="other",status="200"} 50.0' in page
    assert "secret" not in page
