"""Sentences where a command needs none: words written for a reader, whatever they say.

No list of phrases names all the ways to talk a judge round. But a command line is read by a program, and programs that
take sentences are few (`git commit -m`, `echo`, `notify-send`). A sentence in any other line was put there for someone
who reads it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.labels.guard_text import IN_WORD, folded_term, visible
from cmdclf.labels.guard_words import word_sets
from cmdclf.resources import data_path

__all__ = ["is_prose", "may_be_prose"]

#: What a run of words must weigh to be a sentence: in a comment, usually, joined to one word, and as a statement.
_REMARK, _SENTENCE, _SLUG, _STATEMENT = 3, 4, 5, 8

#: Begin sentences of SQL and AppleScript, which are made of small words.
_STATEMENTS = frozenset(("select", "insert", "update", "delete", "tell"))
_TOKEN = re.compile(rf"(?:[^\W\d_]|[{IN_WORD}])+(?:['’](?:[^\W\d_]|[{IN_WORD}])+)*")
_LIGHT = re.compile(r" {1,2}|%20|[,:.!?)]{1,3} \(?|['\"]? [('\"]?|\r?\n ?|['’]")
_JOINING = frozenset("_+/-")
_COMMENT = re.compile(r"(?i)(?:(?:^|[\s;&|])#|(?:^|[\s&|(])rem\s|<#)\s*$")
_WIDE = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@cache
def _command_words() -> frozenset[str]:
    """Words that command lines hold as names of programs, options and values: they make no sentence."""
    return frozenset(data_path("command-words.txt").read_text(encoding="utf-8").split())


@cache
def _gate() -> str:
    """An RE2 pattern that every ASCII text with a sentence matches: a small word among words, or three long ones."""
    part = r"(?: {1,2}|[_+/-]|%20|[,:.!?)]{1,3} \(?|['\x22]? [('\x22]?|\r?\n ?|')"
    small = "|".join(
        sorted(word for word in word_sets()["small"] | word_sets()["shared"] if word.isascii() and len(word) > 1)
    )
    short = rf"(?:{part}[A-Za-z']{{1,2}}){{0,3}}{part}[a-z']{{3,}}"
    long = rf"[A-Za-z']{{3,}}{short}{short}"
    return rf"(?i:[a-z']{part}(?:{small}){part}[a-z']|(?:^|[^A-Za-z])(?:{small}){part}[a-z']+{part}[a-z'])|{long}"


def may_be_prose(texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(n,) bool: whether `is_prose` may be true of the text; one compiled pass."""
    lines = pa.array(texts, pa.string())
    wide = pc.not_equal(pc.binary_length(lines), pc.utf8_length(lines))
    return np.asarray(pc.or_(wide, pc.match_substring_regex(lines, _gate())).to_numpy(zero_copy_only=False), np.bool_)


def is_prose(text: str) -> bool:
    """Whether the text holds a run of words that weighs as much as a sentence.

    A small word (`the`, `you`) weighs 2, one that scripts share (`in`, `not`) 1, any other word that no command line of
    the bundled lexicon needs 1; each counts once. In scripts without blanks two characters weigh 1. Words may be
    parted by blanks and light punctuation, or joined by one and the same sign, as in a file's name.
    """
    text = visible(text)
    run, slug = _Run("", _SENTENCE), _Run("", _SLUG)
    end, previous = -1, ""
    for match in _TOKEN.finditer(text):
        start, word = match.span()[0], match[0]
        between = text[end:start] if end >= 0 else ""
        end = match.end()
        if between in _JOINING:
            # Part of a compound: by itself it may be a joined sentence, in a sentence it counts for nothing more.
            if slug.joined != between:
                slug = _Run(between, _SLUG)
                slug.add(previous)
            if slug.add(word):
                return True
        else:
            folder, slug = slug.joined == "/", _Run("", _SLUG)
            if folder and _LIGHT.fullmatch(between):
                # A path ends here, and its last part may begin a sentence.
                run = _Run("", _SENTENCE)
                run.add(previous)
            elif not _LIGHT.fullmatch(between):
                remark = _COMMENT.search(text[max(start - 8, 0) : start])
                run = _Run("", _REMARK if remark else _SENTENCE)
            if run.add(word) or (between[:1] == "," and previous.islower() and run.pause()):
                return True
            if word.lower() in _STATEMENTS:
                run = _Run("", _STATEMENT)
            elif word.lower() == "echo":
                run = _Run("", _SENTENCE)
        previous = word
    return False


class _Run:
    """Words that follow one another, what they weigh so far, and what parts them."""

    def __init__(self, joined: str, bound: int) -> None:
        self.joined = joined
        self.bound = bound
        self.weight = 0
        self.small = 0
        self.counted = 0
        self.paused = False
        self.seen: set[str] = set()

    def add(self, word: str) -> bool:
        """Whether the run weighs enough with this word."""
        added, small = _weight(word, first=not self.seen)
        key = word.lower()
        if added and key not in self.seen:
            self.weight += added
            self.small = max(self.small, small)
            self.counted += 1
        self.seen.add(key)
        return self.is_enough(added)

    def pause(self) -> bool:
        """A comma between words, as `add`: lists of options have none."""
        self.weight += not self.paused
        self.paused = True
        return self.is_enough(0)

    def is_enough(self, added: int) -> bool:
        """Whether the run weighs enough, of which `added` by the last word."""
        if self.counted < 3 and added < 3:
            return False
        if self.joined in _JOINING and self.small < 2:
            return False
        return self.weight >= self.bound


@lru_cache(maxsize=65_536)
def _weight(word: str, *, first: bool) -> tuple[int, int]:
    """What a word weighs, and how much of that because it is small (or of a script that no program's words have)."""
    if not word.isascii() and _WIDE.search(word):
        return len(word) // 2, 2
    lower = word.lower()
    if lower in word_sets()["small"]:
        return 2, 2
    if lower in word_sets()["shared"]:
        return 1, 1
    if len(word) < 3 or not (word.islower() or (first and word.istitle()) or not word.isascii()):
        return 0, 0
    return int(folded_term(word) not in _command_words()), int(not word.isascii())
