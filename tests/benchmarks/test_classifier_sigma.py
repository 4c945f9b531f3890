import json
import sys

import classifiers
import numpy as np
import pytest
from _classifier_cache import Cache
from _classifier_folds import Corpus
from _classifier_models import Spec
from _classifier_scores import Scored, score_all
from _classifier_sigma import CHILD, SIGMA, Sigma, levels_table, operating_points, sigma_rules, sigma_specs
from _classifier_telemetry import Telemetry
from _labelled_lines import FOLDS
from _small_pools import small_lexicon

from cmdclf.errors import CmdclfError
from cmdclf.rules import RuleSet
from cmdclf.rules.condition import parsed
from cmdclf.rules.rule import Rule


def rule(name, level, *condition):
    return Rule(name, name, "execution", "", (), level=level, match=parsed(list(condition)))


@pytest.fixture
def rules():
    return RuleSet([
        rule("low", "low", "command_line", "contains", "/etc/"),
        rule("image", "high", "image", "endswith", "/nc"),
        rule("word", "high", "command_line", "contains", " -e "),
        rule("top", "critical", "command_line", "contains", "/dev/tcp/"),
    ])  # fmt: skip


def scores(rules, lines, **options):
    return Sigma(rules, **options).scores(Corpus(lines, np.array(["linux"] * len(lines))).all()).tolist()


def test_a_score_is_the_highest_level_and_then_how_many_rules_hit(rules):
    lines = ["ls", "cat /etc/fstab", "/bin/nc x", "/bin/nc x -e /bin/sh", "/bin/nc x -e /etc/y", "cat </dev/tcp/x/1"]
    found = scores(rules, lines)
    assert [int(score) for score in found] == [0, 2, 4, 4, 4, 5]
    assert found == sorted(found)
    assert found[0] == 0
    assert len(set(found)) == len(found)


def test_what_a_shell_runs_is_an_event_of_its_own_only_where_asked(rules):
    lines = ["sh -c '/bin/nc x'", "/bin/nc x", "sh -c 'cat /etc/x'"]
    assert scores(rules, lines) == [0.0, 4.5, 2.5]
    # A rule that hits the line and what it runs counts once.
    assert scores(rules, lines, child=True) == [4.5, 4.5, 2.5]
    assert scores(RuleSet([]), lines, child=True) == [0, 0, 0]


def test_rules_come_from_an_imported_file_and_faulty_ones_are_named(rules, tmp_path):
    path = tmp_path / "rules.json"
    rules.save(path)
    assert sigma_rules(path).version == rules.version
    with pytest.raises(CmdclfError, match="no such"):
        sigma_rules(tmp_path / "none.json")
    path.write_text("{")
    with pytest.raises(CmdclfError, match="not valid JSON") as error:
        sigma_rules(path)
    assert error.value.file == str(path)


def test_other_rules_are_not_scored_from_the_cache(protocol, rules, tmp_path):
    cache = Cache(tmp_path / "cache")
    first = score_all(protocol, sigma_specs(rules), {}, cache)
    fewer = score_all(protocol, sigma_specs(RuleSet(rules.rules[:1])), {}, cache)
    assert np.nanmax(first[SIGMA].pool) > np.nanmax(fewer[SIGMA].pool)
    again = score_all(protocol, sigma_specs(rules), {}, cache)
    for name in (SIGMA, CHILD):
        assert np.array_equal(first[name].pool, again[name].pool, equal_nan=True)
    assert Spec(None, None, "").version == ""


def test_levels_are_operating_points_beside_our_model_at_the_same_alerts(protocol):
    pool = protocol.pool
    bad, good = (np.flatnonzero(protocol.keep & (pool.malicious == label)) for label in (True, False))
    said, ours = np.zeros(len(pool)), np.zeros(len(pool))
    said[bad[: len(bad) // 2]] = 4.5
    said[bad[len(bad) // 2]], said[good[0]], said[good[1]] = 5.5, 4.5, 2.5
    ours[bad], ours[good[0]] = 1, 2
    telemetry = Telemetry("t", "", Corpus(["a", "b"], np.array(["linux"] * 2)), np.array([10, 90]))
    events = {"t": np.tile([4.5, 2.0], (FOLDS, 1))}
    points = operating_points(protocol, Scored(said, events), Scored(ours), [telemetry], 20)
    by = {point["level"]: point for point in points["all"]}
    assert by["critical"]["tpr"][0] == pytest.approx(1 / len(bad), abs=1e-4)
    assert by["high"]["tpr"][0] == pytest.approx((len(bad) // 2 + 1) / len(bad), abs=1e-4)
    assert by["high"]["fpr"][0] == pytest.approx(1 / len(good), abs=1e-4)
    assert by["low"]["fpr"][0] == pytest.approx(2 / len(good), abs=1e-4)
    assert by["low"]["fpr"][1] <= by["low"]["fpr"][0] <= by["low"]["fpr"][2]
    # Where nothing benign alerts, no number of benign lines says what our model would find.
    assert (by["critical"]["ours"], by["high"]["ours"]) == (None, 1.0)
    assert (by["high"]["alerts"], by["low"]["alerts"]) == ({"t": 10_000.0}, {"t": 100_000.0})
    assert points["macos"][0]["tpr"] is None
    title, head, rows = levels_table(points, SIGMA, "grams")
    assert title.startswith("sigma: ")
    assert {len(row) for row in rows} == {len(head)}
    assert next(row for row in rows if row[:2] == ["all", "critical"])[5] == "-"


def test_the_benchmark_has_rows_for_the_rules_that_are_given(data, rules, tmp_path, monkeypatch, capsys):
    small = small_lexicon(tmp_path / "lexicon")
    monkeypatch.setattr(classifiers.Lexicon, "load", lambda: small)
    rules.save(tmp_path / "rules.json")
    given = ["classifiers.py", "--data", str(data), "--quick", "--models", "rules", "--json", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", [*given, "--sigma", str(tmp_path / "rules.json")])
    assert classifiers.main() == 0
    printed = capsys.readouterr().out
    assert list(json.loads((tmp_path / "out").read_text())["detail"]) == ["rules", SIGMA, CHILD]
    assert "sigma: an alert on any rule of at least this level" in printed
    assert "no rows for Sigma's rules" not in printed
    monkeypatch.setattr(sys, "argv", [*given, "--sigma", str(tmp_path / "none.toml")])
    assert classifiers.main() == 2
    assert "none.toml" in capsys.readouterr().err
