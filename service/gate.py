"""What stands before the service: token or loopback, load shedding, and bodies checked before BentoML sees them."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextvars import ContextVar
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from .entries import BadEntries
from .metrics import Metrics

__all__ = ["Gate", "checked"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: What the check of the request under way has made of its lines.
checked: ContextVar[Any] = ContextVar("checked", default=None)

#: A proxy on this machine adds one of these: then the client behind it may be anyone.
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
#: How many times the body limit is read and thrown away, so that a client that only listens after sending gets its 413.
_DRAIN = 8


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Gate:
    """ASGI middleware in front of all routes but the health checks.

    With a token each request needs `Authorization: Bearer TOKEN`; without one only clients on this machine are served,
    whatever address the server listens on. Bodies are counted as they arrive, so that a missing or wrong Content-Length
    does not get past the limit, and are checked here: BentoML would log a traceback for each that it can't parse.

    Args:
        app: the application behind.
        metrics: counts requests; served at `/metrics`.
        token: the bearer token, or None.
        max_body_bytes: limit of a request's body.
        max_requests: how many requests may be under way; the next ones are answered with 429.
        checks: path -> check of the parsed `lines` of its requests, which raises BadEntries; what it returns is given
            to the method behind in the context variable `checked`, and BentoML sees an empty request.
        open_paths: paths that need no token.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        metrics: Metrics,
        checks: Mapping[str, Callable[[Any], Any]],
        token: str | None = None,
        max_body_bytes: int = 8 << 20,
        max_requests: int = 32,
        open_paths: frozenset[str] = frozenset(),
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.checks = checks
        self.token = token
        self.max_body_bytes = max_body_bytes
        self.max_requests = max_requests
        self.open_paths = open_paths
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it with 400, 401, 403, 413, 415 or 429."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in self.open_paths):
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            # There are no web sockets here, and none may slip past the token.
            await send({"type": "websocket.close", "code": 1008})
            return
        start = perf_counter()
        status = 500

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._serve(scope, receive, counted_send)
        except _Refused as refusal:
            await _answer(counted_send, refusal.status, str(refusal))
        except asyncio.CancelledError:
            status = 504  # BentoML answers it so: the time limit has passed, or the client has gone
            raise
        finally:
            self.metrics.request(scope["path"], status, perf_counter() - start)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        self._admit(scope, headers)
        if scope["path"] == "/metrics" and scope["method"] in ("GET", "HEAD"):
            await _respond(send, 200, *self.metrics.page())
            return
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        if self._under_way >= self.max_requests:
            raise _Refused(429, f"{self.max_requests} requests are under way, try again later")
        self._under_way += 1
        try:
            body = await self._body(headers, receive)
            if scope["path"] in self.checks:
                # Large bodies are parsed and checked once: the method behind finds the batch in `checked`.
                checked.set(self._check(scope["path"], headers, body))
                body = b'{"lines": null}'
            await self.app(scope, _replay(body, receive), send)
        finally:
            checked.set(None)
            self._under_way -= 1

    def _admit(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        if self.token is None:
            if not _is_local(scope, headers):
                raise _Refused(403, "without CMDCLF_TOKEN only clients on this machine are served, and none by proxy")
            return
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        # Compare first, so that the time does not depend on the rest.
        if not (hmac.compare_digest(given.strip(), self.token.encode()) and kind.lower() == b"bearer"):
            raise _Refused(401, "a valid bearer token is needed")

    async def _body(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _Refused(400, "the client went away")
            part = message.get("body", b"")
            size += len(part)
            if size <= self.max_body_bytes:
                parts.append(part)
            else:
                parts.clear()
            if not message.get("more_body") or size > _DRAIN * self.max_body_bytes:
                break
        if size > self.max_body_bytes:
            raise _Refused(413, f"the body is larger than {self.max_body_bytes:,} bytes")
        return b"".join(parts)

    def _check(self, path: str, headers: Mapping[bytes, bytes], body: bytes) -> Any:
        # BentoML would read other types by other rules; and a browser asks before it sends JSON to another site.
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind not in (b"", b"application/json"):
            raise _Refused(415, "send the body as Content-Type: application/json")
        try:
            sent = json.loads(body, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            raise _Refused(400, "the body is not valid JSON in UTF-8") from None
        if not isinstance(sent, dict) or "lines" not in sent:
            raise _Refused(400, "the body must be an object with 'lines'")
        try:
            return self.checks[path](sent["lines"])
        except BadEntries as error:
            raise _Refused(400, str(error)) from None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _is_local(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Whether client and addressed host are this machine, with no proxy between.

    The host is looked at too: a web page whose name was made to resolve to 127.0.0.1 reaches this port from a browser
    on this machine, but under its own name.
    """
    if not _FORWARDED.isdisjoint(headers):
        return False
    client = scope.get("client")
    # A Unix socket has no address and no strangers.
    if client and not _is_loopback(client[0]):
        return False
    try:
        host = urlsplit(b"//" + headers.get(b"host", b"localhost")).hostname
    except ValueError:
        return False
    return host is not None and (host == b"localhost" or _is_loopback(host.decode("latin-1")))


def _is_loopback(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
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
    more = {401: (b"www-authenticate", b"Bearer"), 429: (b"retry-after", b"1")}
    extra = [more[status]] if status in more else []
    await _respond(send, status, json.dumps({"error": message}).encode(), "application/json", extra)


async def _respond(
    send: Send, status: int, body: bytes, content_type: str, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
