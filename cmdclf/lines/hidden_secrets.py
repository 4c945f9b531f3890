"""Secrets that a line carries encoded, split or wrapped: redacted with what hides them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines.decode import decode_batch, decode_layers
from cmdclf.lines.platform import guess_platform
from cmdclf.lines.redact import redact, redact_batch

__all__ = ["Shown", "redact_hidden", "redact_hidden_batch"]

#: Layers that are taken out of an encoded run of characters in the line. Other layers rewrite the text in place.
_ENCODINGS = frozenset({"encoded-command", "base64", "gzip-base64", "base32", "hex"})
#: A run of characters that can carry an encoded secret. Shorter runs are words.
_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{12,}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_PLACEHOLDER = "<secret:encoded>"
#: Shorter secrets are not looked for where redaction did not see them: they would hit parts of ordinary words.
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Shown:
    """A line as it may leave the machine.

    Attributes:
        text: the line without secrets; encoded runs that carry one are `<secret:encoded>`.
        decoded: redacted texts that the line hides, outermost first; an inner command that the text shows word for
            word is left out.
        kinds: of the secrets that were replaced in the text.
    """

    text: str
    decoded: tuple[str, ...]
    kinds: tuple[str, ...]


def redact_hidden(line: str, platform: str | None = None) -> Shown:
    """The redacted line with the redacted texts that it hides.

    `redact` sees plain text only. Where a decoded layer shows a secret that the line itself does not show, the line
    would carry it out unseen: the encoded run gives way to `<secret:encoded>`, and a line that hides the secret by
    inserted characters or variables gives way to its redacted layer altogether. What is a secret anywhere in a line is
    one everywhere in it. Never raises; bounded as `decode_layers` is.
    """
    plain = redact(line, platform)
    kinds = tuple(secret.kind for secret in plain.found)
    layers = decode_layers(line, platform)
    if not layers:
        return Shown(plain.text, (), kinds)
    secrets = {line[found.start : found.end]: found.kind for found in plain.found}
    in_sight = set(secrets)
    texts: list[str] = []
    hidden_in: set[str] = set()
    hidden: dict[str, str] = {}
    for layer in layers:
        clean = redact(layer.text, platform)
        values = {layer.text[found.start : found.end]: found.kind for found in clean.found}
        # What a rewriting leaves in sight is redacted there; a payload carries it once more.
        in_text = layer.kind not in _ENCODINGS
        new = {value: kind for value, kind in values.items() if not (in_text and value in in_sight)}
        if layer.kind != "wrapper" and new:
            hidden_in.add(layer.kind)
            hidden |= new
        secrets |= values
        texts.append(clean.text)
    if not hidden_in <= _ENCODINGS:
        return Shown(_without(secrets, texts[-1]), (), (*kinds, *hidden.values()))
    shown = plain.text
    if hidden_in:
        shown = _without_encoded(shown, hidden, platform)
        # Layers carry the payloads of one another.
        texts = [_without_encoded(text, hidden, platform) for text in texts]
        kinds = (*kinds, "encoded")
    decoded = [text for layer, text in zip(layers, texts, strict=True) if layer.kind != "wrapper" or text not in shown]
    return Shown(_without(secrets, shown), tuple(_without(secrets, text) for text in decoded), kinds)


def redact_hidden_batch(arr: pa.StringArray, platform: pa.StringArray | None = None) -> tuple[pa.Array, pa.Array]:
    """Texts and kinds of `redact_hidden` for each line; only lines that may hide text are decoded.

    Args:
        arr: (n,) string; nulls stay null.
        platform: of each line; None, or null in a row: guessed.

    Returns:
        (n,) string and (n,) list<string>, null where the line is null.
    """
    arr = arr.cast(pa.string())
    guessed = guess_platform(arr)
    platform = guessed if platform is None else pc.coalesce(platform.cast(pa.string()), guessed)
    texts, kinds = redact_batch(arr)
    rows = _to_look_at(arr, platform, kinds)
    if not rows:
        return texts, kinds
    shown = [redact_hidden(arr[row].as_py(), platform[row].as_py()) for row in rows]
    # A lone surrogate, decoded from UTF-16, is no Arrow text.
    new = [s.text if s.text.isascii() else s.text.encode("utf-8", "replace").decode() for s in shown]
    mask = np.zeros(len(arr), np.bool_)
    mask[rows] = True
    listed = kinds.to_pylist()
    for row, one in zip(rows, shown, strict=True):
        listed[row] = list(one.kinds)
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(new, pa.string())), pa.array(listed, kinds.type)


def _to_look_at(arr: pa.StringArray, platform: pa.StringArray, kinds: pa.Array) -> list[int]:
    """The rows that hide text, and in whose text or layers there is a secret, ascending."""
    layers = decode_batch(arr, platform)
    found = pc.greater(pc.list_value_length(redact_batch(layers.text)[1]), 0).to_numpy(zero_copy_only=False)
    in_layer = np.unique(layers.row[found.astype(np.bool_)])
    plain = np.flatnonzero(pc.fill_null(pc.greater(pc.list_value_length(kinds), 0), False))
    rows: list[int] = np.union1d(in_layer, np.intersect1d(plain, layers.row)).tolist()
    return rows


def _without_encoded(text: str, hidden: dict[str, str], platform: str | None) -> str:
    """The text without the encoded runs that carry one of the hidden secrets; without all if it still carries one."""
    shown = _BASE64.sub(lambda run: _PLACEHOLDER if _carries(run[0], hidden) else run[0], text)
    if any(value in layer.text for layer in decode_layers(shown, platform) for value in hidden):
        return _ENCODED.sub(_PLACEHOLDER, text)
    return shown


def _carries(run: str, hidden: Iterable[str]) -> bool:
    """Whether the run is base64 or hexadecimal text of something that holds a secret."""
    for decode in (_from_base64, binascii.unhexlify):
        try:
            data = decode(run)
        except ValueError:
            continue
        for value in hidden:
            raw = value.encode("utf-8", "replace")
            if raw in data or value.encode("utf-16-le", "replace") in data:
                return True
    return False


def _from_base64(run: str) -> bytes:
    run = run.rstrip("=").translate(str.maketrans("-_", "+/"))
    run = run[: len(run) - 1] if len(run) % 4 == 1 else run
    return base64.b64decode(run + "=" * (-len(run) % 4))


def _without(secrets: dict[str, str], text: str) -> str:
    """The text with each of the known secrets (value -> kind) replaced by its placeholder."""
    for value, kind in secrets.items():
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"<secret:{kind}>")
    return text
