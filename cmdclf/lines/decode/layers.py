"""One line's layers: the loop over the decodings, level by level."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from cmdclf.lines.decode import (
    cmd,
    cmd_variables,
    codes,
    expansions,
    globs,
    literals,
    pipes,
    powershell,
    script,
    shell,
    shell_loops,
    shell_names,
    string_methods,
    variables,
)
from cmdclf.lines.decode.gate import text_marks
from cmdclf.lines.decode.layer import Budget, Decoding, Layer, Text
from cmdclf.lines.decode.marks import EVERYTHING
from cmdclf.lines.decode.restate import Restating
from cmdclf.lines.platform import guess_platform

__all__ = ["DECODINGS", "MAX_CHARACTERS", "Decoded", "decode_layers", "decode_line"]

#: All decodings in the order in which they are tried: what rewrites in place, then what takes texts out.
DECODINGS: tuple[Decoding, ...] = tuple(
    sorted(
        (
            *cmd.DECODINGS, *cmd_variables.DECODINGS, *expansions.DECODINGS, *globs.DECODINGS,
            *shell_names.DECODINGS, *shell_loops.DECODINGS, *shell.DECODINGS, *string_methods.DECODINGS,
            *powershell.DECODINGS, *script.DECODINGS, *codes.DECODINGS, *literals.DECODINGS, *variables.DECODINGS,
            *pipes.DECODINGS,
        ),
        key=lambda decoding: not decoding.rewrites,
    )
)  # fmt: skip
_ALWAYS = EVERYTHING + 1
_REWRITES = tuple((d.marks or _ALWAYS, d) for d in DECODINGS if d.rewrites)
_EXTRACTS = tuple((d.marks or _ALWAYS, d) for d in DECODINGS if not d.rewrites)

#: Bound of one text, in characters.
MAX_CHARACTERS = 65536
_MAX_LAYERS = 32
# Texts put together by one rewriting are taken apart by another (`'{1}{0}' -f ('x'+'y'),'z'`), so often at most.
_MAX_ROUNDS = 6
# Characters looked at by all decodings of one line together: about 50 ms on one core of 2023.
_STEPS = 1_500_000
# What calling a decoding costs, however short the text.
_CALL = 40


@dataclass(frozen=True, slots=True)
class Decoded:
    """A line's layers, outermost first, the level of each, and whether a bound ended the work before the line did.

    `restated` is the line with what it hides in its place.
    """

    layers: list[Layer]
    depths: list[int]
    cut: bool
    restated: str


def decode_layers(
    line: str, platform: str | None = None, *, max_depth: int = 4, max_bytes: int = MAX_CHARACTERS
) -> list[Layer]:
    """The decoded layers of a command line, outermost first; empty where it hides nothing.

    At each level, what changes the text in place (carets, variables, ...) is undone first, one after the other; then
    what the result hides (wrapped commands, encoded payloads) is taken out and becomes the next level. The last layer
    is the innermost. Never raises on any text, and takes time linear in its length: the text and every layer are cut at
    `max_bytes` characters, all layers together hold at most four times as many, there are at most 32 of them, and the
    work is bounded by a number of steps that is the same on every machine (about 50 ms).

    Args:
        line: the command line.
        platform: `windows`, `linux` or `macos`; None: guessed. Carets and backticks mean different things there.
        max_depth: how many levels may be nested.
        max_bytes: bound of one text, in characters.

    >>> [(layer.kind, layer.text) for layer in decode_layers("cmd /c who^ami", "windows")]
    [('caret', 'cmd /c whoami'), ('wrapper', 'whoami')]
    """
    return decode_line(line, platform, max_depth=max_depth, max_bytes=max_bytes).layers


def decode_line(
    line: str, platform: str | None = None, *, max_depth: int = 4, max_bytes: int = MAX_CHARACTERS, gated: bool = True
) -> Decoded:
    """As `decode_layers`, with whether one of the bounds (depth, size, layers, steps) cut the work short.

    `gated=False` tries every decoding on every text. The layers are the same; it is there to test that.
    """
    limit = max(0, max_bytes)
    start = line[:limit].replace("\0", "\\x00")
    if platform is None:
        platform = guess_platform(pa.array([start.encode("utf-8", "replace").decode()]))[0].as_py()
    windows = platform == "windows"
    found = _Found(start, limit, Budget(_STEPS, cut=len(line) > limit), gated)
    level = [start]
    for _ in range(max_depth):
        inner: list[str] = []
        for raw in level:
            inner += _one_level(raw, windows, found)
        level = inner
        if not level or found.full:
            break
        found.depth += 1
    cut = found.full or found.budget.cut or any(_hides_more(raw, windows, found) for raw in level)
    # Its own budget: what is restated never depends on how much the layers cost.
    restated = (
        found.restating.of(start, Budget(_STEPS, settled=found.budget.settled))
        if found.layers or found.restating.places
        else start
    )
    return Decoded(found.layers, found.depths, cut, restated)


class _Found:
    """The layers so far, within their bounds and each text once."""

    def __init__(self, start: str, limit: int, budget: Budget, gated: bool) -> None:
        self.layers: list[Layer] = []
        self.depths: list[int] = []
        self.depth = 1
        self.limit = limit
        self.budget = budget
        self.gated = gated
        self.full = False
        self.restating = Restating(limit)
        self.seen = {start.strip()}
        self._room = 4 * limit

    def kept(self, layer: Layer) -> str:
        """The layer's text within the bound of one text."""
        text = layer.text
        if len(text) > self.limit:
            text = text[: self.limit]
            self.budget.cut = True
        return text.replace("\0", "\\x00").strip()

    def add_from(self, raw: str, layer: Layer) -> str | None:
        """As `add`, of a layer that was taken out of the text `raw`, whose place it is restated in."""
        if layer.span is not None:
            self.restating.place(raw, layer.span, self.kept(layer))
        return None if layer.fragment else self.add(layer)

    def add(self, layer: Layer) -> str | None:
        """The text as it was kept; None if it is empty, known, or beyond the bounds."""
        text = self.kept(layer)
        if not text or text in self.seen:
            return None
        if len(self.layers) >= _MAX_LAYERS or self._room < len(text):
            self.full = True
            return None
        self._room -= len(text)
        self.seen.add(text)
        self.layers.append(Layer(layer.kind, text))
        self.depths.append(self.depth)
        return text


def _hides_more(raw: str, windows: bool, found: _Found) -> bool:
    """Whether a text that the depth left alone has layers of its own."""
    probe = _Found(raw, found.limit, found.budget, found.gated)
    probe.seen |= found.seen
    _one_level(raw, windows, probe)
    return bool(probe.layers)


def _one_level(raw: str, windows: bool, found: _Found) -> list[str]:
    text = _text(raw, windows, found)
    for _ in range(_MAX_ROUNDS):
        before = text
        for mark, decoding in _REWRITES:
            if not text.marks & mark or not _applies(decoding, text, found):
                continue
            for layer in decoding.apply(text):
                kept = found.add(layer)
                if kept is not None:
                    text = _text(kept, windows, found)
        if text is before or found.full:
            break
    found.restating.rewritten(raw, text.raw)
    inner: list[str] = []
    for mark, decoding in _EXTRACTS:
        if text.marks & mark and _applies(decoding, text, found):
            for layer in decoding.apply(text):
                kept = found.add_from(raw, layer)
                if kept is not None:
                    inner.append(kept)
                if found.full:
                    break
    return inner


def _applies(decoding: Decoding, text: Text, found: _Found) -> bool:
    lower = text.lower
    for trigger in decoding.triggers:
        if trigger in lower:
            return not found.full and found.budget.spend(_CALL + len(lower))
    return False


def _text(raw: str, windows: bool, found: _Found) -> Text:
    lower = raw.lower()
    # PowerShell runs elsewhere too, but what its lines look like is the same.
    windows = windows or "powershell" in lower[:200]
    bits = text_marks(raw, posix=not windows) if found.gated else EVERYTHING
    return Text(raw, lower, windows, found.limit, found.budget, bits | _ALWAYS)
