"""Training triplets for the static embedder: a line, the same behaviour written otherwise, another behaviour.

What marks behaviour and what is a value is read off the data: a word that many sources use (`install`, `-recurse`,
`reg`) is behaviour, a word of few sources is a name. Positives redraw names, users, hosts, domains and paths, change
the wrapper or drop a flag. Negatives swap one or two behaviour words for others of their kind, names free as before.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["Line", "PairMaker", "held_out"]

_WORD = re.compile(r"[A-Za-z][A-Za-z_]*")
_PIECE = re.compile(r"\S+|\s+")
_USER = re.compile(r"(?i)((?:[a-z]:\\users\\|/home/|/users/))([^\\/\s\"']+)")
_UNC = re.compile(r"(\\\\)([A-Za-z0-9_.-]+)(?=\\)")
_DOMAIN = re.compile(r"\b((?:[A-Za-z0-9-]+\.)+)(com|net|org|io|local|corp|lan|internal|example|test)\b")
_WRAPPED = re.compile(
    r"(?is)^\s*\"?(?:[^\s\"]*[\\/])?(powershell(?:\.exe)?|pwsh(?:\.exe)?|cmd(?:\.exe)?|sh|bash|zsh|dash)\"?"
    r"((?:\s+[-/][\w]+(?:\s+(?:bypass|hidden|unrestricted|remotesigned|normal|minimized))?)*?)"
    r"\s+([-/](?:c|command|k|lc))\s+(.+)$"
)
_WRAPPERS = {
    "powershell": (
        "powershell -c {}",
        "pwsh -c {}",
        "powershell.exe {}",
        "powershell.exe -NoProfile -Command {}",
        "powershell.exe -NoP -NonI -ep bypass -c {}",
        r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe -ExecutionPolicy Bypass -Command {}",
        "powershell.exe -NoLogo -NoProfile -NonInteractive -ExecutionPolicy RemoteSigned -Command {}",
    ),
    "cmd": (
        "cmd /c {}",
        "cmd.exe /C {}",
        "cmd /q /c {}",
        r"C:\Windows\System32\cmd.exe /c {}",
        r"C:\Windows\system32\cmd.exe /d /s /c {}",
    ),
    "sh": (
        "sh -c {}",
        "/bin/sh -c {}",
        "bash -c {}",
        "/bin/bash -c {}",
        "/usr/bin/env bash -c {}",
        "bash -lc {}",
        "zsh -c {}",
    ),
}
_SYLLABLES = "ba ca da fo ga hel in jo kar lo mi nor op pra qui ro sta tri ul vex wil xe yo zan ser dev lab srv app"
#: Swaps that turn one behaviour into its opposite or its neighbour: the hardest negatives.
_OPPOSITES = """
    add delete query import export save; create delete change run query; start stop restart status
    install uninstall upgrade; enable disable; get set new remove; up down; push pull clone; mount umount
    allow deny block; encode decode; upload download; copy move del; cp mv rm; list describe delete create update
    on off; read write; true false; shutdown reboot; encrypt decrypt; useradd userdel usermod; grant revoke
    load unload; attach detach; open close; compress extract; import export; lock unlock; register unregister
    start-service stop-service restart-service; i x; xzf czf; xf cf; xvf cvf
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One training line: its text, platform, the script or page it comes from, and its source."""

    text: str
    platform: str
    group: str
    source: str


def held_out(group: str) -> bool:
    """Whether this page or script of a public pool is kept for tests of retrieval: one in ten, by its id's SHA-256."""
    return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) % 10 == 0


@dataclass
class PairMaker:
    """Makes triplets from lines; the same seed and lines give the same triplets.

    Args:
        lines: all training lines; what is common is counted over them.
        seed: of all draws.
        min_sources: a word is behaviour from this many sources on.
        min_lines: and this many lines.
    """

    lines: Sequence[Line]
    seed: int = 0
    min_sources: int = 4
    min_lines: int = 25
    _common: set[str] = field(init=False, default_factory=set)
    _names: list[str] = field(init=False, default_factory=list)
    _kinds: dict[str, list[str]] = field(init=False, default_factory=dict)
    _opposites: dict[str, list[str]] = field(init=False, default_factory=dict)
    _rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)
        sources: defaultdict[str, set[str]] = defaultdict(set)
        counts: Counter[str] = Counter()
        for line in self.lines:
            for word in {w.lower() for w in _WORD.findall(line.text)}:
                counts[word] += 1
                sources[word].add(line.source)
        self._common = {w for w, n in counts.items() if n >= self.min_lines and len(sources[w]) >= self.min_sources}
        self._names = sorted(w for w in counts if w not in self._common and 4 <= len(w) <= 14 and "_" not in w)
        kinds: defaultdict[str, set[str]] = defaultdict(set)
        for line in self.lines:
            for piece, kind in self._behaviours(line.text):
                kinds[kind].add(piece)
        self._kinds = {kind: sorted(pieces) for kind, pieces in kinds.items()}
        for row in re.split(r"[;\n]", _OPPOSITES):
            for word in row.split():
                self._opposites[word] = self._opposites.get(word, []) + [w for w in row.split() if w != word]

    def _behaviours(self, text: str) -> Iterable[tuple[str, str]]:
        first = True
        for piece in text.split():
            words = _WORD.findall(piece)
            if 0 < len(words) <= 2 and len(piece) <= 32 and all(w.lower() in self._common for w in words):
                yield (
                    piece,
                    "program" if first else "flag" if piece[0] in "-/" else "cmdlet" if "-" in piece else "word",
                )
            first = piece in {"|", "&&", "||", ";", "-c", "/c", "-Command", "sudo"}

    def _name(self) -> str:
        if self._names and self._rng.random() < 0.6:
            return self._rng.choice(self._names)
        syllables = _SYLLABLES.split()
        return "".join(self._rng.choice(syllables) for _ in range(self._rng.randint(2, 3)))

    def redraw(self, text: str, *, words: bool = True) -> str:
        """The line with its users, hosts and domains (and uncommon words) drawn anew, each the same way everywhere."""
        drawn: dict[str, str] = {}

        def fresh(old: str) -> str:
            return drawn.setdefault(old.lower(), self._name())

        text = _USER.sub(lambda m: m[1] + fresh(m[2]), text)
        text = _UNC.sub(lambda m: m[1] + fresh(m[2]), text)
        text = _DOMAIN.sub(lambda m: ".".join(fresh(p) for p in m[1].split(".") if p) + "." + m[2], text)
        if not words:
            return text
        new = set(drawn.values())

        def renamed(found: re.Match[str]) -> str:
            word = found[0]
            return word if len(word) < 4 or word in new or word.lower() in self._common else fresh(word)

        return _WORD.sub(renamed, text)

    def redraw_together(self, texts: Sequence[str]) -> list[str]:
        """The lines with the uncommon words that all of them hold drawn anew, alike in each."""
        words = [{w.lower() for w in _WORD.findall(text)} for text in texts]
        shared = {w for w in set.intersection(*words) if len(w) >= 4 and w not in self._common}
        drawn = {w: self._name() for w in sorted(shared)}
        return [_WORD.sub(lambda m: drawn.get(m[0].lower(), m[0]), text) for text in texts]

    def rewrap(self, text: str) -> str:
        """The line in another wrapper of its kind; unchanged where it has none."""
        found = _WRAPPED.match(text)
        if not found:
            return text
        shell = found[1].lower()
        kind = "powershell" if shell.startswith(("power", "pwsh")) else "cmd" if shell.startswith("cmd") else "sh"
        return self._rng.choice(_WRAPPERS[kind]).replace("{}", found[4])

    def positive(self, text: str) -> str:
        """The same behaviour, written otherwise."""
        text = self.redraw(text, words=self._rng.random() < 0.6)
        if self._rng.random() < 0.5:
            text = self.rewrap(text)
        pieces = text.split(" ")
        if len(pieces) > 6 and self._rng.random() < 0.15:
            flags = [i for i, p in enumerate(pieces) if i and p.startswith("-")]
            if flags:
                del pieces[self._rng.choice(flags)]
        return " ".join(pieces)

    def negative(self, text: str) -> str:
        """Another behaviour in nearly the same words: one or two behaviour words swapped, names perhaps drawn anew."""
        found = list(self._behaviours(text))
        if not found:
            return self.redraw(self._rng.choice(self.lines).text)
        swaps: dict[str, str] = {}
        opposed = [(p, o) for p, _ in found if (o := self._opposites.get(p.lower().lstrip("-/")))]
        if opposed and self._rng.random() < 0.6:
            piece, others = self._rng.choice(opposed)
            swaps[piece] = piece[: len(piece) - len(piece.lstrip("-/"))] + self._rng.choice(others)
        else:
            for piece, kind in self._rng.sample(found, min(len(found), self._rng.choice((1, 1, 2)))):
                swaps[piece] = self._rng.choice(self._kinds[kind])
        changed = "".join(swaps.get(p, p) for p in _PIECE.findall(text))
        return self.redraw(changed) if self._rng.random() < 0.5 else changed

    def triplets(self, count: int, *, same_group_share: float = 0.1) -> list[tuple[str, str, str]]:
        """`count` triplets (line, positive, negative) over lines drawn evenly from groups.

        Args:
            count: how many.
            same_group_share: the share whose positive is another line of the same script: looser kinship.
        """
        groups: defaultdict[str, list[Line]] = defaultdict(list)
        for line in self.lines:
            groups[line.group].append(line)
        names = sorted(groups)
        # By the square root of a group's size: neither one huge script nor the many one-liners rule.
        weights = [len(groups[n]) ** 0.5 for n in names]
        made = []
        for name in self._rng.choices(names, weights, k=count):
            line = self._rng.choice(groups[name])
            if len(groups[name]) > 1 and self._rng.random() < same_group_share:
                made.append(
                    (line.text, self._rng.choice(groups[name]).text, self.redraw(self._rng.choice(self.lines).text))
                )
            else:
                made.append((line.text, self.positive(line.text), self.negative(line.text)))
        return made
