"""A text as a reader takes it: without what is not seen, letters that only look like Latin ones folded, in words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache

import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "IN_WORD",
    "MAX_CHARACTERS",
    "bounded",
    "fold",
    "folded_term",
    "respelt",
    "signs",
    "visible",
    "word_views",
    "words_of",
]

#: What is looked at of one text: its beginning and its end, together so many characters. A judge is shown far fewer.
MAX_CHARACTERS = 131_072

#: Characters that no reader sees: joiners, direction marks, fillers, tags, variation selectors, controls.
_UNSEEN = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE = re.compile(f"[{_UNSEEN}]")
#: Marks over and under letters of Latin, Greek and Cyrillic script, Arabic and Hebrew vowels.
_MARKS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670"
    "\u06d6-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
)
_PLAIN_LATIN = str.maketrans("ıŀłøđðħŧæœßþ", "illoddhtaosp")

#: Letters of other scripts, and symbols, that look like Latin letters and that NFKD leaves as they are.
_LOOKALIKES = {
    "a": "аɑαꭺᴀɐ∂⍺Ꭺ", "b": "ЬвʙɓᏏᖯꓐВΒƅБ", "c": "сϲᴄⅽꮯСᏟↄɔ¢", "d": "ԁɗᴅⅾᏧꓒԀᎠ", "e": "еєҽᴇǝɛЕΕεꬲ℮ҿəЭэΣ", "f": "ғƒꜰϝꬵ",
    "g": "ɡցɢǥԍᶃƃԌᏀ", "h": "һհʜНΗɥᏂնЋнħ", "i": "іιɪⅰӏІΙւꙇᎥ¡", "j": "јϳᴊЈɾյ", "k": "кκᴋКΚʞҡĸқ", "l": "ⅼʟӀⅬӏΙℓ׀ןℑ∣ǀļ",
    "m": "мᴍМΜɯⅿ", "n": "пռɴΝηհυиИƞո", "o": "оοօᴏОΟσ௦ഠ๐০०οθ〇ⲟ", "p": "рρᴘРΡϱⲣƿ", "q": "ԛզգɋ", "r": "гʀɹᴦⲅЯяɼ",
    "s": "ѕꜱЅՏʂƨꮪ§", "t": "тτᴛТΤʇҭƭ†", "u": "υսᴜμцʋЦʉ", "v": "ѵνᴠᏙⅴʌ∨", "w": "ԝѡᴡшωɯաʍШ", "x": "хχХΧⅹҳ×",
    "y": "уγʏУΥүʎყ", "z": "ᴢʐΖᏃʑ",
}  # fmt: skip
_LATIN = {ord(sign): letter for letter, signs in _LOOKALIKES.items() for sign in signs} | {
    0x1F1E6 + n: chr(97 + n) for n in range(26)
}
for _start in (0x1F130, 0x1F150, 0x1F170):
    _LATIN |= {_start + n: chr(97 + n) for n in range(26)}
_FOREIGN = "".join(sorted(map(chr, _LATIN)))

#: Letters and the marks that belong into words of Indic, Arabic, Thai and like scripts.
IN_WORD = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u0900-\u0dff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
_WORD = re.compile(rf"(?:[^\W\d_]|[{IN_WORD}])+(?:['’](?:[^\W\d_]|[{IN_WORD}])+)*|\d+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
#: What may stand between two words of one sentence.
_LIGHT = re.compile(r"[\s,.:;!?'\"()_’„“”«»、。，-]*")
_OPTION = re.compile(r"\s--?$|^[\s\"']*--?$")

_LATIN_LIKE = re.compile(f"[a-zA-Z{re.escape(_FOREIGN)}]{{4,}}")
_STYLED = re.compile(
    "[\U0001d400-\U0001d7ff\u24b6-\u24e9\U0001f130-\U0001f189]{4}|(?:[\u1d00-\u1d22\ua730\ua731]\\W?){4}"
)
_TAGS = re.compile("[\U000e0001\U000e0020-\U000e007f]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_BETWEEN = re.compile("[A-Za-z][\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufeff]+[A-Za-z]")
_MANY = re.compile("(?:[\u00ad\u034f\u200b\u2060-\u2064\u206a-\u206f\u2800\u3164\ufeff\u180e][^\u0600-\u0dff]{0,2}){2}")
_SELECTORS = re.compile("[A-Za-z0-9 ][\ufe00-\ufe0f\U000e0100-\U000e01ef]|[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3}")
_ZALGO = re.compile("(?:[A-Za-z][\u0300-\u036f]{2,}){2}|(?:[A-Za-z][\u0334-\u0338]){3}")


def bounded(text: str) -> str:
    """The text, or its beginning and its end where it is longer than `MAX_CHARACTERS`."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = MAX_CHARACTERS // 2
    return f"{text[:half]} {text[-half:]}"


def visible(text: str) -> str:
    """The text without the characters that no reader sees."""
    return _INVISIBLE.sub("", text)


def signs(text: str) -> list[str]:
    """Ids of what the characters alone show: `inj-invisible-...` and `inj-lookalike-...`; empty for ASCII text."""
    found = []
    if _TAGS.search(text):
        found.append("inj-invisible-tags")
    if _BIDI.search(text):
        found.append("inj-invisible-direction")
    if _BETWEEN.search(text) or _MANY.search(text):
        found.append("inj-invisible-width")
    if _SELECTORS.search(text):
        found.append("inj-invisible-selectors")
    if _ZALGO.search(text):
        found.append("inj-invisible-marks")
    if any(_is_mixed(word) for word in _LATIN_LIKE.findall(text)):
        found.append("inj-lookalike-letters")
    if _STYLED.search(text):
        found.append("inj-lookalike-styled")
    return found


def _is_mixed(word: str) -> bool:
    """Whether a word has Latin letters and such that only look Latin; units such as `kΩ` and `µs` are too short."""
    latin = sum(letter.isascii() for letter in word)
    return latin >= 2 and len(word) - latin >= 1


def fold(text: str, *, latin: bool) -> str:
    """Lower case without accents and unseen characters; `latin`: letters that look like Latin ones become these."""
    if text.isascii():
        return _INVISIBLE.sub("", text).lower()
    text = unicodedata.normalize("NFKD", _INVISIBLE.sub("", text))
    if latin:
        text = text.translate(_LATIN)
    text = _MARKS.sub("", text).lower()
    if latin:
        text = text.translate(_LATIN)
    return unicodedata.normalize("NFC", text.translate(_PLAIN_LATIN))


def words_of(text: str, *, latin: bool = True) -> tuple[list[str], list[int]]:
    """The folded words, and for each the number of the sentence-like run that it stands in."""
    if not text.isascii():
        # Unseen characters would part words; case tells CamelCase apart, so folding comes after it.
        text = _INVISIBLE.sub("", text)
    elif "\0" in text:
        text = text.replace("\0", "")
    text = fold(_CAMEL.sub(" ", text), latin=latin)
    words, runs = [], []
    run = end = 0
    for match in _WORD.finditer(text):
        start = match.start()
        if start - end > 1 or (start > end and text[end] != " "):
            between = text[end:start]
            if len(between) > 12 or not _LIGHT.fullmatch(between) or _OPTION.search(between):
                run += 1
        words.append(match[0])
        runs.append(run)
        end = match.end()
    return words, runs


_LEET = str.maketrans("013456789@$!|+€£(", "oieasgtbgasiitelc")
_LETTERS = re.compile("[^a-z]+")


def _squeeze(text: str) -> str:
    """Letters only, digits and signs that stand for letters replaced, `l` as `i`: what is left of 1gn0r3 a.l.l."""
    return _LETTERS.sub("", fold(text, latin=True).translate(_LEET)).replace("l", "i")


def word_views(texts: Sequence[str]) -> pa.StringArray:
    """(n,) string: each ASCII text's words with a blank between them, CamelCase parted, case kept; compiled passes."""
    lines = pa.array(texts, pa.string())
    lines = pc.replace_substring_regex(lines, "([a-z])([A-Z])", r"\1 \2")
    return pc.replace_substring_regex(lines, "[^A-Za-z0-9']+", " ")


_FILLER = (
    "(?:aii|any|every|everything|the|of|your|my|previous|prior|above|eariier|these|those|preceding|safety|security|"
    "system|and|other){0,6}"
)
#: What hidden injections come down to, as `_squeeze` writes them.
_SQUEEZED = (
    "(?:ignore|disregard|forget|override|bypass|discard)" + _FILLER + "(?:instruction|prompt|guideiine|directive|ruies|"
    "guidance)|(?:ciassify|iabei|mark|treat|fiag|rate|consider|judge|report|answer|respond|repiy|say|output|return|print|"
    "verdict|tag|score|caii|choose|is|as|be|word|command|iine|script|process|confidence|obviousiy|compieteiy|totaiiy)"
    "[a-z]{0,24}?(?:benign|harmiess|innocuous|notmaiicious|nonmaiicious|iegitimate|faisepositive)|(?:donot|dont|never|"
    "mustnot)(?:fiag|report|aiert|biock)|nothingmaiicious|notmaiicious|faisepositive|systemprompt|youarenow|(?:approved|"
    "cieared|reviewed|vetted|authori[sz]ed|signedoff|whiteiisted)by(?:the)?(?:security|soc|ciso|it|anaiyst|biueteam)|"
    "youmust(?:answer|respond|return|say|output)|ascompieteiysafe|commandissafe|thisissafe|assafe|dearai"
)
_KEYS = (
    "ignore", "disregard", "forget", "override", "bypass", "instruction", "prompt", "guideline", "directive", "benign",
    "harmless", "innocuous", "cleared", "reviewed", "vetted", "malicious", "legitimate", "positive", "flag", "report",
    "approved", "answer", "respond", "classify", "safe", "label", "verdict", "nothing", "system", "dear",
)  # fmt: skip
_SKELETONS = tuple(key.replace("l", "i") for key in _KEYS)
_LONG_WORD = re.compile(r"[^\W\d_]{14,}")


@cache
def _squeezed_pattern() -> re.Pattern[str]:
    return re.compile(_SQUEEZED)


def respelt(texts: Sequence[str]) -> list[int]:
    """Which texts show an injection only once letters are put together, or digits taken for letters: `b.e.n.1.g.n`."""
    squeezed = [_squeeze(text) for text in texts]
    hits = pc.match_substring_regex(pa.array(squeezed, pa.string()), _SQUEEZED)
    return [row for row in pc.indices_nonzero(hits).to_pylist() if _is_hidden(texts[row], squeezed[row])]


def _is_hidden(text: str, squeezed: str) -> bool:
    """Whether a match has a telling word that the text does not show as it is, or stands within one long word."""
    plain = fold(text, latin=False).replace("l", "i")
    for match in _squeezed_pattern().finditer(squeezed):
        if any(key in match[0] and key not in plain for key in _SKELETONS):
            return True
    return any(_squeezed_pattern().search(word) for word in _LONG_WORD.findall(plain))


@lru_cache(maxsize=65_536)
def folded_term(term: str) -> str:
    """A term of the word list in the form that `words_of` gives."""
    return fold(term.replace("_", " "), latin=False)
