"""What the embedder learns from: triplets (line, the same written otherwise, something else) of several kinds."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmdclf.features.train_pairs import Line, PairMaker
from cmdclf.features.train_rewrites import rewritten
from cmdclf.lexicon import Lexicon, Template
from cmdclf.lexicon.batch import BatchRenderer

__all__ = ["MIX", "Equivalent", "TripletMaker", "load_equivalents"]

#: The share of each kind of triplet. `line`: a public line, its values redrawn, its verb swapped. `rewrite`: a line
#: and an obfuscated or respelt form. `template`: two renderings of one lexicon template, and its twin or another
#: template of its tool. `purpose`: two templates of one ATT&CK technique, or of one tool and topic, and one of the
#: other label with the same tool. `equivalent`: two commands for the same end, and one in nearly the same words for
#: another. `intent`: a command and the sentence that says what it does. `script`: two lines of one script.
MIX = {
    "line": 0.24,
    "rewrite": 0.16,
    "template": 0.12,
    "purpose": 0.12,
    "equivalent": 0.22,
    "intent": 0.10,
    "script": 0.04,
}
_RENDERINGS = 6
Triplet = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Equivalent:
    """Commands that do the same, and some that look like them and don't.

    Attributes:
        operation: one sentence of what they do.
        family: the topic; kept together when data is split.
        forms: (platform, line) each.
        other: lines in nearly the same words that do something else.
    """

    operation: str
    family: str
    forms: tuple[tuple[str, str], ...]
    other: tuple[str, ...]


def load_equivalents(path: Path) -> list[Equivalent]:
    """The groups of a JSON-lines file with `op`, `family`, `forms` (each `platform`, `line`) and `other`."""
    found = []
    for row in path.read_text(encoding="utf-8").splitlines():
        if row.strip():
            r = json.loads(row)
            forms = tuple((str(f["platform"]), str(f["line"])) for f in r["forms"])
            found.append(Equivalent(str(r["op"]), str(r["family"]), forms, tuple(map(str, r.get("other", ())))))
    return found


class TripletMaker:
    """Draws triplets of every kind of `MIX`; the same arguments give the same triplets.

    Args:
        lines: public command lines.
        equivalents: groups of equivalent commands; none means that their share goes to the others.
        seed: of all draws.
        lexicon: templates; the bundled ones by default.
    """

    def __init__(
        self, lines: Sequence[Line], equivalents: Sequence[Equivalent], *, seed: int = 0, lexicon: Lexicon | None = None
    ) -> None:
        self._rng = random.Random(seed)
        self._pairs = PairMaker(lines, seed=seed)
        self._lines = lines
        self._equivalents = [e for e in equivalents if len(e.forms) > 1]
        self._templates: Sequence[Template] = (lexicon or Lexicon.load()).templates
        self._number = {t.id: i for i, t in enumerate(self._templates)}
        self._of_tool: dict[tuple[str, str], list[int]] = {}
        for i, template in enumerate(self._templates):
            self._of_tool.setdefault((template.platform, template.tool), []).append(i)
        self._kin: dict[tuple[str, ...], list[int]] = {}
        for i, template in enumerate(self._templates):
            for kin in template.technique or (f"{template.role}/{template.tool}",):
                self._kin.setdefault((template.label, kin), []).append(i)
        which = np.tile(np.arange(len(self._templates)), _RENDERINGS)
        self._rendered = BatchRenderer(self._templates).render(which, seed)[0].to_pylist()

    def triplets(self, count: int) -> list[Triplet]:
        """`count` triplets, shuffled."""
        ways: dict[str, Callable[[], Iterator[Triplet]]] = {
            "rewrite": self._rewrites, "template": self._twins, "purpose": self._kindred, "equivalent": self._equal,
            "intent": self._intents,
        }  # fmt: skip
        mix = {k: v for k, v in MIX.items() if k != "equivalent" or self._equivalents}
        total = sum(mix.values())
        made: list[Triplet] = []
        for kind, way in ways.items():
            if kind in mix:
                drawn = way()
                made += [next(drawn) for _ in range(round(count * mix[kind] / total))]
        rest = count - len(made)
        made += self._pairs.triplets(rest, same_group_share=mix["script"] / (mix["script"] + mix["line"]))
        self._rng.shuffle(made)
        return made

    def _rewrites(self) -> Iterator[Triplet]:
        while True:
            line = self._rng.choice(self._lines)
            yield line.text, rewritten(line.text, line.platform, self._rng), self._pairs.negative(line.text)

    def _rendering(self, number: int) -> str:
        return str(self._rendered[self._rng.randrange(_RENDERINGS) * len(self._templates) + number])

    def _twins(self) -> Iterator[Triplet]:
        while True:
            number = self._rng.randrange(len(self._templates))
            template = self._templates[number]
            other = self._number.get(template.twin, -1)
            if other < 0 or self._rng.random() < 0.3:
                other = self._rng.choice(self._of_tool[template.platform, template.tool])
            if other == number:
                other = self._rng.randrange(len(self._templates))
            same = self._rendering(number)
            if self._rng.random() < 0.25:
                same = rewritten(same, template.platform, self._rng)
            yield self._rendering(number), same, self._rendering(other)

    def _kindred(self) -> Iterator[Triplet]:
        kinds = sorted(k for k, members in self._kin.items() if len(members) > 1)
        sizes = [len(self._kin[k]) ** 0.5 for k in kinds]
        while True:
            members = self._kin[self._rng.choices(kinds, sizes)[0]]
            a, b = self._rng.sample(members, 2)
            template = self._templates[a]
            rivals = [i for i in self._of_tool[template.platform, template.tool]]
            others = [i for i in rivals if self._templates[i].label != template.label]
            other = self._number.get(template.twin, -1)
            if other < 0 or (others and self._rng.random() < 0.5):
                other = self._rng.choice(others) if others else self._rng.randrange(len(self._templates))
            yield self._rendering(a), self._rendering(b), self._rendering(other)

    def _equal(self) -> Iterator[Triplet]:
        while True:
            group = self._rng.choice(self._equivalents)
            (shell, a), (other_shell, b) = self._rng.sample(group.forms, 2)
            negative = self._rng.choice(group.other) if group.other else self._pairs.negative(a)
            # The same values on both sides may be changed together, so that it is the command that is learned.
            a, b = self._pairs.redraw_together((a, b)) if self._rng.random() < 0.5 else (a, b)
            if self._rng.random() < 0.3:
                a = rewritten(a, shell, self._rng)
            if self._rng.random() < 0.3:
                b = rewritten(b, other_shell, self._rng)
            yield a, b, negative

    def _intents(self) -> Iterator[Triplet]:
        while True:
            if self._equivalents and self._rng.random() < 0.4:
                group = self._rng.choice(self._equivalents)
                other = self._rng.choice(self._equivalents)
                yield group.operation, self._rng.choice(group.forms)[1], self._rng.choice(other.forms)[1]
            else:
                number = self._rng.randrange(len(self._templates))
                template = self._templates[number]
                if template.intent:
                    sentence = f"{template.tool} {template.intent}" if self._rng.random() < 0.5 else template.intent
                    near = self._rng.choice(self._of_tool[template.platform, template.tool])
                    if near == number:
                        near = self._rng.randrange(len(self._templates))
                    yield re.sub(r"\s+", " ", sentence), self._rendering(number), self._rendering(near)
