import base64
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.labels.requests import requests_for

SECRET = "Tr0ub4dor3x"


def encoded(text):
    return base64.b64encode(text.encode("utf-16-le")).decode()


@pytest.mark.parametrize(
    "line",
    [
        f"mysql --user=app --password={SECRET} -e 'select 1'",
        f"cmd.exe /c net user deploy {SECRET} /add",
        f"cmd.exe /c n^et us^er deploy {SECRET} /a^dd",
        f"cmd.exe /c n^et us^er deploy {SECRET[:4]}^{SECRET[4:]} /a^dd",
        f"powershell -enc {encoded(f'net user deploy {SECRET} /add')}",
        f"powershell -enc {encoded('powershell -enc ' + encoded(f'net user deploy {SECRET} /add'))}",
    ],
)
def test_no_secret_is_in_a_request_in_plain_sight_split_or_encoded(lines_of, line):
    [request] = requests_for(lines_of(line))
    sent = "\n".join([request.text, *request.decoded])
    plain = sent.replace("^", "")
    assert SECRET not in plain
    for run in re.findall(r"[A-Za-z0-9+/=]{24,}", sent):
        assert SECRET not in base64.b64decode(run + "==").decode("utf-16-le", "replace")
    assert "<secret:" in sent


def test_the_same_holds_for_the_parents_command_line(lines_of):
    payload = encoded(f"net user deploy {SECRET} /add")
    lines = lines_of("whoami", parent_command_line=[f"powershell -enc {payload}"])
    [request] = requests_for(lines)
    assert request.parent
    assert payload not in request.parent


def test_an_encoded_payload_without_a_secret_stays_and_is_shown_decoded(lines_of):
    payload = encoded("Get-Service Spooler | Restart-Service")
    [request] = requests_for(lines_of(f"powershell.exe -EncodedCommand {payload}"))
    assert payload in request.text
    assert any("Restart-Service" in text for text in request.decoded)


def test_an_inner_command_that_the_line_shows_word_for_word_is_not_repeated(lines_of):
    [request] = requests_for(lines_of("cmd.exe /c ipconfig /all"))
    assert request.decoded == ()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["windows", "linux", "macos"]))
def test_any_line_becomes_a_request_and_twice_the_same(text, platform):
    import pyarrow as pa

    text = text.encode("utf-8", "replace").decode()
    lines = pa.table({"command_id": ["0" * 32], "platform": [platform], "command_line": [text]})
    [request] = requests_for(lines)
    assert requests_for(lines) == [request]
    assert len(request.text_sha256) == 64
