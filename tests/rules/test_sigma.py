from __future__ import annotations

import sys

import pyarrow as pa
import pytest

from cmdclf.errors import MissingExtraError, RuleError
from cmdclf.rules import RuleSet
from cmdclf.rules.condition import parsed
from cmdclf.rules.sigma import can_hold, import_sigma, sigma_levels
from cmdclf.rules.sigma_file import write_rules

pytest.importorskip("sigma.collection", reason="needs the extra sigma")

RULE = """
title: {title}
id: {id}
status: test
description: Ours, for tests.
author: A. Tester
logsource:
    category: {category}
    product: {product}
detection:
{detection}
level: {level}
tags:
    - attack.credential-access
    - attack.t1003.001
"""
SELECTION = "    selection:\n        {}\n    condition: selection"


def sigma(detection, *, n=1, title="t", category="process_creation", product="windows", level="high"):
    number = f"00000000-0000-0000-0000-{n:012d}"
    return RULE.format(title=title, id=number, category=category, product=product, detection=detection, level=level)


def convert(tmp_path, detection, **more):
    (tmp_path / "r.yml").write_text(sigma(detection, **more), encoding="utf-8")
    return import_sigma(tmp_path)


def fires(tmp_path, detection, line, **fields):
    found = convert(tmp_path, detection)
    assert found.set_aside == []
    # What was written to a file is what is run.
    write_rules(tmp_path / "r.toml", found.rules, found.origin)
    rules = RuleSet.load(tmp_path / "r.toml")
    assert list(rules.rules) == found.rules
    assert rules.check() == []
    known = {name: pa.array([value], pa.string()) for name, value in fields.items()}
    return bool(rules.any(pa.array([line]), pa.array(["windows"]), known)[0])


@pytest.mark.parametrize(
    ("test", "line", "expected"),
    [
        ("CommandLine: 'tool -x'", "TOOL -x", True),
        ("CommandLine: 'tool -x'", "tool -xy", False),
        ("CommandLine: 'tool*-x'", "tool a -x", True),
        ("CommandLine: 'tool?-x'", "tool  -x", False),
        ("CommandLine: '*'", "tool", True),
        ("CommandLine|contains: 'dump'", "a Dump b", True),
        ("CommandLine|contains: ['one', 'two']", "two", True),
        ("CommandLine|contains|all: ['one', 'two']", "two", False),
        ("CommandLine|contains|all: ['one', 'two']", "two one", True),
        ("CommandLine|contains|cased: 'Dump'", "dump", False),
        ("CommandLine|contains: 'a\\*b'", "xa*b", True),
        ("CommandLine|contains: 'a\\*b'", "xacb", False),
        ("CommandLine|contains: 'C:\\\\Temp\\'", "C:\\Temp\\x", True),
        ("CommandLine|startswith: 'tool'", "tool -x", True),
        ("CommandLine|endswith: '.dll'", "rundll32 a.dll", True),
        ("CommandLine|windash|contains: ' -ma '", "tool /ma 7", True),
        ("CommandLine|windash|contains: ' -ma '", "tool –ma 7", True),
        ("CommandLine|windash|contains: ' -ma '", "tool +ma 7", False),
        ("CommandLine|base64offset|contains: 'http://'", "x YWFodHRwOi8v", True),
        ("CommandLine|base64offset|contains: 'http://'", "x aHR0cDovLw", True),
        ("CommandLine|wide|base64offset|contains: 'IEX'", "p SQBFAFgA", True),
        ("CommandLine|base64|contains: 'net user'", "x bmV0IHVzZXI=", True),
        ("CommandLine|re: 'net\\s+user'", "net   user", True),
        ("CommandLine|re: 'net\\s+user'", "NET   user", False),
        ("CommandLine|re|i: 'net\\s+user'", "NET   user", True),
        ("CommandLine|re|contains: 'a+b'", "xaab", True),
        ("CommandLine|exists: true", "a", True),
        ("CommandLine|exists: false", "a", False),
        ("CommandLine: ''", "a", False),
        ("CommandLine: 4", "4", True),
        ("CommandLine|neq: 'a'", "b", True),
        ("Image|endswith: '\\tool.exe'", "tool -x", True),
        ("Image|endswith: '\\tool.exe'", "C:\\x\\Tool.exe -x", True),
        ("Image|endswith: '\\tool.exe'", "mytool.exe -x", False),
    ],
)
def test_a_selection_means_what_sigma_says(tmp_path, test, line, expected):
    assert fires(tmp_path, SELECTION.format(test), line) is expected


def test_conditions_name_selections_one_by_one_or_by_pattern(tmp_path):
    parts = """
    selection_a:
        CommandLine|contains: 'a'
    selection_b:
        - CommandLine|contains: 'b'
        - ParentImage|endswith: '\\b.exe'
    filter_main:
        User: 'x'
    condition: {}"""
    for condition, line, fields, expected in [
        ("1 of selection*", "a", {}, True),
        ("all of selection*", "a", {}, False),
        ("all of selection*", "a", {"parent_image": "C:\\b.exe"}, True),
        ("selection_a and not 1 of filter_*", "a", {"user": "X"}, False),
        ("selection_a and not 1 of filter_*", "a", {}, True),
        ("1 of them", "c", {"user": "x"}, True),
        ("not selection_a and (selection_b or filter_main)", "b", {}, True),
        ("selection_a or selection_b and filter_main", "a", {}, True),
    ]:
        assert fires(tmp_path, parts.format(condition), line, **fields) is expected, condition


def test_keywords_are_looked_for_in_every_field(tmp_path):
    detection = "    keywords:\n        - 'evil'\n        - 'bad*thing'\n    condition: keywords"
    assert fires(tmp_path, detection, "an Evil line")
    assert fires(tmp_path, detection, "a", parent_command_line="a bad old thing to do")
    assert not fires(tmp_path, detection, "a line")


def test_null_and_field_references(tmp_path):
    detection = "    s:\n        Image|fieldref: ParentImage\n    f:\n        User: null\n    condition: s and not f"
    assert fires(tmp_path, detection, "a", image="C:\\a.exe", parent_image="c:\\A.exe", user="u")
    assert not fires(tmp_path, detection, "a", image="C:\\a.exe", parent_image="c:\\A.exe", user=None)
    assert not fires(tmp_path, detection, "a", image="C:\\a.exe", parent_image="c:\\A.exe")
    assert not fires(tmp_path, detection, "a", image="C:\\a.exe", parent_image="C:\\b.exe", user="u")


def test_a_rule_keeps_its_id_level_platform_and_techniques(tmp_path):
    found = convert(tmp_path, SELECTION.format("CommandLine: a"), title='it\'s a "title"', level="critical")
    rule = found.rules[0]
    assert rule.id == "00000000-0000-0000-0000-000000000001"
    assert (rule.level, rule.platform, rule.category) == ("critical", ("windows",), "credential_access")
    assert rule.technique == ("T1003.001",)
    assert found.origin[rule.id] == "r.yml, A. Tester"


BAD = {
    "text.yml": ("hello", "no Sigma rule"),
    "list.yml": ("- a\n- b", "no Sigma rule"),
    "empty.yml": ("", "no Sigma rule"),
    "binary.yml": (b"\xff\xfe\x00", "no Sigma rule"),
    "long.yml": ("#" * 300_000, "no Sigma rule"),
    "yaml.yml": ("a: [b", "broken YAML"),
    "deep.yml": ("a: " + "[" * 50_000, "broken YAML"),
    "bombs.yaml": ("a: &a [x,x]\n" + "\n".join(f"b{k}: &b{k} [*a,*a,*a,*a]" for k in range(9)), "no Sigma rule"),
    "numbers.yml": ("title: t\nlogsource: 4\ndetection: 5", "no Sigma rule"),
    "field.yml": (sigma(SELECTION.format("Colour: red"), n=2), "unknown field"),
    "modifier.yml": (sigma(SELECTION.format("CommandLine|begins: a"), n=3), "unknown modifier"),
    "expand.yml": (sigma(SELECTION.format("User|expand: '%admins%'"), n=4), "placeholder"),
    "compare.yml": (sigma(SELECTION.format("ProcessId|gt: 4"), n=5), "unsupported modifier"),
    "hour.yml": (sigma(SELECTION.format("ProcessId|hour: 4"), n=6), "unsupported modifier"),
    "pattern.yml": (sigma(SELECTION.format("CommandLine|re: 'a(?=b)'"), n=7), "pattern that RE2 refuses"),
    "condition.yml": (sigma("    s:\n        User: a\n    condition: s and other", n=8), "faulty condition"),
    "brackets.yml": (
        sigma("    s:\n        User: a\n    condition: " + "(" * 90 + "s" + ")" * 90, n=9),
        "faulty condition",
    ),
    "value.yml": (sigma(SELECTION.format("CommandLine|base64: 'a*'"), n=10), "faulty value"),
    "registry.yml": (sigma(SELECTION.format("User: a"), n=11, category="registry_set"), "other log source"),
    "cloud.yml": (sigma(SELECTION.format("User: a"), n=12, product="aws"), "unknown product"),
    "twice.yml": (sigma(SELECTION.format("User: a"), n=1), "id used twice"),
}


def test_what_cannot_be_converted_is_named_with_reason_and_remedy_and_the_rest_goes_on(tmp_path):
    (tmp_path / "good.yml").write_text(sigma(SELECTION.format("CommandLine: a")))
    (tmp_path / "more").mkdir()
    for name, (content, _) in BAD.items():
        (tmp_path / "more" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "notes.txt").write_text("no rule")
    (tmp_path / "more" / "folder.yml").mkdir()
    found = import_sigma(tmp_path)
    kinds = {one.file.split("/")[-1]: one.kind for one in found.set_aside}
    assert kinds == {name: kind for name, (_, kind) in BAD.items()} | {"folder.yml": "unreadable file"}
    assert all(one.message and one.remedy for one in found.set_aside)
    assert [rule.title for rule in found.rules] == ["t"]
    assert found.files == len(BAD) + 2
    assert sum(found.reasons.values()) == len(found.set_aside)
    no_rules = ("no Sigma rule", "broken YAML", "other log source", "unreadable file")
    assert found.process_creation == 1 + sum(kind not in no_rules for kind in kinds.values())


def test_levels_below_the_one_asked_for_are_left_out_but_not_failed(tmp_path):
    for n, level in enumerate(("informational", "low", "medium", "high", "critical")):
        (tmp_path / f"{level}.yml").write_text(sigma(SELECTION.format(f"CommandLine: {n}"), n=n, level=level))
    found = import_sigma(tmp_path, level="high")
    assert sorted(rule.level for rule in found.rules) == ["critical", "high"]
    assert (found.process_creation, found.failed) == (5, 0)
    rules = RuleSet(import_sigma(tmp_path).rules)
    assert sigma_levels(rules, pa.array(["0", "1", "4", "x", None])).tolist() == [1, 2, 5, 0, 0]


def test_no_folder_no_rule_and_no_pysigma_are_errors_with_a_remedy(tmp_path, monkeypatch):
    with pytest.raises(RuleError, match="no such folder"):
        import_sigma(tmp_path / "nowhere")
    with pytest.raises(RuleError, match=r"no \*\.yml file"):
        import_sigma(tmp_path)
    monkeypatch.setitem(sys.modules, "sigma.collection", None)
    with pytest.raises(MissingExtraError, match=r"cmdclf\[sigma\]"):
        import_sigma(tmp_path)


@pytest.mark.parametrize(
    ("match", "line_alone", "with_parent"),
    [
        (["command_line", "contains", "a"], True, True),
        (["parent_image", "endswith", "a"], False, True),
        (["and", ["command_line", "contains", "a"], ["not", ["parent_image", "endswith", "a"]]], True, True),
        (["and", ["command_line", "contains", "a"], ["not", ["parent_image", "empty"]]], False, True),
        (["or", ["hashes", "contains", "a"], ["parent_image", "same", "image"]], False, True),
        (["hashes", "contains", "a"], False, False),
        (["not", ["hashes", "empty"]], False, False),
    ],
)
def test_it_is_known_beforehand_which_rules_can_hold_with_which_fields(match, line_alone, with_parent):
    assert can_hold(parsed(match), ["command_line", "image"]) is line_alone
    assert can_hold(parsed(match), ["command_line", "image", "parent_image"]) is with_parent


def test_imported_rules_label_a_regex_baseline(tmp_path):
    from cmdclf.classify import regex_baseline

    found = convert(tmp_path, SELECTION.format("Image|endswith: '\\tool.exe'"))
    batch = pa.record_batch(
        {
            "command_id": ["a", "b"],
            "platform": ["windows", "windows"],
            "command_line": ["tool -x", "other"],
            "events": [1, 9],
        }
    )
    table = regex_baseline([batch], RuleSet(found.rules), benign_min_events=3)
    assert dict(zip(table["command_line"].to_pylist(), table["label"].to_pylist(), strict=True)) == {
        "tool -x": 1,
        "other": 0,
    }


def test_the_file_shows_text_as_it_is_and_stays_one_line_a_key(tmp_path):
    found = convert(tmp_path, SELECTION.format('CommandLine|contains: "a\'\\u0085\\x7f\\n\\"b"'))
    write_rules(tmp_path / "r.toml", found.rules, {found.rules[0].id: "x\n[[rule]]"})
    text = (tmp_path / "r.toml").read_text()
    assert "# x [[rule]]" in text
    assert list(RuleSet.load(tmp_path / "r.toml").rules) == found.rules
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["r.toml", "r.yml"]
