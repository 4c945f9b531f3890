"""The network's benchmark: lines of one length go together, and it says where torch is missing."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from neural import MOST_TOKENS, Network, padless

from cmdclf.errors import MissingExtraError

HAS_TORCH = importlib.util.find_spec("torch") is not None
VECTORS = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)


def lists(rows: list[list[int]]) -> pa.ListArray:
    return pa.array(rows, pa.list_(pa.int32()))


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.lists(st.integers(0, 49), max_size=MOST_TOKENS + 4), max_size=12), skip=st.integers(0, 3))
def test_lines_of_a_length_go_together_cut_and_never_empty(rows: list[list[int]], skip: int) -> None:
    seen = {}
    for at, ids in padless(lists(rows)[skip:], 50):
        assert ids.shape[0] == len(at)
        seen |= dict(zip(at.tolist(), ids.tolist(), strict=True))
    assert seen == {i: (row or [50])[:MOST_TOKENS] for i, row in enumerate(rows[skip:])}


@pytest.mark.skipif(HAS_TORCH, reason="torch is installed")
def test_without_torch_it_names_the_extra() -> None:
    with pytest.raises(MissingExtraError, match="torch is missing"):
        Network("mean", VECTORS, 0)


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize("kind", ["mean", "cnn"])
def test_it_tells_two_kinds_apart(kind: str) -> None:
    rows = lists([[0, 1, i % 2] for i in range(400)] + [[3, 4, 3 + i % 2, 5] for i in range(400)])
    y = np.repeat([True, False], 400)
    scores = Network(kind, VECTORS, 0).fit(rows, y, 20).scores(rows)
    assert scores[:400].min() > scores[400:].max()
