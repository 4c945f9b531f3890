import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.features import train_static
from cmdclf.features.embed_layers import with_layers
from cmdclf.features.embed_static import StaticEmbedder
from cmdclf.features.embed_text import fold_lines
from cmdclf.features.embedders import load_embedder
from cmdclf.features.train_data import Equivalent, TripletMaker
from cmdclf.features.train_pairs import Line, PairMaker, held_out
from cmdclf.features.train_rewrites import rewritten
from cmdclf.features.train_vectors import Prepared, train_vectors
from cmdclf.lexicon import Lexicon

VERBS = ["install", "remove", "start", "stop", "list"]
TOOLS = ["apt-get", "systemctl", "docker", "kubectl", "choco"]


def lines(count=600, seed=0):
    rng = random.Random(seed)
    made = []
    for i in range(count):
        user = "".join(rng.choice("bdfklmnoprst") for _ in range(7))
        text = f"{rng.choice(TOOLS)} {rng.choice(VERBS)} --name {user} --home /home/{user} --retries {i}"
        made.append(Line(text, "linux", f"g{i % 40}", f"source{i % 6}"))
    return made


def pool(path, **extra):
    rows = lines()
    columns = {
        "command_line": [line.text for line in rows],
        "platform": ["linux"] * len(rows),
        "source": [line.source for line in rows],
        "group_id": [f"doc {line.group}" for line in rows],
        **extra,
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, sentence_transformers):
    folder = tmp_path_factory.mktemp("trained")
    data = pool(folder / "pool.parquet", license=["MIT"] * 600)
    for out in ("a", "b"):
        argv = ["--data", str(data), "--triplets", "9000", "--seed", "3", "--vocabulary", "400"]
        rest = ["--dim", "16", "--batch", "200", "--epochs", "6", "--threads", "1"]
        if out == "a":
            assert train_static.main([*argv, *rest, "--out", str(folder / out)]) == 0
        else:  # in two steps, as with a graphics card elsewhere
            assert train_static.main([*argv, "--prepare", str(folder / "prepared")]) == 0
            assert train_static.main(["--prepared", str(folder / "prepared"), *rest, "--out", str(folder / out)]) == 0
    return folder


def test_a_trained_folder_loads_and_tells_its_story(trained):
    embedder = load_embedder(trained / "a")
    manifest = json.loads((trained / "a" / "manifest.json").read_text())
    assert embedder.dim == manifest["dim"] == 16
    assert manifest["tokens"] <= 400
    assert manifest["name"].startswith("cmdclf-static-16-")
    assert manifest["training"]["lines_by_licence"] == {"MIT": 600}
    assert manifest["training"]["seed"] == 3
    assert manifest["training"]["epochs"] == 6
    assert str(trained) not in json.dumps(manifest)
    assert 0 < manifest["threshold_cosine"] < 1


def test_training_teaches_that_names_vary_and_verbs_do_not(sentence_transformers):
    rows = lines()
    folded = fold_lines(pa.array([line.text for line in rows]))
    vocabulary, counts = train_static.train_vocabulary(folded, [line.source for line in rows], set(), size=400)
    prepared = Prepared.of(vocabulary, counts, PairMaker(rows, seed=3).triplets(8000))
    vectors = train_vectors(prepared, dim=16, batch=200, epochs=4, seed=3, threads=1)
    embedder = StaticEmbedder("trial", vocabulary, vectors)
    text = "{} {} --name {} --home /home/{} --retries 3"
    pairs = [(tool, verb, VERBS[(i + 1) % 5]) for tool in TOOLS for i, verb in enumerate(VERBS)]
    line = embedder.embed(pa.array([text.format(t, v, "ponkrot", "ponkrot") for t, v, _ in pairs]))
    same = embedder.embed(pa.array([text.format(t, v, "lidtomb", "lidtomb") for t, v, _ in pairs]))
    other = embedder.embed(pa.array([text.format(t, w, "ponkrot", "ponkrot") for t, _, w in pairs]))
    assert np.mean((line * same).sum(1) > (line * other).sum(1)) > 0.8


def test_the_same_seed_gives_the_same_bytes(trained):
    for name in ("vectors.npy", "tokenizer.json", "manifest.json"):
        assert (trained / "a" / name).read_bytes() == (trained / "b" / name).read_bytes()


def test_copyleft_rows_are_left_out_and_a_choice_of_licences_is_taken(tmp_path):
    licences = ["MIT", "GPL-3.0-only", "Apache-2.0 OR GPL-2.0-only", "LGPL-2.1"] * 150
    found, counts = train_static.load_lines([pool(tmp_path / "p.parquet", license=licences)])
    assert counts == {"MIT": 150, "Apache-2.0 OR GPL-2.0-only": 150}
    assert len(found) == 300


def test_pages_for_tests_are_never_trained_on_nor_their_lines_elsewhere(tmp_path):
    names = [f"group {i}" for i in range(600)]
    kept = [not held_out(name) for name in names]
    found, _ = train_static.load_lines([pool(tmp_path / "p.parquet", group_id=names)])
    assert 500 < len(found) == sum(kept) < 600
    again = {"command_line": ["same"] * 600, "group_id": names}
    assert train_static.load_lines([pool(tmp_path / "q.parquet", **again)])[0] == []


def test_a_large_source_is_thinned_the_same_way_each_time(tmp_path):
    path = pool(tmp_path / "p.parquet")
    first, counts = train_static.load_lines([path], most_per_source=20)
    assert len(first) == 6 * 20
    assert counts == {"recorded for this purpose": 120}
    assert first == train_static.load_lines([path], most_per_source=20)[0]


def test_the_vocabulary_holds_no_names_hosts_or_secrets():
    rows = lines(600)
    texts = [
        f"{line.text} https://files.acme.net/get user@mail.acme.net password=hunter2 c:\\users\\marlowe\\x"
        for line in rows
    ]
    known = [Line(t, "linux", line.group, line.source) for t, line in zip(texts, rows, strict=True)]
    names = train_static.personal_names(known)
    assert "marlowe" in names
    assert "install" not in names
    folded = train_static.fold_lines(pa.array(texts))
    vocabulary, counts = train_static.train_vocabulary(folded, [line.source for line in rows], names, size=500)
    assert len(vocabulary) == len(counts) == len(set(vocabulary)) <= 500
    assert {chr(b) for b in range(33, 127)} <= set(vocabulary)
    assert "install" in vocabulary
    for shy in ("marlowe", "acme.net", "@mail", "hunter"):
        assert not [t for t in vocabulary if shy in t], shy
    assert max(map(len, vocabulary)) <= train_static.MAX_TOKEN
    assert counts.tolist() == sorted(counts.tolist(), reverse=True)


def test_a_token_of_one_source_is_dropped_however_often_it_stands_there():
    texts = ["peculiar frequent"] * 100 + ["frequent"] * 100
    sources = ["a"] * 100 + [f"s{i % 5}" for i in range(100)]
    vocabulary, _ = train_static.train_vocabulary(train_static.fold_lines(pa.array(texts)), sources, set(), size=500)
    assert "frequent" in vocabulary
    assert "peculiar" not in vocabulary


def test_without_sentence_transformers_the_extra_is_named(monkeypatch):
    import sys

    from cmdclf.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"cmdclf\[train\]"):
        train_vectors(Prepared.of(["a", "b"], np.array([1, 1]), [("a", "b", "a")]))


def test_what_was_not_prepared_is_named(tmp_path):
    from cmdclf.errors import CmdclfError

    with pytest.raises(CmdclfError, match="--prepare"):
        Prepared.load(tmp_path)


def test_triplets_of_every_kind_are_the_same_for_the_same_seed():
    groups = [
        Equivalent(
            "lists files",
            ("what lies there",),
            "files",
            (("linux", "ls -la /srv/ponk"), ("windows", "dir /srv/ponk")),
            ("rm x",),
        )
    ]
    lexicon = Lexicon.load()
    small = Lexicon(tuple(lexicon.templates[:200]))
    first, second = (TripletMaker(lines(), groups, seed=4, lexicon=small).triplets(400) for _ in range(2))
    assert first == second
    assert len(first) == 400
    assert {"ls", "dir", "rm"} <= {text.split()[0] for triplet in first for text in triplet if text}
    assert any("lists files" in line for line, _, _ in first)
    assert any("what lies there" in line for line, _, _ in first)
    lessons = TripletMaker(lines(), groups, seed=4, lexicon=small).lessons(600)
    assert {"lists files", "what lies there", "ls -la /srv/ponk", "rm x"} <= set(lessons)
    assert len(lessons) == len(set(lessons)) == 600


@pytest.mark.parametrize("platform", ["windows", "linux"])
def test_rewrites_keep_what_the_decoder_reads(platform):
    line = "powershell -c Get-Item x" if platform == "windows" else "sh -c 'cat /etc/hosts'"
    word = "get-item" if platform == "windows" else "hosts"
    rng = random.Random(2)
    forms = {rewritten(line, platform, rng) for _ in range(60)}
    assert len(forms) > 10
    decoded = [t.as_py().lower() for t in fold_lines(with_layers(pa.array(sorted(forms))))]
    assert sum(word in text for text in decoded) > 0.7 * len(forms)


def test_pairs_are_the_same_for_the_same_seed_and_keep_their_promise():
    rows = lines()
    maker = PairMaker(rows, seed=5)
    triplets = maker.triplets(300, same_group_share=0.0)
    assert triplets == PairMaker(rows, seed=5).triplets(300, same_group_share=0.0)
    assert triplets != PairMaker(rows, seed=6).triplets(300, same_group_share=0.0)
    behaviour = {*VERBS, *TOOLS}
    kept = [set(a.split()) & behaviour == set(b.split()) & behaviour for a, b, _ in triplets]
    changed = [a.split() != c.split() for a, _, c in triplets]
    assert all(kept)
    assert np.mean(changed) > 0.9


def test_a_name_is_redrawn_the_same_way_wherever_it_stands():
    maker = PairMaker(lines(), seed=1)
    drawn = maker.redraw("docker start --name ponkrot --home /home/ponkrot --retries 3").split()
    assert drawn[5] == f"/home/{drawn[3]}"
    assert drawn[3] != "ponkrot"


def test_a_wrapper_is_exchanged_for_one_of_its_kind():
    maker = PairMaker(lines(), seed=1)
    for wrapped, shells in (
        ("cmd.exe /c dir", ("cmd",)),
        (
            r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe -nop -w hidden -c Get-Item x",
            ("powershell", "pwsh"),
        ),
        ("/bin/bash -c ls", ("sh", "bash", "zsh", "env")),
    ):
        again = maker.rewrap(wrapped)
        assert again.endswith(wrapped.rsplit(" ", 1)[1])
        assert any(shell in again.lower() for shell in shells)
    assert maker.rewrap("ls -la") == "ls -la"
