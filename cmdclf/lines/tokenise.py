"""Command lines cut into lower-case words."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["tokenise"]

# Everything that is no word: white space, quotes, brackets, pipes, path separators, `=`, `,`, `;`. What joins a word
# or marks its role stays: `.` (cmd.exe), `-` and `_` (flags, cmdlets), `:` (c:, hklm:), `$ %` (variables), `@ ~ #`.
_SEPARATORS = r"""[\s"'`^|&;,=(){}\[\]<>\\/!*?+]+"""


def tokenise(arr: pa.StringArray) -> pa.ListArray:
    """The words of each line, lower-cased, in order: (n,) list<string>; null stays null, a line without words is empty.

    Words are runs between white space, quotes, brackets, operators and path separators, so
    `"C:\\Windows\\cmd.exe" /c dir` gives `c:`, `windows`, `cmd.exe`, `c`, `dir`. Vectorised over the Arrow buffers.
    """
    spaced = pc.replace_substring_regex(pc.utf8_lower(arr.cast(pa.string())), _SEPARATORS, " ")
    words = pc.split_pattern(pc.ascii_trim_whitespace(spaced), " ")
    # Splitting an empty text gives one empty word: no word is wanted there.
    bare = pc.equal(pc.list_value_length(words), 1)
    empty = pc.and_(bare, pc.equal(pc.binary_length(pc.list_element(pc.if_else(bare, words, _ONE), 0)), 0))
    return pc.if_else(empty, _NONE, words)


_ONE = pa.scalar(["x"], pa.list_(pa.string()))
_NONE = pa.scalar([], pa.list_(pa.string()))
