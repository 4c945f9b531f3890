from __future__ import annotations

import errno
import io
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.cli._messages import os_fault, printable, say


@given(st.text() | st.text(st.characters(min_codepoint=0, max_codepoint=0x9F)))
def test_nothing_that_a_terminal_obeys_is_left_in_printable_text(text):
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown


def test_readable_text_of_any_language_stays_as_it_is():
    assert printable("ls é 日本 <b>") == "ls é 日本 <b>"


def test_saying_keeps_line_feeds_and_escapes_what_the_terminals_encoding_lacks():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    say("a\tb\né \udcff\x1b[31m", file=stream)
    stream.flush()
    assert raw.getvalue() == b"a\\tb\n\\xe9 \\udcff\\x1b[31m\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x", "a.csv"), "a.csv: No space left on device. The disk is full"),
        (OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device"),
         "Error writing bytes to file: No space left on device. The disk is full"),
        (OSError("262144 requested and 162784 written"), "No space left on device. The disk is full"),
        (shutil.Error([("a", "b/c", "[Errno 28] No space left on device: 'a' -> 'b/c'"), ("d", "e", "no")]),
         "b/c: No space left on device. The disk is full"),
        (FileNotFoundError("gone.parquet"), "gone.parquet. Check the path"),
        (NotADirectoryError(errno.ENOTDIR, "x", "a.txt/b"), "a.txt/b: Not a directory. A folder is needed here"),
        (FileNotFoundError(errno.ENOENT, "x", "\x1b[31m"), "\\x1b[31m: No such file or directory. Check the path"),
        (OSError("strange"), "strange. Run it again with --debug"),
    ],
    ids=["python", "pyarrow", "numpy", "shutil", "no number", "folder", "hostile", "unknown"],
)  # fmt: skip
def test_a_fault_of_the_system_is_one_sentence_with_place_and_remedy(error, said):
    assert os_fault(error).startswith(said)
