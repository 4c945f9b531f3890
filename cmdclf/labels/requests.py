"""Command lines as a judge may see them: no secret in them, neither in plain sight nor encoded."""

from __future__ import annotations

import re

import pyarrow as pa

from cmdclf.labels.judge import JudgeRequest
from cmdclf.lines import decode_layers, redact, redact_many

__all__ = ["requests_for"]

#: Layers that are taken out of an encoded run of characters in the line. Other layers rewrite the text in place.
_ENCODINGS = ("encoded-command", "base64", "gzip-base64", "hex")

#: A run of characters that can carry an encoded secret. Shorter runs are words.
_ENCODED = re.compile(r"[A-Za-z0-9+/_=-]{12,}")

#: Shorter secrets are not looked for where redaction did not see them: they would hit parts of ordinary words.
_SHORTEST = 4


def requests_for(lines: pa.Table) -> list[JudgeRequest]:
    """The lines as redacted requests, in order.

    Redaction sees plain text only. Where a decoded layer shows a secret that the line itself doesn't show, the line
    would carry it out unseen: every long encoded run of it gives way to `<secret:encoded>`, and a line that hides the
    secret by inserted characters or variables gives way to its redacted layer altogether. What is a secret anywhere in
    a line is one everywhere in it.

    Args:
        lines: `command_id`, `platform`, `command_line`, optionally `parent_command_line`; unredacted.
    """
    raw = [text or "" for text in lines["command_line"].to_pylist()]
    texts = redact_many(pa.array(raw, pa.string())).to_pylist()
    parents: list[str | None] = [None] * lines.num_rows
    if "parent_command_line" in lines.column_names:
        parents = lines["parent_command_line"].to_pylist()
    requests = []
    for command_id, platform, line, text, parent in zip(
        lines["command_id"].to_pylist(), lines["platform"].to_pylist(), raw, texts, parents, strict=True
    ):
        shown, decoded = _shown(line, text, platform)
        above = _shown(parent, redact(parent, platform).text, platform)[0] if parent else ""
        requests.append(JudgeRequest(command_id, platform, shown, above, decoded))
    return requests


def _shown(line: str, redacted: str, platform: str) -> tuple[str, tuple[str, ...]]:
    """The redacted text without hidden secrets, and the redacted texts that the line hides."""
    layers = decode_layers(line, platform)
    if not layers:
        return redacted, ()
    secrets = {line[found.start : found.end]: found.kind for found in redact(line, platform).found}
    in_sight = set(secrets)
    texts: list[str] = []
    hidden_in: set[str] = set()
    for layer in layers:
        clean = redact(layer.text, platform)
        values = {layer.text[found.start : found.end]: found.kind for found in clean.found}
        if layer.kind != "wrapper" and not values.keys() <= in_sight:
            hidden_in.add(layer.kind)
        secrets |= values
        texts.append(clean.text)
    shown = redacted
    if any(kind not in _ENCODINGS for kind in hidden_in):
        return _without(secrets, texts[-1]), ()
    if hidden_in:
        # Outer layers carry the inner payload too.
        shown = _ENCODED.sub("<secret:encoded>", redacted)
        texts[:-1] = [_ENCODED.sub("<secret:encoded>", text) for text in texts[:-1]]
    # An inner shell command that the line shows word for word would only repeat it.
    decoded = [text for layer, text in zip(layers, texts, strict=True) if layer.kind != "wrapper" or text not in shown]
    return _without(secrets, shown), tuple(_without(secrets, text) for text in decoded)


def _without(secrets: dict[str, str], text: str) -> str:
    """The text with each of the known secrets (value -> kind) replaced by its placeholder."""
    for value, kind in secrets.items():
        if len(value) >= _SHORTEST:
            text = text.replace(value, f"<secret:{kind}>")
    return text
