"""Names and methods that a line puts its words together by: arrays, functions, defaults, sed, .NET's string methods."""

from __future__ import annotations

import subprocess

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.lines import decode_batch, decode_line


def as_read(line: str, platform: str) -> str:
    """The line as a model reads it: restated where the gate lets it through."""
    batch = decode_batch(pa.array([line]), pa.array([platform]))
    return batch.restated[0].as_py() if len(batch.restated) else line


SHELL = [
    ("a=(ec ho);${a[0]}${a[1]} x y", "echo x y"),
    ("a=(echo 'x y' z);\"${a[@]}\"", "echo x y z"),
    ("set -- ec ho; $1$2 x", "echo x"),
    ('f(){ echo "$@";};f x y', "echo x y"),
    ("function go() { echo x; }; go", "echo x"),
    ("e${q:-c}ho x${nope:-y}z", "echo xyz"),
    ("${zz:-e}cho${q+a} x", "echo x"),
    ("echo 'dbgn w'|sed 'y/dbgnw/echox/'|sh", "echo x"),
    ("echo 'QcZo x'|sed 's/Q/e/;s/Z/h/'|sh", "echo x"),
    ("$(printf %s%s ec ho) x", "echo x"),
    ("ec\\\nho x", "echo x"),
    ("h=z;z=echo;${!h} x", "echo x"),
    ("f(){ $1$2 $3;};f ec ho x", "echo x"),
    ('for i in 101 99 104 111 32 120;do printf "\\\\$(printf %o $i)";done|sh', "echo x"),
    ('k=(o e h c);for i in 1 3 2 0;do printf %s "${k[$i]}";done|sh', "echo"),
    ("$(expr substr xxechoy 3 4) x", "echo x"),
    ("$(cut -c3-6<<<xxechoy) x", "echo x"),
]


@pytest.mark.parametrize(("line", "plain"), SHELL)
def test_a_shell_and_the_reading_agree(line, plain):
    assert as_read(line, "linux") == plain
    said, meant = (subprocess.run(["bash", "-c", text], capture_output=True, check=True) for text in (line, plain))
    assert said.stdout.split() == meant.stdout.split()


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("iex('G-Process'.Insert(1,'et'))", "Get-Process"),
        ("iex('zzGet-Processz'.Trim('z'))", "Get-Process"),
        ("iex('xxGet-Process'.Remove(0,2).ToLower())", "get-process"),
        ("iex('xGet-Processx'.Substring(1,11))", "Get-Process"),
        ("iex([string]::Concat('Get-','Process'))", "Get-Process"),
        ("iex([string]::Format('{1}{0}','Process','Get-'))", "Get-Process"),
        ("iex([uri]::UnescapeDataString('Get%2DProcess'))", "Get-Process"),
        ("$c='ssecorP-teG'.ToCharArray();[array]::Reverse($c);iex(-join $c)", "Get-Process"),
        ("iex(-join[regex]::Matches('ssecorP-teG','.','RightToLeft'))", "Get-Process"),
        ("iex(([regex]::Matches('ssecorP-teG','.','RightToLeft')|%{$_.Value})-join'')", "Get-Process"),
        ("&([scriptblock]::Create('Get-Process'))", "Get-Process"),
        ("iex @'\nGet-Process\n'@", "Get-Process"),
        ("&('i'+'ex')('Get-Process')", "Get-Process"),
        ("iex(-join((70,100,117)|%{[char]($_-bxor 1)}))", "Get"),
        ("-join('70,100,117'-split','|%{[char]([int]$_-bxor 0x1)})|iex", "Get"),
        ("-join('107o145o164'-split'o'|%{[char][convert]::ToInt32($_,8)})|iex", "Get"),
        ('cmd /c for /f "tokens=1-2 delims=#" %a in ("who#ami") do @%a%b', "cmd /c @whoami"),
        ("$ExecutionContext.InvokeCommand.InvokeScript('Get-Process')", "Get-Process"),
        ("&(gcm *ke-exp*) 'Get-Process'", "Get-Process"),
        ("&(Get-Command new-ob*) Net.WebClient", "new-object Net.WebClient"),
        ("powershell -c \"$z='ss';$r='Get-';$n='Proce';iex($r+$n+$z)\"", "powershell -c Get-Process"),
    ],
)
def test_dot_net_and_the_reading_agree(line, plain):
    assert as_read(line, "windows") == plain


@pytest.mark.parametrize(
    ("line", "platform"),
    [
        ("f() { echo a; }; g", "linux"),
        ("python3 -c 'x=(1,2); print()'", "linux"),
        ("docker run -e PORT=${PORT:-8080} x", "linux"),
        ("set -- ; ls", "linux"),
        ("echo x | sed 's/[0-9]*//' | sort", "linux"),
        ("Get-Command *process*", "windows"),
        ("$x.Trim('a'); $name.Substring(1,2)", "windows"),
        ("Get-Command -Name Get-*", "windows"),
        ("[array]::Reverse($list)", "windows"),
    ],
)
def test_ordinary_names_and_methods_stay(line, platform):
    assert as_read(line, platform) == line


WORD = st.text("abcxyz", min_size=1, max_size=6)


@given(st.lists(WORD, min_size=1, max_size=6), st.integers(0, 7))
def test_an_index_beyond_an_array_is_nothing(words, at):
    line = f"a=({' '.join(words)});x${{a[{at}]}}y"
    assert decode_line(line, "linux").restated == f"x{words[at] if at < len(words) else ''}y"


@given(WORD, st.integers(0, 8), st.integers(0, 8))
def test_substring_is_that_of_dot_net_or_nothing_is_folded(word, start, size):
    line = f"iex '{word}'.Substring({start},{size})"
    read = decode_line(line, "windows").restated
    if start + size <= len(word):
        assert read == (word[start : start + size] or "iex ''")
    else:
        assert read.endswith(f".Substring({start},{size})")
