"""Words that stand together only where a text speaks to whoever judges it, in many languages."""

from __future__ import annotations

import re
import tomllib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.labels.guard_text import folded_term, words_of
from cmdclf.resources import data_path

__all__ = ["may_speak", "spoken", "word_sets"]

#: Words that hardly stand in a command line unless it speaks of itself.
_OUTRIGHT = frozenset(("benign", "harmless", "innocuous"))
#: `-ErrorAction Ignore`, `BootStatusPolicy IgnoreAllFailures`.
_IGNORED_BY = frozenset(("action", "erroraction", "preference", "policy"))
_LONGEST = 20


@cache
def word_sets() -> dict[str, frozenset[str]]:
    """The plain sets of words of the word list, by name."""
    return {name: frozenset(words.split()) for name, words in _content()["sets"].items()}


@cache
def _content() -> dict[str, Any]:
    return tomllib.loads(data_path("injection-words.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class _Combination:
    mask: int
    count: int
    within: int
    prose: bool
    kind: str


@dataclass(frozen=True, slots=True)
class _Lexicon:
    """Words and stems -> (language, classes as bits); the combinations of each language; terms of unspaced scripts."""

    exact: dict[str, tuple[tuple[int, int], ...]]
    stems: dict[str, tuple[tuple[int, int], ...]]
    combinations: tuple[tuple[_Combination, ...], ...]
    codes: tuple[str, ...]
    unspaced: tuple[tuple[int, re.Pattern[str], dict[str, int]], ...]
    bits: dict[str, int]
    starts: frozenset[str]


@cache
def _lexicon() -> _Lexicon:
    content = _content()
    languages = content["language"]
    names = sorted({name for entry in content["combination"] for name in entry["all"]})
    bits = {name: 1 << number for number, name in enumerate(names)}
    exact: dict[str, dict[int, int]] = {}
    stems: dict[str, dict[int, int]] = {}
    unspaced = []
    for number, language in enumerate(languages):
        terms: dict[str, int] = {}
        for name in names:
            for term in language.get(name, "").split():
                terms[term] = terms.get(term, 0) | bits[name]
        if language.get("unspaced"):
            folded = {folded_term(term): mask for term, mask in terms.items()}
            parts = sorted(folded, key=len, reverse=True)
            unspaced.append((number, re.compile("|".join(map(re.escape, parts))), folded))
            continue
        for term, mask in terms.items():
            classes = (stems if term.endswith("*") else exact).setdefault(folded_term(term.rstrip("*")), {})
            classes[number] = classes.get(number, 0) | mask
    combinations = []
    for language in languages:
        own = [
            _Combination(
                sum(bits[name] for name in e["all"]),
                len(e["all"]),
                e["within"],
                e.get("prose", False),
                e.get("kind", ""),
            )
            for e in content["combination"]
            if e.get("only", language["code"]) == language["code"]
            and all(language.get(name) is not None for name in e["all"])
        ]
        combinations.append(tuple(own))
    return _Lexicon(
        {word: tuple(found.items()) for word, found in exact.items()},
        {word: tuple(found.items()) for word, found in stems.items()},
        tuple(combinations),
        tuple(language["code"] for language in languages),
        tuple(unspaced),
        bits,
        frozenset(term.split(" ")[0] for table in (exact, stems) for term in table if " " in term),
    )


@lru_cache(maxsize=65_536)
def _classes(word: str) -> tuple[tuple[int, int], ...]:
    """(language, classes) of a folded word."""
    lexicon = _lexicon()
    found = dict(lexicon.exact.get(word, ()))
    for end in range(2, min(len(word), _LONGEST) + 1):
        for language, mask in lexicon.stems.get(word[:end], ()):
            found[language] = found.get(language, 0) | mask
    return tuple(found.items())


#: Each combination has at least one of these classes.
_ANCHORS = ("ignore", "verdict", "fine", "bad", "model", "authority", "exercise", "report", "emphasis")


@cache
def _anchors() -> str:
    """An RE2 pattern that every ASCII text in which a combination stands matches."""
    content = _content()
    terms = set(_OUTRIGHT)
    for language in content["language"]:
        if not language.get("unspaced"):
            for name in _ANCHORS:
                terms |= {folded_term(term.rstrip("*").split("_")[0]) for term in language.get(name, "").split()}
    plain = sorted(term for term in terms if term.isascii())
    long = "|".join(term for term in plain if len(term) > 4)
    short = "|".join(term for term in plain if len(term) <= 4)
    return f"(?i){long}|(?:^|[^A-Za-z])(?:{short})(?:$|[^a-z])|[a-z](?:{short.title()})(?:$|[^a-z])"


def may_speak(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(n,) bool: whether `spoken` may find anything in the text; one compiled pass."""
    lines = pa.array(texts, pa.string())
    wide = pc.not_equal(pc.binary_length(lines), pc.utf8_length(lines))
    return np.array(pc.or_(wide, pc.match_substring_regex(lines, _anchors())).to_numpy(zero_copy_only=False), np.bool_)


def spoken(text: str, words: list[str], runs: list[int]) -> list[str]:
    """Codes of the languages in which a combination of the word list stands in the text; empty for ordinary text.

    `en-address` and the like where only combinations of that kind do.

    Args:
        text: as it is.
        words, runs: what `words_of` gives for it.
    """
    found = _in_words(words, runs)
    if not text.isascii():
        words, runs = words_of(text, latin=False)
        found |= _in_words(words, runs)
        found |= _unspaced("".join(words))
    # English and its neighbours share words such as "ignore".
    return ["en"] if "en" in found and text.isascii() else sorted(found)


def _in_words(words: list[str], runs: list[int]) -> set[str]:
    seen: dict[int, list[tuple[int, int, int]]] = {}  # language -> (place, classes, run)
    bits, starts = _lexicon().bits, _lexicon().starts
    for place, word in enumerate(words):
        classes = _classes(word) if len(word) < 40 else ()
        if place + 1 < len(words) and word in starts and len(words[place + 1]) < 40:
            classes += _classes(f"{word} {words[place + 1]}")
        if word in word_sets()["subjects"] and place and words[place - 1] in word_sets()["determiners"]:
            classes = (*classes, (0, bits["subject"]))
        if word == "clean" and place + 1 < len(words) and words[place + 1] == "up":
            continue
        if word == "ignore" and place and words[place - 1] in _IGNORED_BY:
            continue
        for language, mask in classes:
            if (
                language == 0
                and mask == bits["verdict"]
                and place + 1 < len(words)
                and words[place + 1] in word_sets()["neutral"]
            ):
                continue
            seen.setdefault(language, []).append((place, mask, runs[place]))
        if word in _OUTRIGHT and _in_sentence(place, words, runs):
            return {"en"}
    kinds = {language: _combined(language, tokens) for language, tokens in seen.items()}
    return {_lexicon().codes[language] + kind for language, kind in kinds.items() if kind is not None}


def _in_sentence(place: int, words: list[str], runs: list[int]) -> bool:
    """Whether a word stands in a run of at least three, and not before a noun that it only describes."""
    following = words[place + 1] if place + 1 < len(words) else ""
    first, last = max(place - 2, 0), min(place + 2, len(words) - 1)
    together = sum(run == runs[place] for run in runs[first : last + 1])
    return following not in word_sets()["neutral"] and together >= 3


def _combined(language: int, tokens: list[tuple[int, int, int]]) -> str | None:
    """ "" or "-KIND" where a combination of the language stands among the words; None where none does."""
    total = 0
    for _, mask, _ in tokens:
        total |= mask
    kind = None
    for combination in _lexicon().combinations[language]:
        if combination.mask & total == combination.mask and _stands(combination, tokens):
            if not combination.kind:
                return ""
            kind = f"-{combination.kind}"
    return kind


def _stands(combination: _Combination, tokens: Iterable[tuple[int, int, int]]) -> bool:
    """Whether different words of all the classes stand within the distance (and, where asked for, in one run)."""
    window: deque[tuple[int, int, int]] = deque()
    for place, mask, run in tokens:
        mask &= combination.mask
        if not mask:
            continue
        while window and (place - window[0][0] > combination.within or (combination.prose and window[0][2] != run)):
            window.popleft()
        window.append((place, mask, run))
        if len(window) >= combination.count and _distinct(combination, [m for _, m, _ in window]):
            return True
        if len(window) > 32:
            window.popleft()
    return False


def _distinct(combination: _Combination, masks: list[int]) -> bool:
    """Whether each class can be given a word of its own (Hall's condition, for two or three classes)."""
    wanted = [1 << n for n in range(combination.mask.bit_length()) if combination.mask >> n & 1]
    for chosen in range(1, 1 << len(wanted)):
        classes = sum(bit for n, bit in enumerate(wanted) if chosen >> n & 1)
        if sum(1 for mask in masks if mask & classes) < chosen.bit_count():
            return False
    return True


def _unspaced(text: str) -> set[str]:
    """Languages without blanks between words: terms are found as they stand, four characters count as one word."""
    lexicon = _lexicon()
    if not any(character >= "\u0e00" for character in text):
        return set()
    found = set()
    for language, pattern, masks in lexicon.unspaced:
        tokens = [(match.start() // 3, masks[match[0]], 0) for match in pattern.finditer(text)]
        kind = _combined(language, tokens) if len(tokens) > 1 else None
        if kind is not None:
            found.add(lexicon.codes[language] + kind)
    return found
