from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from _classifier_cache import Cache
from _classifier_folds import Protocol, Training
from _labelled_lines import FOLDS, check_folds, fold_of, from_lexicon, from_pools
from _small_pools import THINGS, TOOLS, paths, rows_of_a_pool, small_lexicon, write
from hypothesis import given
from hypothesis import strategies as st

from cmdclf.classify.gram_counts import CountedGrams, counted, only
from cmdclf.classify.grams import GramModel
from cmdclf.errors import CmdclfError

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


def test_the_same_seed_draws_the_same_lines(data):
    first, again, other = (from_pools(paths(data), None, seed, redraw=True).text for seed in (0, 0, 1))
    assert first == again != other


def test_benign_lines_that_n_grams_taught_by_other_sources_contradict_train_nobody_who_asks_for_that(tmp_path):
    rows = rows_of_a_pool()
    wrong = [row for row in rows if row["source"] == "malicious2"]
    planted = []
    for n, row in enumerate(wrong):
        other = {"label": "benign", "source": "benign0", "group_id": f"planted{n}"}
        planted.append(row | other | {"command_line": row["command_line"] + " #"})
    pool = from_pools(write(tmp_path, rows + planted), None, 0)
    protocol = Protocol(pool, from_lexicon(small_lexicon(tmp_path / "lexicon"), 2, 0), 0, Cache(tmp_path / "cache"))
    lines = {row["command_line"] for row in planted}
    for k in range(FOLDS):
        found = protocol.suspects(k)
        assert not (protocol.fold[found] == k).any()
        assert np.isnan(pool.likely[found]).all()
        assert (protocol.suspects(k) == found).all()
        sure, some = (protocol.training(k, Training(confident=c))[0] for c in (True, False))
        assert len(some) - len(sure) == len(found)
    kept = {pool.text[i] for k in range(FOLDS) for i in protocol.suspects(k)}
    assert len(lines & kept) >= len(lines) // 2
