import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.errors import CmdclfError, MissingExtraError, ModelIntegrityError
from cmdclf.features.embed_onnx import seal_folder
from cmdclf.features.embedders import load_embedder
from cmdclf.features.export_onnx import PARITY, export_encoder, quantise_encoder

WORDS = ["net", "user", "bob", "ls", "cat", "cp", "mv"]
LINES = sorted({" ".join(np.random.default_rng(i).choice(WORDS, 1 + i % 9)) for i in range(120)})


def test_int8_is_sealed_where_the_decisions_hold(tmp_path, small_encoder):
    made = small_encoder(tmp_path / "m")
    plain = seal_folder(made.folder, max_tokens=64, name="plain")
    embedder, found = quantise_encoder(made.folder, tmp_path / "int8", LINES, threshold_cosine=0.3)
    assert found.decided > 100
    assert found.flip_share <= 0.01
    assert embedder.sealed
    assert embedder.name.startswith("onnx:plain-int8:")
    assert (embedder.max_tokens, embedder.graph.pooling) == (64, "mean")
    assert embedder.files["model.onnx"] != plain.files["model.onnx"]
    assert load_embedder(tmp_path / "int8").name == embedder.name


def test_int8_is_not_written_where_a_decision_flips_or_none_is_taken(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    pair = ["net user bob", "net cat"]
    int8, _ = quantise_encoder(folder, tmp_path / "int8", pair, threshold_cosine=0.001)
    cosines = [float(np.prod(e.embed(pa.array(pair)), axis=0).sum()) for e in (load_embedder(folder), int8)]
    assert abs(cosines[0] - cosines[1]) > 1e-4
    for threshold, said in ((sum(cosines) / 2, "int8 changes 100.0% of the near-duplicate decisions"),
                            (max(cosines) + 1e-4, "can't be judged")):  # fmt: skip
        with pytest.raises(CmdclfError, match=said):
            quantise_encoder(folder, tmp_path / "refused", pair, threshold_cosine=threshold)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["int8", "m"]


def test_a_folder_that_is_there_is_not_written_over(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    for do in (
        lambda: quantise_encoder(folder, folder, LINES, threshold_cosine=0.9),
        lambda: export_encoder("x", folder),
    ):
        with pytest.raises(CmdclfError, match="exists already"):
            do()


def test_without_sentence_transformers_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError, match=r"cmdclf\[st\]"):
        export_encoder("any", tmp_path / "out")


# With sentence-transformers


def small_bert(folder, library, *, pooling="mean", dense=False, **settings):
    """A BERT of two layers with random weights, a tokenizer with a fixed truncation and padding, and a pooling."""
    import torch
    from sentence_transformers.sentence_transformer import modules
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = {
        w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##a", "##b", "##c", "-", "/"])
    }
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(max_length=8)
    tokenizer.enable_padding(length=8)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    bert = folder / "bert"
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=48, **shape)).save_pretrained(bert)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(bert)
    transformer = modules.Transformer(str(bert), max_seq_length=32)
    parts = [transformer, modules.Pooling(16, pooling_mode=pooling)]
    parts += [modules.Dense(16, 6)] if dense else []
    saved = folder / "saved"
    library.SentenceTransformer(modules=parts, device="cpu", **settings).save(str(saved))
    return saved


@pytest.mark.parametrize(("pooling", "dense", "dim"), [("mean", False, 16), ("cls", False, 16), ("max", True, 6)])
def test_an_exported_model_gives_the_vectors_of_the_model(tmp_path, sentence_transformers, pooling, dense, dim):
    saved = small_bert(tmp_path, sentence_transformers, pooling=pooling, dense=dense)
    embedder, difference = export_encoder(str(saved), tmp_path / "out", name="tiny")
    assert difference <= PARITY
    lines = pa.array(["a b", "", "abc -a /b", "c " * 10, "ab " * 500, "日本 🙂", "a b"])
    assert np.allclose(embedder.embed(lines), load_embedder(f"st:{saved}").embed(lines), atol=1e-5)
    assert (embedder.dim, embedder.max_tokens, embedder.sealed) == (dim, 32, True)
    assert (embedder.graph.output, embedder.graph.pooling) == ("sentence_embedding", "graph")
    tokenizer = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    assert tokenizer["truncation"] is None
    assert tokenizer["padding"] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bert", "out", "saved"]


def test_a_model_that_adds_a_prompt_differs_from_its_graph_and_is_not_written(tmp_path, sentence_transformers):
    saved = small_bert(tmp_path, sentence_transformers, prompts={"p": "a b c "}, default_prompt_name="p")
    with pytest.raises(ModelIntegrityError, match="differ by"):
        export_encoder(str(saved), tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bert", "saved"]


def test_a_model_without_a_transformer_is_not_exported(tmp_path, sentence_transformers):
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models

    module = StaticEmbedding(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), embedding_dim=4)
    sentence_transformers.SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path / "saved"))
    with pytest.raises(CmdclfError, match="only text transformers"):
        export_encoder(str(tmp_path / "saved"), tmp_path / "out")


def test_a_model_that_needs_code_of_its_own_is_refused_instead_of_giving_wrong_vectors(tmp_path, sentence_transformers):
    saved = small_bert(tmp_path, sentence_transformers)
    config = json.loads((saved / "config.json").read_text())
    # As published: known model type, a class from elsewhere; transformers would take its own BertModel silently.
    config["auto_map"] = {"AutoModel": "somebody/code--modeling_bert.OtherBertModel"}
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CmdclfError, match="needs code of its own"):
        load_embedder(f"st:{saved}")
    config["auto_map"] = {"AutoModel": "somebody/code--modeling_bert.BertModel"}
    (saved / "config.json").write_text(json.dumps(config))
    assert load_embedder(f"st:{saved}").dim == 16


@pytest.mark.parametrize("kind", ["own_module.Pooling", "os.path.join"])
def test_python_files_in_a_models_folder_are_not_imported(tmp_path, sentence_transformers, kind):
    saved = small_bert(tmp_path, sentence_transformers)
    modules = json.loads((saved / "modules.json").read_text())
    modules[1]["type"] = kind
    (saved / "modules.json").write_text(json.dumps(modules))
    (saved / "own_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(CmdclfError, match="code of its own"):
        load_embedder(f"st:{saved}")
    assert not (tmp_path / "ran").exists()


def test_a_model_that_is_not_here_is_not_downloaded(monkeypatch, sentence_transformers):
    import socket

    def refuse(*_):
        raise AssertionError("no connection is made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(CmdclfError, match="local cache"):
        load_embedder("st:nobody/no-such-model")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "modules.json"])
def test_a_truncated_sentence_transformers_folder_is_one_clear_error(tmp_path, sentence_transformers, name):
    saved = small_bert(tmp_path, sentence_transformers)
    raw = (saved / name).read_bytes()
    (saved / name).write_bytes(raw[: len(raw) // 2])
    with pytest.raises(CmdclfError):
        load_embedder(f"st:{saved}")


def test_long_and_repeated_lines_of_sentence_transformers_models_keep_their_order(tmp_path, sentence_transformers):
    embedder = load_embedder(f"st:{small_bert(tmp_path, sentence_transformers)}")
    lines = ["a b", "", "c " * 100_000, "b" * 1_000_000, None, "a b", "c " * 200_000]
    vectors = embedder.embed(pa.array(lines, pa.string()))
    alone = np.concatenate([embedder.embed(pa.array([line or ""])) for line in lines])
    assert np.allclose(vectors, alone, atol=1e-5)
    assert np.array_equal(vectors[0], vectors[5])
    assert np.array_equal(vectors[2], vectors[6])
    assert embedder.max_tokens == 32
