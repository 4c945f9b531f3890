"""A fitted classifier as a folder of ONNX, features, embedder and manifest. No pickle."""

from __future__ import annotations

import datetime as dt
import platform
import shutil
import uuid
import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmdclf.classify.featurise import Featuriser
from cmdclf.classify.folder import replace_folder
from cmdclf.classify.manifest import seal
from cmdclf.classify.model import Classifier
from cmdclf.classify.neighbours import Neighbours
from cmdclf.errors import ModelIntegrityError

__all__ = ["MODEL_FILE", "OPSETS", "PARITY", "export_model", "probe_matrix", "to_onnx"]

MODEL_FILE = "classifier.onnx"
#: Fixed, so that the graph doesn't change with the converter's defaults.
OPSETS = {"": 21, "ai.onnx.ml": 3}
#: Largest allowed difference between the ONNX score and the Python one.
PARITY = 1e-5
_PACKAGES = ("cmdclf", "numpy", "onnx", "onnxruntime", "pyarrow", "scikit-learn", "skl2onnx")


def to_onnx(classifier: Classifier) -> Any:
    """The ONNX graph of a fitted classifier: input `features` (n, f) float32, output `score` (n,) float32.

    The score is the calibrated probability of malicious: trees' raw score, slope, intercept and sigmoid are all nodes
    of the graph.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    booster = classifier.booster_
    try:
        with warnings.catch_warnings():
            # skl2onnx writes booleans where protobuf 6 wants integers and warns; protobuf 7 refuses them, see below.
            warnings.simplefilter("ignore", DeprecationWarning)
            model = convert_sklearn(
                booster,
                initial_types=[("tree_features", FloatTensorType([None, booster.n_features_in_]))],
                target_opset=OPSETS,
                options={id(booster): {"zipmap": False, "raw_scores": True}},
            )
    except ValueError as error:
        # The converter's message holds the whole model.
        raise ModelIntegrityError(
            f"the classifier can't be converted to ONNX: {str(error)[:300]}",
            remedy="Install the versions of the constraints file: protobuf 7 is known to fail here",
        ) from error
    trees = next(node for node in model.graph.node if node.op_type == "TreeEnsembleClassifier")
    for attribute in trees.attribute:
        if attribute.name == "nodes_values":
            attribute.floats[:] = _exact_thresholds(booster, np.asarray(attribute.floats, dtype=np.float32))
    raw = trees.output[1]
    constants = {
        "malicious_column": np.array([1], dtype=np.int64),
        "slope": np.array(classifier.slope_, dtype=np.float32),
        "intercept": np.array(classifier.intercept_, dtype=np.float32),
        "flat": np.array([-1], dtype=np.int64),
        "first": np.array([0], dtype=np.int64),
        "split": np.array([booster.n_features_in_], dtype=np.int64),
        "last": np.array([classifier.n_features_in_], dtype=np.int64),
        "columns": np.array([1], dtype=np.int64),
    }
    beside = []
    if classifier.beside:
        constants["weights"] = classifier.beside_.astype(np.float32).reshape(-1, 1)
        beside = [
            helper.make_node("Slice", ["features", "split", "last", "columns"], ["others"]),
            helper.make_node("MatMul", ["others", "weights"], ["of_others"]),
            helper.make_node("Add", ["of_trees", "of_others"], ["log_odds"]),
        ]
    nodes = [
        helper.make_node("Slice", ["features", "first", "split", "columns"], ["tree_features"]),
        trees,
        helper.make_node("Gather", [raw, "malicious_column"], ["raw_score"], axis=1),
        helper.make_node("Mul", ["raw_score", "slope"], ["scaled"]),
        helper.make_node("Add", ["scaled", "intercept"], ["log_odds" if not classifier.beside else "of_trees"]),
        *beside,
        helper.make_node("Sigmoid", ["log_odds"], ["probability"]),
        helper.make_node("Reshape", ["probability", "flat"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "cmdclf",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, classifier.n_features_in_])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid(domain, number) for domain, number in OPSETS.items()]
    out = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="cmdclf")
    onnx.checker.check_model(out)
    return out


def _exact_thresholds(booster: Any, converted: NDArray[np.float32]) -> list[float]:
    """The split values as the largest float32 that isn't above scikit-learn's float64 ones.

    For float32 features that decides every split as scikit-learn does; rounding to nearest sends a value that equals
    the rounded threshold to the other side.
    """
    exact = np.concatenate([tree.nodes["num_threshold"] for iteration in booster._predictors for tree in iteration])
    leaf = np.concatenate([tree.nodes["is_leaf"] for iteration in booster._predictors for tree in iteration]) == 1
    if len(exact) != len(converted):
        raise ModelIntegrityError("the converter changed the number of tree nodes", remedy="Install skl2onnx 1.20")
    down = exact.astype(np.float32)
    down = np.where(down > exact, np.nextafter(down, np.float32(-np.inf)), down)
    return [float(v) for v in np.where(leaf, converted, down)]


def probe_matrix(classifier: Classifier, *, rows: int = 512, seed: int = 0) -> NDArray[np.float32]:
    """(rows + 6, f) float32 on which a conversion is tried: split values, their neighbours, zeros, extremes, NaN."""
    rng = np.random.default_rng(seed)
    width = int(classifier.booster_.n_features_in_)
    splits: list[list[float]] = [[0.0] for _ in range(width)]
    for iteration in classifier.booster_._predictors:
        for tree in iteration:
            inner = tree.nodes[tree.nodes["is_leaf"] == 0]
            for feature, value in zip(inner["feature_idx"], inner["num_threshold"], strict=True):
                splits[feature].append(float(value))
    probe = np.empty((rows, width), dtype=np.float32)
    for column, values in enumerate(splits):
        probe[:, column] = rng.choice(np.asarray(values, dtype=np.float32), size=rows)
    step = rng.integers(-1, 2, size=probe.shape)
    beside = np.nextafter(probe, np.where(step > 0, np.inf, -np.inf).astype(np.float32))
    probe = np.where(step == 0, probe, beside)
    largest = np.finfo(np.float32).max
    extremes = [0.0, 1e-30, 1e6, largest, -largest, np.nan]
    probe = np.vstack([probe, *(np.full((1, width), v) for v in extremes)])
    others = rng.normal(0.0, 4.0, size=(len(probe), classifier.beside))
    return np.ascontiguousarray(np.column_stack([probe, others]), dtype=np.float32)


def _check_parity(path: Path, classifier: Classifier, probe: NDArray[np.float32]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(["score"], {"features": probe})[0]
    # scikit-learn sums the matrix to look for NaN, and the probe's extremes overflow that sum.
    with np.errstate(invalid="ignore", over="ignore"):
        difference = float(np.abs(got - classifier.predict_proba(probe)[:, 1]).max())
    if not difference <= PARITY:
        raise ModelIntegrityError(
            f"the ONNX model differs from the classifier by {difference:.2g} (at most {PARITY:g} is allowed)",
            file=path,
            remedy="Install the versions of the constraints file and export again",
        )
    return difference


def export_model(
    out_dir: str | Path,
    classifier: Classifier,
    featuriser: Featuriser,
    *,
    name: str,
    provenance: Mapping[str, Any],
    metrics: Mapping[str, Any],
    probe: NDArray[np.float32] | None = None,
    created: str | None = None,
    neighbours: Neighbours | None = None,
) -> Path:
    """The path of the model folder that was written: complete, verified against the Python classifier, self-contained.

    Args:
        out_dir: the folder; one that is there already is replaced, in one step.
        classifier: fitted on `featuriser`'s columns.
        featuriser: makes the input.
        name: what `Scorer.score` gives as `model`.
        provenance: what it was trained on, JSON-able.
        metrics: how it did, JSON-able.
        probe: (n, f) further rows for the parity test, beside `probe_matrix`.
        created: time stamp for the manifest, ISO 8601; now by default.
        neighbours: labelled lines that explanations name, with vectors of the featuriser's embedder; None for none.

    Raises:
        ModelIntegrityError: the widths differ, the conversion failed, or its scores differ by more than 1e-5.
    """
    from cmdclf.features import FEATURE_VERSION

    if classifier.n_features_in_ != featuriser.width:
        raise ModelIntegrityError(
            f"the classifier takes {classifier.n_features_in_} columns, the featuriser makes {featuriser.width}",
            remedy="Export it with the featuriser that it was trained with",
        )
    out_dir = Path(out_dir)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    work = out_dir.parent / f".{out_dir.name}.{uuid.uuid4().hex[:12]}"
    try:
        featuriser.save(work)
        if neighbours is not None:
            neighbours.save(work)
        (work / MODEL_FILE).write_bytes(to_onnx(classifier).SerializeToString())
        probes = [probe_matrix(classifier)] if probe is None else [probe_matrix(classifier), probe]
        parity = max(_check_parity(work / MODEL_FILE, classifier, p) for p in probes)
        seal(
            work,
            {
                "name": name,
                "created": created or dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
                "license": "Apache-2.0",
                "feature_version": FEATURE_VERSION,
                "rules_version": featuriser.maker.rules.version,
                "embedder": {"name": featuriser.embedder.name, "dim": int(featuriser.embedder.dim)},
                "input_width": featuriser.width,
                "thresholds": {f"{fpr:g}": value for fpr, value in classifier.thresholds_.items()},
                "threshold_notes": {f"{fpr:g}": note for fpr, note in classifier.threshold_notes_.items()},
                "validation_benign": classifier.n_validation_benign_,
                "calibration": {
                    "slope": classifier.slope_,
                    "beside": classifier.beside_.tolist(),
                    "intercept": classifier.intercept_,
                    "prior": 0.5,
                },
                "parity_max_difference": parity,
                "provenance": dict(provenance),
                "metrics": dict(metrics),
                "versions": _versions(),
            },
        )
        replace_folder(work, out_dir)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out_dir


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
