"""Compiled pieces of the behaviour text: paths, names of files and URLs."""

from __future__ import annotations

from cmdclf.dedup import _acting_words, _behaviour_atoms
from cmdclf.dedup._acting_words import (
    DOCUMENT,
    EXECUTABLE,
    HOME,
    KEPT_PROFILE,
    PROGRAM,
    TEMPORARY,
)
from cmdclf.dedup._behaviour_atoms import (
    FOLD,
    LOOSE,
    NUMBERS,
    Bytes,
    alnum,
    copy,
    digit,
    lower,
    numeric_end,
    odd_case,
    put,
    run_end,
    span,
    word_kinds,
)
from cmdclf.jit import compiled_with

__all__ = ["last_dot", "put_file", "put_path", "put_url", "scheme_at", "url_end"]


@compiled_with(_behaviour_atoms)
def last_dot(text: Bytes, i: int, end: int) -> int:
    """The position of the last dot in `text[i:end]` that has something on both sides; -1 where there is none."""
    for k in range(end - 2, i, -1):
        if text[k] == 46:
            return k
    return -1


@compiled_with(_behaviour_atoms)
def _made_up(text: Bytes, i: int, end: int) -> bool:
    """Whether a name in a temporary folder was made for one run: a digit, odd case, or no syllables."""
    run = 0
    if end - i <= 2:
        return True
    for k in range(i, end):
        b = lower(int(text[k]))
        if digit(b):
            return True
        vowel = b == 97 or b == 101 or b == 105 or b == 111 or b == 117 or b == 121
        run = run + 1 if 97 <= b <= 122 and not vowel else 0
        if run >= 5:
            return True
    return odd_case(text, i, end) >= 1


@compiled_with(_acting_words, _behaviour_atoms)
def put_file(text: Bytes, i: int, end: int, mode: int, temporary: bool, out: Bytes, n: int) -> int:
    """Writes the last part of a path, or a bare name of a file: of a document only the extension stays."""
    while end > i and (text[end - 1] == 34 or text[end - 1] == 39):
        end -= 1
    dot = last_dot(text, i, end)
    kinds = word_kinds(text, dot + 1, end) if dot >= 0 else 0
    if dot >= 0 and (kinds & DOCUMENT) and (kinds & PROGRAM) == 0 and run_end(text, dot + 1, end) == end:
        return copy(text, dot, end, True, out, put(out, n, 42))
    if temporary and (kinds & PROGRAM) == 0 and _made_up(text, i, end):
        return put(out, n, 42)
    if mode & FOLD and dot >= 0 and end - dot == 4 and word_kinds(text, dot, end) & EXECUTABLE:
        end = dot  # cmd and cmd.exe are one
    return span(text, i, end, mode, out, n)


@compiled_with(_acting_words, _behaviour_atoms)
def put_path(text: Bytes, i: int, end: int, mode: int, out: Bytes, n: int) -> int:
    """Writes a path: users become `~`, what lies in temporary folders `*`, other folders stay."""
    temporary, after_home = False, False
    while i < end:
        stop = i
        while stop < end and text[stop] != 47 and text[stop] != 92:
            stop += 1
        if stop == i:
            # Doubled separators, as in escaped text, count once.
            if n == 0 or out[n - 1] != 47:
                n = put(out, n, 47)
            i += 1
            continue
        kinds = word_kinds(text, i, stop)
        if stop >= end:
            # Where accounts are made, a home's name is one; a file that runs is no home.
            dot = last_dot(text, i, end)
            runs = dot >= 0 and word_kinds(text, dot + 1, end) & PROGRAM
            if after_home and not mode & NUMBERS and not runs and (kinds & KEPT_PROFILE) == 0:
                n = put(out, n, 126)
            else:
                n = put_file(text, i, end, mode | LOOSE, temporary, out, n)
        elif after_home:
            n = copy(text, i, stop, True, out, n) if kinds & KEPT_PROFILE else put(out, n, 126)
        elif temporary and _made_up(text, i, stop):
            if n < 2 or out[n - 1] != 47 or out[n - 2] != 42:
                n = put(out, n, 42)
            elif n >= 1:
                n -= 1  # `*/` is there already
        else:
            n = span(text, i, stop, mode | LOOSE, out, n)
        after_home = (kinds & HOME) != 0 and alnum(int(text[i]))
        temporary = temporary or (kinds & TEMPORARY) != 0
        i = stop
    return n


@compiled_with(_behaviour_atoms)
def _is_here(text: Bytes, i: int, end: int) -> bool:
    """Whether the host is this machine: `localhost` or 127.x."""
    return end - i >= 9 and (
        (text[i] == 49 and text[i + 1] == 50 and text[i + 2] == 55)
        or (lower(int(text[i])) == 108 and end - i == 9 and lower(int(text[i + 8])) == 116)
    )


@compiled_with(_acting_words, _behaviour_atoms)
def put_url(text: Bytes, i: int, at: int, end: int, out: Bytes, n: int) -> int:
    """Writes a URL whose `://` is at `at`: scheme, host and port as they are, the rest like a path.

    The port on this machine is drawn anew at each start, and becomes `0`.
    """
    n = copy(text, i, at, True, out, n)
    j = at + 3
    n = copy(text, at, j, False, out, n)
    while j < end:
        b = int(text[j])
        if b == 47 or b == 63 or b == 35 or b == 92:
            break
        if b == 58 and j + 1 < end and digit(int(text[j + 1])) and _is_here(text, at + 3, j):
            n = put(out, put(out, n, 58), 48)
            j = numeric_end(text, j + 1, end)
            continue
        n = put(out, n, lower(b))
        j += 1
    query = j
    while query < end and text[query] != 63:
        query += 1
    n = put_path(text, j, query, LOOSE, out, n)
    return span(text, query, end, LOOSE, out, n)


@compiled_with(_behaviour_atoms)
def scheme_at(text: Bytes, i: int, end: int) -> int:
    """The position of the `://` that follows the letters at `i`; -1 where there is none."""
    j = i
    while j < end and (alnum(int(text[j])) or text[j] == 43 or text[j] == 45):
        j += 1
    return j if j > i and j + 2 < end and text[j] == 58 and text[j + 1] == 47 and text[j + 2] == 47 else -1


@compiled_with(_behaviour_atoms)
def url_end(text: Bytes, i: int, end: int) -> int:
    while i < end:
        b = int(text[i])
        if b == 34 or b == 39 or b == 41 or b == 62 or b == 60 or b == 124 or b == 59 or b == 96:
            break
        i += 1
    return i
