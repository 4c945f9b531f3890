from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.lexicon.quoting import powershell_fault, quoting_fault, sh_fault, windows_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Get-Item 'it''s' | % { $_.Name }", None),
        ('Write-Host "a `" b $($x["k"]) "', None),
        ('"a ""quoted"" word"', None),
        ("gci @{a=(1,2)}['a'][0]", None),
        ("echo `( `' `\"", None),
        ("echo ')('", None),
        ("echo 'x", "quote '"),
        ('echo "x `"', 'quote "'),
        ("& { gci", "bracket {"),
        ("gci )", "bracket )"),
        ("(gci]", "bracket ]"),
    ],
)
def test_powershell_text(text: str, fault: str | None) -> None:
    found = powershell_fault(text)
    assert (found is None) if fault is None else (found is not None and fault in found)


@pytest.mark.parametrize(
    ("line", "sound"),
    [
        ("echo 'a'\\''b' \"c \\\" d\" $'it\\'s' \\'", True),
        ("awk '{print $1}' \"$HOME/x\"", True),
        ("echo 'a", False),
        ('echo "a \\"', False),
        ("echo $'a\\'", False),
    ],
)
def test_posix_text(line: str, sound: bool) -> None:
    assert (sh_fault(line) is None) == sound


def test_windows_quotes_are_odd_only_if_no_convention_pairs_them() -> None:
    assert windows_fault('"C:\\Data\\" x') is None
    assert windows_fault('cmd /c "dir "C:\\Data\\" /s"') is None
    assert windows_fault('cmd /c echo ^"') is None
    assert windows_fault('cmd /c "dir') is not None


@pytest.mark.parametrize(
    ("line", "platform", "sound"),
    [
        ("bash -c cd /srv && git commit -m don't", "linux", True),
        ("bash -c cd /srv && echo 'x", "linux", False),
        ("sh -c 'echo \"x'", "linux", False),
        ('/bin/sh -c "echo \\"x\\""', "macos", True),
        ("pwsh -Command \"gci | ? { $_.Name -like 'a*' }\"", "linux", True),
        ('pwsh -Command "gci | ? { $_.Name"', "linux", False),
        ("powershell.exe -File x.ps1 -Name 'a", "windows", True),
    ],
)
def test_a_line_is_judged_by_the_shell_that_reads_it(line: str, platform: str, sound: bool) -> None:
    assert (quoting_fault(line, platform) is None) == sound


@given(st.text("ab '\"\\$`", max_size=40))
def test_what_the_scan_calls_open_is_what_shlex_calls_open(text: str) -> None:
    plain = text.replace("$'", "$ '")  # ANSI-C quotes are no part of shlex
    try:
        shlex.split(plain)
        opened = False
    except ValueError as error:
        opened = "closing quotation" in str(error)
    assert (sh_fault(plain) is not None) == opened


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    "text", ["echo $'it\\'s' 'a'\"'\"", "echo 'a'\\''b'", 'echo "a', "echo $'a\\'", "echo 'a\\'b'"]
)
def test_bash_agrees(text: str) -> None:
    accepted = subprocess.run(["bash", "-n", "-c", text], capture_output=True, check=False).returncode == 0
    assert (sh_fault(text) is None) == accepted


@given(st.text("a'\"`(){}[]$^\\ ", max_size=60), st.sampled_from(["windows", "linux", "macos"]))
def test_no_text_makes_it_fail(text: str, platform: str) -> None:
    for line in (text, f"powershell -c {text}", f"sh -c {text}"):
        fault = quoting_fault(line, platform)
        assert fault is None or fault.strip()


@pytest.mark.parametrize("piece", ["'", '"', "$'", "$'\\'", '"\\', "`", "(", '\\"', "a'\\''"])
def test_long_hostile_text_is_scanned_in_one_pass(piece: str) -> None:
    text = piece * (400_000 // len(piece))
    powershell_fault(text)
    sh_fault(text)
    windows_fault(text)
