"""A server on this machine that speaks the API: for tests, and for trying everything without a key."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeAlias

from cmdclf.errors import JudgeError
from cmdclf.labels._loopback_batches import Batches
from cmdclf.labels._loopback_replies import MODES, Failure, Reply, answer, as_response, completion, fault
from cmdclf.labels._loopback_rules import RULES_MODEL, verdict_by_rules

__all__ = ["MODES", "RULES_MODEL", "Failure", "Loopback", "Reply", "Script", "answer", "completion", "fault"]

_CHAT, _RESPONSES = "/v1/chat/completions", "/v1/responses"
_MOST_BYTES = 256 * 1024 * 1024

#: (server, the JSON object between the fences, the request's body) -> the reply, worded as a chat completion.
Script: TypeAlias = "Callable[[Loopback, dict[str, Any], dict[str, Any]], Reply]"


def _by_rules(_server: Loopback, line: dict[str, Any], body: dict[str, Any]) -> Reply:
    content = verdict_by_rules(line)
    sent = len(json.dumps(body))
    return completion(content, model=str(body.get("model")), usage=(sent // 4, len(content) // 4))


class Loopback:
    """`/v1/models`, `/v1/chat/completions`, `/v1/responses`, `/v1/files` and `/v1/batches` on 127.0.0.1, nowhere else.

    Its model `loopback-rules` answers by the bundled rules and says so in every reason: it is no language model, and
    its labels teach a classifier nothing that the rules don't know.

    Args:
        script: other answers than the rules'.
        models: what `/v1/models` lists; None answers 404 there, as small servers do.
        failures: what goes wrong when; the first one that hits a request decides.
        port: 0 takes a free one.
        slow_s: how long the failure `slow` takes.
        keep: so many requests are remembered in `bodies`, `lines`, `raw` and `headers`.

    Raises:
        JudgeError: the port can't be taken.

    Example:
        >>> with Loopback() as server:
        ...     judge = OpenAIJudge("loopback-rules", base_url=server.url)
    """

    def __init__(
        self,
        script: Script = _by_rules,
        *,
        models: Sequence[str] | None = (RULES_MODEL,),
        failures: Sequence[Failure] = (),
        port: int = 0,
        slow_s: float = 5.0,
        keep: int = 10_000,
    ) -> None:
        self.script = script
        self.models = None if models is None else list(models)
        self.model_fields: dict[str, Any] = {}
        self.failures = list(failures)
        self.slow_s = slow_s
        self.keep = keep
        #: requests for a verdict so far
        self.count = 0
        self.bodies: list[dict[str, Any]] = []
        self.lines: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.now = 0
        self.most_at_once = 0
        self.lock = threading.Lock()
        self.batches = Batches(lambda path, raw: self.ask(path, raw, {}))
        self._stopping = threading.Event()
        handler = type("Handler", (_Handler,), {"loopback": self})
        try:
            self._http = ThreadingHTTPServer(("127.0.0.1", port), handler)
        except (OSError, OverflowError) as error:
            raise JudgeError(
                f"port {port} can't be taken ({getattr(error, 'strerror', None) or error})",
                remedy="Give another --port; 0 takes a free one",
            ) from error
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Loopback:
        """Serve in a thread."""
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop; a slow answer is not waited for."""
        self._stopping.set()
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def serve(self) -> None:
        """Serve until interrupted."""
        try:
            self._http.serve_forever(poll_interval=0.2)
        finally:
            self._stopping.set()
            self._http.server_close()

    def ask(self, path: str, raw: str, headers: dict[str, str]) -> Reply:
        """The reply to one request for a verdict."""
        try:
            body = json.loads(raw)
            messages = body["messages"] if path == _CHAT else body["input"]
            line = json.loads(messages[-1]["content"].split("\n")[-2])
            model = str(body["model"])
        except (ValueError, RecursionError, KeyError, TypeError, IndexError, AttributeError):
            return fault(400, "invalid_request", "the loopback server only reads requests of 'cmdclf label'")
        if self.models is not None and model not in self.models:
            return fault(404, "model_not_found", f"the model '{model[:100]}' does not exist")
        with self.lock:
            self.count += 1
            number = self.count
            if len(self.bodies) < self.keep:
                self.bodies.append(body)
                self.lines.append(line)
                self.raw.append(raw)
                self.headers.append(headers)
                self.paths.append(path)
            self.now += 1
            self.most_at_once = max(self.most_at_once, self.now)
        try:
            failure = next((f for f in self.failures if f.mode != "cut-file" and f.hits(number)), None)
            if failure is not None and failure.mode == "slow":
                self._stopping.wait(self.slow_s)
            reply = self.script(self, line, body)
            if failure is not None:
                reply = failure.applied(reply, model)
            return as_response(reply) if path == _RESPONSES else reply
        finally:
            with self.lock:
                self.now -= 1

    def get(self, path: str) -> Reply:
        """The reply to a GET."""
        if path == "/v1/models" and self.models is not None:
            form = {"object": "model", "created": 1, "owned_by": "cmdclf: rules, no language model"} | self.model_fields
            return Reply({"object": "list", "data": [{"id": name} | form for name in self.models]})
        return self.batches.get(path, cut=any(f.mode == "cut-file" for f in self.failures))

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """The reply to a POST."""
        if path in (_CHAT, _RESPONSES):
            return self.ask(path, body.decode("utf-8", "replace"), headers)
        if path == "/v1/files":
            kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
            return self.batches.upload(kind, body)
        if path == "/v1/batches":
            try:
                wanted = json.loads(body)
            except (ValueError, RecursionError):
                wanted = None
            return self.batches.create(wanted) if isinstance(wanted, dict) else fault(400, None, "no JSON object")
        return fault(404, "not_found", "no such address")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def do_GET(self) -> None:
        if self._ours():
            self._send(self.loopback.get(self.path.partition("?")[0]))

    def do_POST(self) -> None:
        try:
            size = int(self.headers["content-length"])
        except (TypeError, ValueError):
            size = -1
        if not 0 <= size <= _MOST_BYTES:
            self.close_connection = True
            self._send(fault(413, None, "the body's length is missing or too large"))
            return
        body = self.rfile.read(size)
        if self._ours():
            self._send(self.loopback.post(self.path.partition("?")[0], body, dict(self.headers)))

    def _ours(self) -> bool:
        """Whether this machine is addressed by its loopback name: a web page must not reach us under its own."""
        if (self.headers.get("host") or "").partition(":")[0] in ("127.0.0.1", "localhost"):
            return True
        self._send(fault(403, None, "only for this machine"))
        return False

    def _send(self, reply: Reply) -> None:
        if reply.status == 0:
            self.close_connection = True
            return
        body = reply.body
        if not isinstance(body, bytes):
            body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        with contextlib.suppress(ConnectionError):
            self.send_response(reply.status)
            kinds = {name.replace("_", "-").lower(): value for name, value in reply.headers.items()}
            for name, value in ({"content-type": "application/json"} | kinds).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: command lines don't belong on a terminal."""
