import json
import shutil

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.errors import CmdclfError, ModelIntegrityError
from cmdclf.features.embed_onnx import OnnxEmbedder, seal_folder
from cmdclf.features.embedders import embedder_files, load_embedder
from cmdclf.features.onnx_folder import sha256_of
from cmdclf.resources import data_path

EXTERNAL = {"save_as_external_data": True, "location": "model.onnx_data", "size_threshold": 64}


@pytest.fixture
def sealed(tmp_path, small_encoder):
    made = small_encoder(tmp_path / "small", **EXTERNAL)
    seal_folder(made.folder, max_tokens=64, threshold_cosine=0.9)
    return made


def test_a_seal_states_format_digests_dimension_limit_pooling_and_name(sealed):
    manifest = json.loads((sealed.folder / "manifest.json").read_text())
    embedder = load_embedder(sealed.folder)
    assert manifest.pop("manifest_sha256")
    assert manifest == {
        "format": "cmdclf-onnx-encoder",
        "name": "small",
        "dim": 4,
        "max_tokens": 64,
        "pooling": "mean",
        "threshold_cosine": 0.9,
        "files": {n: sha256_of(sealed.folder / n) for n in ("model.onnx", "model.onnx_data", "tokenizer.json")},
    }
    assert embedder.sealed
    assert (embedder.max_tokens, embedder.manifest["threshold_cosine"]) == (64, 0.9)
    assert embedder_files(embedder) == manifest["files"]
    assert embedder.name.startswith("onnx:small:")
    assert np.allclose(embedder.embed(pa.array(["net user"]))[0], sealed.vector("net user"), atol=1e-6)


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx_data", "tokenizer.json", "manifest.json"])
@pytest.mark.parametrize("at", [0.1, 0.5, 0.97])
def test_one_changed_byte_of_a_sealed_folder_is_refused_by_name(sealed, name, at):
    raw = bytearray((sealed.folder / name).read_bytes())
    raw[int(len(raw) * at)] ^= 1
    (sealed.folder / name).write_bytes(raw)
    with pytest.raises(ModelIntegrityError) as caught:
        load_embedder(sealed.folder)
    assert caught.value.file == str(sealed.folder / name)


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx_data", "tokenizer.json"])
def test_a_missing_file_of_a_sealed_folder_is_named(sealed, name):
    (sealed.folder / name).unlink()
    with pytest.raises(ModelIntegrityError, match="the file is missing") as caught:
        load_embedder(sealed.folder)
    assert caught.value.file == str(sealed.folder / name)


def test_external_data_that_the_seal_does_not_cover_is_refused(tmp_path, small_encoder, sealed):
    manifest = json.loads((sealed.folder / "manifest.json").read_text())
    plain = small_encoder(tmp_path / "plain").folder
    seal_folder(plain)
    assert "model.onnx_data" not in json.loads((plain / "manifest.json").read_text())["files"]
    # A right digest for the manifest, and no entry for the weights.
    del manifest["files"]["model.onnx_data"], manifest["manifest_sha256"]
    from cmdclf.features.onnx_folder import write_manifest

    write_manifest(sealed.folder, manifest, manifest["files"])
    with pytest.raises(ModelIntegrityError, match=r"model\.onnx_data: its manifest has no SHA-256"):
        load_embedder(sealed.folder)


@pytest.mark.parametrize("where", ["../weights.bin", "/etc/hostname", "a/../../weights.bin"])
def test_external_data_outside_the_folder_is_refused_unread(tmp_path, small_encoder, where):
    import onnx

    folder = small_encoder(tmp_path / "m", **EXTERNAL).folder
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = where
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelIntegrityError, match="outside its folder"):
        load_embedder(folder)


def test_a_manifest_may_hold_digests_and_limits_without_being_a_seal(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    (folder / "manifest.json").write_text(json.dumps({"files": {"model.onnx": "0" * 64}}))
    with pytest.raises(ModelIntegrityError, match=r"model\.onnx: .*SHA-256"):
        load_embedder(folder)
    (folder / "manifest.json").write_text(
        json.dumps({"files": {"model.onnx": sha256_of(folder / "model.onnx").upper()}})
    )
    assert not load_embedder(folder).sealed


def test_sealing_again_keeps_what_is_not_given_and_takes_changed_files(sealed, tmp_path, small_encoder):
    other = small_encoder(tmp_path / "other", pooled=True, **EXTERNAL).folder
    shutil.copy(other / "model.onnx", sealed.folder)
    before = json.loads((sealed.folder / "manifest.json").read_text())
    with pytest.raises(ModelIntegrityError):
        load_embedder(sealed.folder)
    embedder = seal_folder(sealed.folder, threshold_cosine=0.8)
    assert (embedder.max_tokens, embedder.graph.pooling) == (64, "mean")
    assert embedder.manifest["threshold_cosine"] == 0.8
    assert embedder.files["model.onnx"] != before["files"]["model.onnx"]


def test_the_name_follows_the_vectors_and_not_the_folder(sealed, tmp_path):
    name = load_embedder(sealed.folder).name
    assert load_embedder(shutil.copytree(sealed.folder, tmp_path / "copy")).name == name
    assert seal_folder(sealed.folder, threshold_cosine=0.7).name == name
    assert seal_folder(sealed.folder, max_tokens=32).name != name
    assert seal_folder(sealed.folder, max_tokens=64).name == name
    assert seal_folder(sealed.folder, pooling="cls").name != name


@pytest.mark.parametrize(
    "settings",
    [{"max_tokens": 0}, {"max_tokens": 8193}, {"pooling": "max"}, {"threshold_cosine": 1.5}, {"name": "a\x1b[31m"}],
    ids=str,
)
def test_an_impossible_setting_seals_nothing(tmp_path, small_encoder, settings):
    folder = small_encoder(tmp_path / "m").folder
    with pytest.raises(CmdclfError, match=f"^{next(iter(settings))} can't be"):
        seal_folder(folder, **settings)
    assert not (folder / "manifest.json").exists()


def test_a_pooling_that_the_graph_has_no_output_for_seals_nothing(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    with pytest.raises(ModelIntegrityError, match="pooling 'graph'"):
        seal_folder(folder, pooling="graph")
    assert not (folder / "manifest.json").exists()


def test_another_models_manifest_is_neither_read_nor_overwritten(tmp_path, small_encoder):
    folder = small_encoder(tmp_path / "m").folder
    shutil.copy(data_path("embedder", "manifest.json"), folder)
    for do in (OnnxEmbedder.load, seal_folder):
        with pytest.raises(ModelIntegrityError, match="no manifest of an ONNX encoder"):
            do(folder)
    assert (folder / "manifest.json").read_bytes() == data_path("embedder", "manifest.json").read_bytes()


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"max_tokens": true}', '{"max_tokens": 1e9}', '{"files": ["model.onnx"]}', '{"pooling": {}}',
     '{"files": {"model.onnx": 7}}', "[" * 100_000],
    ids=lambda c: c[:20],
)  # fmt: skip
def test_nonsense_in_a_manifest_is_one_clear_error(tmp_path, small_encoder, content):
    folder = small_encoder(tmp_path / "m").folder
    (folder / "manifest.json").write_text(content)
    with pytest.raises(ModelIntegrityError) as caught:
        load_embedder(folder)
    assert caught.value.file == str(folder / "manifest.json")


def test_nonsense_that_was_sealed_as_a_static_model_is_one_clear_error(tmp_path):
    from cmdclf.features.embed_static import seal_manifest

    folder = tmp_path / "static"
    shutil.copytree(data_path("embedder"), folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "vectors.npy").write_bytes(b"no array")
    seal_manifest(folder, {k: v for k, v in manifest.items() if k != "manifest_sha256"})
    with pytest.raises(ModelIntegrityError, match="can't be read"):
        load_embedder(folder)
