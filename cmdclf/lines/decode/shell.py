"""What Posix shells undo: sh -c and its kin, base64 and hex pipes, ${IFS}, braces, backslashes, $'\\x41'."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.payload import base32_text, base64_text, bytes_text, hex_text
from cmdclf.lines.decode.quoting import shell_word, shell_word_end

__all__ = ["DECODINGS"]

# Begins with a literal, which is searched for at memory's speed; the shell's name before it is looked at after.
_SH = re.compile(r"sh[\"']?\s{1,8}(?:-{1,2}[\w-]{1,30}\s{1,4}){0,4}-[a-z]{0,6}c[a-z]{0,3}\s{1,8}")
_SHELL_NAME = re.compile(r"(?:^|[^\w.-])(?:ba|z|da|k|a|c|tc|fi)?$")
_SU = re.compile(r"su(?<![\w.-]su)\s[^|;&]{0,60}?(?:-c|--command)[\s=]{1,4}")
_PROGRAMS = ("python", "perl", "ruby", "node", "php", "osascript")
_SCRIPT = re.compile(
    r"(?<![\w.-])(?:python[\d.]{0,5}|perl|ruby|node|php|osascript)[\"']?\s{1,8}(?:-\w{1,10}\s{1,4}){0,3}-\w{0,4}[cer]\s{1,8}"
)
_EVAL = re.compile(r"(?:^|[\s;&|])eval\s{1,8}(?=[\"'])")
_BASE64_PIPE = re.compile(
    r"(?i)base64\s{1,8}[^|;&]{0,40}?(?:-d\b|-di\b|--decode\b|-D\b)|openssl\s[^|;&]{0,60}?-(?:base64|a)\b|base64\s[^|;&]{0,20}-d\b"
)
_BASE64_RUN = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{8,}={0,2}")
_BASE32_RUN = re.compile(r"(?<![A-Za-z0-9=])[A-Z2-7]{8,}={0,6}(?![A-Za-z0-9])")
_HEX_RUN = re.compile(r"(?<![0-9A-Fa-f])(?:[0-9A-Fa-f]{2}){4,}(?![0-9A-Fa-f])")
_XXD_BACK = re.compile(r"xxd\s[^|;&]{0,30}?-\w{0,3}r")
_IFS = re.compile(r"\$\{IFS[^}]{0,20}\}|\$IFS(?:\$\d)?(?!\w)")
_BRACE = re.compile(r"\{(?<![^\s;|&(]\{)([\w./-]{1,200}(?:,[^,{}\s]{1,200}){1,32})\}(?=$|[\s;|&)\"'<>])")
_SLASHED = re.compile(
    r"'[^']*'|\"[^\"]*\"|(?:^|(?<=[;|&])\s{0,4}(?=[\w./]))[\w./]{0,60}(?:\\[a-zA-Z][\w./]{0,60}){1,16}"
)
_ESCAPES = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\u00[0-9a-fA-F]{2}|\\0?[0-3][0-7]{2}){3,}")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\u00([0-9a-fA-F]{2})|\\0?([0-3][0-7]{2})")


def _sh_wrapper(text: Text) -> Iterator[Layer]:
    """`bash -lc 'X'`, `su root -c X`, `eval "X"`, `python3 -c 'X'` -> `X`."""
    raw = text.raw
    found = [_shell_call(raw) if "sh" in raw else None]
    found.append(_SU.search(raw) if "su" in raw else None)
    found.append(_EVAL.search(raw) if "eval" in raw else None)
    found.append(_SCRIPT.search(raw) if any(program in raw for program in _PROGRAMS) else None)
    for match in found:
        if match:
            rest = raw[match.end() :]
            # `eval` goes with its argument; of `sh -c` the name says in which language the text is.
            start = match.start() + 1 if match.re is _EVAL and match[0][0] != "e" else match.start()
            yield Layer(
                "wrapper",
                shell_word(rest),
                (start if match.re is _EVAL else match.end(), match.end() + shell_word_end(rest)),
            )


def _shell_call(raw: str) -> re.Match[str] | None:
    for match in _SH.finditer(raw):
        if _SHELL_NAME.search(raw[max(0, match.start() - 3) : match.start()]):
            return match
    return None


def _base64_pipe(text: Text) -> Iterator[Layer]:
    """`echo X | base64 -d | sh`, `base64 -d <<< X`, `openssl enc -base64 -d`: every run that decodes to text."""
    if not _BASE64_PIPE.search(text.raw):
        return
    for match in _BASE64_RUN.finditer(text.raw):
        # Words are base64 too (`decode`): a real payload has upper and lower case or digits, and is not so short.
        run = match[0]
        if len(run) < 16 and (run.islower() or run.isalpha()):
            continue
        found = base64_text(run, text.limit, text.budget)
        if found is not None:
            yield Layer("gzip-base64" if found[1] else "base64", found[0], match.span())


def _hex_pipe(text: Text) -> Iterator[Layer]:
    """`echo 7768 | xxd -r -p`, Python's `bytes.fromhex('...')`."""
    if "xxd" in text.lower and not _XXD_BACK.search(text.raw):
        return
    for match in _HEX_RUN.finditer(text.raw):
        found = hex_text(match[0], text.limit)
        if found is not None:
            yield Layer("hex", found, match.span())


def _base32(text: Text) -> Iterator[Layer]:
    """`base32 -d <<< X`, `b32decode('X')`: every run that decodes to text."""
    for match in _BASE32_RUN.finditer(text.raw):
        found = base32_text(match[0], text.limit, text.budget)
        if found is not None:
            yield Layer("base32", found, match.span())


def _field_separator(text: Text) -> Iterator[Layer]:
    """`cat${IFS}/etc/passwd` -> `cat /etc/passwd`."""
    yield Layer("ifs", _IFS.sub(" ", text.raw))


def _braces(text: Text) -> Iterator[Layer]:
    """`{cat,/etc/passwd}` at the place of a command -> `cat /etc/passwd`."""
    if not text.windows:
        yield Layer("brace", _BRACE.sub(lambda m: m[1].replace(",", " "), text.raw))


def _backslashes(text: Text) -> Iterator[Layer]:
    """`c\\at x` -> `cat x`: a backslash before a letter of a command's name is nothing."""
    if not text.windows:
        yield Layer("quotes", _SLASHED.sub(lambda m: m[0] if m[0][0] in "'\"" else m[0].replace("\\", ""), text.raw))


def _continued(text: Text) -> Iterator[Layer]:
    """A backslash before a line break: the line goes on."""
    if not text.windows:
        yield Layer("quotes", text.raw.replace("\\\r\n", "").replace("\\\n", ""))


def _escapes(text: Text) -> Iterator[Layer]:
    """Runs of `\\x77\\x68`, `\\167` as in `$'...'`, `echo -e` and `printf` -> their characters."""

    def plain(match: re.Match[str]) -> str:
        if match[0].count("\\x") * 4 == len(match[0]):
            return hex_text(match[0].replace("\\x", ""), text.limit) or match[0]
        codes = [int(x or u, 16) if x or u else int(o, 8) for x, u, o in _ESCAPE.findall(match[0])]
        return bytes_text(bytes(c & 255 for c in codes), text.limit) or match[0]

    yield Layer("escape", _ESCAPES.sub(plain, text.raw))


DECODINGS = (
    Decoding("sh_wrapper", ("sh", "su", "eval", "python", "perl", "ruby", "node", "php", "osascript"), _sh_wrapper),
    Decoding("base64_pipe", ("base64", "openssl"), _base64_pipe, marks=marks.DECODER),
    Decoding("hex_pipe", ("xxd", "fromhex", "unhexlify", "'h*'", '"h*"'), _hex_pipe, marks=marks.DECODER),
    Decoding("base32", ("base32", "b32decode"), _base32, marks=marks.DECODER),
    Decoding("field_separator", ("$ifs", "${ifs"), _field_separator, rewrites=True, marks=marks.EMPTY),
    Decoding("braces", ("{",), _braces, rewrites=True, marks=marks.BRACE),
    Decoding("continued", ("\\\n", "\\\r\n"), _continued, rewrites=True, marks=marks.BACKSLASH),
    Decoding("backslashes", ("\\",), _backslashes, rewrites=True, marks=marks.BACKSLASH),
    Decoding("escapes", ("\\x", "\\u00", "\\0", "\\1"), _escapes, rewrites=True, marks=marks.ESCAPE),
)
