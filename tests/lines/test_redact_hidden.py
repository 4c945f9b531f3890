from __future__ import annotations

import base64
import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.lines import redact_hidden, redact_hidden_batch

SECRET = "Tr0ub4dor3x"


def utf16(text):
    return base64.b64encode(text.encode("utf-16-le")).decode()


def utf8(text):
    return base64.b64encode(text.encode()).decode()


def carries(text):
    """Whether an encoded run of the text decodes to the secret."""
    for run in re.findall(r"[A-Za-z0-9+/=]{12,}", text):
        data = base64.b64decode(run + "=" * (-len(run) % 4)) if len(run.rstrip("=")) % 4 != 1 else b""
        if SECRET.encode() in data or SECRET.encode("utf-16-le") in data:
            return True
    return SECRET in text


def test_the_payload_gives_way_and_the_words_around_it_stay():
    line = f"powershell.exe -NonInteractive -EncodedCommand {utf16(f'net user deploy {SECRET} /add')}"
    shown = redact_hidden(line, "windows")
    assert shown.text == "powershell.exe -NonInteractive -EncodedCommand <secret:encoded>"
    assert shown.decoded == ("net user deploy <secret:password> /add",)
    assert shown.kinds == ("encoded",)


@pytest.mark.parametrize(
    "line",
    [
        f"powershell -enc {utf16('powershell -enc ' + utf16(f'net user deploy {SECRET} /add'))}",
        f"echo {utf8(f'mysql -uroot -p{SECRET} x')} | base64 -d | sh",
        f"bash -c '{{echo,{utf8(f'curl -u bob:{SECRET} http://192.0.2.1/')}}}|{{base64,-d}}|{{bash,-i}}'",
        f"echo {f'redis-cli -a {SECRET} info'.encode().hex()} | xxd -r -p | sh",
        f"cmd /c n^et us^er deploy {SECRET[:4]}^{SECRET[4:]} /a^dd",
        f"mysql -p{SECRET} -e 'select 1'; echo {utf8(f'mysql -p{SECRET}')} | base64 -d | sh",
    ],
)
def test_no_secret_leaves_in_the_text_or_in_a_layer(line):
    shown = redact_hidden(line, "windows" if "^" in line else "linux")
    for text in (shown.text, *shown.decoded):
        assert not carries(text.replace("^", ""))
        assert not re.search(SECRET.encode().hex(), text)
    assert shown.kinds
    texts, kinds = redact_hidden_batch(pa.array([line]), pa.array(["windows" if "^" in line else "linux"]))
    assert (texts[0].as_py(), kinds[0].as_py()) == (shown.text, list(shown.kinds))


def test_a_payload_without_a_secret_stays_and_nulls_stay_null():
    payload = f"powershell -enc {utf16('Get-Service Spooler | Restart-Service')}"
    lines = [payload, None, "ls", "mysql -phunter2x"]
    texts, kinds = redact_hidden_batch(pa.array(lines, pa.string()))
    assert texts.to_pylist() == [payload, None, "ls", "mysql -p<secret:password>"]
    assert kinds.to_pylist() == [[], None, [], ["password"]]
    assert redact_hidden_batch(pa.array([], pa.string()))[0].to_pylist() == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(st.text(max_size=30), st.sampled_from(["powershell -e " + utf16("x -p y"), "password=", "^", "%a%"])),
        max_size=5,
    ),
    st.sampled_from(["windows", "linux", "macos", None]),
)
def test_any_lines_are_redacted_the_same_way_twice(lines, platform):
    lines = [line.encode("utf-8", "replace").decode() for line in lines]
    array = pa.array(lines, pa.string())
    where = None if platform is None else pa.array([platform] * len(lines), pa.string())
    first = redact_hidden_batch(array, where)
    assert first == redact_hidden_batch(array, where)
    assert len(first[0]) == len(lines)
