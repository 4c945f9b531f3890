"""What makes a lexicon sound, checked template by template."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace

from cmdclf.errors import LexiconError
from cmdclf.lexicon.inert import inert_faults
from cmdclf.lexicon.quoting import quoting_fault
from cmdclf.lexicon.render import Rendered, render
from cmdclf.lexicon.techniques import techniques
from cmdclf.lexicon.template import SLOT, Template, skeleton
from cmdclf.lines import decode_layers

__all__ = ["ID_PREFIX", "payload_decodes", "problems"]

#: Platform -> how the ids of its templates begin.
ID_PREFIX = {"windows": "win", "linux": "lin", "macos": "mac"}
_ID = re.compile(r"[a-z]+(?:-[a-z0-9]+)+")
#: What looks like a slot with arguments in a rendered text.
_MALFORMED = re.compile(r"\{\{[a-z_]+[0-9]*:")
#: Tools and calls that decode by themselves, also where our decoding does not follow a script's own loop.
_DECODER = re.compile(
    r"base64|b64|unhexlify|fromhex|tobyte|xxd|certutil\S*\s+-decode|openssl\s+enc|gunzip|zcat|gzip|inflate|atob"
    r"|-e(?:c|nc\w*)?\s|data:|secret|ignition|user-?data|cloud-init|gpg|unpack",
    re.IGNORECASE,
)
#: Stands between line and payload where both are rendered with the same values.
_BETWEEN = "\x01"


def problems(templates: Sequence[Template]) -> list[str]:
    """Faults of the templates, one sentence each, in their order; about a millisecond per template.

    Each template is rendered twice from its id, so that the same lexicon has the same faults everywhere.
    """
    found: list[str] = []
    by_id: dict[str, Template] = {}
    shapes: dict[tuple[str, str], str] = {}
    for template in templates:
        faults: list[str] = []
        if template.id in by_id:
            faults.append("the id is used twice")
        by_id.setdefault(template.id, template)
        shape = (template.platform, skeleton(template.line + "\n" + template.payload))
        if shape in shapes:
            faults.append(f"duplicate of '{shapes[shape]}' but for values")
        shapes.setdefault(shape, template.id)
        faults += [*_fact_faults(template), *_rendered_faults(template)]
        found += _placed(template, faults)
    for template in templates:
        found += _placed(template, _twin_faults(template, by_id))
    return found


def _placed(template: Template, faults: list[str]) -> list[str]:
    return [f"{template.file or 'lexicon'}: template '{template.id}': {fault}" for fault in faults]


def _twin_faults(template: Template, by_id: dict[str, Template]) -> list[str]:
    """A twin may point one way: several templates can share the look-alike."""
    if not template.twin:
        return []
    twin = by_id.get(template.twin)
    if twin is None:
        return [f"its twin '{template.twin}' does not exist"]
    if twin.label == template.label:
        return [f"its twin '{template.twin}' has the same label"]
    return [] if twin.platform == template.platform else [f"its twin '{template.twin}' is of another platform"]


def _fact_faults(template: Template) -> list[str]:
    """What its fields say, no rendering needed."""
    faults: list[str] = []
    if not _ID.fullmatch(template.id) or not template.id.startswith(f"{ID_PREFIX[template.platform]}-"):
        faults.append(f"its id is not in small letters with hyphens after '{ID_PREFIX[template.platform]}-'")
    if not 0 <= template.weight <= 100:
        faults.append("weight is not between 0 and 100")
    if template.label == "malicious":
        if template.weight:
            faults.append("a malicious template has weight 0")
        if not template.technique:
            faults.append("a malicious template names its ATT&CK technique")
    elif template.technique:
        faults.append("a benign template names no technique")
    faults += _technique_faults(template.technique)
    if template.hard and template.weight:
        faults.append("a hard template is rare: weight 0")
    if template.payload and not any(m[1] == "payload" for m in SLOT.finditer(template.line + template.parent)):
        faults.append("its payload is never used")
    if "\n" in template.line or "\0" in template.line:
        faults.append("a command line has no line break and no NUL")
    return faults + inert_faults("\n".join((template.line, template.parent, template.payload)))


def _technique_faults(names: Sequence[str]) -> list[str]:
    known = techniques()
    return [
        f"'{name}' was merged into {known.merged[name]}: write that"
        if name in known.merged
        else f"'{name}' is no ATT&CK technique"
        for name in names
        if name not in known.valid
    ]


def _rendered_faults(template: Template) -> list[str]:
    """What only filled slots show."""
    try:
        rendered = render(template, random.Random(template.id))
        again = render(template, random.Random(template.id + "'"))
    except LexiconError as error:
        return [error.message.split(": ", 1)[-1]]
    faults: list[str] = []
    if _MALFORMED.search(rendered.command_line + (rendered.parent_command_line or "")):
        faults.append("a slot is malformed and stays in the text (its arguments can't hold braces)")
    faults += _quoting_faults(template, (rendered, again))
    if "{{payload:" in template.line and not _DECODER.search(template.line) and not payload_decodes(template):
        faults.append("its payload is not found by decoding the line, which names no decoder either")
    return faults


def _quoting_faults(template: Template, rendered: Sequence[Rendered]) -> list[str]:
    for one in rendered:
        if fault := quoting_fault(one.command_line, template.platform):
            return [fault]
        if one.parent_command_line and (fault := quoting_fault(one.parent_command_line, template.platform)):
            return [f"its parent: {fault}"]
    return []


def payload_decodes(template: Template) -> bool:
    """Whether one of the line's decoded layers holds the payload; layers may differ in white space."""
    both = replace(template, line=template.line + _BETWEEN + template.payload)
    line, payload = render(both, random.Random(template.id)).command_line.split(_BETWEEN)
    wanted = "".join(payload.split())
    return any(wanted in "".join(layer.text.split()) for layer in decode_layers(line, template.platform))
