from __future__ import annotations

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.lines import redact, redact_batch, redact_many

HASH = "0123456789abcdef0123456789abcdef"

# A line with {} where the secret stands, its kind, and a secret of the usual form for that place.
PLACES = [
    ("curl -u admin:{} https://example.com", "password", "S3cr3t!x"),
    ("curl --user=admin:{} https://example.com", "password", "S3cr3t!x"),
    ("/usr/bin/curl -s -uadmin:'{}' https://example.com", "password", "S3cr3t x"),
    ("curl ftp.example.com -u 'admin:{}'", "password", "S3cr3t x"),
    ("wget --http-password={} https://example.com", "password", "S3cr3t!x"),
    ("git clone https://bob:{}@example.com/x.git", "password", "S3cr3t!x"),
    ("git clone https://{}@example.com/x.git", "token", "abcdefghij0123456789ab"),
    ("mysql -u root -p{} db", "password", "S3cr3t!x"),
    ("mysqldump --password='{}' db", "password", "S3cr3t;x y"),
    ("sudo mysql -uroot -p\"{}\" -e 'select 1'", "password", "S3cr3t!x"),
    ("mongosh --username u --password {} db", "password", "S3cr3t!x"),
    ("redis-cli -h h -a {} ping", "password", "S3cr3t!x"),
    ("sqlcmd -S h -U sa -P {} -Q x", "password", "S3cr3t!x"),
    ("sqlplus scott/{}@db", "password", "tiger"),
    ("ldapsearch -D cn=x -w {} -b dc=x", "password", "S3cr3t!x"),
    (r"net use Z: \\srv\share {} /user:CORP\bob", "password", "S3cr3t!x"),
    (r'net.exe use \\srv\share /user:CORP\bob "{}"', "password", "S3cr3t x"),
    (r'C:\Windows\System32\net.exe use "\\srv\my share" "{}" /user:bob', "password", "S3cr3t x"),
    ("net user bob {} /add /domain", "password", "S3cr3t!x"),
    (r"psexec.exe \\host -u adm -p {} cmd", "password", "S3cr3t!x"),
    ("schtasks /create /tn t /tr x /ru bob /rp {}", "password", "S3cr3t!x"),
    ("cmdkey /add:h /user:bob /pass:{}", "password", "S3cr3t!x"),
    ("wmic /node:h /user:bob /password:{} process list", "password", "S3cr3t!x"),
    (r'sc config svc obj= .\bob password= "{}"', "password", "S3cr3t x"),
    ("bitsadmin /SetCredentials job SERVER BASIC bob {}", "password", "S3cr3t!x"),
    ("setx DB_PASSWORD {}", "password", "S3cr3t!x"),
    (r'reg add "HKLM\x" /v DefaultPassword /t REG_SZ /d {} /f', "password", "S3cr3t!x"),
    ("certutil -f -p {} -importpfx x.pfx", "password", "S3cr3t!x"),
    ("plink -ssh h -l bob -pw {}", "password", "S3cr3t!x"),
    ("xfreerdp /v:h /u:bob /p:{}", "password", "S3cr3t!x"),
    ("rar a -hp{} x.rar y", "password", "S3cr3t!x"),
    (r'"C:\Program Files\7-Zip\7z.exe" a -p{} x.7z y', "password", "S3cr3t!x"),
    ("zip -P {} x.zip y", "password", "S3cr3t!x"),
    ("keytool -list -storepass {} -keystore x", "password", "changeit"),
    ("openssl enc -aes256 -pass pass:{} -in x", "password", "S3cr3t!x"),
    ("gpg --batch --passphrase {} -c x", "password", "S3cr3t!x"),
    ("sshpass -p '{}' ssh -p 22 h", "password", "S3cr3t x"),
    ("htpasswd -cb file bob {}", "password", "S3cr3t!x"),
    ("htpasswd -nb bob {}", "password", "S3cr3t!x"),
    ("smbclient //h/s -U bob%{}", "password", "S3cr3t!x"),
    ("echo 'bob:{}' | sudo chpasswd", "password", "S3cr3t!x"),
    ("echo {} | sudo -S apt update", "password", "S3cr3t!x"),
    ("echo \"{}\" | passwd --stdin bob", "password", "S3cr3t!x"),
    ("echo {} | docker login -u bob --password-stdin r", "password", "S3cr3t!x"),
    ("security unlock-keychain -p {} login.keychain", "password", "S3cr3t!x"),
    ("networksetup -setairportnetwork en0 SSID {}", "password", "S3cr3t!x"),
    ("docker login -u bob -p {} registry.example.com", "password", "S3cr3t!x"),
    ("docker run -e MYSQL_ROOT_PASSWORD={} -p 80:80 x", "password", "S3cr3t!x"),
    ("az login -u bob -p {}", "password", "S3cr3t!x"),
    ("az storage blob list --account-key {}", "key", "abcDEF0123456789=="),
    ("aws configure set aws_secret_access_key {}", "key", "abcDEF0123456789"),
    ("vault login {}", "token", "hvs.abcdefghij0123456789"),
    ("npm config set //r/:_authToken {}", "token", "abcDEF0123456789"),
    ("kubectl --token={} get pods", "token", "abcDEF0123456789"),
    ("kubectl create secret generic x --from-literal=password={}", "password", "S3cr3t!x"),
    ("PGPASSWORD='{}' psql -h h", "password", "S3cr3t x"),
    ('app "Server=h;User Id=sa;Password={};Timeout=3"', "password", "S3cr3t!x"),
    ("app 'AccountName=x;AccountKey={};E=y'", "key", "abcDEF0123456789=="),
    ("curl -H 'Authorization: Bearer {}' h", "token", "abcDEF0123456789"),
    ('curl -H "Authorization: Basic {}" h', "token", "Ym9iOlMzY3JldA=="),
    ("curl -H 'X-Api-Key: {}' h", "token", "abcDEF0123456789"),
    ("curl -d '{{\"password\": \"{}\"}}' h", "password", "S3cr3t x"),
    ("curl 'https://h.example.com/x?sv=1&sig={}'", "key", "abcDEF0123456789%3D"),
    ("x {} y", "jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-DEF_1"),
    ("x {} y", "token", "ghp_" + "a1B2" * 9),
    ("x {} y", "token", "xoxb-123456789012-abcdefABCDEF"),
    ("x {} y", "token", "sk-" + "a1B2" * 8),
    ("x {} y", "key", "AKIA" + "ABCD0123EFGH4567"),
    ("echo '-----BEGIN RSA PRIVATE KEY-----{}-----END RSA PRIVATE KEY-----'", "key", "MIIEabc+/=" * 9),
    ('ConvertTo-SecureString "{}" -AsPlainText -Force', "password", "S3cr3t x"),
    ("ConvertTo-SecureString -AsPlainText -Force -String '{}'", "password", "$S3cr3t"),
    ("'{}' | ConvertTo-SecureString -AsPlainText -Force", "password", "S3cr3t x"),
    ("New-Object Net.NetworkCredential('bob', '{}')", "password", "S3cr3t x"),
    ("mimikatz sekurlsa::pth /user:bob /ntlm:{}", "hash", HASH),
    ("secretsdump.py -hashes {} corp/bob@192.0.2.1", "hash", f"{HASH}:{HASH}"),
    ("nxc smb 192.0.2.1 -u bob -H {}", "hash", HASH),
    ("wmiexec.py corp/bob:{}@192.0.2.1", "password", "S3cr3t!x"),
    ("usermod -p '{}' bob", "hash", "$6$salt$" + "aB3." * 12),
    ("sh -c \"mysql -u root --password=\\\"{}\\\" db\"", "password", "S3cr3t x"),
    ('sh -c "app token=\\"{}\\" x"', "token", "abcDEF0123456789"),
    ('sh -c "app --set \\"token={}\\" x"', "token", "abcDEF0123456789"),
    ("powershell -Command \"Connect-X -Password '{}'\"", "password", "S3cr3t x"),
]  # fmt: skip

CLEAN = [
    "",
    "ls -la /home/bob",
    "ssh -p 2222 host",
    "docker run -p 8080:80 -d nginx",
    "mkdir -p /opt/x",
    "iptables -t security -p tcp -j DROP",
    "mysql -u root -p db",
    "net user bob /active:yes",
    "net use",
    r"net use Z: \\srv\share",
    "curl -u $USER:$PASS https://example.com",
    "curl -u bob https://example.com",
    "PGPASSWORD=$PASS psql",
    "app --password %PASS%",
    "PWD=/home/bob env",
    "echo 'Enter password:'",
    "psql --password",
    "docker login --password-stdin registry",
    "app --password-file /run/secrets/x --max-tokens=100 --tokenizer=bert",
    "$password = Read-Host -AsSecureString",
    "$token = Get-AzAccessToken",
    "git clone git@github.com:org/repo.git",
    "docker pull registry/img:1.2@sha256:0123456789abcdef",
    "aws s3 ls --starting-token abcdefgh",
    "aws secretsmanager get-secret-value --secret-id arn:aws:secretsmanager:eu:1:secret:name",
    "curl -I https://example.com",
    "openssl version",
    "7z x archive.7z -oout",
    "sha256sum -c 0123456789abcdef0123456789abcdef",
    "ConvertTo-SecureString $plain -AsPlainText -Force",
    "chrome --channel-token=1234567890",
    "Add-Type -AssemblyName 'System.Web, PublicKeyToken=31bf3856ad364e35'",
    "$secure = ConvertTo-SecureString $plain",
    "useradd -p $(openssl rand 8) bob",
    "find /var/lib/mysql -user bob -print0",
    "python3 -c 'import token; print(token)'",
]


@pytest.mark.parametrize(("place", "kind", "secret"), PLACES)
def test_a_secret_gives_way_to_its_placeholder_and_nothing_else_changes(place, kind, secret):
    result = redact(place.format(secret))
    assert result.text == place.format(f"<secret:{kind}>")
    (found,) = result.found
    assert (found.kind, place.format(secret)[found.start : found.end]) == (kind, secret)


@pytest.mark.parametrize("line", CLEAN)
def test_a_line_without_secrets_is_untouched(line):
    assert redact(line).text == line
    assert redact(line).found == ()


@pytest.mark.parametrize(("place", "kind", "secret"), PLACES)
def test_redacting_again_changes_nothing(place, kind, secret):
    once = redact(place.format(secret)).text
    assert redact(once).text == once


def test_batches_equal_single_lines_and_nulls_stay():
    lines = [*[place.format(secret) for place, _, secret in PLACES], *CLEAN, None]
    texts, kinds = redact_batch(pa.array(lines, pa.string()))
    assert texts.to_pylist() == [None if x is None else redact(x).text for x in lines]
    assert kinds.to_pylist() == [None if x is None else [s.kind for s in redact(x).found] for x in lines]
    assert redact_many(pa.array([], pa.string())).to_pylist() == []


PIECES = [
    *[place.replace("{}", "S3cr3t!x").replace("{{", "{") for place, _, _ in PLACES],
    *(
        "<secret:password>",
        "<secret:",
        "password=",
        "token:",
        "'",
        '"',
        '\\"',
        " ",
        "|",
        ";",
        "-p ",
        "-p",
        ":",
        "@",
        "/",
        "=",
    ),
    *("x", "$", "İ", "\ud800"),
]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=8).map("".join))
def test_any_text_is_redacted_to_a_text_that_stays(line):
    result = redact(line)
    assert redact(result.text).text == result.text
    assert [(s.start, s.end) for s in result.found] == sorted((s.start, s.end) for s in result.found)
    assert len(re.findall("<secret:", result.text)) >= len(result.found)
    if not result.found:
        assert result.text == line


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=4).map("".join))
def test_the_gate_keeps_back_no_entry_that_would_find_something(line):
    assert redact(line) == redact(line, gated=False)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PLACES),
    st.sampled_from("\u00a0\u2003\x1f\u017f\u212a\u0130\u0131"),
    st.integers(0, 80),
)
def test_the_gate_knows_letters_and_blanks_outside_of_ascii(place, character, at):
    line = place[0].format(place[2])
    for other in (line[:at] + character + line[at:], line.replace(" ", character), line.upper()):
        assert redact(other) == redact(other, gated=False)
        texts, kinds = redact_batch(pa.array([other]))
        assert (texts[0].as_py(), kinds[0].as_py()) == (redact(other).text, [s.kind for s in redact(other).found])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abc XYZ019./-", max_size=40), max_size=8))
def test_plain_words_are_never_touched(lines):
    assert redact_many(pa.array(lines, pa.string())).to_pylist() == lines


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "curl -u ",
            "net use \\\\",
            "password=",
            "echo a:b ",
            "-----BEGIN PRIVATE KEY-----",
            "https://a:",
            "a/b:",
            "eyJa.",
        ),
        *(
            "'",
            '"a',
            'token="',
            "mysql -p",
            "sqlplus ",
            "wget x ",
            "reg add x /v password ",
            "htpasswd -b a ",
            "sudo x ",
        ),
        *(
            "convertto-securestring 'a",
            "$6$",
            "security ",
            "password=.*",
            "-u a -p ",
            "token=a/",
            "x-api-key: ",
            "\u00a0",
        ),
    ],
)
def test_a_long_run_of_one_trigger_ends_and_stays_redacted(piece):
    # Backtracking or a scan from every occurrence would not come to an end here.
    text = redact(piece * (100_000 // len(piece))).text
    assert redact(text).text == text
