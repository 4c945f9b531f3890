"""Hostile lines end within their bounds and say so; the bounds are steps, so the layers are the same everywhere."""

from __future__ import annotations

import base64
import gzip

import pytest

from cmdclf.lines import Layer, decode_layers, decode_line


def nested(levels: int) -> str:
    line = "whoami"
    for _ in range(levels):
        line = f"echo {base64.b64encode(line.encode()).decode()}|base64 -d"
    return line


BOMB = base64.b64encode(gzip.compress(b"w^h''oami;" * 5_000_000)).decode()


@pytest.mark.parametrize(
    ("line", "platform"),
    [
        (nested(12), "linux"),
        (f"FromBase64String('{BOMB}')", "windows"),
        ("w^" * 4_000_000, "windows"),
        ("%COMSPEC%" * 50_000, "windows"),
        ("set x=" + "a" * 2000 + "&" + "%x:a=b%" * 50_000, "windows"),
        ("\"'" * 50_000, "linux"),
        ("'{0}'-f'a'," * 6000, "windows"),
        ("echo a|rev;" * 6000, "linux"),
        ("base64 -d " + "QUJDREVGR0g= " * 5000, "linux"),
        ("for %a in (x) do %a " * 3000, "windows"),
        ("cmd /c " * 9000, "windows"),
        ("<<<" * 30_000, "linux"),
        ("f(){ x;};" * 6000 + "f", "linux"),
        ("a=(x y);" * 7000 + "${a[0]}", "linux"),
        ("".join(f"${{!v{i}}}" for i in range(6000)) + ";v1=b", "linux"),
    ],
)  # fmt: skip
def test_a_hostile_line_gives_bounded_layers_and_says_cut(line, platform):
    assert _bounded(line, platform).cut


@pytest.mark.parametrize(
    ("line", "platform"),
    [
        ("'a'+" * 16_000 + "'b'" + "+[char]65" * 100, "windows"),
        ("'a'.replace('a','b')" * 3000, "windows"),
        ("$a='b';" * 8000 + "&($a+$a)", "windows"),
        ("sh -c '" * 9000, "linux"),
        ("[array]::reverse(" + "'abcdef'" * 8000, "windows"),
        ("for i in " + "1 " * 30_000, "linux"),
        ("'a'.Insert(1,'b')" * 3500, "windows"),
    ],
)  # fmt: skip
def test_a_hostile_line_whose_work_fits_the_bounds_is_not_cut(line, platform):
    assert not _bounded(line, platform).cut


def _bounded(line, platform):
    decoded = decode_line(line, platform)
    assert len(decoded.layers) <= 32
    assert all(len(x.text) <= 65536 for x in decoded.layers)
    assert sum(len(x.text) for x in decoded.layers) <= 4 * 65536
    assert decode_line(line, platform) == decoded
    return decoded


def test_ten_thousand_carets_and_a_hundred_thousand_quotes_are_undone_in_full():
    assert decode_line("p" + "^w" * 10_000, "windows").layers == [Layer("caret", "p" + "w" * 10_000)]
    assert decode_layers('"' * 60_000, "windows") == []
    carets = decode_line("a" + "^" * 30_000 + "b", "windows")
    assert (carets.layers, carets.cut) == ([], False)


def test_cut_tells_whether_the_depth_left_something_hidden():
    inner = nested(3)
    assert decode_line(inner, "linux", max_depth=2).cut
    assert not decode_line(inner, "linux", max_depth=3).cut
    assert not decode_line(inner, "linux", max_depth=4).cut
    assert decode_line(inner, "linux", max_depth=3).layers[-1].text == "whoami"


def test_cut_is_false_where_no_bound_was_met():
    assert not decode_line("cmd /c who^ami", "windows").cut
    assert not decode_line("ls", "linux").cut
    assert decode_line("ls " + "a" * 100, "linux", max_bytes=50).cut


def test_a_variable_that_names_itself_does_not_grow():
    line = "set PATH=C:\\x;%PATH%&&set PATH=C:\\y;%PATH%&&x.exe"
    assert decode_layers(line, "windows") == []
