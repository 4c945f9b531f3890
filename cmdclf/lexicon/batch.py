"""Many renderings of templates at once, from the same slots and pools as a single one."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from cmdclf.errors import LexiconError
from cmdclf.lexicon.assembly import Assembly
from cmdclf.lexicon.estate import Estate, default_estate
from cmdclf.lexicon.render import encode_payload, filled, text_parts
from cmdclf.lexicon.slot_programs import SLOT_PROGRAMS, SlotProgram
from cmdclf.lexicon.slots import SlotContext, slot_stem
from cmdclf.lexicon.template import Template

__all__ = ["BatchRenderer"]

#: Encodings that the machine knows; what it doesn't is encoded beforehand, in so many variants.
_ENCODINGS = {"base64": 0, "ps-encoded": 1, "hex": 2}
_VARIANTS = 64
_TABLE = 512
_PAYLOAD = "payload"


class BatchRenderer:
    """Renders templates by the thousand; a template is taken apart at its first use.

    A slot has the same meaning as in `render`: one value per line and arguments, values of the same form from the same
    pools. Slots without a program draw from a table of 512 values; where such a slot looks at other slots, and for
    gzip payloads, from 64 variants in which these values belong together.

    Args:
        templates: what is rendered.
        estate: users, hosts, domain and shares; the default estate when absent.
    """

    def __init__(self, templates: Sequence[Template], *, estate: Estate | None = None) -> None:
        self.templates = templates
        self.estate = default_estate() if estate is None else estate
        self._assembly = Assembly()
        self._numbers = np.full(len(templates), -1, np.int64)
        self._tables: dict[tuple[str, str, str], tuple[str, ...] | None] = {}

    def render(self, which: np.ndarray, seed: int) -> tuple[pa.StringArray, pa.StringArray]:
        """The lines of the templates `which` (n,) and their parents' (null where not known).

        The same templates, estate, `which` and seed (0 <= seed < 2**63) give the same lines.

        Raises:
            LexiconError: a slot is unknown or its arguments are; names file and template.
        """
        return self._assembly.write(self.programs(which), seed)

    @property
    def assembly(self) -> Assembly:
        """The programs of the templates, see `programs`."""
        return self._assembly

    def programs(self, which: np.ndarray) -> np.ndarray:
        """(n,) int64 numbers of the templates' programs."""
        for i in np.unique(which[self._numbers[which] < 0]):
            self._numbers[i] = self._compiled(self.templates[i])
        return np.asarray(self._numbers[which])

    def bits(self, which: np.ndarray) -> np.ndarray:
        """(n,) float64: log2 of about how many different lines each template can give."""
        numbers = self.programs(which)
        return np.asarray(np.array(self._assembly.bits)[numbers])

    def _compiled(self, template: Template) -> int:
        program = SlotProgram(self._assembly, template.platform, self.estate)
        try:
            self._define_tables(program, template)

            def parent() -> None:
                self._write(program, template.parent, template.payload)

            return program.finish(
                lambda: self._write(program, template.line, template.payload), parent if template.parent else None
            )
        except LexiconError as error:
            raise LexiconError(
                f"template '{template.id}': {error.message}", remedy=error.remedy, file=template.file or None
            ) from error

    def _write(self, program: SlotProgram, text: str, payload: str | None) -> None:
        for literal, name, args in text_parts(text):
            program.text(literal)
            if name is None:
                continue
            if name != _PAYLOAD:
                program.value(name, args)
                continue
            if not payload:
                raise LexiconError("a payload slot without a payload", remedy="Give the template a 'payload'")
            if program.defined(f"{_PAYLOAD}:{args}"):
                program.copy(f"{_PAYLOAD}:{args}")
                continue
            if not program.defined(_PAYLOAD):
                program.define(_PAYLOAD, lambda: self._write(program, payload, None))
            program.encoded(_PAYLOAD, _ENCODINGS[args])

    def _define_tables(self, program: SlotProgram, template: Template) -> None:
        """Values of slots without a program and of payloads that the machine can't encode."""
        texts = [template.line, template.parent]
        used = list(dict.fromkeys((name, args) for t in texts for _, name, args in text_parts(t) if name))
        zipped = [args for name, args in used if name == _PAYLOAD and args not in _ENCODINGS]
        if any(name == _PAYLOAD for name, _ in used):
            used += [(name, args) for _, name, args in text_parts(template.payload) if name]
        together: list[tuple[str, str]] = []
        for name, args in dict.fromkeys(used):
            if name == _PAYLOAD:
                continue
            stem = slot_stem(name)
            if stem in SLOT_PROGRAMS:
                continue
            table = self._table(template.platform, stem, args)
            if table is None:
                together.append((name, args))
            else:
                program.define(f"{name}:{args}", lambda table=table: program.choice(table))  # type: ignore[misc]
        if together or zipped:
            program.define_variants(self._variants(template, together, zipped))

    def _table(self, platform: str, name: str, args: str) -> tuple[str, ...] | None:
        """Values of a slot that looks at no other slot; None for one that does."""
        key = (platform, name, args)
        if key not in self._tables:
            contexts = [SlotContext(platform, random.Random(f"{key} {k}"), self.estate) for k in range(_TABLE)]
            values = tuple(context.value(name, args) for context in contexts)
            alone = all(len(context.memo) == 1 for context in contexts)
            self._tables[key] = (values if len(set(values)) > 1 else values[:1]) if alone else None
        return self._tables[key]

    def _variants(self, template: Template, names: list[tuple[str, str]], zipped: list[str]) -> dict[str, list[str]]:
        """Values that depend on each other, name by name, over all variants."""
        contexts, drawn = [], []
        for k in range(_VARIANTS):
            context = SlotContext(template.platform, random.Random(f"{template.id} {k}"), self.estate)
            for name, args in names:
                context.value(name, args)
            inner = filled(template.payload, context, None) if zipped else ""
            contexts.append(context)
            drawn.append({f"{_PAYLOAD}:{args}": encode_payload(inner, args) for args in zipped})
        # A slot that only some variants looked at must have a value in all of them.
        keys = sorted(set().union(*(context.memo for context in contexts)))
        for context in contexts:
            for key in keys:
                context.value(*key.split(":", 1))
        return {
            **{key: [context.memo[key] for context in contexts] for key in keys},
            **{key: [texts[key] for texts in drawn] for key in drawn[0]},
        }
