"""Other readings of a text: what a person or a model would read where it is encoded, escaped, shifted or turned round.

Unlike the decoding of layers, which follows what a shell would run, these readings need no shell: an injection is meant
for a reader, who can undo base64 in a comment, too.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import chain, islice
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.labels.guard_text import bounded, visible
from cmdclf.rules import Rule, RuleSet

__all__ = ["readings"]

#: Readings of one text, readings of readings, and their characters together.
_MOST = 24
_DEPTH = 3
_CHARACTERS = 262_144
#: Encoded runs of one kind that are tried.
_RUNS = 24
#: Folders that may stand before an encoded run that is a file's name.
_FOLDERS = 6

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/_-]{16,}={0,2}")
_BASE32 = re.compile(r"(?<![A-Za-z0-9])[A-Z2-7]{24,}={0,6}(?![A-Za-z0-9])")
_BASE85 = re.compile(
    r"(?<![^\s'\"=/\\])(?=[^\s]{0,60}[!#$&*;<>?@^{|}~][^\s]{0,60}[!#$%&()*+;<=>?@^_`{|}~-])([0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{20,400})(?![^\s'\".])"
)
_ASCII85 = re.compile(r"<~([!-u\sz]{12,}?)~>")
_HEX = re.compile(r"(?i)(?<![0-9a-z])(?:0x)?(?:[0-9a-f]{2}){8,}(?![0-9a-z])")
_HEX_PAIRS = re.compile(r"(?i)(?:(?:\\x|0x|\\|%|\b)[0-9a-f]{2}[\s,;:-]{0,2}){8,}")
_PERCENT = re.compile(r"(?i)(?:%[0-9a-f]{2}.{0,12}?){3}")
_QUOTED = re.compile(r"(?:=[0-9A-F]{2}.{0,12}?){3}")
_ENTITY = re.compile(r"(?i)&(?:#x?[0-9a-f]{2,6}|[a-z]{2,8});?")
_ESCAPE = re.compile(
    r"(?i)(?:\\|%|`)u\{?([0-9a-f]{4,6})\}?|\bU\+([0-9a-f]{4,6})\s?|\\x([0-9a-f]{2})|\\([0-3]?[0-7]{2,3})|"
    r"\\N\{([a-z -]{5,60})\}"
)
_DECIMALS = re.compile(r"(?<![\d.])\d{2,7}(?:[\s,;:|.+_-]{1,3}\d{2,7}){7,}(?![\d.])")
_OCTALS = re.compile(r"(?<![\d.])[01][0-7]{2}(?:[\s,;:\\-]{1,3}[01][0-7]{2}){7,}")
_BINARY = re.compile(r"(?<!\d)(?:[01]{8}[\s,;:-]{0,2}){6,}")
_MORSE = re.compile(r"(?<![\w.-])[.\-·−–]{1,6}(?:[ /|]{1,3}[.\-·−–]{1,6}){9,}")
_CALLS = re.compile(
    r"(?i)\[char\]\s{0,2}(?:\(\s{0,2})?(0x[0-9a-f]{1,4}|\d{1,5})\)?|chr[wb]?\(\s{0,2}(0x[0-9a-f]{1,4}|\d{1,5})\s{0,2}\)"
)
_GLUE = re.compile(r"['\"]\s{0,4}[+&.]\s{0,4}['\"]|[\^`]|\"\"|''|(?<=[A-Za-z])\\(?=[A-Za-z](?:\\|$))")
_TAGGED = re.compile("[\U000e0020-\U000e007e]")
_SELECTED = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_SCRIPTS = tuple(
    re.compile(f"[{letters} -~\u3000-\u3002\uff01-\uff1f\u200b-\u200d]")
    for letters in (
        "\u3040-\u30ff\u4e00-\u9fff",
        "\uac00-\ud7a3",
        "\u0370-\u052f",
        "\u0590-\u06ff",
        "\u0900-\u0dff",
        "\u0e00-\u0eff",
    )
)
_TURNED = re.compile("[\u202d\u202e\u2066-\u2068]")

#: Words of which a turned or shifted injection has one; short ones would turn up by chance.
_TELLING = (
    "ignore", "instruction", "previous", "disregard", "benign", "harmless", "verdict", "classify", "malicious",
    "command", "approved", "assistant", "legitimate", "respond", "safe", "answer", "befehl", "anweisung", "comando",
    "commande", "instruccion", "inofensivo", "harmlos", "positive", "security", "prompt", "nothing", "treat",
)  # fmt: skip
_SIGNS = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. "
    "... - ..- ...- .-- -..- -.-- --.. ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
_MORSE_CODE = dict(
    zip(
        _SIGNS.split(),
        "abcdefghijklmnopqrstuvwxyz0123456789",
        strict=True,
    )
)
_ATBASH = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA"
)
_ROT47 = {33 + n: 33 + (n + 47) % 94 for n in range(94)}
_UPSIDE_DOWN = str.maketrans("ɐqɔpǝɟƃɓɥᴉıɾʞןʃɯuodbɹsʇnʌʍxʎz", "abcdefgghiijkllmnopqrstuvwxyz")


def readings(texts: Sequence[str]) -> tuple[list[tuple[int, str, str]], set[int]]:
    """(number of its text, kind, text) of the other readings, nested ones too; nothing for ordinary texts.

    Then the numbers of the texts that are nested deeper than is looked.

    Kinds are words such as `base64`. Takes time linear in the texts, of each of which `guard_text.bounded` is looked
    at, and gives at most a fixed number of readings and characters for each.
    """
    left, room = [_MOST] * len(texts), [_CHARACTERS] * len(texts)
    seen = [{text} for text in texts]
    level = [(number, bounded(text)) for number, text in enumerate(texts)]
    found: list[tuple[int, str, str]] = []
    for depth in range(_DEPTH):
        inner: list[tuple[int, str]] = []
        turned = _turned([text for _, text in level]) if depth < 2 else {}
        wanted = _wanted([text for _, text in level])
        for place, (number, outer) in enumerate(level):
            for kind, reading in chain(*(reading(outer) for reading in wanted[place]), turned.get(place, ())):
                reading = reading.strip().encode("utf-8", "replace").decode()[: room[number]]
                if len(reading) < 4 or reading in seen[number]:
                    continue
                if left[number] <= 0:
                    break
                seen[number].add(reading)
                left[number], room[number] = left[number] - 1, room[number] - len(reading)
                found.append((number, kind, reading))
                inner.append((number, reading))
        level = inner
        if not level:
            break
    return found, {number for number, text in level if next(_base64_runs(text), None) or next(_hex_runs(text), None)}


def _wanted(texts: list[str]) -> list[list[Callable[[str], Iterator[tuple[str, str]]]]]:
    """For each text the readings that have something to undo in it: compiled passes over all texts decide."""
    wanted: list[list[Callable[[str], Iterator[tuple[str, str]]]]] = [[] for _ in texts]
    lines = pa.array(texts, pa.string())
    for gate, reading in _READINGS:
        for row in pc.indices_nonzero(pc.match_substring_regex(lines, gate)).to_pylist():
            wanted[row].append(reading)
    return wanted


def _readable(data: bytes) -> str | None:
    """Bytes as text where nearly all of it is letters, blanks and punctuation; None for binary data."""
    if data[:2] in (b"\x1f\x8b", b"\x78\x9c", b"\x78\xda", b"\x78\x01"):
        try:
            data = zlib.decompressobj(47).decompress(data, _CHARACTERS)
        except zlib.error:
            return None
    wide = data.count(0) * 3 > len(data)
    for form in ("utf-16-le", "utf-16-be") if wide else ("utf-8", "utf-16-le"):
        text = data[: len(data) & ~1 if form != "utf-8" else len(data)].decode(form, "replace")
        if text.count("\ufffd") * 10 > len(text):
            continue
        wordy = sum(c.isalnum() or c in " \n_-.,:;'\"!?" or c > "\u02ff" for c in text)
        if len(text) >= 4 and wordy * 10 >= len(text) * 8 and (wide or form == "utf-8" or _one_script(text)):
            return text
    return None


def _one_script(text: str) -> bool:
    """Whether nearly all that is seen of a text is of one of the scripts: bytes read as UTF-16 at random are not."""
    text = visible(text)
    return len(text) > 3 and any(len(script.findall(text)) * 10 >= len(text) * 9 for script in _SCRIPTS)


def _tried(pattern: re.Pattern[str], text: str, undo: Callable[[str], bytes]) -> Iterator[str]:
    for number, match in enumerate(pattern.finditer(text)):
        if number == _RUNS:
            return
        if match[0].isalpha() and (match[0].islower() or match[0].istitle()):
            # A word.
            continue
        try:
            found = _readable(undo(match[1] if pattern.groups else match[0]))
        except (binascii.Error, ValueError, OverflowError):
            continue
        if found:
            yield found


def _base64_bytes(run: str) -> bytes:
    run = run.rstrip("=").replace("-", "+").replace("_", "/")
    run = run[: len(run) - (len(run) % 4 == 1)]
    return base64.b64decode(run + "=" * (-len(run) % 4), validate=True)


def _base64_runs(text: str) -> Iterator[tuple[str, str]]:
    for plain in _tried(_BASE64, text, _base64_bytes):
        yield "base64", plain
    if "/" in text:
        # A run may be the name of a file, but the slash is of base64's alphabet, too.
        for run in islice(_BASE64.findall(text), _RUNS):
            folders = run.split("/")[:-1]
            for start in range(1, min(len(folders), _FOLDERS) + 1):
                for plain in _tried(_BASE64, run.split("/", start)[-1], _base64_bytes):
                    yield "base64", plain
            if len(folders) > 1:
                for plain in _tried(_BASE64, run.replace("/", " "), _base64_bytes):
                    yield "base64", plain


def _base32_runs(text: str) -> Iterator[tuple[str, str]]:
    def undo(run: str) -> bytes:
        run = run.rstrip("=")
        return base64.b32decode(run + "=" * (-len(run) % 8))

    for plain in _tried(_BASE32, text, undo):
        yield "base32", plain
    if "<~" in text:
        for plain in _tried(_ASCII85, text, base64.a85decode):
            yield "ascii85", plain
    for plain in _tried(_BASE85, text, base64.b85decode):
        yield "base85", plain


def _hex_runs(text: str) -> Iterator[tuple[str, str]]:
    for plain in _tried(_HEX, text, lambda run: bytes.fromhex(run[2:] if run[:2].lower() == "0x" else run)):
        yield "hex", plain

    def pairs(run: str) -> bytes:
        return bytes.fromhex("".join(re.findall(r"(?i)[0-9a-f]{2}", run.replace("0x", ""))))

    for plain in _tried(_HEX_PAIRS, text, pairs):
        yield "hex", plain


def _escapes(text: str) -> Iterator[tuple[str, str]]:
    if "%" in text and _PERCENT.search(text):
        yield "percent", unquote(text.replace("+", " "), errors="replace")
    if "=" in text and _QUOTED.search(text):
        yield "quoted-printable", unquote(re.sub(r"=([0-9A-F]{2})", r"%\1", text.replace("%", "%25")), errors="replace")
    if "&" in text and _ENTITY.search(text):
        yield "entities", html.unescape(text)
    if ("\\" in text or "u" in text or "U+" in text) and _ESCAPE.search(text):
        yield "escapes", _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    if match[5]:
        try:
            return codecs.decode(f"\\N{{{match[5]}}}", "unicode_escape")
        except UnicodeDecodeError:
            return match[0]
    code = int(match[4], 8) if match[4] else int(match[1] or match[2] or match[3], 16)
    return chr(code) if 9 <= code < 0x110000 and not 0xD800 <= code < 0xE000 else match[0]


def _numbers(text: str) -> Iterator[tuple[str, str]]:
    def listed(base: int) -> Callable[[str], bytes]:
        def undo(run: str) -> bytes:
            codes = [int(n, base) for n in re.findall(r"\d+", run)]
            return "".join(map(chr, codes)).encode() if all(c < 0xD800 for c in codes) else b""

        return undo

    for plain in _tried(_DECIMALS, text, listed(10)):
        yield "codes", plain
    for plain in _tried(_OCTALS, text, listed(8)):
        yield "codes", plain

    def bits(run: str) -> bytes:
        return bytes(int(n, 2) for n in re.findall("[01]{8}", re.sub("[^01]", "", run)))

    for plain in _tried(_BINARY, text, bits):
        yield "codes", plain
    lower = text.lower()
    if "char]" in lower or "chr" in lower:
        codes = [int(a or b, 0) for a, b in _CALLS.findall(text)[:20_000] if not (a or b).startswith("00")]
        if len(codes) > 4:
            yield "codes", "".join(chr(code) for code in codes if 9 <= code < 0xD800)
    if ".-" in text or "-." in text or "·" in text:
        for match in _MORSE.finditer(text):
            dots = match[0].translate({ord("·"): ".", ord("−"): "-", ord("–"): "-"})
            words = [[_MORSE_CODE.get(c, "") for c in word.split()] for word in re.split(r"\s*[/|]\s*|\s{2,}", dots)]
            yield "morse", " ".join("".join(word) for word in words)


def _glued(text: str) -> Iterator[tuple[str, str]]:
    """Without what a shell or a script would drop: carets, backticks, empty quotes, joined literals."""
    yield "joined", _GLUE.sub("", text)


def _unseen(text: str) -> Iterator[tuple[str, str]]:
    tagged = "".join(chr(ord(c) - 0xE0000) for c in _TAGGED.findall(text))
    if tagged:
        yield "tags", tagged
    for run in _SELECTED.findall(text):
        data = bytes(ord(c) - 0xFE00 if ord(c) < 0xFE10 else ord(c) - 0xE0100 + 16 for c in run)
        plain = _readable(data)
        if plain:
            yield "selectors", plain
    if _TURNED.search(text):
        yield "reversed", text[::-1]
    turned = text.translate(_UPSIDE_DOWN)
    if turned != text:
        yield "upside-down", turned[::-1]


#: RE2 patterns that each text with such a reading matches, and the readings.
_READINGS: tuple[tuple[str, Callable[[str], Iterator[tuple[str, str]]]], ...] = (
    (r"[A-Za-z0-9+/_-]{16}", _base64_runs),
    (r"[A-Z2-7]{24}|<~|[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{20}", _base32_runs),
    (r"(?i)[0-9a-f]{16}|(?:[0-9a-f]{2}[\s,;:-]{1,2}){7}|(?:[0-9a-f]{2}[\s,;:-]{0,2}(?:\\x|0x|\\|%)){7}", _hex_runs),
    (r"(?i)(?:%[0-9a-f]{2}.{0,12}){3}|(?:=[0-9a-f]{2}.{0,12}){3}|&(?:#|[a-z]{2,8};)|[\\%`]u\{?[0-9a-f]{4}|U\+[0-9a-f]{4}|\\x[0-9a-f]{2}|"
     r"\\[0-3]?[0-7]{2}|\\N\{", _escapes),
    (r"(?i)(?:\d{2,7}[\s,;:|.+_\\-]{1,3}){7}|(?:[01]{8}[\s,;:-]{0,2}){6}|\[char\]|chr[wb]?\(|"
     r"(?:[.\-·−–]{1,6}[ /|]{1,3}){9}", _numbers),
    (r"[\^`]|['\x22]{2}|['\x22]\s{0,4}[+&.]\s{0,4}['\x22]|(?:[A-Za-z]\\){3}", _glued),
    (r"[^\x00-\x7f]", _unseen),
)  # fmt: skip


@cache
def _turns() -> RuleSet:
    """Telling words under each shift of the alphabet, mirrored, and reversed: one pass over a batch finds them all."""
    spellings = {f"rotated {by}": [_rotated(word, by) for word in _TELLING if len(word) > 5] for by in range(1, 26)}
    spellings["mirrored"] = [word.translate(_ATBASH) for word in _TELLING if len(word) > 5]
    spellings["rotated"] = [word.translate(_ROT47) for word in _TELLING if len(word) > 5]
    spellings["reversed"] = [word[::-1] for word in _TELLING if len(word) > 4]
    return RuleSet(
        Rule(kind, kind, "injection", "|".join(map(re.escape, words)), tuple(word.lower() for word in words))
        for kind, words in spellings.items()
    )


def _rotated(text: str, by: int) -> str:
    lower, upper = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return text.translate(str.maketrans(lower + upper, lower[by:] + lower[:by] + upper[by:] + upper[:by]))


def _turned(texts: list[str]) -> dict[int, list[tuple[str, str]]]:
    """Readings of the texts that a telling word shows to be shifted, mirrored or reversed."""
    found: dict[int, list[tuple[str, str]]] = {}
    rows, which = _turns().pairs(pa.array(texts, pa.string()))
    for row, number in zip(rows.tolist(), which.tolist(), strict=True):
        kind, _, by = _turns().ids[number].partition(" ")
        text = texts[row]
        if kind == "mirrored":
            reading = text.translate(_ATBASH)
        elif kind == "reversed":
            reading = text[::-1]
        else:
            reading = _rotated(text, 26 - int(by)) if by else text.translate(_ROT47)
        found.setdefault(row, []).append((kind, reading))
        if kind == "reversed":
            # Each word by itself, in their order.
            found[row].append((kind, " ".join(word[::-1] for word in text.split(" "))))
    return found
