"""The checker: each fault is named, sound templates pass, and so does the whole bundled lexicon."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cmdclf.lexicon import Lexicon, Template
from cmdclf.lexicon.check import ID_PREFIX, payload_decodes, problems
from cmdclf.lexicon.techniques import techniques

BAD = {"label": "malicious", "technique": ("T1059",)}


def template(**changes: object) -> Template:
    base = Template(id="win-a", label="benign", platform="windows", role="r", line="tool {{user}}")
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_bundled_lexicon_is_sound_in_bulk() -> None:
    lexicon = Lexicon.load()
    assert lexicon.check() == []
    assert all(t.id.startswith(ID_PREFIX[t.platform] + "-") for t in lexicon)


@pytest.mark.parametrize(
    ("templates", "said"),
    [
        ([template(), template()], "the id is used twice"),
        ([template(), template(id="win-b", line="TOOL  {{user2}}")], "duplicate of 'win-a'"),
        ([template(), template(id="win-b", line="TOOL  {{user2}}", **BAD)], "duplicate of 'win-a'"),
        ([template(id="lin-a")], "after 'win-'"),
        ([template(id="win-A")], "small letters"),
        ([template(id="win-a_b")], "small letters"),
        ([template(id="win-")], "small letters"),
        ([template(line="x {{nothing}}")], "unknown slot"),
        ([template(parent="x {{nothing}}")], "unknown slot"),
        ([template(line="x {{int:9-1}}")], "no range"),
        ([template(line="x {{payload:base64}}")], "without a payload"),
        ([template(payload="text")], "payload is never used"),
        ([template(payload="t", line="x {{payload:rot13}}")], "unknown payload encoding"),
        ([template(payload="some text here", line="x {{payload:hex}}")], "not found by decoding"),
        ([template(label="malicious")], "names its ATT&CK technique"),
        ([template(label="malicious", technique=("1059",))], "no ATT&CK technique"),
        ([template(label="malicious", technique=("T1059.099",))], "no ATT&CK technique"),
        ([template(label="malicious", technique=("T1574.002",))], "merged into T1574.001"),
        ([template(**BAD, weight=3)], "has weight 0"),
        ([template(technique=("T1059",))], "names no technique"),
        ([template(hard=True, weight=1)], "a hard template is rare"),
        ([template(weight=101)], "weight is not between"),
        ([template(twin="win-b")], "twin 'win-b' does not exist"),
        ([template(twin="win-b"), template(id="win-b", line="other")], "has the same label"),
        (
            [template(twin="lin-b"), template(id="lin-b", platform="linux", line="other", **BAD)],
            "is of another platform",
        ),
        ([template(line="a\nb")], "no line break"),
        ([template(line="tool {{pick:{A}|{B}}}")], "malformed"),
        ([template(line='cmd /c "whoami')], "double quotes are odd"),
        ([template(parent='"C:\\x.exe')], "its parent: its double quotes"),
        ([template(line='powershell -Command "Get-X | ? { $_.A -eq 1"')], "bracket { of its PowerShell text"),
        ([template(payload="gc 'x", line="powershell -enc {{payload:ps-encoded}}")], "quote ' at character 4"),
        ([template(id="lin-a", platform="linux", line="sh -c 'echo \"x'")], 'quote " at character 6'),
        ([template(line="curl https://evil.com/x")], "host 'evil.com' is not reserved"),
        ([template(line="curl ftp://evil.com/x")], "host 'evil.com' is not reserved"),
        ([template(line="nc 45.33.32.156 80")], "address 45.33.32.156"),
        ([template(line="x AKIA" + "Q7W2E5R8T1Y4U6I3")], "prefix of a real one"),
        ([template(line="x " + "\\x90" * 16)], "machine code"),
        ([template(id="lin-a", platform="linux", line="rm -rf / --no-preserve-root")], "wipes a whole system"),
        ([template(id="lin-a", platform="linux", line="dd if=/dev/zero of=/dev/sda bs=1M")], "wipes a whole system"),
        ([template(id="lin-a", platform="linux", line="bash -c ':(){ :|:& };:'")], "wipes a whole system"),
    ],
)
def test_check_names_the_fault(templates: list[Template], said: str) -> None:
    found = problems(templates)
    assert any(said in fault for fault in found), found
    assert all(f"template '{templates[-1].id}'" in fault or "twin" in fault for fault in found)


@pytest.mark.parametrize(
    ("platform", "line"),
    [
        (
            "windows",
            "x https://a.example.com/ http://{{host}}/ http://localhost:1/ 10.1.2.3 192.0.2.9 4.18.1.0 http://x.test/",
        ),
        ("linux", "curl -s http://169.254.169.254/latest/meta-data/ http://metadata.google.internal/computeMetadata/"),
        ("linux", "rm -rf /var/lib/{{word}}/* /tmp/x"),
        ("linux", "dd if=/dev/zero of={{device}} bs=1M"),
        ("macos", "git commit -m don't"),
        ("windows", 'robocopy "C:\\Data\\" {{share}} /E'),
        ("windows", 'cmd.exe /d /s /c ""C:\\a b\\c.cmd" "x y""'),
    ],
)
def test_check_lets_what_is_reserved_and_inert_pass(platform: str, line: str) -> None:
    one = template(id=f"{ID_PREFIX[platform]}-a", platform=platform, line=line)
    assert problems([one]) == []


def test_a_twin_may_point_one_way_and_be_shared() -> None:
    bad = template(id="win-mal-a", line="tool --bad {{user}}", **BAD)
    good = [template(twin=bad.id), template(id="win-b", line="tool --other", twin=bad.id)]
    assert problems([bad, *good]) == []


@pytest.mark.parametrize("encoding", ["ps-encoded", "base64", "gzip-base64", "hex"])
def test_a_payload_is_found_where_the_shell_would_decode_it(encoding: str) -> None:
    wrapped = {
        "ps-encoded": ("windows", "powershell -NoProfile -enc {{payload:ps-encoded}}"),
        "base64": ("linux", "sh -c 'echo {{payload:base64}} | base64 -d | sh'"),
        "gzip-base64": ("linux", "sh -c 'echo {{payload:gzip-base64}} | base64 -d | gunzip | sh'"),
        "hex": ("linux", "sh -c 'echo {{payload:hex}} | xxd -r -p | sh'"),
    }
    platform, line = wrapped[encoding]
    one = template(platform=platform, line=line, payload="echo hello {{user}} from {{word}} && date")
    assert payload_decodes(one)
    assert not payload_decodes(replace(one, line=f"x {{{{payload:{encoding}}}}}".replace("gzip-base64", "hex")))


def test_faults_name_the_file_and_do_not_depend_on_chance(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        "[[template]]\nid = 'win-x'\nlabel = 'benign'\nplatform = 'windows'\nrole = 'r'\nline = 'tool {{nothing}}'\n"
    )
    found = Lexicon.load(tmp_path).check()
    assert found == Lexicon.load(tmp_path).check()
    assert found[0].startswith("x.toml: template 'win-x': ")


def test_the_list_of_techniques_is_that_of_one_version() -> None:
    valid, merged = techniques()
    assert len([t for t in valid if "." not in t]) == 216
    assert len([t for t in valid if "." in t]) == 475
    assert {"T1059.001", "T1204.004", "T1680"} <= valid
    assert set(merged.values()) <= valid
    assert valid.isdisjoint(merged)
