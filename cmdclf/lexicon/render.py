"""Command lines from templates: slots filled, payloads really encoded."""

from __future__ import annotations

import base64
import gzip
import random
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from cmdclf.errors import LexiconError
from cmdclf.lexicon.estate import Estate, default_estate
from cmdclf.lexicon.slots import SlotContext
from cmdclf.lexicon.template import SLOT, Template

__all__ = ["ENCODINGS", "Rendered", "encode_payload", "filled", "image_of", "render", "text_parts"]


class Rendered(NamedTuple):
    """One process start as a sensor would record it; `parent_command_line` and `image` are None where not known."""

    command_line: str
    parent_command_line: str | None
    image: str | None
    platform: str


def _gzip_base64(text: str) -> str:
    # mtime=0: the same payload must give the same bytes on every day.
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


#: Encoding of `{{payload:NAME}}` -> function.
ENCODINGS: dict[str, Callable[[str], str]] = {
    "ps-encoded": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "gzip-base64": _gzip_base64,
    "hex": lambda text: text.encode().hex(),
}


def encode_payload(text: str, encoding: str) -> str:
    """`text` as `ps-encoded` (base64 of UTF-16LE), `base64`, `gzip-base64` or `hex`.

    Raises:
        LexiconError: there is no such encoding.
    """
    if encoding not in ENCODINGS:
        raise LexiconError(f"unknown payload encoding '{encoding}'", remedy=f"Use one of {', '.join(ENCODINGS)}")
    return ENCODINGS[encoding](text)


@lru_cache(maxsize=8192)
def text_parts(text: str) -> tuple[tuple[str, str | None, str], ...]:
    """Text as (literal before, slot name or None at the end, its arguments)."""
    parts: list[tuple[str, str | None, str]] = []
    at = 0
    for match in SLOT.finditer(text):
        parts.append((text[at : match.start()], match[1], match[2] or ""))
        at = match.end()
    parts.append((text[at:], None, ""))
    return tuple(parts)


def filled(text: str, context: SlotContext, payload: str | None) -> str:
    """Text with its slots' values; `payload` is what payload slots encode."""
    out: list[str] = []
    for literal, name, args in text_parts(text):
        out.append(literal)
        if name is None:
            continue
        if name != "payload":
            out.append(context.value(name, args))
        elif payload:
            out.append(encode_payload(filled(payload, context, None), args))
        else:
            raise LexiconError("a payload slot without a payload", remedy="Give the template a 'payload'")
    return "".join(out)


def image_of(command_line: str, platform: str) -> str | None:
    """The program's path where the line itself names it, else None."""
    if command_line.startswith('"'):
        first = command_line[1:].split('"', 1)[0]
    elif platform == "windows" and ".exe " in command_line.lower() and command_line[1:3] == ":\\":
        first = command_line[: command_line.lower().index(".exe ") + 4]
    else:
        first = command_line.split(" ", 1)[0]
    absolute = first[1:3] == ":\\" if platform == "windows" else first.startswith("/")
    return first if absolute else None


def render(template: Template, rng: random.Random, *, estate: Estate | None = None) -> Rendered:
    """One command line of a template: the same template, estate and state of `rng` give the same line.

    Args:
        template: what to render.
        rng: where values come from; it advances.
        estate: users, hosts, domain and shares; the default estate when absent.

    Raises:
        LexiconError: a slot is unknown or its arguments are; names file and template.
    """
    context = SlotContext(template.platform, rng, default_estate() if estate is None else estate)
    try:
        line = filled(template.line, context, template.payload)
        parent = filled(template.parent, context, template.payload) if template.parent else None
    except LexiconError as error:
        raise LexiconError(
            f"template '{template.id}': {error.message}", remedy=error.remedy, file=template.file or None
        ) from error
    return Rendered(line, parent, image_of(line, template.platform), template.platform)
