from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.lexicon.wrappers import peel, rewrap, shell_of


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('powershell.exe -WindowStyle Hidden -Command "a \\"b\\" c"', ("powershell", 'a "b" c')),
        ('"powershell.exe" & {Get-Date}', ("powershell", "Get-Date")),
        ("powershell -nop -enc RwBlAHQALQBEAGEAdABlAA==", ("powershell", "Get-Date")),
        ("powershell -NoProfile -NonI Get-Date", ("powershell", "Get-Date")),
        ("powershell.exe -ExecutionPolicy Bypass -File x.ps1", None),
        ('cmd.exe /d /s /c "dir & echo "x""', ("cmd", 'dir & echo "x"')),
        ("cmd /c whoami", ("cmd", "whoami")),
        ("bash -c 'echo \"x\"'", ("sh", 'echo "x"')),
        ("/bin/bash -e -c ls -l", ("sh", "ls -l")),
        ("bash script.sh -c x", None),
        ("notepad.exe -c x", None),
    ],
)
def test_peel_gives_the_text_that_a_shell_was_told_to_run(line: str, wanted: tuple[str, str] | None) -> None:
    assert peel(line) == wanted


@given(st.text(max_size=300), st.sampled_from(["powershell -c ", "cmd /c ", "sh -c ", "powershell -enc ", ""]))
def test_peel_and_rewrap_never_raise(text: str, start: str) -> None:
    peel(start + text)
    assert isinstance(rewrap(text, start + text, "windows", random.Random(0)), str)


def test_wrappers_of_both_labels_come_from_one_pool() -> None:
    rng = random.Random(0)
    styles = {
        tuple(rewrap("Get-X", recorded, "windows", rng).replace("Get-X", "").split())
        for _ in range(400)
        for recorded in ("powershell.exe -Command Get-X", "powershell.exe -w hidden -ep bypass -c Get-X")
    }
    again = {
        tuple(
            rewrap("Get-X", "powershell.exe -w hidden -ep bypass -c Get-X", "windows", rng).replace("Get-X", "").split()
        )
        for _ in range(800)
    }
    assert styles == again
    assert len(styles) > 8


def test_a_program_without_a_shell_stays_as_recorded() -> None:
    rng = random.Random(0)
    assert rewrap("git status", "git status", "linux", rng) == "git status"
    assert rewrap("cp a  b", "cp a b", "linux", rng) == "cp a b"


def test_a_shell_stays_the_same_kind_of_shell() -> None:
    rng = random.Random(1)
    for recorded, kind in (("cmd /c dir", "cmd"), ("sh -c ls", "sh"), ("powershell -c ls", "powershell")):
        assert {shell_of(rewrap(recorded, recorded, "linux", rng)) for _ in range(50)} == {kind}
