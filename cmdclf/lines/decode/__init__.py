"""The texts that a command line hides, layer by layer, within fixed bounds of depth, size and work.

A decoding is a small function in `powershell.py`, `cmd.py` or `shell.py` and one line of that file's registry.
"""

from __future__ import annotations

import pyarrow as pa

from cmdclf.lines.decode import cmd, powershell, shell
from cmdclf.lines.decode.layer import Decoding, Kind, Layer, Text
from cmdclf.lines.platform import guess_platform

__all__ = ["DECODINGS", "Decoding", "Kind", "Layer", "Text", "decode_layers"]

#: All decodings in the order in which they are tried: what rewrites in place, then what takes texts out.
DECODINGS: tuple[Decoding, ...] = tuple(
    sorted((*cmd.DECODINGS, *shell.DECODINGS, *powershell.DECODINGS), key=lambda decoding: not decoding.rewrites)
)

_MAX_LAYERS = 32


def decode_layers(line: str, platform: str | None = None, *, max_depth: int = 4, max_bytes: int = 65536) -> list[Layer]:
    """The decoded layers of a command line, outermost first; empty where it hides nothing.

    At each level, what changes the text in place (carets, variables, ...) is undone first, one after the other; then
    what the result hides (wrapped commands, encoded payloads) is taken out and becomes the next level. The last layer
    is the innermost. Never raises on any text, and takes time linear in its length: the text and every layer are cut at
    `max_bytes` characters, all layers together hold at most four times as many, and there are at most 32 of them.

    Args:
        line: the command line.
        platform: `windows`, `linux` or `macos`; None: guessed. Carets and backticks mean different things there.
        max_depth: how many levels may be nested.
        max_bytes: bound of one text, in characters.

    >>> [(layer.kind, layer.text) for layer in decode_layers("cmd /c who^ami", "windows")]
    [('caret', 'cmd /c whoami'), ('wrapper', 'whoami')]
    """
    limit = max(0, max_bytes)
    start = line[:limit]
    if platform is None:
        platform = guess_platform(pa.array([start.encode("utf-8", "replace").decode()]))[0].as_py()
    found = _Found(start, limit)
    level = [start]
    for _ in range(max_depth):
        inner: list[str] = []
        for raw in level:
            inner += _one_level(raw, platform == "windows", found)
        level = inner
        if not level or found.full:
            break
    return found.layers


class _Found:
    """The layers so far, within their bounds and each text once."""

    def __init__(self, start: str, limit: int) -> None:
        self.layers: list[Layer] = []
        self.limit = limit
        self.full = False
        self._room = 4 * limit
        self._seen = {start.strip()}

    def add(self, layer: Layer) -> str | None:
        """The text as it was kept; None if it is empty, known, or beyond the bounds."""
        text = layer.text[: self.limit].replace("\0", "\\x00").strip()
        if not text or text in self._seen:
            return None
        if len(self.layers) >= _MAX_LAYERS or self._room < len(text):
            self.full = True
            return None
        self._room -= len(text)
        self._seen.add(text)
        self.layers.append(Layer(layer.kind, text))
        return text


def _one_level(raw: str, windows: bool, found: _Found) -> list[str]:
    text = _text(raw, windows, found.limit)
    inner: list[str] = []
    for decoding in DECODINGS:
        if found.full:
            break
        if not any(trigger in text.lower for trigger in decoding.triggers):
            continue
        for layer in decoding.apply(text):
            kept = found.add(layer)
            if kept is not None and decoding.rewrites:
                text = _text(kept, windows, found.limit)
            elif kept is not None:
                inner.append(kept)
            if found.full:
                break
    return inner


def _text(raw: str, windows: bool, limit: int) -> Text:
    lower = raw.lower()
    # PowerShell runs elsewhere too, but what its lines look like is the same.
    return Text(raw, lower, windows or "powershell" in lower[:200], limit)
