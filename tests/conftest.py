"""Settings that all tests share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings

SMALL_STUDY = """
[study]
name = "small"
bootstrap = 100

[data]
lake = "lake"
train_days = 3
test_days = 2
incident = "incident.parquet"

[full]
top_k = 30
n_estimators = 25

[reduced]
sample = 300
top_k = 15
n_clusters = 8

[labels]
judge = "truth"
truth = "lake.truth.parquet"
noise = 0.01
budget = 30

[model]
labelled = "labelled.parquet"
benign_min_events = 2
lexicon_lines = 0
max_iter = 20
"""

# Deadlines fail on busy machines and say nothing about the code.
settings.register_profile("cmdclf", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("cmdclf")


@pytest.fixture(scope="session")
def small_study(tmp_path_factory) -> Path:
    """The study.toml of a small replay of the bundled lexicon, judged by its truth; not run yet."""
    from cmdclf.lexicon.pools import LexiconPool
    from cmdclf.lexicon.replay import ReplaySettings, replay
    from cmdclf.lexicon.split import incident_test, labelled_pool, split_pool

    folder = tmp_path_factory.mktemp("study")
    pool = LexiconPool(repeats=2)
    settings = ReplaySettings(days=5, per_day=600, seed=3, head_templates=60, top=20, malicious_per_day=8, hosts=30)
    replay(pool, folder / "lake", settings)
    split = split_pool(pool, hold_out=settings.hold_out, labelled_share=settings.labelled_share, seed=settings.seed)
    pq.write_table(incident_test(pool, split, seed=3), folder / "incident.parquet")
    pq.write_table(labelled_pool(pool, split, seed=3), folder / "labelled.parquet")
    study = folder / "study.toml"
    study.write_text(SMALL_STUDY, encoding="utf-8")
    return study


@pytest.fixture(scope="session")
def finished_study(small_study) -> Path:
    """The folder of the small study after its run: store, arms, model, results.json, report.html."""
    from cmdclf.study import load_study, run_study

    out = small_study.parent / "out"
    run_study(load_study(small_study), out, progress=False)
    return out


@dataclass(frozen=True)
class SmallEncoder:
    """An ONNX encoder's folder, and the vector that it should give for a line."""

    folder: Path
    table: np.ndarray
    positions: np.ndarray | None

    def vector(self, line: str, *, max_tokens: int = 256, pooling: str = "mean") -> np.ndarray:
        tokens = [1, *(WORDS.get(word, 0) for word in line.split()[: max_tokens - 2]), 2]
        states = self.table[tokens].astype(np.float64)
        if self.positions is not None:
            states += self.positions[: len(tokens)]
        states += states.mean(0)
        pooled = states[0] if pooling == "cls" else states.mean(0)
        return pooled / np.linalg.norm(pooled)


WORDS = {
    w: i for i, w in enumerate(["[UNK]", "[CLS]", "[SEP]", "net", "user", "bob", "ls", "cat", "cp", "mv", "日本", "🙂"])
}
JINA_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


@pytest.fixture(scope="session")
def small_encoder():
    """`make(folder)`: a graph with the inputs and the output of published BERT exports, and a tokenizer for it.

    A token's state is its row of a table (and of a second one for its position) plus the mean of the line's rows under
    the mask, so that a wrong mask, padding or position shows in every vector.
    """
    from onnx import TensorProto, helper, numpy_helper, save
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    def make(folder, *, inputs=JINA_INPUTS, integer=TensorProto.INT64, pooled=False, rows=None, **saving):
        rng = np.random.default_rng(0)
        table, positions = (
            rng.normal(size=(rows or len(WORDS), 4)).astype(np.float32),
            rng.normal(size=(300, 4)).astype(np.float32),
        )
        tensors = {"table": table, "types": np.zeros((2, 4), np.float32), "positions": positions}
        tensors |= {"one": np.array([1], np.int64), "two": np.array([2], np.int64)}
        extra = {"token_type_ids": "types", "position_ids": "positions"}
        nodes = [helper.make_node("Gather", ["table", "input_ids"], ["states_0"])]
        for at, name in enumerate(n for n in inputs if n in extra):
            nodes.append(helper.make_node("Gather", [extra[name], name], [f"rows_{at}"]))
            nodes.append(helper.make_node("Add", [f"states_{at}", f"rows_{at}"], [f"states_{at + 1}"]))
        states = nodes[-1].output[0]
        for kind, takes, gives in (
            ("Cast", ["attention_mask"], "mask"),
            ("Unsqueeze", ["mask", "two"], "weights"),
            ("Mul", [states, "weights"], "weighted"),
            ("ReduceSum", ["weighted", "one"], "sum"),
            ("ReduceSum", ["weights", "one"], "count"),
            ("Div", ["sum", "count"], "mean"),
            ("Add", [states, "mean"], "last_hidden_state"),
            ("Squeeze", ["mean", "one"], "sentence_embedding"),
        ):
            nodes.append(helper.make_node(kind, takes, [gives], **({"to": 1} if kind == "Cast" else {})))
        outputs = [helper.make_tensor_value_info("last_hidden_state", 1, ["batch", "tokens", 4])]
        if pooled:
            outputs.append(helper.make_tensor_value_info("sentence_embedding", 1, ["batch", 4]))
        graph = helper.make_graph(
            nodes,
            "small",
            [helper.make_tensor_value_info(name, integer, ["batch", "tokens"]) for name in inputs],
            outputs,
            [numpy_helper.from_array(value, name) for name, value in tensors.items()],
        )
        folder.mkdir(parents=True)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        save(model, folder / "model.onnx", **saving)
        tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        # As many published tokenizer.json files do: a fixed padding and a short limit of their own.
        tokenizer.enable_truncation(max_length=4)
        tokenizer.enable_padding(length=16)
        tokenizer.save(str(folder / "tokenizer.json"))
        return SmallEncoder(folder, table, positions if "position_ids" in inputs else None)

    return make
