"""The product's loopback server under the names that these tests use."""

from __future__ import annotations

from cmdclf.labels.loopback import Loopback, Reply, answer, fault
from cmdclf.labels.loopback import completion as _completion

__all__ = ["MODEL", "Reply", "answer", "completion", "fault", "openai_server"]

MODEL = "small-judge"


def completion(content, *, model=MODEL, **more):
    return _completion(content, model=model, **more)


def openai_server(script=lambda server, line, body: completion(answer()), **settings):
    """A running server on a free loopback port."""
    return Loopback(script, models=[MODEL, "large-judge"], **settings)
