"""A loopback server that speaks as much of the OpenAI protocol as a judge needs, and misbehaves on request."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "small-judge"


@dataclass
class Reply:
    """One HTTP answer."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def answer(verdict="benign", confidence=0.9, reason="looks fine", technique="", injection=False) -> str:
    """What a model writes."""
    return json.dumps(
        {
            "injection_suspected": injection,
            "reason": reason,
            "technique": technique,
            "verdict": verdict,
            "confidence": confidence,
        }
    )


def completion(content: str | None, *, finish="stop", refusal=None, usage=(100, 20), model=MODEL) -> Reply:
    """A chat completion around what a model wrote."""
    body = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "message": {"role": "assistant", "content": content, "refusal": refusal},
            }
        ],
    }
    if usage:
        body["usage"] = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
    return Reply(body)


def fault(status: int, code: str | None = None, message="no", **headers: str) -> Reply:
    """An error as OpenAI words it."""
    return Reply({"error": {"message": message, "type": "error", "code": code}}, status, headers)


class FakeOpenAI:
    """What the server does and what it saw.

    `script(server, line, body)` gives the reply to one chat request; `line` is the JSON object between the fences.
    """

    def __init__(self, script: Callable[[FakeOpenAI, dict[str, Any], dict[str, Any]], Reply]) -> None:
        self.script = script
        self.models: list[str] | None = [MODEL, "large-judge"]
        self.model_fields: dict[str, Any] = {}
        self.bodies: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.now = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.url = ""

    def chat(self, raw: str, headers: dict[str, str]) -> Reply:
        body = json.loads(raw)
        user = body["messages"][-1]["content"]
        line = json.loads(user.split("\n")[-2])
        with self.lock:
            self.bodies.append(body)
            self.lines.append(line)
            self.raw.append(raw)
            self.headers.append(headers)
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
        try:
            return self.script(self, line, body)
        finally:
            with self.lock:
                self.now -= 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeOpenAI

    def do_GET(self):
        if self.path.endswith("/models") and self.fake.models is not None:
            form = {"object": "model", "created": 1, "owned_by": "us"} | self.fake.model_fields
            data = [{"id": name} | form for name in self.fake.models]
            self._send(Reply({"object": "list", "data": data}))
        else:
            self._send(fault(404))

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"])).decode()
        self._send(self.fake.chat(raw, dict(self.headers)))

    def _send(self, reply: Reply):
        body = reply.body.encode() if isinstance(reply.body, str) else json.dumps(reply.body).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            for name, value in reply.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *args):
        """Quiet."""


@contextlib.contextmanager
def openai_server(script=lambda server, line, body: completion(answer())) -> Iterator[FakeOpenAI]:
    """A running server on a free loopback port."""
    fake = FakeOpenAI(script)
    handler = type("Handler", (_Handler,), {"fake": fake})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
