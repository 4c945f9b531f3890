from __future__ import annotations

import json
import shutil

import numpy as np
import onnxruntime
import pytest

from cmdclf.classify import Classifier, export_model, promote_model, read_manifest, verify_model
from cmdclf.classify.export import probe_matrix, to_onnx
from cmdclf.errors import ModelIntegrityError


def session_of(classifier):
    return onnxruntime.InferenceSession(to_onnx(classifier).SerializeToString(), providers=["CPUExecutionProvider"])


def difference(session, classifier, X):
    with np.errstate(invalid="ignore"):
        return np.abs(session.run(["score"], {"features": X})[0] - classifier.predict_proba(X)[:, 1]).max()


def test_the_onnx_score_is_the_calibrated_probability_on_real_and_extreme_rows(small):
    session = session_of(small.classifier)
    assert difference(session, small.classifier, small.matrix) < 1e-5
    assert difference(session, small.classifier, probe_matrix(small.classifier, rows=2000, seed=7)) < 1e-5


@pytest.mark.parametrize("seed", range(6))
def test_a_value_on_a_split_goes_the_same_way_in_onnx_as_in_python(seed):
    # Neighbouring float32 values: the split between them is no float32 and must not be rounded up onto the larger one.
    rng = np.random.default_rng(seed)
    start = (rng.normal(size=(1, 3)) * 10.0 ** rng.integers(-5, 6)).astype(np.float32)
    steps = rng.integers(0, 4, size=(300, 3))
    X = np.broadcast_to(start, (300, 3)).copy()
    for k in range(3):
        X = np.where(steps > k, np.nextafter(X, np.float32(np.inf)), X)
    y = (steps[:, 0] + rng.integers(0, 2, 300) > 1).astype(int)
    classifier = Classifier(max_iter=5, min_samples_leaf=2).fit(X, y)
    assert difference(session_of(classifier), classifier, X) < 1e-5


def test_the_folder_is_complete_listed_and_free_of_pickles(small):
    manifest = verify_model(small.folder)
    files = {p.relative_to(small.folder).as_posix() for p in small.folder.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == files - {"manifest.json", "manifest.sha256"}
    assert {p.rsplit(".", 1)[1] for p in files} == {"onnx", "json", "npy", "npz", "sha256"}
    assert manifest["name"] == "small"
    assert manifest["thresholds"].keys() == {"0.01", "0.001", "0.0001"}
    assert manifest["license"] == "Apache-2.0"
    assert manifest["parity_max_difference"] <= 1e-5


def test_the_same_model_exported_twice_gives_the_same_bytes(small, tmp_path):
    again = export_model(
        tmp_path / "again",
        small.classifier,
        small.featuriser,
        name="small",
        provenance={"lines": len(small.labels)},
        metrics={},
        created="2026-01-01T00:00:00+00:00",
    )
    assert (again / "manifest.json").read_bytes() == (small.folder / "manifest.json").read_bytes()


def test_a_classifier_of_another_width_is_not_exported_and_leaves_nothing_behind(small, tmp_path):
    narrow = Classifier(max_iter=2).fit(small.matrix[:, :9], small.labels)
    with pytest.raises(ModelIntegrityError, match="9 columns"):
        export_model(tmp_path / "m", narrow, small.featuriser, name="m", provenance={}, metrics={})
    assert list(tmp_path.iterdir()) == []


def test_an_export_that_fails_keeps_the_model_that_was_there(small, tmp_path):
    shutil.copytree(small.folder, tmp_path / "m")
    with pytest.raises(TypeError):
        export_model(
            tmp_path / "m", small.classifier, small.featuriser, name="m", provenance={"not json": object()}, metrics={}
        )
    assert verify_model(tmp_path / "m")["name"] == "small"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_an_export_replaces_the_model_that_was_there(small, tmp_path):
    for name in ("first", "second"):
        export_model(tmp_path / "m", small.classifier, small.featuriser, name=name, provenance={}, metrics={})
    assert verify_model(tmp_path / "m")["name"] == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_one_changed_byte_in_any_file_is_found_and_the_file_is_named(small, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(small.folder, folder)
    rng = np.random.default_rng(0)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        whole = path.read_bytes()
        for at in (0, len(whole) - 1, int(rng.integers(len(whole)))):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x20]) + whole[at + 1 :])
            with pytest.raises(ModelIntegrityError) as caught:
                verify_model(folder)
            assert path.name in str(caught.value)
            assert "again" in caught.value.remedy
        path.write_bytes(whole)
    verify_model(folder)


def test_a_missing_and_an_extra_file_are_named(small, tmp_path):
    files = sorted(p.relative_to(small.folder) for p in small.folder.rglob("*") if p.is_file())
    for number, path in enumerate(files):
        folder = tmp_path / str(number)
        shutil.copytree(small.folder, folder)
        (folder / path).unlink()
        with pytest.raises(ModelIntegrityError, match="missing") as caught:
            verify_model(folder)
        assert caught.value.file == str(folder / path)
    folder = tmp_path / "extra"
    shutil.copytree(small.folder, folder)
    (folder / "features" / "more.npy").write_bytes(b"")
    with pytest.raises(ModelIntegrityError, match="doesn't belong") as caught:
        verify_model(folder)
    assert caught.value.file == str(folder / "features" / "more.npy")


def test_a_manifest_of_another_format_is_refused(small, tmp_path):
    from cmdclf.classify import manifest as module

    folder = tmp_path / "m"
    shutil.copytree(small.folder, folder)
    content = json.loads((folder / "manifest.json").read_text())
    raw = json.dumps(content | {"format": 99}).encode()
    (folder / "manifest.json").write_bytes(raw)
    (folder / "manifest.sha256").write_bytes(module._seal_text(raw))
    with pytest.raises(ModelIntegrityError, match="format 99"):
        read_manifest(folder)


def test_promote_puts_a_verified_copy_in_place_and_keeps_the_previous_one(small, tmp_path):
    newer = export_model(tmp_path / "n", small.classifier, small.featuriser, name="newer", provenance={}, metrics={})
    target = tmp_path / "live" / "model"
    assert promote_model(small.folder, target)["name"] == "small"
    assert not (tmp_path / "live" / "model.previous").exists()
    assert promote_model(newer, target)["name"] == "newer"
    assert verify_model(target)["name"] == "newer"
    assert verify_model(tmp_path / "live" / "model.previous")["name"] == "small"
    assert promote_model(tmp_path / "live" / "model.previous", target)["name"] == "small"
    assert verify_model(tmp_path / "live" / "model.previous")["name"] == "newer"
    assert sorted(p.name for p in target.parent.iterdir()) == ["model", "model.previous"]


def test_promote_refuses_a_damaged_model_and_a_target_that_is_no_model(small, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(small.folder, damaged)
    (damaged / "classifier.onnx").write_bytes(b"")
    target = tmp_path / "live"
    promote_model(small.folder, target)
    with pytest.raises(ModelIntegrityError, match=r"classifier\.onnx"):
        promote_model(damaged, target)
    assert verify_model(target)["name"] == "small"
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("years of work")
    with pytest.raises(ModelIntegrityError, match="not a model folder"):
        promote_model(small.folder, home)
    assert (home / "thesis.txt").exists()
    with pytest.raises(ModelIntegrityError, match="already"):
        promote_model(target, target)


def test_promote_puts_nothing_into_another_model_folder(small, tmp_path):
    target = tmp_path / "live"
    promote_model(small.folder, target)
    for inside in ("sub", "features/deep/er"):
        with pytest.raises(ModelIntegrityError, match="inside of the model folder"):
            promote_model(small.folder, target / inside)
    assert verify_model(target)["name"] == "small"
