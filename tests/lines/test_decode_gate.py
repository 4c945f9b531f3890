"""The gate lets every line through that hides something, and the batch gives what line by line gives."""

from __future__ import annotations

import base64
import gzip

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cmdclf.lines import KINDS, decode_batch, decode_line, suspects
from cmdclf.lines.decode import PLAIN


def utf16(text: str) -> str:
    return base64.b64encode(text.encode("utf-16-le")).decode()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WORDS = st.sampled_from(["whoami", "iex", "ls -la /tmp", "Get-Process | sort", "curl x.example/a", "net user"])
# Each hides a text in one way; composed, one in the other.
OBFUSCATIONS = [
    lambda s: "^".join(s),
    lambda s: s[:2] + '""' + s[2:],
    lambda s: s[:1] + "'" + s[1:3] + "'" + s[3:],
    lambda s: s[:3] + "`" + s[3:],
    lambda s: s[:1] + "\\" + s[1:],
    lambda s: s[:2] + "$@" + s[2:],
    lambda s: s[:2] + "${u}" + s[2:] + " a${u}b",
    lambda s: f"/b?n/netcat {s}",
    lambda s: "${PATH:0:1}" + s,
    lambda s: "$'" + s[:1] + "\\x" + f"{ord(s[1]):02x}'" + s[2:],
    lambda s: f"v=zz{s[:1]};${{v#zz}}{s[1:]}",
    lambda s: f"set v={s}&&powershell iex $env:v",
    lambda s: s.replace(" ", "${IFS}"),
    lambda s: "{" + s.replace(" ", ",") + "}",
    lambda s: f"powershell -enc {utf16(s)}",
    lambda s: f"x /e '{utf16(s)}'",
    lambda s: f"echo {b64(s)} | base64 -d | sh",
    lambda s: f"base64 --decode <<< {b64(s)}",
    lambda s: f"openssl enc -a -d <<< {b64(s)}",
    lambda s: f"echo {s.encode().hex()} | xxd -r -p",
    lambda s: f"iex([Convert]::FromBase64String('{b64(s)}'))",
    lambda s: f"FromBase64String('{base64.b64encode(gzip.compress(s.encode())).decode()}')",
    lambda s: f"python3 -c \"exec(b64decode('{b64(s)}'))\"",
    lambda s: f"echo {base64.b32encode(s.encode()).decode()} | base32 -d",
    lambda s: f"echo '{s[::-1]}' | rev",
    lambda s: f"echo '{s}' | tr a-z n-za-m",
    lambda s: f"& ('{s[:2]}'+'{s[2:]}')",
    lambda s: f"& ('{{1}}{{0}}' -f '{s[2:]}','{s[:2]}')",
    lambda s: f"& ('{s[:2]}Q{s[2:]}' -replace 'Q','')",
    lambda s: f"& ('{s[:2]}Q{s[2:]}'.replace('Q',''))",
    lambda s: f"& ('{s[:2]}','{s[2:]}' -join '')",
    lambda s: f"& (-join '{s[::-1]}'[-1..-{len(s)}])",
    lambda s: f"& ('{s}' -split ' ')",
    lambda s: "[char[]](" + ",".join(str(ord(c)) for c in s) + ")",
    lambda s: "+".join(f"[char]{ord(c)}" for c in s),
    lambda s: "&".join(f"Chr({ord(c)})" for c in s),
    lambda s: "String.fromCharCode(" + ",".join(str(ord(c)) for c in s) + ")",
    lambda s: "-bxor 7 (" + ",".join(str(ord(c) ^ 7) for c in s) + ")",
    lambda s: f"$a='{s[:2]}';$b='{s[2:]}';&($a+$b)",
    lambda s: f"a={s[:1]};b='{s[1:]}';$a$b",
    lambda s: f"set a={s[:2]}&&set b={s[2:]}&&call %a%%b%",
    lambda s: f"%COMSPEC:~0,1%{s}",
    lambda s: f"for %a in (calc) do %a {s}",
    lambda s: "printf '" + "".join(f"\\x{ord(c):02x}" for c in s) + "'",
    lambda s: "$'" + "".join(f"\\{ord(c):03o}" for c in s) + "'",
    lambda s: "mshta javascript:" + "".join(f"%{ord(c):02x}" for c in s),
    lambda s: f"codecs.decode('{s}','rot13')",
    lambda s: f"[array]::reverse('{s[::-1]}')",
]  # fmt: skip
# These hide nothing; what is inside must be found all the same.
WRAPPERS = [
    lambda s: f'cmd /c "{s}"',
    lambda s: f"cmd.exe /d /c {s}",
    lambda s: 'powershell -nop -c "' + s.replace('"', '\\"') + '"',
    lambda s: f"powershell -Command & {{{s}}}",
    lambda s: "sh -c '" + s.replace("'", "'\\''") + "'",
    lambda s: 'bash -lc "' + s.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`") + '"',
    lambda s: f"sudo su root -c '{s}'",
    lambda s: f'eval "{s}"',
    lambda s: f"%COMSPEC% /c {s}",
    lambda s: f"echo x; {s}",
]
COMPOSED = st.builds(
    lambda word, steps: _applied(word, steps),
    WORDS,
    st.lists(st.sampled_from(OBFUSCATIONS + WRAPPERS * 3), min_size=1, max_size=4),
)
PIECES = [
    "^",
    '"',
    "'",
    "`",
    "%COMSPEC:~-7,1%",
    "%x%",
    "set x=",
    "powershell -c ",
    "cmd /c ",
    "sh -c ",
    "base64 -d ",
    "| rev",
    "AAAAAAAAAAAAAAAAAAAA",
    "SQBFAFgA",
    "{a,b}",
    "\\x41\\x42\\x43",
    "\\101",
    "[char]65",
    "+",
    "$IFS",
    "{0}",
    " -f ",
    "!x!",
    " ",
    "\\",
    "-e ",
    "(",
    ")",
    "$env:comspec[1,2]-join''",
    "FromBase64String('",
    "\x00",
    "\ud800",
    "\xe9",
    "\u2013enc ",
    "xxd -r ",
    "414243444546",
    "-join",
    "-replace ",
    "'a'",
    ",",
    "x=ab;",
    "$x",
    "&",
    ";",
    "$a='b'",
    "[-1..-3]",
    "<<<",
    "echo ",
    "/c ",
    "chr(65)",
    "%41%42%43",
    "javascript:",
    "for %a in (b) do %a",
    "|tr a-z b-za",
    "\n",
    "$@",
    "=",
    "..",
    "x${u}y",
    "a$1b",
    "${PATH:0:1}",
    "$'\\x41",
    "/b?n/",
    "/e*c",
    "$(echo ",
    "`printf ",
    "<(",
    "<<E\n",
    "| sh",
    "$env:x",
    "${x#a}",
]
SOUP = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=16).map("".join)
PLATFORMS = st.sampled_from(["windows", "linux", "macos"])


def _applied(word, steps):
    for step in steps:
        word = step(word)
    return word


@pytest.mark.parametrize("number", range(len(OBFUSCATIONS)))
def test_a_line_obfuscated_in_one_way_is_a_suspect(number):
    line = OBFUSCATIONS[number]("whoami --version")
    hidden = [p for p in ("windows", "linux") if _hides(line, p)]
    assert hidden
    assert all(suspects(pa.array([line]), pa.array([p]))[0] for p in hidden)


def _hides(line, platform):
    return bool({x.kind for x in decode_line(line, platform, gated=False).layers} - PLAIN)


@settings(max_examples=400, deadline=None)
@given(st.one_of(COMPOSED, SOUP), PLATFORMS)
def test_whatever_hides_text_is_a_suspect(line, platform):
    if _hides(line, platform):
        text = line.encode("utf-8", "replace").decode()
        assert suspects(pa.array([text]), pa.array([platform]))[0]


@settings(max_examples=300, deadline=None)
@given(st.one_of(COMPOSED, SOUP), PLATFORMS)
def test_the_gate_within_the_loop_changes_no_layer(line, platform):
    gated, full = decode_line(line, platform), decode_line(line, platform, gated=False)
    if not (gated.cut or full.cut):
        assert gated.layers == full.layers


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.none(), COMPOSED, SOUP.map(lambda s: s.encode("utf-8", "replace").decode())), max_size=9),
       st.booleans())  # fmt: skip
@example(["", None, "w^hoami"], True)
def test_a_batch_gives_the_layers_of_its_suspects_row_by_row(lines, known):
    platform = pa.array(["windows", "linux", None][k % 3] for k in range(len(lines))) if known else None
    array = pa.array(["head", *lines], pa.string()).slice(1)
    found = suspects(array, platform)
    batch = decode_batch(array, platform)
    expected = []
    for row, line in enumerate(lines):
        if found[row]:
            decoded = decode_line(line, platform[row].as_py() if platform else None)
            assert batch.cut[row] == decoded.cut
            expected += [(row, layer.kind, layer.text) for layer in decoded.layers]
    got = zip(batch.row.tolist(), [KINDS[k] for k in batch.kind], batch.text.to_pylist(), strict=True)
    assert list(got) == [(r, k, t.encode("utf-8", "replace").decode()) for r, k, t in expected]
    assert (batch.row.dtype, batch.kind.dtype, batch.cut.dtype) == (np.int32, np.int8, np.bool_)
    assert len(batch.cut) == len(lines)


@pytest.mark.parametrize(
    ("line", "platform"),
    [
        ("cmd /c dir C:\\Windows", "windows"),
        ("%SystemRoot%\\system32\\svchost.exe -k netsvcs -p", "windows"),
        ('powershell -File "C:\\x y\\z.ps1" -Name \'a b\'', "windows"),
        ("C:\\PROGRA~1\\x.exe --type=renderer --lang=en-US /prefetch:1", "windows"),
        ("sed -e 's/^foo/bar/' x | sort | head -n 3", "linux"),
        ("grep -rn 'x^2' . --include='*.py'", "linux"),
        ("tar -xzf a.tar.gz -C /opt --strip-components=1", "linux"),
        ("curl -H 'Accept: text/html' -d '{\"a\": [1, 2]}' http://localhost/x%20y", "linux"),
        ("date -d \"x\" +\"%F %T\"", "linux"),
        ("bash -c 'for f in *.txt; do mv \"$f\" \"${f%.txt}.md\"; done'", "linux"),
        ("", "linux"),
    ],
)  # fmt: skip
def test_ordinary_lines_are_no_suspects(line, platform):
    assert not suspects(pa.array([line]), pa.array([platform]))[0]


def test_lines_beyond_the_bound_are_called_cut_whether_or_not_they_are_suspects():
    lines = pa.array(["a" * 70_000, "\xe9" * 60_000, "w^hoami " + "b" * 70_000, "dir"])
    platform = pa.array(["windows"] * 4)
    assert suspects(lines, platform).tolist() == [False, False, True, False]
    assert decode_batch(lines, platform).cut.tolist() == [True, False, True, False]


def test_large_strings_and_empty_batches_are_taken_too():
    assert suspects(pa.array([], pa.string())).tolist() == []
    assert decode_batch(pa.array([], pa.string())).row.tolist() == []
    assert suspects(pa.array(["w^hoami", None], pa.large_string()), pa.array(["windows", "windows"])).tolist() == [
        True,
        False,
    ]
