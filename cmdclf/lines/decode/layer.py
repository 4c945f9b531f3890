"""What a decoding is: a function from a text to the texts that it hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Decoding", "Kind", "Layer", "Text"]

Kind = Literal[
    "wrapper", "encoded-command", "base64", "gzip-base64", "hex", "caret", "quotes", "backtick", "concat", "format",
    "char", "env", "ifs", "brace", "escape",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoded text: `kind` says what was undone, `text` is what a shell would go on with."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A text under decoding: bounded in length, with what most decodings ask first."""

    raw: str
    lower: str
    windows: bool
    limit: int


@dataclass(frozen=True, slots=True)
class Decoding:
    """A registered decoding.

    Attributes:
        name: its function's name, for messages and tests.
        triggers: lower-case literals of which one must occur in the text; the function is not called without.
        apply: yields layers, in linear time; may yield the text unchanged (the loop drops that).
        rewrites: it changes the text in place (a caret removed), so what follows sees only the new text; otherwise it
            takes a text out of the text (an encoded payload).
    """

    name: str
    triggers: tuple[str, ...]
    apply: Callable[[Text], Iterator[Layer]]
    rewrites: bool = False
