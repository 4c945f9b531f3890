"""Spellings that a shell or Windows takes alike read alike; others stay."""

from __future__ import annotations

import pyarrow as pa
import pytest

from cmdclf.classify._grams_spelling import one_spelling, one_spelling_of
from cmdclf.classify.grams import MOST_BYTES, _bytes_of


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("dir\t\tC:\\PROGRA~1\\x  y", "dir C:\\Program Files\\x y"),
        ("C:\\progra~3\\a.exe", "C:\\ProgramData\\a.exe"),
        ("x\u00a0\u3000y", "x y"),
        ("\\\\?\\C:\\Windows\\.\\x", "C:\\Windows\\x"),
        ('"\\\\127.0.0.1\\C$\\x"', '"C:\\x"'),
        ("powershell \u2013nop \u2014c x", "powershell -nop -c x"),
        ("cat /tmp/./a", "cat /tmp/a"),
        ("/bin/bash -l -c 'ls -l'", "ls -l"),
        ('sh -ec "ls"', "ls"),
        ("sh -c ls 'a'", "ls 'a'"),
    ],
)
def test_one_spelling_is_read(line, other):
    assert one_spelling(pa.array([line, "ls"])).to_pylist() == [other, "ls"]


@pytest.mark.parametrize(
    "line",
    ["a\nb", "bash -c 'a' 'b'", "ssh -c x", "bash x.sh", "D:\\BACKUP~1\\x", "\\\\server\\C$\\x", "a \u2013 b", "..\\x"],
)
def test_what_means_something_else_stays(line):
    assert one_spelling(pa.array([line, None])).to_pylist() == [line, None]


@pytest.mark.parametrize(
    "lines",
    [
        ["ls", ""],
        ["DIR  C:\\PROGRA~1\\X", "ls", "sh -c 'a'"],
        ["a" * (MOST_BYTES - 9) + " C:\\PROGRA~1\\x"],
        ["C:\\PROGRA~1\\" * (MOST_BYTES // 12)],
        ["sh -c ''", "\t", "a\u00a0\u3000\u0130"],
    ],
)
def test_few_lines_are_read_as_many_are(lines):
    few, many = _bytes_of(pa.array(lines)), _bytes_of(pa.array(lines * 20))
    assert many[0].tobytes() == few[0].tobytes() * 20
    assert many[1][: len(lines) + 1].tolist() == few[1].tolist()
    assert list(one_spelling_of(lines)) == one_spelling(pa.array(lines)).to_pylist()
