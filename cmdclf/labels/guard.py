"""Checks around a judge: does a line try to instruct it, and do precise rules contradict a benign verdict?"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.labels.guard_client import only_asks_a_model
from cmdclf.labels.guard_messages import only_passes_a_message
from cmdclf.labels.guard_prose import is_prose, may_be_prose
from cmdclf.labels.guard_text import bounded, respelt, signs, visible, word_views, words_of
from cmdclf.labels.guard_views import readings
from cmdclf.labels.guard_words import may_speak, spoken
from cmdclf.lines import KINDS, decode_batch
from cmdclf.lines.decode import PLAIN
from cmdclf.rules import RuleSet

__all__ = ["GUARD", "guard", "injection_kinds", "kind_of"]

#: One row per line, in the order of the lines.
GUARD = pa.schema(
    [
        pa.field("injection", pa.bool_(), nullable=False),
        pa.field("reasons", pa.list_(pa.string()), nullable=False),
        pa.field("veto", pa.bool_(), nullable=False),
    ]
)

#: What an injection's id begins with -> its kind; the longest that fits counts, any other is a phrase.
_KINDS = {
    "inj-chatml": "role", "inj-inst": "role", "inj-role": "role", "inj-xml": "role", "inj-you-are": "role",
    "inj-asks-persona": "role", "inj-jailbreak": "role", "inj-verdict": "schema", "inj-confidence": "schema",
    "inj-reason": "schema", "inj-schema": "schema", "inj-close-fence": "fence", "inj-end-of-data": "fence",
    "inj-between": "fence", "inj-invisible": "invisible", "inj-lookalike": "lookalike", "inj-respelt": "encoded",
    "inj-words": "language", "inj-words-en": "phrase", "inj-german": "language", "inj-french": "language",
    "inj-spanish": "language", "inj-italian": "language", "inj-russian": "language", "inj-chinese": "language",
    "inj-japanese": "language", "inj-arabic": "language", "inj-claims": "claim",
}  # fmt: skip
#: What a prompt to a model of one's own may hold without speaking to a judge.
_TO_A_MODEL = frozenset(
    ("inj-chatml-token", "inj-inst-token", "inj-role-prefix", "inj-role-json", "inj-role-word", "inj-role-markup",
     "inj-xml-role", "inj-you-are-now", "inj-must-answer", "inj-asks-persona", "inj-escaped-newline-prose",
     "inj-words-en-address", "inj-asks-answer")
)  # fmt: skip
#: In a line that does nothing but carry a text for people, what merely might be meant for a judge is no sign; what asks
#: for a verdict, overrides instructions or marks a role still is.
_STRONG = frozenset(
    ("inj-role-markup", "inj-chatml-token", "inj-inst-token", "inj-confidence-json", "inj-reason-payload",
     "inj-close-fence")
)  # fmt: skip


#: Readings that change the whole line.
_WHOLE_LINE = (" (joined", " (reversed", " (rotated", " (mirrored", " (upside-down")


@lru_cache(maxsize=4)
def _rules(name: str) -> RuleSet:
    return RuleSet.bundled(name)


@dataclass(frozen=True, slots=True)
class _Text:
    """A text of a line: its own, its parent's, a layer or another reading of one.

    Attributes:
        row: of the line.
        mark: what a reason says of where it was found, or empty.
        parent: it is the parent's, or comes from it.
        hidden: 0 as it stands, 1 a layer in plain sight, 2 one that was encoded, 3 another reading.
    """

    row: int
    text: str
    platform: str
    mark: str
    parent: bool
    hidden: int


def guard(lines: pa.Table) -> pa.Table:
    """For every line whether it shows prompt injection, why, and whether a benign verdict on it is vetoed.

    Looked for in the command line, in everything that it decodes to, in other readings of it (base64 in a comment,
    turned letters, ...), and in the parent's command line, which an attacker can write too: phrases, roles and schema
    fragments (`data/rules/injection.toml`), words that speak to a judge in many languages
    (`data/injection-words.toml`), look-alike and invisible characters. Looked for in the command line and its layers
    only: precise malicious rules of the bundled baseline and `data/rules/veto.toml`, whose other rules hold for what
    was encoded. Any hit is a veto, as is a line whose decoding a bound ended.

    Args:
        lines: `platform` and `command_line` (string), optionally `parent_command_line`, unredacted: the guard runs
            here, nothing leaves.

    Returns:
        `GUARD`: injection bool; reasons list<string>, for instance `injection:ID` or `rule:ID`, with ` (decoded)` where
        only a decoded layer shows it, ` (base64)` and the like where another reading does, and ` (parent)` where the
        parent does; veto bool. `injection_kinds` counts them.

    Time is linear in the text; of one text, `guard_text.MAX_CHARACTERS` are looked at word by word.
    """
    count = lines.num_rows
    if count == 0:
        return GUARD.empty_table()
    reasons: list[dict[str, None]] = [{} for _ in range(count)]  # ordered and distinct
    texts, cut = _texts(lines)
    injection = np.zeros(count, bool)
    for text, name in _injections(texts):
        if not text.parent and _is_excused(name, texts[text.row].text):
            continue
        reasons[text.row].setdefault(f"injection:{name}{text.mark}")
        injection[text.row] = True
    veto = injection.copy()
    own = [text for text in texts if not text.parent and text.hidden < 3]
    for text, name in _precise(own):
        reasons[text.row].setdefault(f"rule:{name}{text.mark}")
        veto[text.row] = True
    for text in _sentences(texts, veto):
        if text.parent or not _takes_sentences(texts[text.row].text):
            reasons[text.row].setdefault(f"guard:sentence{text.mark}")
            veto[text.row] = True
    for row in np.flatnonzero(cut).tolist():
        reasons[row].setdefault("guard:not decoded to its end")
        veto[row] = True
    return pa.table(
        [
            pa.array(injection),
            pa.array([_shown(found) for found in reasons], GUARD.field("reasons").type),
            pa.array(veto),
        ],
        schema=GUARD,
    )


def _is_excused(name: str, line: str) -> bool:
    """Whether an injection's sign is nothing odd in this line: it only talks to a model, or to people."""
    if name in _TO_A_MODEL and only_asks_a_model(line):
        return True
    weak = name.endswith("-claim") or (name not in _STRONG and _levels().get(name) == "medium")
    return weak and only_passes_a_message(line)


@lru_cache(maxsize=1)
def _levels() -> dict[str, str]:
    return {rule.id: rule.level for rule in _rules("injection").rules}


def _texts(lines: pa.Table) -> tuple[list[_Text], npt.NDArray[np.bool_]]:
    """All texts of the lines, their own first, and (n,) bool: whose decoding a bound ended."""
    # A null platform means that nobody knows it: rules of every platform apply then, as they do for an empty name.
    platforms = [platform or "" for platform in lines["platform"].to_pylist()]
    count = lines.num_rows
    texts = [
        _Text(row, text or "", platforms[row], "", False, 0)
        for row, text in enumerate(lines["command_line"].to_pylist())
    ]
    if "parent_command_line" in lines.column_names:
        texts += [
            _Text(row, text, platforms[row], " (parent)", True, 0)
            for row, text in enumerate(lines["parent_command_line"].to_pylist())
            if text
        ]
    decoded = decode_batch(
        pa.array([text.text for text in texts], pa.string()),
        pa.array([text.platform or None for text in texts], pa.string()),
    )
    layers = []
    for source, kind, layer in zip(decoded.row.tolist(), decoded.kind.tolist(), decoded.text.to_pylist(), strict=True):
        outer = texts[source]
        hidden = 1 if KINDS[kind] in PLAIN else 2
        layers.append(_Text(outer.row, layer, outer.platform, f" (decoded){outer.mark}", outer.parent, hidden))
    texts += layers
    known = {(text.row, text.text) for text in texts}
    others = []
    found, deeper = readings([text.text for text in texts])
    for source, name, reading in found:
        outer = texts[source]
        if (outer.row, reading) in known:
            continue
        known.add((outer.row, reading))
        parent = " (parent)" if outer.parent else ""
        others.append(_Text(outer.row, reading, outer.platform, f" ({name}){parent}", outer.parent, 3))
    cut = decoded.cut[:count].copy()
    cut[[texts[source].row for source in deeper]] = True
    return texts + others, cut


def _injections(texts: list[_Text]) -> list[tuple[_Text, str]]:
    """(text, id) of every sign of an injection, by text."""
    lines = [_readable(text.text) for text in texts]
    found: list[tuple[int, str]] = []
    words_shown = word_views(lines).to_pylist()
    for number in np.flatnonzero(may_speak(lines)).tolist():
        line = lines[number]
        words, runs = words_of(line)
        words_shown[number] = " ".join(words)
        if not line.isascii() and (texts[number].hidden < 3 or visible(line).isascii()):
            found += [(number, name) for name in signs(line)]
        found += [(number, f"inj-words-{code}") for code in spoken(line, words, runs)]
    found += [(number, "inj-respelt") for number in respelt(lines)]
    rules = _rules("injection")
    for views in ([text.text for text in texts], words_shown):
        rows, which = rules.pairs(pa.array(views, pa.string()))
        found += [
            (row, rules.ids[rule])
            for row, rule in zip(rows.tolist(), which.tolist(), strict=True)
            # Bytes that are no text have any characters.
            if texts[row].hidden < 3 or not rules.ids[rule].startswith("inj-invisible")
        ]
    return [(texts[number], name) for number, name in sorted(found, key=lambda hit: hit[0])]


def _readable(text: str) -> str:
    """The part of a text that is looked at; control characters between ASCII letters are gone."""
    text = bounded(text)
    return visible(text) if text.isascii() and not text.isprintable() else text


def _sentences(texts: list[_Text], vetoed: npt.NDArray[np.bool_]) -> list[_Text]:
    """The texts that hold a sentence, of lines that nothing else speaks against."""
    # What comes of turning the whole line round, or of bytes that are no text, is full of words that nobody knows.
    rest = [
        text
        for text in texts
        if not vetoed[text.row]
        and (text.hidden < 3 or (visible(text.text).isascii() and not text.mark.startswith(_WHOLE_LINE)))
    ]
    lines = [_readable(text.text) for text in rest]
    return [rest[number] for number in np.flatnonzero(may_be_prose(lines)).tolist() if is_prose(lines[number])]


def _takes_sentences(line: str) -> bool:
    return only_passes_a_message(line) or only_asks_a_model(line)


def _precise(texts: list[_Text]) -> list[tuple[_Text, str]]:
    """(text, id) of every rule that contradicts a benign verdict, by text."""
    lines = pa.array([text.text for text in texts], pa.string())
    platforms = pa.array([text.platform for text in texts], pa.string())
    found = []
    for name in ("baseline", "veto"):
        rules = _rules(name)
        rows, which = rules.pairs(lines, platforms)
        for row, number in zip(rows.tolist(), which.tolist(), strict=True):
            rule = rules.rules[number]
            if rule.precise or (name == "veto" and texts[row].hidden == 2):
                found.append((row, rule.id))
    return [(texts[row], name) for row, name in sorted(found, key=lambda hit: hit[0])]


def _shown(found: dict[str, None]) -> list[str]:
    """The reasons without those that only repeat for a layer or another reading what the line itself shows."""
    return [reason for reason in found if " (" not in reason or reason.split(" (")[0] not in found]


def kind_of(reason: str) -> str:
    """The kind of an injection that a reason names; empty for other reasons.

    >>> kind_of("injection:inj-words-de (base64)")
    'language'
    """
    if not reason.startswith("injection:"):
        return ""
    name = reason.removeprefix("injection:").split(" (")[0]
    best = max((start for start in _KINDS if name.startswith(start)), key=len, default="")
    return _KINDS.get(best, "phrase")


def injection_kinds(checked: pa.Table) -> dict[str, int]:
    """How many lines of a `GUARD` table show each kind of injection, most first.

    Kinds: phrase, claim (says of itself that it is harmless or approved), role, schema, fence, language, lookalike,
    invisible, encoded. A line may show several; one found in a layer or another reading is `encoded` as well.
    """
    counts: Counter[str] = Counter()
    for reasons in checked["reasons"].filter(checked["injection"]).to_pylist():
        kinds = {kind_of(reason) for reason in reasons} - {""}
        if any(" (" in reason.removesuffix(" (parent)") for reason in reasons if reason.startswith("injection:")):
            kinds.add("encoded")
        counts.update(kinds)
    return dict(counts.most_common())
