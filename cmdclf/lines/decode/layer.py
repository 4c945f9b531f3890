"""What a decoding is: a function from a text to the texts that it hides, and what it may spend."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

__all__ = ["KINDS", "PLAIN", "Budget", "Decoding", "Kind", "Layer", "Text"]

Kind = Literal[
    "wrapper", "plain-env", "encoded-command", "base64", "gzip-base64", "base32", "hex", "caret", "quotes", "backtick",
    "concat", "format", "char", "env", "ifs", "brace", "escape", "replace", "join", "split", "index", "reverse", "xor",
    "variable", "for", "tr", "rot13", "percent",
]  # fmt: skip

#: All kinds in a fixed order: a batch names a kind by its place here, so new ones are appended.
KINDS: tuple[str, ...] = get_args(Kind)
#: The kinds that hide nothing: the text stands in the line, or is a variable's usual value.
PLAIN = frozenset({"wrapper", "plain-env"})


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoded text: `kind` says what was undone, `text` is what a shell would go on with.

    `span` is the place that it stands for in the text that it was taken out of, where that is known. A `fragment` is a
    word of that text, such as a program's name: restated in its place, but no layer.
    """

    kind: Kind
    text: str
    span: tuple[int, int] | None = field(default=None, compare=False)
    fragment: bool = field(default=False, compare=False)


@dataclass(slots=True)
class Budget:
    """What one line's decoding may still cost, in steps: about one character looked at by one pattern.

    Steps, not seconds, so that every machine gives the same layers. `settled` holds values of variables of which a
    layer shows all that the line makes of them.
    """

    steps: int
    cut: bool = False
    settled: set[str] = field(default_factory=set)

    def spend(self, steps: int) -> bool:
        """Whether so many steps were left; they are taken, and `cut` says if they were not."""
        self.steps -= steps
        if self.steps < 0:
            self.cut = True
        return self.steps >= 0


@dataclass(frozen=True, slots=True)
class Text:
    """A text under decoding: bounded in length, with what most decodings ask first.

    `marks` are the bits of `marks.py` that the gate saw in it.
    """

    raw: str
    lower: str
    windows: bool
    limit: int
    budget: Budget
    marks: int


@dataclass(frozen=True, slots=True)
class Decoding:
    """A registered decoding.

    Attributes:
        name: its function's name, for messages and tests.
        triggers: lower-case literals of which one must occur in the text; the function is not called without.
        apply: yields layers, in linear time; may yield the text unchanged (the loop drops that).
        rewrites: it changes the text in place (a caret removed), so what follows sees only the new text; otherwise it
            takes a text out of the text (an encoded payload).
        marks: the gate's bits of which one must be seen in the text; 0: the triggers alone decide.
    """

    name: str
    triggers: tuple[str, ...]
    apply: Callable[[Text], Iterator[Layer]]
    rewrites: bool = False
    marks: int = 0
