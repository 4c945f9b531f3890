"""A command line as a short sequence of tokens: folding of what varies, and greedy longest-match tokenising.

Both run over the Arrow string buffers in compiled code, without a Python object per line. The folded text is ASCII, so
that one byte is one symbol:

* white space is squeezed; quotes, carets and backticks go (one inside a word leaves a `Q` at the end of the line);
* letters are lower-cased, digit runs become `0`, GUIDs `Y`, hexadecimal runs `X`, base64 runs `Z` and a letter for
  their length (`R` < 64 ... `W` >= 1,024 characters);
* typographic dashes and spaces become plain ones, any other non-ASCII character one of `A` to `P`.

Lines over `MAX_BYTES` keep their head and their tail. `FOLDING_VERSION` names these rules: vectors trained under one
version mean nothing under another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.jit import compiled

__all__ = ["FOLDING_VERSION", "MAX_BYTES", "build_trie", "embed_rows", "fold_lines", "string_buffers", "token_rows"]

FOLDING_VERSION = 2
#: A longer line keeps its first `HEAD_BYTES` and its last `MAX_BYTES - HEAD_BYTES` bytes.
MAX_BYTES = 2048
HEAD_BYTES = 1536
_ROOM = MAX_BYTES + 16
#: Symbols are the printable ASCII characters; a trie row holds one child for each.
_SYMBOLS = 96

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


def string_buffers(lines: pa.StringArray | pa.ChunkedArray) -> tuple[Bytes, Offsets]:
    """The UTF-8 bytes of all lines and the (n + 1,) int64 offsets into them; a null counts as empty."""
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    if not pa.types.is_large_string(lines.type):
        lines = lines.cast(pa.large_string())
    if lines.null_count:
        lines = pc.fill_null(lines, "")
    _, offsets, data = lines.buffers()
    if len(lines) == 0 or offsets is None:
        return np.zeros(1, np.uint8), np.zeros(len(lines) + 1, np.int64)
    ends = np.frombuffer(offsets, np.int64)[lines.offset : lines.offset + len(lines) + 1]
    text = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    return text, ends


@compiled
def _class(b: int) -> int:
    """0 other, 1 digit, 2 lower-case letter, 3 upper-case letter."""
    if 48 <= b <= 57:
        return 1
    if 97 <= b <= 122:
        return 2
    if 65 <= b <= 90:
        return 3
    return 0


@compiled
def _is_hex(b: int) -> bool:
    return 48 <= b <= 57 or 97 <= b <= 102 or 65 <= b <= 70


@compiled
def _code_point(text: Bytes, i: int, end: int) -> tuple[int, int]:
    b = int(text[i])
    size, value = 1, b
    if b >= 0xF0:
        size, value = 4, b & 0x07
    elif b >= 0xE0:
        size, value = 3, b & 0x0F
    elif b >= 0xC0:
        size, value = 2, b & 0x1F
    if i + size > end:
        return b, 1
    for k in range(1, size):
        value = (value << 6) | (int(text[i + k]) & 0x3F)
    return value, size


@compiled
def _base64_end(text: Bytes, start: int, end: int) -> tuple[int, bool]:
    """Where the run of base64 characters ends, and whether it reads like data: its case changes all the time."""
    i, changes, upper, lower, before = start, 0, 0, 0, 0
    while i < end:
        b = text[i]
        kind = _class(b)
        if kind == 0 and b != 43 and b != 47 and b != 61:
            break
        if kind == 3:
            upper += 1
        elif kind == 2:
            lower += 1
        if kind and before and kind != before:
            changes += 1
        before = kind
        i += 1
    size = i - start
    return i, size >= 24 and upper >= 2 and lower >= 2 and changes * 3 >= size


@compiled
def _guid_at(text: Bytes, start: int, end: int) -> bool:
    if end - start < 36:
        return False
    for k in range(36):
        b = text[start + k]
        if k == 8 or k == 13 or k == 18 or k == 23:
            if b != 45:
                return False
        elif not _is_hex(b):
            return False
    return start + 36 >= end or _class(text[start + 36]) == 0


@compiled
def _word(text: Bytes, start: int, stop: int, out: Bytes, n: int) -> int:
    """Writes the letters and digits `text[start:stop]` folded to `out[n:]`; gives the new length."""
    digits, all_hex = 0, True
    for i in range(start, stop):
        digits += _class(text[i]) == 1
        all_hex = all_hex and _is_hex(text[i])
    size = stop - start
    prefixed = size > 2 and text[start] == 48 and (text[start + 1] == 120 or text[start + 1] == 88)
    if prefixed:
        for i in range(start + 2, stop):
            prefixed = prefixed and _is_hex(text[i])
    if prefixed or (all_hex and size >= 8 and 2 <= digits < size):
        out[n] = 88
        return n + 1
    for i in range(start, stop):
        kind = _class(text[i])
        if kind == 1:
            if n == 0 or out[n - 1] != 48:
                out[n] = 48
                n += 1
        else:
            out[n] = text[i] + 32 if kind == 3 else text[i]
            n += 1
    return n


@compiled
def _foreign(point: int) -> int:
    """The symbol of a non-ASCII character; 32 is a space, 45 a hyphen, 0 nothing, 1 nothing but suspicious."""
    if point == 0xA0 or 0x2000 <= point <= 0x200A or point == 0x3000 or point == 0x2028:
        return 32
    if 0x2010 <= point <= 0x2015 or point == 0x2212:
        return 45
    if 0x2018 <= point <= 0x201F:
        return 0
    if 0x200B <= point <= 0x200F or point == 0xFEFF or point == 0xAD:
        return 1
    return 65 + point % 16


@compiled
def _punctuation(b: int, out: Bytes, n: int) -> int:
    # Rulers such as ======== say nothing by their length.
    if n >= 4 and out[n - 1] == b and out[n - 2] == b and out[n - 3] == b and out[n - 4] == b:
        return n
    out[n] = b
    return n + 1


@compiled
def _alnum(text: Bytes, i: int, end: int, out: Bytes, n: int, searched: int) -> tuple[int, int, int]:
    """Folds the run of letters and digits at `i`; gives the next position, the new length and `searched`.

    `searched`, how far base64 was sought, keeps that linear: a run judged once is not judged again at its next slash.
    """
    if i >= searched:
        searched, encoded = _base64_end(text, i, end)
        if encoded:
            size, bucket = searched - i, 0
            while size >= 64 and bucket < 5:
                size >>= 1
                bucket += 1
            out[n], out[n + 1] = 90, 82 + bucket
            return searched, n + 2, searched
    if _guid_at(text, i, end):
        out[n] = 89
        return i + 36, n + 1, searched
    j = i
    while j < end and _class(text[j]):
        j += 1
    return j, _word(text, i, j, out, n), searched


@compiled
def _fold(text: Bytes, i: int, end: int, out: Bytes) -> int:  # noqa: C901
    n, searched, obfuscated = 0, i, False
    while i < end:
        b = int(text[i])
        symbol = b
        size = 1
        if b >= 0x80:
            point, size = _code_point(text, i, end)
            symbol = _foreign(point)
        elif b <= 32 or b == 127:
            symbol = 32
        elif _class(b):
            i, n, searched = _alnum(text, i, end, out, n, searched)
            continue
        elif b == 34 or b == 39 or (b == 92 and i + 1 < end and (text[i + 1] == 34 or text[i + 1] == 39)):
            symbol = 0
        elif b == 94 or b == 96:
            inside = n > 0 and (_class(out[n - 1]) > 0) and i + 1 < end and _class(text[i + 1]) > 0
            symbol = 1 if inside else 0
        i += size
        if symbol == 32:
            if n > 0 and out[n - 1] != 32:
                out[n] = 32
                n += 1
        elif symbol > 1:
            n = _punctuation(symbol, out, n)
        elif symbol == 1:
            obfuscated = True
    if n > 0 and out[n - 1] == 32:
        n -= 1
    if obfuscated:
        if n > 0:
            out[n] = 32
            n += 1
        out[n] = 81
        n += 1
    return n


@compiled
def _fold_bounded(text: Bytes, start: int, end: int, scratch: Bytes, out: Bytes) -> int:
    if end - start <= MAX_BYTES:
        return _fold(text, start, end, out)
    head = start + HEAD_BYTES
    while head > start and (text[head] & 0xC0) == 0x80:
        head -= 1
    tail = end - (MAX_BYTES - HEAD_BYTES)
    while tail < end and (text[tail] & 0xC0) == 0x80:
        tail += 1
    n = head - start
    scratch[:n] = text[start:head]
    scratch[n] = 32
    scratch[n + 1 : n + 1 + end - tail] = text[tail:end]
    return _fold(scratch, 0, n + 1 + end - tail, out)


@compiled
def _fold_all(text: Bytes, offsets: Offsets, first: int, last: int) -> tuple[Bytes, Offsets]:
    total = 0
    for row in range(first, last):
        total += min(offsets[row + 1] - offsets[row], MAX_BYTES) + 16
    out = np.empty(total, np.uint8)
    ends = np.zeros(last - first + 1, np.int64)
    scratch = np.empty(_ROOM, np.uint8)
    n = 0
    for row in range(first, last):
        n += _fold_bounded(text, offsets[row], offsets[row + 1], scratch, out[n:])
        ends[row - first + 1] = n
    return out[:n], ends


def fold_lines(lines: pa.StringArray) -> pa.StringArray:
    """The folded text of each line, as the tokeniser reads it: `pa.string()`, same length, never null."""
    text, offsets = string_buffers(lines)
    folded, ends = _fold_all(text, offsets, 0, len(lines))
    return pa.LargeStringArray.from_buffers(len(lines), pa.py_buffer(ends), pa.py_buffer(folded)).cast(pa.string())


@compiled
def _grow(words: Bytes, offsets: Offsets, children: Ints, tokens: Ints) -> int:
    nodes = 1
    for token in range(len(offsets) - 1):
        node = 0
        for i in range(offsets[token], offsets[token + 1]):
            symbol = int(words[i]) - 32
            if children[node, symbol] == 0:
                children[node, symbol] = nodes
                nodes += 1
            node = children[node, symbol]
        tokens[node] = token
    return nodes


def build_trie(vocabulary: Sequence[str]) -> tuple[Ints, Ints]:
    """The trie of a vocabulary whose index is the token id: children (nodes, 96) int32 and the token of a node or -1.

    Raises:
        ValueError: an entry is empty or holds a character that is not printable ASCII.
    """
    for word in vocabulary:
        if not word or not word.isascii() or not word.isprintable():
            raise ValueError(f"a token must be printable ASCII, not {word!r}")
    words, offsets = string_buffers(pa.array(vocabulary, pa.string()))
    bound = int(offsets[-1] - offsets[0]) + 1
    children, tokens = np.zeros((bound, _SYMBOLS), np.int32), np.full(bound, -1, np.int32)
    nodes = _grow(words, offsets, children, tokens)
    return children[:nodes].copy(), tokens[:nodes].copy()


@compiled
def _longest(folded: Bytes, i: int, end: int, children: Ints, tokens: Ints) -> tuple[int, int]:
    """The longest token that starts at `i`, and where it ends; -1 and the next position where there is none."""
    node, best, stop = 0, -1, i + 1
    j = i
    while j < end and folded[j] != 32:
        node = children[node, int(folded[j]) - 32]
        if node == 0:
            break
        j += 1
        if tokens[node] >= 0:
            best, stop = tokens[node], j
    return best, stop


@compiled
def _embed(
    text: Bytes, offsets: Offsets, first: int, last: int, children: Ints, tokens: Ints, vectors: Floats, out: Floats
) -> None:
    scratch, folded = np.empty(_ROOM, np.uint8), np.empty(_ROOM, np.uint8)
    dim = vectors.shape[1]
    for row in range(first, last):
        total = out[row]
        total[:] = 0.0
        n = _fold_bounded(text, offsets[row], offsets[row + 1], scratch, folded)
        i = 0
        while i < n:
            token, i = _longest(folded, i, n, children, tokens)
            if token >= 0:
                vector = vectors[token]
                for d in range(dim):
                    total[d] += vector[d]
        square = 0.0
        for d in range(dim):
            square += float(total[d]) * float(total[d])
        if square > 0.0:
            scale = np.float32(1.0 / np.sqrt(square))
            for d in range(dim):
                total[d] *= scale


def embed_rows(
    text: Bytes, offsets: Offsets, first: int, last: int, trie: tuple[Ints, Ints], vectors: Floats, out: Floats
) -> None:
    """Writes rows `first` to `last` of `out` (n, dim) float32: the L2-normalised sum of the vectors of a line's tokens.

    A line without a token gives a zero row. The GIL is free meanwhile, and a row depends on its own line only, so that
    threads may share the rows in any way.
    """
    _embed(text, offsets, first, last, trie[0], trie[1], vectors, out)


@compiled
def _tokens(text: Bytes, offsets: Offsets, children: Ints, tokens: Ints) -> tuple[Ints, Offsets]:
    folded, ends = _fold_all(text, offsets, 0, len(offsets) - 1)
    found = np.empty(len(folded), np.int32)
    starts = np.zeros(len(ends), np.int64)
    n = 0
    for row in range(len(ends) - 1):
        i = ends[row]
        while i < ends[row + 1]:
            token, i = _longest(folded, i, ends[row + 1], children, tokens)
            if token >= 0:
                found[n] = token
                n += 1
        starts[row + 1] = n
    return found[:n], starts


def token_rows(lines: pa.StringArray, trie: tuple[Ints, Ints]) -> pa.ListArray:
    """The token ids of each line: list<int32>, same length; an empty line gives an empty list."""
    text, offsets = string_buffers(lines)
    found, starts = _tokens(text, offsets, trie[0], trie[1])
    return pa.ListArray.from_arrays(pa.array(starts.astype(np.int32)), pa.array(found))
