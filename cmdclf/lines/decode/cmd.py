"""What cmd.exe undoes: carets, empty quotes, /c, loops that only put letters together."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cmdclf.lines.decode import marks
from cmdclf.lines.decode.cmd_variables import set_by, substring
from cmdclf.lines.decode.layer import Decoding, Layer, Text
from cmdclf.lines.decode.quoting import unquoted

__all__ = ["DECODINGS"]

_EMPTY_QUOTES = re.compile(r"(?<=[\w.-])(?:\"\"|''){1,8}(?=[\w.-])")
_SPLIT_QUOTES = re.compile(r"(?<=\w)(?:\"(\w{1,12})\"|'(\w{1,12})')(?=\w)")
_WRAPPER = re.compile(r"(?i)(?:(?<![\w.-])cmd(?:\.exe)?|%comspec%)[\"']?\s{1,8}[^&|\r\n]{0,60}?/[ckr](?![\w/])\s{0,8}")
_GLUED = re.compile(r"(?i)(?:(?<![\w.-])cmd(?:\.exe)?|%comspec%)[\"']?\s{0,8}/[ckr](?=[\w\"])")
_CARET = re.compile(r"(?<![\[('=^|])\^{1,3}(?=[\w/\\.:-])(?<![\[('=]\^)")
_ANY_CARET = re.compile(r"\^(?![&|<>^\n])")
_FOR = re.compile(
    r"(?i)\bfor\s{1,8}(/[lfd]\s{1,8})?(?:\"([^\"]{0,60})\"\s{1,8})?%{1,2}([a-z])\s{1,8}in\s{0,8}\(([^()]{1,2000})\)"
    r"\s{0,8}do\s{1,8}(?=(.{0,4000}))",
    re.DOTALL,
)
_PICK = re.compile(r"(?i)set\s{1,8}\"?(\w{1,63})=!(\w{1,63})!!(\w{1,63}):~%{1,2}([a-z]),1!")
_TOKENS = re.compile(r"(?i)tokens=([\d,*-]{1,40})")
_DELIMITERS = re.compile(r"(?i)delims=(.{0,20}?)(?:\s(?=tokens|eol|skip|usebackq)|$)")
_PART = re.compile(r"(\d{1,2})(?:-(\d{1,2}))?|(\*)")
_START = r"\s{0,4}[@(]{0,2}\s{0,2}(?:(?:call|start|cmd|/\w|\"\")\s{1,4}){0,6}\"?"
_MANY = 3


def _carets(text: Text) -> Iterator[Layer]:
    """`p^o^wershell`: outside double quotes a caret before a letter is nothing.

    One that escapes an operator (`^&`), or opens a regular expression (`'^a'`, `[^a]`), stays. Where at least three
    went, those before blanks and marks go too.
    """
    if not text.windows:
        return
    parts = text.raw.split('"')
    removed = 0
    # Every second part stands inside quotes, where a caret is a character like any other.
    for at in range(0, len(parts), 2):
        if "^" in parts[at]:
            # After an escaped quote it opens a regular expression: -match \"^a\".
            first = "^" if at and parts[at].startswith("^") and parts[at - 1].endswith("\\") else ""
            rest, count = _CARET.subn("", parts[at][len(first) :])
            parts[at] = first + rest
            removed += count
    if removed >= _MANY:
        parts[::2] = [_ANY_CARET.sub("", part) for part in parts[::2]]
    yield Layer("caret", '"'.join(parts))


def _empty_quotes(text: Text) -> Iterator[Layer]:
    """`who""ami`, `w'h'o'am'i`: quotes inside a word vanish, in cmd and in Posix shells alike."""
    joined = _EMPTY_QUOTES.sub("", text.raw)
    yield Layer("quotes", _SPLIT_QUOTES.sub(lambda m: m[1] or m[2], joined))


def _for_loop(text: Text) -> Iterator[Layer]:
    """`for %a in (calc) do start %a` -> `start calc`; picking the letters of a variable by number -> the word.

    A loop over several words, files or a command's output is a loop and stays.
    """
    values: dict[str, str] | None = None
    for match in _FOR.finditer(text.raw):
        option, name, items, body = (match[1] or "").lower().strip(), match[3], match[4].strip(), match[5]
        if not text.budget.spend(len(body)):
            return
        picked = _PICK.search(body[:300])
        if picked and picked[4].lower() == name.lower() and picked[1].lower() == picked[2].lower():
            if values is None:
                values = set_by(text.raw)
            word = values.get(picked[3].lower(), "")
            places = _places(items, counted=option == "/l")
            spelt = "".join(substring(word, n, 1) for n in places if n < len(word))
            yield Layer("for", spelt, (match.start(), match.end() + picked.end()))
        elif option in ("", "/f", "/d") and _is_one_word(items, literal=option == "/f"):
            word = items.strip('"') if option == "/f" else items
            if not re.match(rf"{_START}%{{1,2}}~?{name}", body, re.IGNORECASE):
                # The word is an argument or a value: nothing is hidden.
                continue
            span = (match.start(), match.end() + len(body))
            yield Layer(
                "for", _with_tokens(body, name, _tokens((match[2] or "") if option == "/f" else "", word)), span
            )


def _tokens(options: str, word: str) -> list[str]:
    """What the loop's letters stand for: `tokens=1-2 delims=#` of `who#ami` -> `who`, `ami`; without them the word."""
    wanted, marks_between = _TOKENS.search(options), _DELIMITERS.search(options)
    if not wanted:
        return [word]
    between = marks_between[1] if marks_between else " \t"
    parts = [part for part in re.split(f"[{re.escape(between)}]+", word) if part] if between else [word]
    found: list[str] = []
    for first, last, rest in _PART.findall(wanted[1]):
        if rest:
            found.append(between[:1].join(parts[len(found) :]))
        else:
            found += parts[int(first) - 1 : int(last or first)]
    return found[:26]


def _with_tokens(body: str, name: str, tokens: list[str]) -> str:
    """The body with the loop's letters from `name` on replaced."""
    known = {chr(ord(name) + n): token for n, token in enumerate(tokens)}
    after = r"(?!\w)" if len(tokens) > 1 else r"(?![\w%])"
    return re.sub(rf"%{{1,2}}~?([A-Za-z]){after}", lambda m: known.get(m[1], m[0]), body)


def _places(items: str, *, counted: bool) -> list[int]:
    found = [int(n) for n in re.findall(r"-?\d{1,6}", items)]
    if not counted:
        return found
    if len(found) != 3 or found[1] == 0:
        return []
    start, step, end = found
    return list(range(start, end + (1 if step > 0 else -1), step))[:4096]


def _is_one_word(items: str, *, literal: bool) -> bool:
    if literal:
        return len(items) > 2 and items[0] == items[-1] == '"' and not set('"%') & set(items[1:-1])
    return re.fullmatch(r"[\w.:\\/-]{1,200}", items) is not None


def _cmd_wrapper(text: Text) -> Iterator[Layer]:
    """`cmd.exe /d /s /c "X"` -> `X`."""
    match = _WRAPPER.search(text.raw) or _GLUED.search(text.raw)
    if match:
        yield Layer("wrapper", unquoted(text.raw[match.end() :]), (match.end(), len(text.raw)))


DECODINGS = (
    Decoding("cmd_wrapper", ("cmd", "%comspec%"), _cmd_wrapper),
    Decoding("for_loop", ("for ",), _for_loop, marks=marks.FOR | marks.ENVIRONMENT),
    Decoding("carets", ("^",), _carets, rewrites=True, marks=marks.CARET),
    Decoding("empty_quotes", ('"', "'"), _empty_quotes, rewrites=True, marks=marks.QUOTES),
)
