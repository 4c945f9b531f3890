from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.lines import guess_platform


@pytest.mark.parametrize(
    ("platform", "line"),
    [
        ("windows", r"C:\Windows\System32\whoami.exe /all"),
        ("windows", "powershell -enc SQBFAFgA"),
        ("windows", "Get-Service -Name Spooler"),
        ("windows", r"\\server\share\run.cmd"),
        ("windows", "net user /domain"),
        ("windows", r"type C:\Users\bob\x.txt"),
        ("macos", "osascript -e 'display dialog 1'"),
        ("macos", "/Applications/Safari.app/Contents/MacOS/Safari"),
        ("macos", "ls /Users/bob/Library"),
        ("macos", "sudo launchctl load x.plist"),
        ("linux", "systemctl restart nginx"),
        ("linux", r"sed -i 's/\/a/\/b/' /etc/x"),
        ("linux", 'curl -H "Content-Type: application/json" https://example.com'),
        ("linux", ""),
    ],
)
def test_the_evidence_in_a_line_gives_its_platform(platform, line):
    assert guess_platform(pa.array([line])).to_pylist() == [platform]


def test_a_null_line_gives_the_default():
    assert guess_platform(pa.array([None, "x.exe"], pa.string())).to_pylist() == ["linux", "windows"]


WINDOWS = ["C:\\a", "x.exe", "$env:", "Get-Item", "\\", "%temp%", "reg add /v", "HKLM", "[io.file]::", "$x=", "pwsh"]
OTHERS = [
    "/Users/",
    ".app/Contents/",
    "sudo ",
    "launchctl",
    "/bin/sh",
    "-c ",
    "= ",
    " ",
    '"',
    "\t",
    "\n",
    "\x0b",
    "\u017f",
    "\u212a",
    "p\u017f1",
    "\u00e9",
    "\r\n",
    "\u2028",
    "\x85",
    "\x1c",
]
PIECES = st.sampled_from([*WINDOWS, *OTHERS])


@given(st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=8).map("".join))
@settings(max_examples=300, deadline=None)
def test_a_few_lines_are_guessed_as_many_are(line):
    few, many = guess_platform(pa.array([line])), guess_platform(pa.array([line] * 17))
    assert set(many.to_pylist()) == set(few.to_pylist())
