from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.lexicon import Estate
from cmdclf.lexicon.assembly import Assembly
from cmdclf.lexicon.redraw import parameters, redraw_program

ESTATE = Estate.from_seed(1)


def drawn(line: str, platform: str, n: int = 20, parent: str | None = None) -> list[str]:
    assembly = Assembly()
    program = redraw_program(assembly, line, parent, ESTATE, platform)
    lines, parents = assembly.write(np.full(n, program), 3)
    assert parents.to_pylist() == [parent] * n
    return lines.to_pylist()


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("run 7f9c24e5-aaaa-4a3d-b85a-5cd22959fea3", r"run [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ("git show 9f86d081884c7d65", r"git show [0-9a-f]{16}"),
        ("ping 10.1.200.7", r"ping 10\.1\.\d{1,3}\.\d{1,3}"),
        ("setup-4.12.301 --port 8443", r"setup-4\.\d\d\.\d{3} --port \d{4}"),
        ("type C:\\Users\\jsmith\\x.txt", r"type C:\\Users\\[a-z.]+\\x\.txt"),
        ("copy \\\\fs01\\share\\a b", r"copy \\\\[A-Z0-9-]+\\share\\a b"),
        ("report --day 2024-02-03", r"report --day 20\d\d-\d\d-\d\d"),
    ],
)
def test_parameters_change_and_the_rest_stays(line: str, shape: str) -> None:
    texts = set(drawn(line, "windows"))
    assert len(texts) > 3
    assert all(re.fullmatch(shape, text) for text in texts), texts


def test_equal_parameters_stay_equal() -> None:
    text = drawn("mv /tmp/job-123456 /srv/job-123456", "linux", parent="sh -c ./job-123456")[0]
    first, second = re.findall(r"job-(\d{6})", text)
    assert first == second != "123456"


def test_programs_and_switches_are_no_parameters() -> None:
    for line in ("C:\\Windows\\System32\\svchost.exe -k x64", "base64 -d", "sha256sum -c", "cc1plus -O2"):
        assert parameters(line) == []
        assert drawn(line, "windows", 2) == [line] * 2


@given(st.text(max_size=300))
def test_any_line_can_be_drawn_anew(line: str) -> None:
    (text,) = drawn(line, "linux", 1)
    kinds = {kind for kind, _ in parameters(line)}
    if not kinds & {"user", "host", "date"}:
        assert len(text) == len(line) or "address" in kinds
