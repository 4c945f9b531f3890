"""What PowerShell, VBScript, JavaScript and Python put together from literals, numbers and variables."""

from __future__ import annotations

import base64
import gzip
import zlib

import pytest

from cmdclf.lines import Layer, decode_layers

COMMAND = "Get-Process | Sort-Object CPU"
CODES = ",".join(str(ord(c)) for c in COMMAND)
HEX_CODES = ",".join(hex(ord(c)) for c in COMMAND)
XORED = ",".join(str(ord(c) ^ 0x23) for c in COMMAND)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("& ('iQx' -replace 'Q','e') $y", "replace", "& ('iex') $y"),
        ("& ('iQZ'-replace'Q','e' -creplace 'Z','x') $y", "replace", "& ('iex') $y"),
        ("& ('iQZ'.Replace('Q','e').Replace('Z','x')) $y", "replace", "& ('iex') $y"),
        (r"& ('i|x' -replace '\|','e') $y", "replace", "& ('iex') $y"),
        ("& ('i--ex' -replace '-') $y", "replace", "& ('iex') $y"),
        ("& (('i','e','x') -join '') $y", "join", "& ('iex') $y"),
        ("& (-join ('i','e','x')) $y", "join", "& ('iex') $y"),
        ("& ([string]::Join('',('i','e','x'))) $y", "join", "& ('iex') $y"),
        ("& (('i,e,x' -split ',') -join '') $y", "join", "& ('iex') $y"),
        ("& ('xei'[-1..-3] -join '') $y", "reverse", "& ('iex') $y"),
        ("& (-join 'xei'[-1..-3]) $y", "join", "& ('iex') $y"),
        ("& (-join 'xei'[-1..-('xei'.Length)]) $y", "join", "& ('iex') $y"),
        ("& ('xabcei'[5,4,0]-join'') $y", "index", "& ('iex') $y"),
        ("$s='ssecorP-teG'.ToCharArray();[array]::Reverse($s);-join $s", "reverse", "Get-Process"),
        ("&('{2}{0} {1}' -f 'b','c', 'a') $y", "format", "&('ab c') $y"),
        ("&(\"{0}{3}{1}{2}\" -f 'w','a','mi','ho')", "format", "&('whoami')"),
        ("&('{1}{0}' -f ('e'+'x'),'i') $y", "format", "&('iex') $y"),
        ("$a='ie';$b='x';&($a+$b) $y", "concat", "$a='ie';$b='x';&('iex') $y"),
        ("$a='ie';$b='x';& \"$a$b\" $y", "variable", "$a='ie';$b='x';& \"iex\" $y"),
        ("& ($ShellId[1]+$ShellId[13]+'x') $y", "concat", "& ('iex') $y"),
        ("& ($env:ComSpec[4,24,25]-join'') $y", "env", "& ('iex') $y"),
        ("& ($VerbosePreference.ToString()[1,3]+'x'-join'') $y", "join", "& ('iex') $y"),
        ("& ([char]0x69+[char](100+1)+[char]120) $y", "char", "& ('iex') $y"),
        (f"iex (-join [char[]]({CODES}))", "wrapper", COMMAND),
        (f"iex (-join (({CODES}) | % {{[char]$_}}))", "wrapper", COMMAND),
        (f"iex ([Text.Encoding]::ASCII.GetString([byte[]]({HEX_CODES})))", "wrapper", COMMAND),
        (f"-join('{CODES.replace(',', 'n')}' -split 'n'|%{{[char][int]$_}})", "join", f"'{COMMAND}'"),
        (f"-join({XORED}|%{{[char]($_ -bxor 0x23)}})", "xor", COMMAND),
        (f"$k=[Convert]::FromBase64String('{b64(bytes(ord(c) ^ 35 for c in COMMAND))}')|%{{$_ -bxor 35}}", "xor",
         COMMAND),
        (f"IEX(New-Object IO.StreamReader((New-Object IO.Compression.GzipStream([IO.MemoryStream]"
         f"[Convert]::FromBase64String('{b64(gzip.compress(COMMAND.encode()))}'),'Decompress')))).ReadToEnd()",
         "gzip-base64", COMMAND),
        ("mshta vbscript:Execute(Chr(87)&Chr(83)&Chr(99)&Chr(114))", "char", "mshta vbscript:Execute('WScr')"),
        ("mshta vbscript:Execute(Chr(&H57) & Chr(&H53))", "char", "mshta vbscript:Execute('WS')"),
        ("mshta vbscript:Execute(StrReverse(\"llehS.tpircSW\"))", "reverse", "WScript.Shell"),
        ('mshta vbscript:Execute("WScr" & "ipt.Shell")', "concat", 'mshta vbscript:Execute("WScript.Shell")'),
        ("mshta javascript:%65%76%61%6c(x)", "percent", "mshta javascript:eval(x)"),
        ("node -p unescape('%77%68%6f%61%6d%69')", "percent", "node -p unescape('whoami')"),
        ("node -p String.fromCharCode(119,104,111,97,109,105)", "char", "node -p String.fromCharCode('whoami')"),
        ("python -m x exec(chr(105)+chr(100)+chr(59))", "char", "python -m x exec('id;')"),
        ("python -m x bytes([105,100,32,45,117])", "char", "python -m x bytes(['id -u'])"),
        ("python -m x bytes.fromhex('6964202d75206d65')", "hex", "id -u me"),
        ("python -m x codecs.decode('vq -h ebbg','rot13')", "rot13", "id -u root"),
        ("php -f x str_rot13('vq -h ebbg')", "rot13", "id -u root"),
        (f"python -m x zlib.decompress(base64.b64decode('{b64(zlib.compress(COMMAND.encode()))}'))", "gzip-base64",
         COMMAND),
        ("python -m x 'toor u- di'[::-1]", "reverse", "python -m x 'id -u root'"),
        ("powershell -nop \"& ('i'+'ex') $y\"", "wrapper", "& ('iex') $y"),
    ],
)  # fmt: skip
def test_the_last_layer_of_an_obfuscation_is_the_plain_text(line, kind, text):
    assert decode_layers(line, "windows")[-1] == Layer(kind, text)


def test_base64_within_gzip_within_base64_comes_layer_by_layer():
    inner = f"iex([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('{b64(COMMAND.encode())}')))"
    outer = f"$s=[Convert]::FromBase64String('{b64(gzip.compress(inner.encode()))}')"
    assert decode_layers(outer, "windows") == [Layer("gzip-base64", inner), Layer("base64", COMMAND)]


@pytest.mark.parametrize(
    "line",
    [
        "Get-ChildItem C:\\Progra~1 -Filter *.log | Sort-Object Length",
        "(Get-Content x.txt) -replace 'a','b' | Set-Content y.txt",
        "$path='C:\\temp'; Get-ChildItem $path",
        "Get-Date -Format 'yyyy-MM-dd'",
        "'{0:N2} GB' -f ($disk.Size/1GB)",
        "$x.Split(',') -join ';'",
        "$list = 1,2,3,4,5; $list | ForEach-Object { $_ * 2 }",
        "Get-Service | Where-Object { $_.Name -match '^win' }",
        "curl.exe https://example.com/a%20b%20c%20d",
        '"C:\\Program Files\\a.exe" & "C:\\Program Files\\b.exe"',
        "reg add HKLM\\Software\\X /v Y /t REG_BINARY /d 0102030405060708 /f",
        "Set-ItemProperty -Path HKCU:\\X -Name Y -Value ([byte[]](0,1,2,3))",
        "$a[0] + $a[1]",
        'curl -d {\\"a\\":\\"b\\",\\"c\\":[1,2,3,4]} http://localhost/',
        "python -c print(chr(10))",
        "Test-NetConnection 10.0.0.1 -Port 443 -InformationLevel 'Detailed'",
    ],
)
def test_ordinary_administration_hides_nothing(line):
    assert [x for x in decode_layers(line, "windows") if x.kind != "wrapper"] == []
