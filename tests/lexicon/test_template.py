from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cmdclf.errors import LexiconError
from cmdclf.lexicon import Lexicon, Template

GOOD = """[[template]]
id = "a"
label = "benign"
platform = "linux"
role = "admin"
line = 'df -h {{path_home}}'
"""


def load(folder: Path, text: str) -> Lexicon:
    (folder / "x.toml").write_text(text, encoding="utf-8")
    return Lexicon.load(folder)


def template(**changes: object) -> Template:
    base = Template(id="a", label="benign", platform="windows", role="r", line="tool {{user}}")
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_bundled_lexicon_is_sound() -> None:
    lexicon = Lexicon.load()
    assert lexicon.check() == []
    benign = [t for t in lexicon if t.label == "benign"]
    assert len(benign) >= 400
    rare = [t for t in benign if t.weight == 0]
    assert sum(t.hard for t in rare) > len(rare) / 2
    share = {p: sum(t.platform == p for t in benign) / len(benign) for p in ("windows", "linux", "macos")}
    assert 0.5 < share["windows"] < 0.7
    assert 0.2 < share["linux"] < 0.4
    assert share["macos"] > 0.07


def test_a_file_of_templates_is_read_in_order(tmp_path: Path) -> None:
    lexicon = load(tmp_path, GOOD + GOOD.replace('"a"', '"b"'))
    assert [t.id for t in lexicon] == ["a", "b"]
    assert lexicon.templates[0].file == "x.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("line", "lime"), "unknown key lime"),
        (GOOD.replace('role = "admin"\n', ""), "'role' is missing"),
        (GOOD.replace('"benign"', '"good"'), "label 'good'"),
        (GOOD.replace('"linux"', '"beos"'), "platform 'beos'"),
        (GOOD + "weight = true\n", "'weight' is bool"),
        (GOOD + "hard = 1\n", "'hard' is int"),
        ("[[template]]\nid = ", "Invalid value"),
        ("title = 'x'\n" + GOOD, "only [[template]] tables"),
    ],
)
def test_a_faulty_file_is_refused_with_its_name_and_a_remedy(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LexiconError) as caught:
        load(tmp_path, text)
    assert said in str(caught.value)
    assert "x.toml" in str(caught.value)
    assert caught.value.remedy


def test_an_empty_folder_is_no_lexicon(tmp_path: Path) -> None:
    with pytest.raises(LexiconError, match="no lexicon file"):
        Lexicon.load(tmp_path)


@pytest.mark.parametrize(
    ("templates", "said"),
    [
        ([template(), template()], "the id is used twice"),
        ([template(), template(id="b", line="TOOL  {{user2}}")], "duplicate of 'a'"),
        ([template(line="x {{nothing}}")], "unknown slot"),
        ([template(line="x {{int:9-1}}")], "no range"),
        ([template(line="x {{payload:base64}}")], "without a payload"),
        ([template(payload="text")], "payload is never used"),
        ([template(payload="t", line="x {{payload:rot13}}")], "unknown payload encoding"),
        ([template(label="malicious")], "names its ATT&CK technique"),
        ([template(label="malicious", technique=("1059",))], "no ATT&CK technique"),
        ([template(label="malicious", technique=("T1059",), weight=3)], "has weight 0"),
        ([template(technique=("T1059",))], "names no technique"),
        ([template(hard=True, weight=1)], "a hard template is rare"),
        ([template(weight=101)], "weight is not between"),
        ([template(twin="b")], "twin 'b' does not exist"),
        ([template(twin="b"), template(id="b", line="other")], "has the same label"),
        ([template(line="curl https://evil.com/x")], "host 'evil.com' is not reserved"),
        ([template(line="nc 45.33.32.156 80")], "address 45.33.32.156"),
    ],
)
def test_check_names_the_fault(templates: list[Template], said: str) -> None:
    found = Lexicon(tuple(templates)).check()
    assert any(said in fault for fault in found), found


def test_check_lets_reserved_hosts_private_addresses_and_versions_pass() -> None:
    line = "x https://a.example.com/ http://{{host}}/ http://localhost:1/ 10.1.2.3 192.0.2.9 4.18.1.0 http://x.test/"
    assert Lexicon((template(line=line),)).check() == []


def test_a_slot_whose_arguments_hold_braces_is_reported(tmp_path):
    (tmp_path / "windows-benign-x.toml").write_text(
        "[[template]]\nid = 'x'\nlabel = 'benign'\nplatform = 'windows'\nrole = 'r'\ntool = 't'\nintent = 'i'\n"
        "weight = 1\n"
        "parent = ''\nline = 'dllhost.exe /Processid:{{pick:{A}|{B}}}'\n",
        encoding="utf-8",
    )
    assert any("malformed" in problem for problem in Lexicon.load(tmp_path).check())
