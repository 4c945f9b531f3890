"""What the programs, commands and classes that a line names can do there: data from public facts, asked in one scan.

`knowledge/*.toml` holds [[program]] entries:

    names     lower-case; `*` at an end lets more letters follow.
    platform  where the entry applies; left out: everywhere.
    command   true, or those of the names, that count only where a command stands: they are ordinary words, too.
    can       lists of an ability and of what evokes it, any of the words given; blanks join words of which all must
              stand behind the name, `~` is a blank within a word, `*` as above. An ability alone is always there.

`knowledge/abilities.toml` says what an ability is and which ATT&CK techniques it may serve.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from _knowledge_kernels import COMMAND, NAME, OPEN_LEFT, OPEN_RIGHT, fnv, scan
from scipy import sparse

from cmdclf.classify.grams import _bytes_of
from cmdclf.features.embed_layers import with_layers
from cmdclf.lines.automaton import build_automaton

__all__ = ["Knowledge", "read_entries"]

_FOLDER = Path(__file__).parent / "knowledge"
_ABILITIES = "abilities.toml"
_BITS = {"windows": 1, "linux": 2, "macos": 4}
_EVERYWHERE = 7
#: Behind these another command begins.
_LAUNCHERS = (
    "sudo", "doas", "exec", "xargs", "nohup", "env", "time", "then", "do", "else",
    "nice", "timeout", "setsid", "command", "builtin", "start", "call", "busybox", "watch", "strace",
    "-exec", "-execdir", "-ok", "/c", "/k", "/r", "-c", "-command", "-e", "&",
    ".", "stdbuf", "ionice", "chroot", "if", "while", "until", "not", "!",
)  # fmt: skip


def read_entries(folder: Path = _FOLDER) -> list[dict]:
    """The [[program]] entries of all files, by file name."""
    paths = sorted(path for path in folder.glob("*.toml") if path.name != _ABILITIES)
    return [entry for path in paths for entry in tomllib.loads(path.read_text(encoding="utf-8"))["program"]]


class Knowledge:
    """Which abilities lines evoke.

    Args:
        folder: of the data.

    Attributes:
        abilities: ids, in the order of the columns.
        about: ability -> `can` what it is, `technique` ATT&CK's ids where there are some.
    """

    def __init__(self, folder: Path = _FOLDER) -> None:
        self.about: dict[str, dict] = tomllib.loads((folder / _ABILITIES).read_text(encoding="utf-8"))
        self.abilities = list(self.about)
        column = {name: k for k, name in enumerate(self.abilities)}
        self._literals: dict[tuple[str, int], int] = {}
        rules = []
        for entry in read_entries(folder):
            where = sum(_BITS[p] for p in entry["platform"]) if "platform" in entry else _EVERYWHERE
            for name in entry["names"]:
                command = entry.get("command", ())
                said = COMMAND if command is True or (command and name in command) else 0
                owner = self._literal(name, NAME | said)
                for ability, *alternatives in entry["can"]:
                    for words in alternatives or [""]:
                        needed = tuple(self._literal(word.replace("~", " "), 0) for word in words.split())
                        rules.append((owner, column[ability], where, needed))
        rules.sort(key=lambda rule: rule[0])
        self._tables = self._compiled(rules)

    def _literal(self, word: str, flags: int) -> int:
        if len(word) > 1 and word.startswith("*"):
            word, flags = word[1:], flags | OPEN_LEFT
        if len(word) > 1 and word.endswith("*"):
            word, flags = word[:-1], flags | OPEN_RIGHT
        return self._literals.setdefault((word, flags), len(self._literals))

    def _compiled(self, rules: list[tuple[int, int, int, tuple[int, ...]]]) -> tuple:
        """The arrays that the scan takes behind texts and platforms."""
        sets: dict[bytes, list[int]] = {}
        for (word, _), number in self._literals.items():
            sets.setdefault(word.encode(), []).append(number)
        table = build_automaton(sets)
        words = [word for word, _ in self._literals]
        launchers = sorted(int(fnv(np.frombuffer(name.encode(), np.uint8))) for name in _LAUNCHERS)
        first = np.searchsorted([rule[0] for rule in rules], np.arange(len(words) + 1))
        return (
            table.classes, table.moves, table.first_accepting, table.width, table.out_start, table.out_set,
            np.array([flags for _, flags in self._literals], np.int64),
            np.array([len(word.encode()) for word in words], np.int64),
            first.astype(np.int64),
            np.array([rule[1] for rule in rules], np.int64),
            np.array([rule[2] for rule in rules], np.int64),
            np.cumsum([0, *(len(rule[3]) for rule in rules)]).astype(np.int64),
            np.array([number for rule in rules for number in rule[3]], np.int64),
            len(self.abilities),
            np.array(launchers, np.uint64),
        )  # fmt: skip

    def matrix(self, texts: list[str], platform: np.ndarray) -> sparse.csr_matrix:
        """(n, abilities) float32, 1 where the line, or the innermost layer that it hides, evokes the ability.

        Args:
            texts: n lines.
            platform: (n,) windows, linux or macos; of others all entries are asked.
        """
        data, offsets = _bytes_of(with_layers(pa.array(texts, pa.string())))
        where = np.array([_BITS.get(name, _EVERYWHERE) for name in platform], np.int64)
        starts, found = scan(data, offsets, where, *self._tables)
        shape = (len(texts), len(self.abilities))
        matrix = sparse.csr_matrix((np.ones(len(found), np.float32), found, starts), shape=shape)
        matrix.sort_indices()
        return matrix

    def of(self, text: str, platform: str = "") -> list[str]:
        """The abilities that a line evokes."""
        return [self.abilities[k] for k in self.matrix([text], np.array([platform])).indices]

    @staticmethod
    def version(folder: Path = _FOLDER) -> str:
        """Changes with any byte of the data."""
        return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.toml")))).hexdigest()[:16]

    @classmethod
    def bundled(cls) -> Knowledge:
        """That of the folder beside this file, read once."""
        return _bundled()


@cache
def _bundled() -> Knowledge:
    return Knowledge()
