"""Command lines with their secrets replaced by typed placeholders, before they leave the machine."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.lines.secret_table import Generic, Tool, secret_table
from cmdclf.lines.secret_values import is_no_secret

__all__ = ["Redacted", "Secret", "redact", "redact_batch", "redact_many"]


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret stood in the original line: characters `start` to `end` (exclusive)."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Redacted:
    """A line without its secrets: the text with placeholders like `<secret:password>`, and what was found."""

    text: str
    found: tuple[Secret, ...]


_PLACEHOLDER = re.compile(r"<secret:[a-z]{1,20}>")
# A program's own command ends at a pipe or a list operator outside quotes.
_OWN = re.compile(r"(?:[^\"'|;&\r\n]+|\"[^\"]*\"|'[^']*'|[\"'])*")
_MAX_OWN = 8192
_PROMPT = re.compile(r"set\s{1,4}/p\s{1,4}[\"']?\w{0,40}$", re.IGNORECASE)
_NEXT_OPTION = re.compile(r",(?=[A-Za-z][\w.-]{0,40}=)")
# What was no value is searched again for names and values, up to this length: the work stays linear.
_MAX_AGAIN = 256
_STRONG = frozenset({"strong"})
_COMMAND_PLACE = re.compile(
    r"(?:^|[|;&({`\"'\\/=@]\s{0,4}|\s(?:--|sudo|then|do|else|exec|call|start|time|env|nohup|xargs|/[ckr]|-[a-z]{0,4}c)"
    r"\s{1,4}[\"']?)$"
)


def redact(line: str, platform: str | None = None, *, gated: bool = True) -> Redacted:
    """The line with passwords, tokens, keys, hashes and JSON web tokens replaced by `<secret:KIND>`.

    Idempotent; a line without secrets comes back unchanged; references (`$PASS`, `%PASS%`) are no secrets. Found by a
    table of where each program takes its secrets plus forms that speak for themselves (name=value, URL user info,
    known token prefixes). Linear in the length of the line; never raises on any text. Sees plain text only: see
    `redact_hidden` for what a line encodes.

    Args:
        line: the command line.
        platform: not used yet; the table holds for all platforms.
        gated: False tries every entry of the table. The result is the same; it is there to test that.
    """
    del platform
    table = secret_table()
    return _redacted(line, table.gate.of_text(line) if gated else range(len(table.entries)))


def redact_batch(arr: pa.StringArray) -> tuple[pa.StringArray, pa.ListArray]:
    """Redacted lines and the kinds of secrets in each.

    Args:
        arr: (n,) string; nulls stay null.

    Returns:
        (n,) string and (n,) list<string>, null where the line is null. Most lines cost one compiled pass over their
        bytes; only those that can hold a secret are looked at one by one.
    """
    texts = arr.cast(pa.string())
    rows: list[int] = []
    replaced: list[str] = []
    kinds: list[list[str] | None] = [[] if valid else None for valid in texts.is_valid().to_pylist()]
    for row, entries in secret_table().gate.of_lines(texts):
        result = _redacted(texts[row].as_py(), entries)
        if result.found:
            rows.append(row)
            replaced.append(result.text)
            kinds[row] = [secret.kind for secret in result.found]
    if rows:
        mask = np.zeros(len(texts), np.bool_)
        mask[rows] = True
        texts = pc.replace_with_mask(texts, pa.array(mask), pa.array(replaced, pa.string()))
    return texts, pa.array(kinds, pa.list_(pa.string()))


def redact_many(arr: pa.StringArray) -> pa.StringArray:
    """(n,) string: each line as `redact` gives it; nulls stay null."""
    return redact_batch(arr)[0]


def _redacted(line: str, entries: Sequence[int]) -> Redacted:
    spans = _accepted(line, _candidates(line, entries)) if entries else []
    if not spans:
        return Redacted(line, ())
    out: list[str] = []
    end = 0
    for span in spans:
        out += (line[end : span.start], f"<secret:{span.kind}>")
        end = span.end
    return Redacted("".join((*out, line[end:])), tuple(spans))


def _candidates(line: str, entries: Sequence[int]) -> Iterator[Secret]:
    lower = line.lower()
    if len(lower) != len(line):
        # A few letters change their length when lower-cased; offsets must be those of the line.
        lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in line)
    table = secret_table().entries
    for number in entries:
        entry = table[number]
        yield from (
            _of_tool_everywhere(line, lower, entry) if isinstance(entry, Tool) else _of_generic(line, lower, entry)
        )


def _of_tool_everywhere(line: str, lower: str, tool: Tool) -> Iterator[Secret]:
    # A name that occurs again inside its own command must not be scanned again: that would be quadratic.
    scanned = 0
    for match in tool.place.finditer(lower):
        if match.start() < scanned:
            continue
        if tool.hints and not tool.after and not any(hint in lower for hint in tool.hints):
            return
        if not tool.command or _COMMAND_PLACE.search(lower, max(0, match.start() - 24), match.start()):
            scanned = yield from _of_tool(line, match.start(), match.end(), tool)


def _of_tool(line: str, start: int, end: int, tool: Tool) -> Generator[Secret, None, int]:
    for pattern in tool.positions:
        match = pattern.match(line, end)
        if match:
            yield from _secrets(line, match, tool.kind, frozenset({"flag"}))
    if not tool.flags:
        return start + 1
    own = _OWN.match(line, end, end + _MAX_OWN)
    stop = end if own is None else own.end()
    for pattern in tool.flags:
        yield from _flags(line, end, stop, pattern, tool)
    return stop


def _flags(line: str, at: int, stop: int, pattern: re.Pattern[str], tool: Tool) -> Iterator[Secret]:
    strong = frozenset({"strong"} if tool.strong else ())
    while at < stop:
        # A value may reach beyond the command's end (a quoted `;`), but its flag must stand within it.
        match = pattern.search(line, at)
        if match is None or match.start() >= stop:
            return
        at = match.end()
        text = match[0].lower()
        if any(text.startswith(no) for no in tool.not_after):
            continue
        flag = len(text.split(None, 1)) > 1
        if flag and not tool.part and _value(match)[:1] in ("-", "/"):
            # `-r -P secret`: the value is the next flag.
            at = match.start() + 1
        if text[:3] == "-p " and len(text) < 9 and text[3:].strip().isdigit():
            # A port or a process.
            continue
        if not tool.part:
            for secret in _secrets(line, match, tool.kind, strong | ({"flag"} if flag else set())):
                yield _to_quote(line, match.start(), secret)
            continue
        for secret in _secrets(line, match, tool.kind, frozenset({"part"})):
            inner = line.find(tool.part, secret.start, secret.end) + 1
            rest = line[inner : secret.end]
            if inner and rest and not (rest.startswith("//") or _is_none(rest, tool.kind, strong)):
                yield Secret(secret.kind, inner, secret.end)
        if tool.first:
            return


def _to_quote(line: str, flag: int, secret: Secret) -> Secret:
    """`"-psecret words"`: where the quote stands before the flag, the value goes on to the closing one."""
    quote = line[flag - 1 : flag]
    if quote not in ('"', "'") or line[secret.start - 1] in "\"'":
        return secret
    end = line.find(quote, secret.end, secret.end + 200)
    return Secret(secret.kind, secret.start, end) if end > 0 and "<secret:" not in line[secret.end : end] else secret


def _of_generic(line: str, lower: str, generic: Generic) -> Iterator[Secret]:
    if isinstance(generic.also, tuple) and not any(literal in lower for literal in generic.also):
        return
    at = 0
    text = lower if generic.folded else line
    while match := generic.pattern.search(text, at):
        at = max(match.end(), match.start() + 1)
        if generic.not_before and lower[max(0, match.start() - 24) : match.start()].endswith(generic.not_before):
            continue
        if "assignment" in generic.checks and not _is_assignment(line, match):
            continue
        found = list(_secrets(line, match, generic.kind, generic.checks))
        if not found and 0 < len(_value(match)) <= _MAX_AGAIN:
            # s/PASSWORD=.*/PASSWORD=x/: what is no value may hold another name and its value.
            at = match.end() - len(_value(match))
        elif found:
            # a.password=x,b.password=y: what follows the value may be another name.
            at = max(found[-1].end, match.start() + 1)
        yield from found


def _is_assignment(line: str, match: re.Match[str]) -> bool:
    """`PWD=/home/x` is a working directory; `$p = Get-Secret` and `token = foo(` are code; `token:` ends many words."""
    start, end = match.span()
    value = _value(match)
    if not value:
        return False
    text = match[0].lower()
    before = line[start - 1 : start] if start else ""
    if value.lower().startswith((":", "http://", "https://")):
        return False
    if text.startswith("pwd:") and before not in "/-" and text[4:5] not in "\"'\\":
        return False
    if ":" in text[: len(text) - len(value)] and (before in ("<", ":") or _is_variable(line, start)):
        return False
    if text.startswith("passwd:") and before == "/":
        return False
    if text.startswith("token:") and text[6:7] not in "\"'\\" and _is_none(value, "token", _STRONG):
        return False
    if len(value) < 3 and value.isdigit():
        return False
    if _PROMPT.search(line, max(0, start - 60), start):
        return False
    return not (value.startswith("[") or line[end : end + 1] == "(")


def _is_variable(line: str, start: int) -> bool:
    """`-v "$PWD":/src`: the name is that of a variable whose value stands there."""
    at = start
    while at and start - at < 40 and (line[at - 1].isalnum() or line[at - 1] in "_{"):
        at -= 1
    return line[at - 1 : at] in ("$", "%") if at else False


def _value(match: re.Match[str]) -> str:
    return next((v for k, v in match.groupdict().items() if k.startswith("s") and v), "")


def _secrets(line: str, match: re.Match[str], kind: str, checks: frozenset[str]) -> Iterator[Secret]:
    for name, found in match.groupdict().items():
        if not found or not name.startswith("s"):
            continue
        start, end = match.span(name)
        value = line[start:end]
        if line[end : end + 1] in ('"', "'") and value.endswith("\\"):
            # The backslash belongs to the escaped quote behind it.
            value = value.rstrip("\\")
        if name.endswith("4") and "," in value:
            # password=x,vers=3.0: options in a list.
            value = _NEXT_OPTION.split(value, maxsplit=1)[0]
        before = line[start - 1 : start] if start else ""
        if value and not _is_none(value, kind, checks, before):
            yield Secret(kind, start, start + len(value))


def _is_none(value: str, kind: str, checks: frozenset[str], before: str = "") -> bool:
    return is_no_secret(value, kind, checks, before, secret_table().no_secrets)


def _accepted(line: str, candidates: Iterator[Secret]) -> list[Secret]:
    """Candidates in order without overlaps, the first and longest of each place; none that touches a placeholder."""
    taken = [Secret("", m.start(), m.end()) for m in _PLACEHOLDER.finditer(line)]
    spans = sorted(candidates, key=lambda s: (s.start, -s.end))
    out: list[Secret] = []
    blocked = iter(taken)
    block = next(blocked, None)
    for span in spans:
        while block is not None and block.end <= span.start:
            block = next(blocked, None)
        if block is not None and block.start < span.end:
            continue
        if out and span.start < out[-1].end:
            continue
        out.append(span)
    return out
