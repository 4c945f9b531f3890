"""What makes a lexicon sound, checked template by template."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from cmdclf.errors import LexiconError
from cmdclf.lexicon.render import render
from cmdclf.lexicon.template import SLOT, Template, skeleton

__all__ = ["problems"]

_URL_HOST = re.compile(r"https?://(?:[^\s/@'\"]*@)?(\{\{[^{}]*\}\}|[A-Za-z0-9._-]+)", re.IGNORECASE)
_ADDRESS = re.compile(r"(?<![\d.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_TECHNIQUE = re.compile(r"T\d{4}(\.\d{3})?")
_RESERVED_ENDS = ("example.com", "example.net", "example.org", ".test", ".invalid", ".example", "localhost")


#: What looks like a slot with arguments in a rendered text.
_MALFORMED = re.compile(r"\{\{[a-z_]+[0-9]*:")


def problems(templates: Sequence[Template]) -> list[str]:
    """Faults of the templates, one sentence each, in their order."""
    found: list[str] = []
    by_id: dict[str, Template] = {}
    shapes: dict[tuple[str, str], str] = {}
    for template in templates:
        place = f"{template.file or 'lexicon'}: template '{template.id}'"
        if template.id in by_id:
            found.append(f"{place}: the id is used twice")
        by_id.setdefault(template.id, template)
        shape = (template.platform, skeleton(template.line + "\n" + template.payload))
        if shape in shapes:
            found.append(f"{place}: duplicate of '{shapes[shape]}' but for values")
        shapes.setdefault(shape, template.id)
        found.extend(f"{place}: {fault}" for fault in _own_faults(template))
    for template in templates:
        place = f"{template.file or 'lexicon'}: template '{template.id}'"
        if template.twin and template.twin not in by_id:
            found.append(f"{place}: its twin '{template.twin}' does not exist")
        elif template.twin and by_id[template.twin].label == template.label:
            found.append(f"{place}: its twin '{template.twin}' has the same label")
    return found


def _own_faults(template: Template) -> list[str]:
    faults: list[str] = []
    text = "\n".join((template.line, template.parent, template.payload))
    if not 0 <= template.weight <= 100:
        faults.append("weight is not between 0 and 100")
    if template.label == "malicious":
        if template.weight:
            faults.append("a malicious template has weight 0")
        if not template.technique:
            faults.append("a malicious template names its ATT&CK technique")
    elif template.technique:
        faults.append("a benign template names no technique")
    faults.extend(f"'{t}' is no ATT&CK technique" for t in template.technique if not _TECHNIQUE.fullmatch(t))
    if template.hard and template.weight:
        faults.append("a hard template is rare: weight 0")
    if template.payload and not any(m[1] == "payload" for m in SLOT.finditer(template.line + template.parent)):
        faults.append("its payload is never used")
    faults.extend(_outside_faults(text))
    try:
        rendered = render(template, random.Random(template.id))
        render(template, random.Random(template.id + "'"))
    except LexiconError as error:
        return [*faults, error.message.split(": ", 1)[-1]]
    if "\n" in template.line or "\0" in rendered.command_line:
        faults.append("a command line has no line break and no NUL")
    if _MALFORMED.search(rendered.command_line + (rendered.parent_command_line or "")):
        faults.append("a slot is malformed and stays in the text (its arguments can't hold braces)")
    return faults


def _outside_faults(text: str) -> list[str]:
    """Hosts and addresses of the real internet: both labels keep to reserved ones, so that no name gives one away."""
    faults = []
    for host in _URL_HOST.findall(text):
        name = host.lower().rstrip(".")
        if host.startswith("{{") or "." not in name or _ADDRESS.fullmatch(name) or name.endswith(_RESERVED_ENDS):
            continue
        faults.append(f"host '{host}' is not reserved (use example.com, example.net, example.org, .test, .invalid)")
    faults.extend(
        f"address {match[0]} is neither private nor reserved for documentation"
        for match in _ADDRESS.finditer(SLOT.sub("", text))
        if not _is_reserved(tuple(int(g) for g in match.groups()))
    )
    return faults


def _is_reserved(a: tuple[int, ...]) -> bool:
    if any(part > 255 for part in a):
        return True  # a version number, no address
    private = a[0] in (0, 10, 127, 255) or (a[0] == 172 and 16 <= a[1] <= 31) or a[:2] in ((192, 168), (169, 254))
    documented = a[:3] in ((192, 0, 2), (198, 51, 100), (203, 0, 113))
    version_like = a[0] < 10 or a[3] == 0  # 4.12.0.311 and 1.2.3.4 are versions; sensors record both
    return private or documented or version_like or a[0] >= 224
