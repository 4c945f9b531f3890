"""One spelling for what a shell or Windows takes alike: blanks, dashes, short names, roots of paths, `sh -c`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["one_spelling", "one_spelling_of"]

_SH = r"^(?:/(?:usr/)?bin/)?(?:ba|z|da)?sh(?: -[elix]+)* -[elix]*c "
# A literal of which one must occur, tried first as that costs next to nothing; the pattern (RE2); what replaces it.
_SPELLINGS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    # Line feeds end a command and stay.
    (("\t", "  ", "\v", "\f", "\u00a0", "\u2003", "\u3000", "\u2009", "\u202f"),
     "[ \\t\\v\\f\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+", " "),
    (("\u2013", "\u2014", "\u2015"), "(^|[\\s\"'(])[\u2013\u2014\u2015]([A-Za-z])", "\\1-\\2"),
    (("~1",), r"(?i)\b([a-z]:\\)PROGRA~1(\\)", r"\1Program Files\2"),
    (("~2",), r"(?i)\b([a-z]:\\)PROGRA~2(\\)", r"\1Program Files (x86)\2"),
    (("~3",), r"(?i)\b([a-z]:\\)PROGRA~3(\\)", r"\1ProgramData\2"),
    (("~1",), r"(?i)\\DOCUME~1\\", r"\\Documents and Settings\\"),
    (("~1",), r"(?i)\\COMMON~1\\", r"\\Common Files\\"),
    (("~1",), r"(?i)\\WINDOW~1\\v", r"\\WindowsPowerShell\\v"),
    (("~1",), r"(?i)\bPOWERS~1\.EXE", "powershell.exe"),
    # Device and administrative paths of the machine's own drives.
    (("\\\\?\\", "\\\\.\\"), r"(^|[\s\"'=(,])\\\\[?.]\\([A-Za-z]:\\)", r"\1\2"),
    (("$\\",), r"(?i)(^|[\s\"'=(,])\\\\(?:127\.0\.0\.1|localhost|\[?::1\]?)\\([a-z])\$\\", r"\1\2:\\"),
    # Where a path stays in its folder: C:\Windows\.\System32, /usr//bin.
    (("\\.\\",), r"(\w)\\(?:\.\\)+", r"\1\\"),
    (("/./",), r"/(?:\./+)+", "/"),
    # The words that a shell is called with say nothing: sensors see them or not. Three forms of the argument.
    (("sh -",), rf"(?s){_SH}'([^']*)'$", "\\1"),
    (("sh -",), rf'(?s){_SH}"([^"]*)"$', "\\1"),
    (("sh -",), rf"(?s){_SH}([^\"'].*)$", "\\1"),
)  # fmt: skip
# What a text without must show for none of the patterns to be tried.
_ANY = re.compile("|".join(re.escape(literal) for literals, _, _ in _SPELLINGS for literal in literals))


def one_spelling_of(texts: Sequence[str]) -> Sequence[str]:
    """`one_spelling` of few texts: where none holds a literal, Python sees it before Arrow has started."""
    if not any(_ANY.search(text) for text in texts):
        return texts
    return one_spelling(pa.array(texts, pa.string())).to_pylist()  # type: ignore[no-any-return]


def one_spelling(lines: pa.StringArray) -> pa.StringArray:
    """The lines with one spelling for each of these; nulls stay. Only lines with a spelling's literal are looked at.

    >>> one_spelling(pa.array(["dir  C:\\\\PROGRA~1\\\\x"]))[0].as_py()
    'dir C:\\\\Program Files\\\\x'
    """
    held = lines.buffers()[2]
    raw = b"" if held is None else held.to_pybytes()
    for literals, pattern, instead in _SPELLINGS:
        # All lines together are looked through first, at memory's speed.
        present = [literal for literal in literals if literal.encode() in raw]
        if not present:
            continue
        rows = pc.match_substring(lines, present[0])
        for literal in present[1:]:
            rows = pc.or_(rows, pc.match_substring(lines, literal))
        if pc.any(rows).as_py():
            other = pc.replace_substring_regex(lines.filter(rows), pattern=pattern, replacement=instead)
            lines = pc.replace_with_mask(lines, rows, other)
    return lines
