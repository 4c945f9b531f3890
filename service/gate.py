"""What stands before the service: bearer token or loopback, body limits, and logs without command lines."""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Gate", "WithoutTracebacks"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Gate:
    """ASGI middleware in front of all routes but the health checks.

    With a token each request needs `Authorization: Bearer TOKEN`; without one only clients on this machine are served,
    whatever address the server listens on. Bodies are counted as they arrive, so that a missing or wrong Content-Length
    does not get past the limit, and must be JSON: BentoML would log what it can't parse.

    Args:
        app: the application behind.
        token: the bearer token, or None.
        max_body_bytes: limit of a request's body.
        open_paths: paths that need no token.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        token: str | None = None,
        max_body_bytes: int = 8 << 20,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        self.app = app
        self.token = token
        self.max_body_bytes = max_body_bytes
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 401, 403, 413 or 400."""
        if scope["type"] != "http" or scope["path"] in self.open_paths:
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None and scope["method"] == "POST":
            body, refusal = await self._body(scope, receive)
            if refusal is None:
                await self.app(scope, _replay(body, receive), send)
                return
        if refusal is not None:
            await _answer(send, *refusal)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if self.token is None:
            return None if _is_local(scope) else (403, "without CMDCLF_TOKEN only clients on this machine are served")
        given = dict(scope["headers"]).get(b"authorization", b"")
        good = b"Bearer " + self.token.encode()
        return None if hmac.compare_digest(given, good) else (401, "a valid bearer token is needed")

    async def _body(self, scope: Scope, receive: Receive) -> tuple[bytes, tuple[int, str] | None]:
        too_large = (413, f"the body is larger than {self.max_body_bytes} bytes")
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_body_bytes:
            return b"", too_large
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return b"", (400, "the client went away")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.max_body_bytes:
                return b"", too_large
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        try:
            sent = json.loads(body)
        except (ValueError, RecursionError):
            return b"", (400, "the body is not valid JSON")
        if not isinstance(sent, dict) or "lines" not in sent:
            return b"", (400, "the body must be an object with 'lines'")
        return body, None


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    if not client:
        # A Unix socket has no address and no strangers.
        return True
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class WithoutTracebacks(logging.Filter):
    """Strips tracebacks of refused requests from the log: their last lines quote the request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true; the record loses its exception's text, not its kind."""
        if record.exc_info and record.exc_info[0] is not None:
            record.msg = f"{record.getMessage()} [{record.exc_info[0].__name__}]"
            record.args = ()
            record.exc_info = None
            record.exc_text = None
        return True
