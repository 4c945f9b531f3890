"""The classifier benchmark's blends, and its network where torch is missing."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import classifiers
from _classifier_folds import Corpus
from _classifier_models import BLENDS, MODELS, QUICK_MODELS
from _classifier_scores import Scored, blended

from cmdclf.features import load_embedder


def test_the_parts_of_each_blend_are_models_that_come_before_it() -> None:
    names = list(MODELS)
    assert {name for name in names if MODELS[name].make is None} == set(BLENDS)
    for name, parts in BLENDS.items():
        assert all(names.index(part) < names.index(name) for part in parts)


def test_a_blend_is_the_sum_of_shares_over_the_lines_that_all_parts_score() -> None:
    one = Scored(np.array([1.0, np.nan]), {"a": np.array([[1.0]]), "b": np.array([[5.0]])})
    two = Scored(np.array([10.0, np.nan]), {"a": np.array([[2.0]])})
    both = blended([(one, 1.0), (two, 0.5)])
    np.testing.assert_array_equal(both.pool, [6.0, np.nan])
    assert list(both.extra) == ["a"]
    assert both.extra["a"].tolist() == [[2.0]]


def test_a_kept_network_scores_without_torch() -> None:
    rng = np.random.default_rng(0)
    shapes = {"vectors": (len(load_embedder().vectors) + 1, 128), "hidden": (256, 4), "hidden_bias": (4,), "out": (4,)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["bias"] = np.array(0.5, np.float32)
    lines = Corpus(["whoami /all", "tar czf a b", ""], np.array(["linux"] * 3)).all()
    model = MODELS["neural"].make().restore(arrays)
    again = MODELS["neural"].make().restore(model.arrays())
    assert np.array_equal(model.scores(lines), again.scores(lines))
    assert len(np.unique(model.scores(lines))) == 3


@pytest.mark.parametrize("has", [True, False])
def test_without_torch_the_network_and_its_blends_run_only_where_they_are_named(monkeypatch, has: bool) -> None:
    monkeypatch.setattr(classifiers, "find_spec", lambda name: object() if has else None)
    monkeypatch.setattr(sys, "argv", ["classifiers.py", "--data", "x"])
    asked = classifiers.arguments()
    assert ("neural" in asked.models) is has
    assert ("blend with neural" in asked.models) is has
    assert "blend" in asked.models
    assert asked.without_torch is not has
    monkeypatch.setattr(sys, "argv", ["classifiers.py", "--data", "x", "--models", "grams and neural"])
    assert classifiers.arguments().models == ["grams", "neural", "grams and neural"]
    monkeypatch.setattr(sys, "argv", ["classifiers.py", "--data", "x", "--quick"])
    assert classifiers.arguments().models == [name for name in MODELS if name in QUICK_MODELS]
