import json
import shutil
from functools import cache

import numpy as np
import onnx
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cmdclf.errors import ModelIntegrityError
from cmdclf.features.embed_onnx import OnnxEmbedder
from cmdclf.features.embedders import Embedder, load_embedder
from cmdclf.features.text_batches import CELLS, LINES, TOKENS, distinct_texts, rows_for, same_cost_batches, windows

JINA = ("input_ids", "attention_mask", "token_type_ids")
TEXTS = ["net user bob", "ls", "cat cp mv net user", "", "ls ls ls", "日本 🙂 zzz", "net user bob"]


def embed(folder, *lines):
    return load_embedder(folder).embed(pa.array(lines, pa.string()))


@pytest.mark.parametrize("integer", [TensorProto.INT64, TensorProto.INT32], ids=["int64", "int32"])
@pytest.mark.parametrize("inputs", [JINA, JINA[:2], (*JINA, "position_ids")], ids=len)
def test_a_line_is_mean_pooled_over_its_own_tokens_with_the_inputs_that_the_graph_names(
    tmp_path, small_encoder, inputs, integer
):
    made = small_encoder(tmp_path / "m", inputs=inputs, integer=integer)
    embedder = load_embedder(made.folder)
    vectors = embedder.embed(pa.array(TEXTS))
    assert isinstance(embedder, Embedder)
    assert (vectors.dtype, vectors.shape, embedder.dim) == (np.float32, (len(TEXTS), 4), 4)
    assert np.allclose(vectors, [made.vector(text) for text in TEXTS], atol=1e-6)


def test_a_pooled_output_is_taken_as_it_is(tmp_path, small_encoder):
    made = small_encoder(tmp_path / "m", pooled=True)
    embedder = load_embedder(made.folder)
    assert (embedder.graph.output, embedder.graph.pooling) == ("sentence_embedding", "graph")
    # The graph's mean of the plain rows has the direction of our mean over rows with that mean added.
    assert np.allclose(embedder.embed(pa.array(TEXTS)), [made.vector(text) for text in TEXTS], atol=1e-6)


@pytest.mark.parametrize(
    "settings", [{"pooling_mode_cls_token": True}, {"pooling_mode": "cls"}, {"pooling_mode": ["cls"]}]
)
def test_the_first_token_is_taken_where_the_models_files_say_so(tmp_path, small_encoder, settings):
    made = small_encoder(tmp_path / "m")
    (made.folder / "1_Pooling").mkdir()
    (made.folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    assert np.allclose(embed(made.folder, "net user"), [made.vector("net user", pooling="cls")], atol=1e-6)


def test_another_pooling_is_refused(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    with pytest.raises(ModelIntegrityError, match=r"1_Pooling.*lasttoken"):
        load_embedder(folder)


@cache
def shared(folder):
    return load_embedder(folder)


@pytest.fixture(scope="module")
def positioned(tmp_path_factory, small_encoder):
    return small_encoder(tmp_path_factory.mktemp("positioned") / "m", inputs=(*JINA, "position_ids")).folder


WORDLIKE = st.lists(st.sampled_from(["net", "user", "ls", "日本", "🙂", "\u200b", "[SEP]", "x"]), max_size=80).map(
    " ".join
)


@given(st.lists(WORDLIKE | st.text(max_size=60), max_size=80))
def test_a_lines_vector_does_not_depend_on_the_lines_around_it(positioned, lines):
    embedder = shared(positioned)
    together = embedder.embed(pa.array(lines, pa.string()))
    assert together.shape == (len(lines), 4)
    assert np.isfinite(together).all()
    for line, vector in zip(lines[:10], together, strict=False):
        assert np.abs(embedder.embed(pa.array([line]))[0] - vector).max() < 1e-5


def test_order_is_kept_over_several_windows_and_batches(tmp_path, small_encoder):
    made = small_encoder(tmp_path / "m")
    words = ["net", "user", "bob", "ls", "cat", "cp", "mv"]
    rng = np.random.default_rng(1)
    lines = [" ".join(rng.choice(words, rng.integers(0, 40))) for _ in range(2500)]
    vectors = embed(made.folder, *lines)
    assert np.allclose(vectors, [made.vector(line) for line in lines], atol=1e-5)


def test_huge_empty_and_null_lines_are_embedded(tmp_path, small_encoder):
    made = small_encoder(tmp_path / "m")
    vectors = embed(made.folder, "", None, "ls " * 100_000, "x" * 1_000_000, "net " + "🙂 " * 500_000, " " * 1_000_000)
    assert np.allclose(vectors[0], made.vector(""), atol=1e-6)
    assert np.array_equal(vectors[0], vectors[1])
    assert np.array_equal(vectors[0], vectors[5])
    assert np.allclose(vectors[2], made.vector("ls " * 300), atol=1e-6)
    assert np.allclose(vectors[3], made.vector("x"), atol=1e-6)
    assert np.allclose(vectors[4], made.vector("net " + "🙂 " * 300), atol=1e-6)
    assert embed(made.folder).shape == (0, 4)


def test_a_line_without_any_token_gives_zeros(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    plain = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**plain, "post_processor": None}))
    vectors = embed(folder, "", "ls", "  ")
    assert not vectors[0].any()
    assert not vectors[2].any()
    assert np.isclose(np.linalg.norm(vectors[1]), 1)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, 256),
        ({"config.json": {"max_position_embeddings": 512}}, 512),
        ({"config.json": {"max_position_embeddings": 514}, "tokenizer_config.json": {"model_max_length": 512}}, 512),
        ({"config.json": {"max_position_embeddings": 512}, "sentence_bert_config.json": {"max_seq_length": 128}}, 128),
        ({"config.json": {"max_position_embeddings": 8192}, "tokenizer_config.json": {"model_max_length": 1e30}}, 8192),
        ({"config.json": {"max_position_embeddings": 131_072}}, 8192),
        ({"config.json": {"max_position_embeddings": "many"}, "tokenizer_config.json": {}}, 256),
        ({"manifest.json": {"max_tokens": 6}, "config.json": {"max_position_embeddings": 512}}, 6),
    ],
)
def test_lines_are_cut_where_the_models_files_say(tmp_path, small_encoder, files, limit):
    made = small_encoder(tmp_path / "m")
    for name, content in files.items():
        (made.folder / name).write_text(json.dumps(content))
    assert load_embedder(made.folder).max_tokens == limit
    words = ["net", "user", "bob", "ls", "cat"] * 1640
    whole, kept, less = embed(made.folder, *(" ".join(words[:n]) for n in (len(words), limit - 2, limit - 3)))
    assert np.array_equal(whole, kept)
    assert not np.array_equal(whole, less)


@given(st.lists(st.integers(1, 9000), max_size=300).map(sorted))
def test_batches_hold_all_rows_once_and_stay_within_the_bounds(widths):
    batches = list(same_cost_batches(widths))
    assert [i for batch in batches for i in batch] == list(range(len(widths)))
    for batch in batches:
        width = widths[batch[-1]]
        assert len(batch) == 1 or (len(batch) * width**2 <= CELLS and len(batch) * width <= TOKENS)
        assert len(batch) <= LINES
    assert rows_for(16) == LINES
    assert rows_for(8192) == 1


@given(st.lists(st.text(max_size=5) | st.none(), max_size=50))
def test_distinct_texts_lead_back_to_every_line(lines):
    texts, places = distinct_texts(pa.array(lines, pa.string()), 3)
    assert [texts[i] for i in places] == [(line or "")[:3] for line in lines]
    assert len(set(texts)) == len(texts)
    assert [len(t) for t in texts] == sorted(len(t) for t in texts)
    assert [i for window in windows(texts) for i in window] == list(range(len(texts)))


def test_a_window_of_long_texts_is_bounded_by_its_characters():
    texts = ["x" * 65_536] * 200
    assert max(len(window) for window in windows(texts)) == 64


# What a graph or a tokenizer can do wrong


def graph_folder(
    folder, small_encoder, nodes, outputs, inputs=("input_ids",), tensors=(), kind=TensorProto.INT64, shape=None
):
    """A folder whose graph is this one."""
    made = small_encoder(folder)
    graph = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "odd",
        [helper.make_tensor_value_info(name, kind, shape or ["b", "t"]) for name in inputs],
        [helper.make_tensor_value_info(name, 1, dims) for name, dims in outputs],
        [numpy_helper.from_array(value, name) for name, value in tensors],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, made.folder / "model.onnx")
    return made.folder


CAST = ("Cast", ["input_ids"], ["x"], {"to": 1})
AXIS = ("axis", np.array([2], np.int64))


@pytest.mark.parametrize(
    ("graph", "said"),
    [
        ({"nodes": [("Cast", ["pixel_values"], ["y"], {"to": 1})], "outputs": [("y", ["b", "t"])],
          "inputs": ("pixel_values", "input_ids")}, "wants the input 'pixel_values'"),
        ({"nodes": [("Cast", ["token_type_ids"], ["y"], {"to": 1})], "outputs": [("y", ["b", "t"])],
          "inputs": ("token_type_ids",)}, "no input 'input_ids'"),
        ({"nodes": [CAST], "outputs": [("x", ["b", "t"])], "kind": TensorProto.FLOAT}, "not int64 or int32"),
        ({"nodes": [CAST], "outputs": [("x", [1, 128])], "shape": [1, 128]}, "dynamic axes"),
        ({"nodes": [CAST, ("Unsqueeze", ["x", "axis"], ["y"]), ("Unsqueeze", ["y", "axis"], ["z"])],
          "outputs": [("z", ["b", "t", 1, 1])], "tensors": [AXIS]}, "gives no vectors"),
        ({"nodes": [CAST, ("ReduceSum", ["x"], ["z"], {"keepdims": 0})], "outputs": [("z", [])]}, "gives no vectors"),
        ({"nodes": [("Cast", ["input_ids"], ["logits"], {"to": 1})], "outputs": [("logits", ["b", "t"])]},
         "gives no vectors"),
        ({"nodes": [CAST], "outputs": [("x", ["b", "dim"])]}, "numbers for a line of"),
        ({"nodes": [CAST, ("Unsqueeze", ["x", "axis"], ["y"]), ("Concat", ["y", "y"], ["z"], {"axis": 1})],
          "outputs": [("z", ["b", "u", 1])], "tensors": [AXIS]}, "has the shape"),
        ({"nodes": [CAST, ("Sub", ["x", "x"], ["zero"]), ("Log", ["zero"], ["y"]), ("Unsqueeze", ["y", "axis"], ["z"])],
          "outputs": [("z", ["b", "t", 1])], "tensors": [AXIS]}, "no finite numbers"),
        ({"nodes": [CAST, ("Unsqueeze", ["x", "axis"], ["y"]), ("MatMul", ["y", "w"], ["z"])],
          "outputs": [("z", ["b", "t", 4])], "tensors": [AXIS, ("w", np.zeros((3, 4), np.float32))]}, r"model\.onnx"),
    ],
    ids=["foreign input", "no ids", "float input", "fixed shape", "rank 4", "rank 0", "logits", "changing dimension",
         "changing length", "not finite", "broken inside"],
)  # fmt: skip
def test_a_graph_that_cannot_embed_lines_is_one_clear_error(tmp_path, small_encoder, graph, said, capfd):
    folder = graph_folder(tmp_path / "m", small_encoder, **graph)
    with pytest.raises(ModelIntegrityError, match=said) as caught:
        embed(folder, "net user bob", "ls")
    assert caught.value.file == str(folder / "model.onnx")
    assert caught.value.remedy
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_of_another_model_is_refused_before_a_line_meets_it(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m", rows=8).folder
    with pytest.raises(ModelIntegrityError, match=r"tokenizer\.json: it gives token ids up to 11") as caught:
        load_embedder(folder)
    assert "belongs to this model" in caught.value.remedy


def test_a_line_that_the_graph_has_no_positions_for_names_its_length(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m", inputs=(*JINA, "position_ids")).folder
    (folder / "config.json").write_text('{"max_position_embeddings": 512}')
    assert embed(folder, "ls " * 298).shape == (1, 4)
    with pytest.raises(ModelIntegrityError, match=r"line of 301 tokens.*--max-tokens"):
        embed(folder, "ls " * 299)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
@pytest.mark.parametrize("share", [0, 0.2, 0.6, 0.99])
def test_a_truncated_file_is_named(tmp_path, small_encoder, name, share):
    folder = small_encoder(tmp_path / "m").folder
    raw = (folder / name).read_bytes()
    (folder / name).write_bytes(raw[: int(len(raw) * share)])
    with pytest.raises(ModelIntegrityError) as caught:
        load_embedder(folder)
    assert caught.value.file == str(folder / name)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not JSON", "can't be loaded"),
        ("[1, 2]", "can't be loaded"),
        ('{"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "[UNK]"}}', "can't (be loaded|read a line)"),
    ],
)
def test_a_tokenizer_that_is_none_is_named(tmp_path, small_encoder, content, said):
    folder = small_encoder(tmp_path / "m").folder
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(ModelIntegrityError, match=rf"tokenizer\.json: .*{said}"):
        embed(folder, "zzz")


def test_a_panic_of_the_tokenizer_is_an_error_like_any_other(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"]["single"][0]["SpecialToken"]["id"] = "[NONE]"
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelIntegrityError, match=r"tokenizer\.json"):
        load_embedder(folder)


def test_missing_files_are_named_and_looked_for_one_folder_below(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    (folder / "onnx").mkdir()
    shutil.move(folder / "model.onnx", folder / "onnx" / "model.onnx")
    with pytest.raises(ModelIntegrityError, match=r"model\.onnx: the file is missing\. Copy onnx/model\.onnx next to"):
        load_embedder(folder)
    shutil.move(folder / "onnx" / "model.onnx", folder / "model.onnx")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelIntegrityError, match=r"tokenizer\.json: the file is missing"):
        load_embedder(folder)


def test_more_special_tokens_than_the_limit_allows_is_refused(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    (folder / "manifest.json").write_text('{"max_tokens": 2}')
    with pytest.raises(ModelIntegrityError, match="adds 2 tokens"):
        load_embedder(folder)


def test_int8_lines_go_one_by_one_so_that_neighbours_do_not_change_their_scale(tmp_path, small_encoder):
    rows = np.arange(12)[:, None]
    folder = graph_folder(
        tmp_path / "m",
        small_encoder,
        nodes=[("Gather", ["table", "input_ids"], ["x"]), ("DynamicQuantizeLinear", ["x"], ["q", "s", "p"]),
               ("DequantizeLinear", ["q", "s", "p"], ["y"])],
        outputs=[("y", ["b", "t", 4])],
        tensors=[("table", np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32) * np.float32(rows))],
    )  # fmt: skip
    embedder = OnnxEmbedder.load(folder)
    together = embedder.embed(pa.array(["net user", "ls mv cp", "日本 🙂", "user"]))
    alone = [embedder.embed(pa.array([line]))[0] for line in ["net user", "ls mv cp", "日本 🙂", "user"]]
    assert np.array_equal(together, alone)
