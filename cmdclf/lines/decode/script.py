"""What script hosts undo: percent-encoding in mshta and JavaScript, rot13 in Python."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from urllib.parse import unquote

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.literals import LITERAL

__all__ = ["DECODINGS"]

_PERCENT = re.compile(r"(?i)%(?:u00)?[0-9a-f]{2}")
_PERCENT_MIN = 3
_ROT13 = re.compile(rf"(?i)({LITERAL})\s{{0,2}}(?:,|\.(?:en|de)code\()\s{{0,2}}[\"']rot_?-?13[\"']")
_STR_ROT13 = re.compile(rf"(?i)str_rot13\(\s{{0,2}}({LITERAL})")


def _percent(text: Text) -> Iterator[Layer]:
    """`javascript:%65%76%61%6c(...)`, `unescape('%77%68%6f')`: in a plain URL such escapes are ordinary and stay."""
    found = _PERCENT.findall(text.raw)
    if len(found) >= _PERCENT_MIN:
        yield Layer("percent", unquote(re.sub(r"(?i)%u00", "%", text.raw)))


def _rot13(text: Text) -> Iterator[Layer]:
    """`codecs.decode('jubnzv', 'rot13')`, PHP's `str_rot13('jubnzv')`."""
    for pattern in (_ROT13, _STR_ROT13):
        for match in pattern.finditer(text.raw):
            yield Layer("rot13", codecs.encode(match[1][1:-1], "rot13"), match.span(1))


DECODINGS = (
    Decoding(
        "percent",
        ("mshta", "javascript:", "vbscript:", "unescape", "decodeuri", "unquote("),
        _percent,
        rewrites=True,
        marks=marks.PERCENT,
    ),
    Decoding("rot13", ("rot13", "rot_13", "rot-13"), _rot13, marks=marks.ROT13),
)
