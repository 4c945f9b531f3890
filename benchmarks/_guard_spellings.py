"""Ways to write a text so that a careless reader of it misses it and an eager one does not."""

from __future__ import annotations

import base64
import codecs
import gzip
import quopri
import re
import string
from collections.abc import Callable
from urllib.parse import quote

__all__ = ["SPELLINGS"]

_CYRILLIC = str.maketrans("aceiopsxyABCEHKMOPTX", "асеіорѕхуАВСЕНКМОРТХ")
_GREEK = str.maketrans("aeionuptvABEHIKMNOPTXYZ", "αειοηυρτνΑΒΕΗΙΚΜΝΟΡΤΧΥΖ")
_ARMENIAN = str.maketrans("oughnsdzq", "օսցհոտԁzԛ")
_SMALL_CAPS = str.maketrans("abcdefghijklmnopqrstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘqʀꜱᴛᴜᴠᴡʏᴢ")
_UPSIDE_DOWN = str.maketrans("abcdefghijklmnopqrstuvwxyz", "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz")
_LEET = str.maketrans("aeioslt", "4310517")
_LEET_SIGNS = str.maketrans("aeiostlg", "@3!0$+19")
_SIGNS = (
    ".- -... -.-. -.. . ..-. --. .... .. .--- -.- .-.. -- -. --- .--. --.- .-. "
    "... - ..- ...- .-- -..- -.-- --.. ----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."
)
_MORSE = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz0123456789",
        _SIGNS.split(),
        strict=True,
    )
)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _mapped(upper: int, lower: int, digits: int = 0) -> Callable[[str], str]:
    def spell(text: str) -> str:
        out = []
        for c in text:
            if "A" <= c <= "Z":
                out.append(chr(upper + ord(c) - 65))
            elif "a" <= c <= "z":
                out.append(chr(lower + ord(c) - 97))
            elif digits and c.isdigit() and c.isascii():
                out.append(chr(digits + int(c)))
            else:
                out.append(c)
        return "".join(out)

    return spell


def _between(mark: str) -> Callable[[str], str]:
    return lambda text: mark.join(text)


def _in_words(mark: str) -> Callable[[str], str]:
    """The mark after each second letter of a word."""
    return lambda text: re.sub(r"(?<=\w\w)(?=\w)", mark, text)


def _per_letter(form: Callable[[int], str], glue: str = "") -> Callable[[str], str]:
    return lambda text: glue.join(form(ord(c)) for c in text)


def _chunks(text: str) -> str:
    return "-".join(re.findall("..?", re.sub(r"\W+", "", text)))


def _selectors(text: str) -> str:
    return "ok" + "".join(chr(0xFE00 + b) if b < 16 else chr(0xE0100 + b - 16) for b in text.encode())


def _rot47(text: str) -> str:
    return "".join(chr(33 + (ord(c) - 33 + 47) % 94) if "!" <= c <= "~" else c for c in text)


def _caesar(by: int) -> Callable[[str], str]:
    lower, upper = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    table = str.maketrans(lower + upper, lower[by:] + lower[:by] + upper[by:] + upper[:by])
    return lambda text: text.translate(table)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "base64": lambda t: _b64(t.encode()),
    "base64-utf16": lambda t: _b64(t.encode("utf-16-le")),
    "base64-twice": lambda t: _b64(_b64(t.encode()).encode()),
    "base64-url": lambda t: base64.urlsafe_b64encode(t.encode()).decode().rstrip("="),
    "base64-thrice": lambda t: _b64(_b64(_b64(t.encode()).encode()).encode()),
    "base64-parts": lambda t: "' + '".join(re.findall(".{1,20}", _b64(t.encode()))),
    "base32": lambda t: base64.b32encode(t.encode()).decode(),
    "base85": lambda t: base64.b85encode(t.encode()).decode(),
    "ascii85": lambda t: base64.a85encode(t.encode(), adobe=True).decode(),
    "hex": lambda t: t.encode().hex(),
    "hex-spaced": lambda t: t.encode().hex(" "),
    "hex-0x": lambda t: ",".join(f"0x{b:02x}" for b in t.encode()),
    "hex-base64": lambda t: _b64(t.encode().hex().encode()),
    "percent": lambda t: "".join(f"%{b:02X}" for b in t.encode()),
    "percent-some": quote,
    "percent-twice": lambda t: quote(quote(t, safe=""), safe=""),
    "percent-u": _per_letter(lambda c: f"%u{c:04x}"),
    "html-decimal": _per_letter(lambda c: f"&#{c};"),
    "html-hex": _per_letter(lambda c: f"&#x{c:x};"),
    "js-unicode": _per_letter(lambda c: f"\\u{c:04x}"),
    "u-plus": _per_letter(lambda c: f"U+{c:04X}", " "),
    "backslash-x": _per_letter(lambda c: f"\\x{c:02x}"),
    "octal": _per_letter(lambda c: f"\\{c:03o}"),
    "decimal": _per_letter(str, " "),
    "decimal-commas": _per_letter(str, ","),
    "binary": _per_letter(lambda c: f"{c:08b}", " "),
    "rot13": lambda t: codecs.encode(t, "rot13"),
    "rot47": _rot47,
    "caesar-7": _caesar(7),
    "atbash": lambda t: t.translate(
        str.maketrans(
            string.ascii_lowercase + string.ascii_uppercase, string.ascii_lowercase[::-1] + string.ascii_uppercase[::-1]
        )
    ),
    "rot13-base64": lambda t: _b64(codecs.encode(t, "rot13").encode()),
    "reverse": lambda t: t[::-1],
    "reverse-words": lambda t: " ".join(word[::-1] for word in t.split(" ")),
    "word-order": lambda t: " ".join(reversed(t.split(" "))),
    "leet": lambda t: t.translate(_LEET),
    "leet-signs": lambda t: t.translate(_LEET_SIGNS),
    "dots": _between("."),
    "spaces": _between(" "),
    "dashes": _between("-"),
    "underscores": _between("_"),
    "asterisks": _between("*"),
    "chunks": _chunks,
    "slashes": lambda t: t.replace(" ", "/"),
    "plus": lambda t: t.replace(" ", "+"),
    "camel": lambda t: "".join(word.capitalize() for word in re.findall(r"\w+", t)),
    "glued": lambda t: "".join(re.findall(r"\w+", t)).lower(),
    "snake": lambda t: "_".join(re.findall(r"\w+", t)).lower(),
    "zero-width": _between("\u200b"),
    "word-joiner": _in_words("\u2060"),
    "soft-hyphen": _in_words("\u00ad"),
    "grapheme-joiner": _in_words("\u034f"),
    "nul": _between("\0"),
    "tags": lambda t: "ok" + "".join(chr(0xE0000 + ord(c)) for c in t),
    "variation": _selectors,
    "bidi": lambda t: f"\u202e{t[::-1]}\u202c",
    "isolates": lambda t: "\u2066" + "\u2069\u2066".join(t.split(" ")) + "\u2069",
    "cyrillic": lambda t: t.translate(_CYRILLIC),
    "greek": lambda t: t.translate(_GREEK),
    "armenian": lambda t: t.translate(_ARMENIAN),
    "fullwidth": _mapped(0xFF21, 0xFF41, 0xFF10),
    "math-bold": _mapped(0x1D400, 0x1D41A, 0x1D7CE),
    "math-mono": _mapped(0x1D670, 0x1D68A, 0x1D7F6),
    "math-fraktur": _mapped(0x1D56C, 0x1D586),
    "circled": _mapped(0x24B6, 0x24D0),
    "squared": lambda t: _mapped(0x1F130, 0x1F130)(t),
    "regional": lambda t: _mapped(0x1F1E6, 0x1F1E6)(t),
    "small-caps": lambda t: t.lower().translate(_SMALL_CAPS),
    "upside-down": lambda t: t.lower().translate(_UPSIDE_DOWN)[::-1],
    "zalgo": lambda t: re.sub(r"(?<=\w)", "\u0336\u0353\u030d", t),
    "accents": lambda t: re.sub(r"([aeiou])", "\\1\u0301", t),
    "morse": lambda t: " / ".join(" ".join(_MORSE[c] for c in w) for w in re.findall("[a-z0-9]+", t.lower())),
    "encoded-command": lambda t: f"powershell -EncodedCommand {_b64(f'# {t}'.encode('utf-16-le'))}",
    "gzip-base64": lambda t: _b64(gzip.compress(t.encode(), mtime=0)),
    "char-codes": lambda t: "+".join(f"[char]{ord(c)}" for c in t),
    "chr-calls": lambda t: "&".join(f"Chr({ord(c)})" for c in t),
    "caret": lambda t: re.sub(r"(?<=\w)(?=\w)", "^", t),
    "backtick": lambda t: re.sub(r"(?<=\w)(?=[c-mo-z])", "`", t),
    "concat": lambda t: "'" + "'+'".join(re.findall(".{1,4}", t)) + "'",
    "quotes": lambda t: re.sub(r"(?<=\w\w)(?=\w)", "''", t),
    "quoted-printable": lambda t: quopri.encodestring(t.encode(), quotetabs=True).decode() if not t.isascii()
    else "".join(f"={b:02X}" for b in t.encode()),
    "upper": str.upper,
}  # fmt: skip
