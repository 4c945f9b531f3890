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
    "line": 0.20,
    "rewrite": 0.16,
    "template": 0.12,
    "purpose": 0.12,
    "equivalent": 0.23,
    "intent": 0.13,
    "script": 0.04,
}
_RENDERINGS = 6
#: Characters of a public line that a teacher reads.
_SHORT = 160
Triplet = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Equivalent:
    """Commands that do the same, and some that look like them and don't.

    Attributes:
        operation: one sentence of what they do.
        wordings: the same said in other words.
        family: the topic; kept together when data is split.
        forms: (platform, line) each.
        other: lines in nearly the same words that do something else.
    """

    operation: str
    wordings: tuple[str, ...]
    family: str
    forms: tuple[tuple[str, str], ...]
    other: tuple[str, ...]


def load_equivalents(path: Path) -> list[Equivalent]:
    """The groups of a JSON-lines file with `op`, `family`, `forms` (each `platform`, `line`), `other`, `wordings`."""
    found = []
    for row in path.read_text(encoding="utf-8").splitlines():
        if row.strip():
            r = json.loads(row)
            forms = tuple((str(f["platform"]), str(f["line"])) for f in r["forms"])
            wordings, other = (tuple(map(str, r.get(name, ()))) for name in ("wordings", "other"))
            found.append(Equivalent(str(r["op"]), wordings, str(r["family"]), forms, other))
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
        self._rendered: list[str] = BatchRenderer(self._templates).render(which, seed)[0].to_pylist()

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

    def sentences(self) -> list[str]:
        """What commands do, in English: of every template and of every group, in all its wordings."""
        said = [_one_line(template.intent) for template in self._templates if template.intent]
        return said + [text for group in self._equivalents for text in (group.operation, *group.wordings)]

    def lessons(self, count: int) -> list[str]:
        """At most `count` distinct texts for a teacher to read: all sentences, groups and templates, then public lines.

        A teacher takes its time on two cores; short texts of which many are neighbours teach the most for it.
        """
        forms = [line for group in self._equivalents for line in (*(line for _, line in group.forms), *group.other)]
        named = [_one_line(f"{template.tool} {template.intent}") for template in self._templates if template.intent]
        texts = dict.fromkeys(self.sentences() + forms + named + self._rendered[: len(self._templates)])
        for i in self._rng.sample(range(len(self._lines)), len(self._lines)):
            if len(texts) >= count:
                break
            if len(self._lines[i].text) <= _SHORT:
                texts.setdefault(self._lines[i].text)
        return list(texts)[:count]

    def _rewrites(self) -> Iterator[Triplet]:
        while True:
            line = self._rng.choice(self._lines)
            yield line.text, rewritten(line.text, line.platform, self._rng), self._pairs.negative(line.text)

    def _rendering(self, number: int) -> str:
        return self._rendered[self._rng.randrange(_RENDERINGS) * len(self._templates) + number]

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
                said = (group.operation, *group.wordings)
                if len(said) > 1 and self._rng.random() < 0.25:
                    first, second = self._rng.sample(said, 2)
                    yield first, second, self._rng.choice((other.operation, *other.wordings))
                else:
                    rivals = group.other or [line for _, line in other.forms]
                    yield self._rng.choice(said), self._rng.choice(group.forms)[1], self._rng.choice(rivals)
            else:
                number = self._rng.randrange(len(self._templates))
                template = self._templates[number]
                if template.intent:
                    sentence = f"{template.tool} {template.intent}" if self._rng.random() < 0.5 else template.intent
                    near = self._rng.choice(self._of_tool[template.platform, template.tool])
                    if near == number:
                        near = self._rng.randrange(len(self._templates))
                    yield _one_line(sentence), self._rendering(number), self._rendering(near)


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
