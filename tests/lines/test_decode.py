from __future__ import annotations

import base64
import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.lines import Layer, decode_layers


def utf16(text: str) -> str:
    return base64.b64encode(text.encode("utf-16-le")).decode()


def b64(data: str | bytes) -> str:
    return base64.b64encode(data.encode() if isinstance(data, str) else data).decode()


COMMAND = "Get-Process | Sort-Object CPU"
DOWNLOAD = "curl -s https://example.com/a.sh | sh"
DEFLATED = zlib.compressobj(wbits=-15)
RAW_DEFLATE = DEFLATED.compress(COMMAND.encode()) + DEFLATED.flush()


@pytest.mark.parametrize("flag", ["encodedcommand"[:n] for n in range(1, 15)] + ["ec", "EnC", "EC"])
@pytest.mark.parametrize("mark", ["-", "/", "\u2013"])
def test_every_abbreviation_of_encodedcommand_is_decoded(flag, mark):
    line = f"powershell.exe -NoProfile {mark}{flag} {utf16(COMMAND)}"
    assert decode_layers(line, "windows") == [Layer("encoded-command", COMMAND)]


@pytest.mark.parametrize(
    ("line", "platform", "kind", "text"),
    [
        (f'pwsh -enc "{utf16(COMMAND)}"', "linux", "encoded-command", COMMAND),
        (f"renamed.exe -enc {utf16(COMMAND)}", "windows", "encoded-command", COMMAND),
        (f"powershell -enc {utf16(COMMAND).rstrip('=')}", "windows", "encoded-command", COMMAND),
        (f"powershell iex($e.GetString([Convert]::FromBase64String('{b64(COMMAND)}')))", "windows", "base64", COMMAND),
        (f"$x='{b64(gzip.compress(COMMAND.encode()))}';FromBase64String($x)", "windows", "gzip-base64", COMMAND),
        (f"$x=[Convert]::FromBase64String('{b64(RAW_DEFLATE)}')", "windows", "gzip-base64", COMMAND),
        (f"echo {b64(DOWNLOAD)} | base64 -d | sh", "linux", "base64", DOWNLOAD),
        (f"echo -n {b64(DOWNLOAD)}|base64 --decode|bash", "linux", "base64", DOWNLOAD),
        (f"base64 -D <<< {b64(DOWNLOAD)}", "macos", "base64", DOWNLOAD),
        (f"echo {b64(DOWNLOAD)} | openssl enc -base64 -d", "linux", "base64", DOWNLOAD),
        (f"echo {b64(gzip.compress(DOWNLOAD.encode()))} | base64 -d | gunzip | sh", "linux", "gzip-base64", DOWNLOAD),
        (f"python3 -c \"exec(b64decode('{b64(DOWNLOAD)}'))\"", "linux", "base64", DOWNLOAD),
        ("echo 77686f616d69202d2d68656c70 | xxd -r -p | sh", "linux", "hex", "whoami --help"),
        ("w^h^oami /all", "windows", "caret", "whoami /all"),
        ('who""ami /all', "windows", "quotes", "whoami /all"),
        ("w'h'o'am'i", "linux", "quotes", "whoami"),
        ("c\\at /etc/hosts", "linux", "quotes", "cat /etc/hosts"),
        ("powershell I`nv`oke-Expression x", "windows", "backtick", "powershell Invoke-Expression x"),
        ("& ('In' + 'voke-Ex'+'pression') x", "windows", "concat", "& ('Invoke-Expression') x"),
        ("&('{1}{0}' -f 'x','ie') $y", "windows", "format", "&('iex') $y"),
        ("& ([char]73+[char]0x45+[char]88) $y", "windows", "char", "& ('IEX') $y"),
        ("%COMSPEC:~-7,1%alc.exe", "windows", "env", "calc.exe"),
        ("%ProgramFiles:~3,3%", "windows", "env", "Pro"),
        ("%os:Windows_=%", "windows", "env", "NT"),
        ("set a=who&& set b=ami&& call %a%%b%", "windows", "env", "set a=who&& set b=ami&& call whoami"),
        ("& ($env:ComSpec[4,24,25]-join'') $y", "windows", "env", "& ('iex') $y"),
        ("cat${IFS}/etc/hosts", "linux", "ifs", "cat /etc/hosts"),
        ("cat$IFS$9/etc/hosts", "linux", "ifs", "cat /etc/hosts"),
        ("{cat,/etc/hosts}", "linux", "brace", "cat /etc/hosts"),
        (r"printf '\x77\x68\x6f\x61\x6d\x69' | sh", "linux", "escape", "printf 'whoami' | sh"),
        (r"$'\167\150\157\141\155\151'", "linux", "escape", "whoami"),
        (r'C:\Windows\System32\cmd.exe /d /s /c "dir C:\x"', "windows", "wrapper", r"dir C:\x"),
        ("cmd.exe/cwhoami", "windows", "wrapper", "whoami"),
        ('powershell.exe -nop -Command "& { Get-Date }"', "windows", "wrapper", "Get-Date"),
        ('powershell -c "Write-Host \\"a b\\""', "windows", "wrapper", 'Write-Host "a b"'),
        ("sh -c 'ls -l'", "linux", "wrapper", "ls -l"),
        ("/bin/bash -lc \"echo \\\"\\$HOME\\\"\"", "linux", "wrapper", 'echo "$HOME"'),
        ("sh -c 'echo '\\''a'\\'' b' tail", "linux", "wrapper", "echo 'a' b"),
        ("sh -c ls -la", "linux", "wrapper", "ls -la"),
        ("su postgres -c 'psql -l'", "linux", "wrapper", "psql -l"),
        ("find . -name x | xargs -I{} bash -c 'stat {}'", "linux", "wrapper", "stat {}"),
    ],
)  # fmt: skip
def test_the_innermost_layer_of_an_obfuscation_is_the_plain_text(line, platform, kind, text):
    assert decode_layers(line, platform)[-1] == Layer(kind, text)


def test_nested_layers_come_outermost_first():
    line = f'cmd /c "p^owershell -e^nc {utf16("sh -c whoami")}"'
    assert [(x.kind, x.text) for x in decode_layers(line, "windows")] == [
        ("wrapper", f"p^owershell -e^nc {utf16('sh -c whoami')}"),
        ("caret", f"powershell -enc {utf16('sh -c whoami')}"),
        ("encoded-command", "sh -c whoami"),
        ("wrapper", "whoami"),
    ]


@pytest.mark.parametrize(
    ("line", "platform"),
    [
        ("grep -e AAAAAAAAAAAA file", "linux"),
        ("grep -v '^#' /etc/fstab", "linux"),
        ("echo `date`-x", "linux"),
        ("sed 's/\\n//;s/\\t//' x", "linux"),
        ("date -d \"x\" +\"%F %T\"", "linux"),
        ("(Get-Content x) -replace '^https?://', ''", "windows"),
        ('Write-Host "a`r`nb"', "windows"),
        ("$b.Append('+')", "windows"),
        ("echo 100%% of %d", "windows"),
        ("base64 -d payload.b64", "linux"),
        ("ls -la /home", "linux"),
        ("ssh -c aes128-ctr host", "linux"),
        ("", "windows"),
    ],
)  # fmt: skip
def test_ordinary_lines_have_no_layers(line, platform):
    assert decode_layers(line, platform) == []


def test_a_compression_bomb_costs_no_more_than_the_bound():
    bomb = b64(gzip.compress(b"a" * 50_000_000))
    layers = decode_layers(f"echo {bomb} | base64 -d | sh", "linux", max_bytes=200_000)
    assert [len(x.text) for x in layers] == [200_000]


def test_depth_and_size_are_bounded():
    line = "whoami"
    for _ in range(9):
        line = f"powershell -enc {utf16(line)}" if len(line) < 20_000 else line
    assert len(decode_layers(line, "windows", max_depth=3)) == 3
    wide = "set x=" + "a" * 2000 + "&" + "%x%" * 20_000
    layers = decode_layers(wide, "windows", max_bytes=65536)
    assert all(len(x.text) <= 65536 for x in layers)
    assert sum(len(x.text) for x in layers) <= 4 * 65536
    assert decode_layers("sh -c id", "linux", max_bytes=0) == []


PIECES = [
    '^', '"', "'", '`', '%COMSPEC:~-7,1%', '%x%', 'set x=', 'powershell -c ', 'cmd /c ', 'sh -c ',
    'base64 -d ', 'AAAAAAAAAAAAAAAAAAAA', 'SQBFAFgA', '{a,b}', '\\x41', '\\101', '[char]65', '+', '$IFS',
    '{0}', '-f', '!x!', ' ', '\\', '-e ', '(', "$env:comspec[1,2]-join''", "FromBase64String('", '\x00',
    '\ud800', '\xe9', '\u2013enc ', 'xxd', '414243444546',
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=14).map("".join),
    st.sampled_from([None, "windows", "linux", "macos", "beos"]),
    st.integers(0, 300),
)
def test_any_text_gives_bounded_distinct_layers_without_nul(line, platform, bound):
    layers = decode_layers(line, platform, max_bytes=bound)
    texts = [x.text for x in layers]
    assert len(layers) <= 32
    assert len(set(texts)) == len(texts)
    assert all(text and "\0" not in text for text in texts)
    assert layers == decode_layers(line, platform, max_bytes=bound)
