"""Training sets and arms, the calibrated classifier, its evaluation, its ONNX export, and the scorer that reads it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmdclf.classify.export import export_model
    from cmdclf.classify.featurise import Featuriser
    from cmdclf.classify.gate import Comparison, GateTest, Margins, Scored, compare, refusals
    from cmdclf.classify.manifest import read_manifest, verify_model
    from cmdclf.classify.metrics import (
        auc,
        bootstrap_auc,
        evaluate,
        fpr_at_tpr,
        paired_auc_difference,
        roc_points,
        tpr_at_fpr,
    )
    from cmdclf.classify.model import Classifier
    from cmdclf.classify.promote import promote_model, promote_recorded, record_file
    from cmdclf.classify.scorer import Scorer, default_model_dir
    from cmdclf.classify.training import (
        TRAINING,
        add_benign,
        add_malicious,
        aggregated_baseline,
        describe_training,
        regex_baseline,
        training_arrays,
        without_hits,
    )

_HOME = {
    "TRAINING": "training",
    "Classifier": "model",
    "Comparison": "gate",
    "Featuriser": "featurise",
    "GateTest": "gate",
    "Margins": "gate",
    "Scored": "gate",
    "Scorer": "scorer",
    "add_benign": "training",
    "add_malicious": "training",
    "aggregated_baseline": "training",
    "auc": "metrics",
    "bootstrap_auc": "metrics",
    "compare": "gate",
    "default_model_dir": "scorer",
    "describe_training": "training",
    "evaluate": "metrics",
    "export_model": "export",
    "fpr_at_tpr": "metrics",
    "paired_auc_difference": "metrics",
    "promote_model": "promote",
    "promote_recorded": "promote",
    "read_manifest": "manifest",
    "record_file": "promote",
    "refusals": "gate",
    "regex_baseline": "training",
    "roc_points": "metrics",
    "tpr_at_fpr": "metrics",
    "training_arrays": "training",
    "verify_model": "manifest",
    "without_hits": "training",
}

__all__ = [
    "TRAINING",
    "Classifier",
    "Comparison",
    "Featuriser",
    "GateTest",
    "Margins",
    "Scored",
    "Scorer",
    "add_benign",
    "add_malicious",
    "aggregated_baseline",
    "auc",
    "bootstrap_auc",
    "compare",
    "default_model_dir",
    "describe_training",
    "evaluate",
    "export_model",
    "fpr_at_tpr",
    "paired_auc_difference",
    "promote_model",
    "promote_recorded",
    "read_manifest",
    "record_file",
    "refusals",
    "regex_baseline",
    "roc_points",
    "tpr_at_fpr",
    "training_arrays",
    "verify_model",
    "without_hits",
]


def __getattr__(name: str) -> Any:
    # The scorer must not pay for scikit-learn, nor the trainer for onnxruntime: a name loads its own file only.
    if name not in _HOME:
        raise AttributeError(f"module 'cmdclf.classify' has no attribute {name!r}")
    return getattr(import_module(f"cmdclf.classify.{_HOME[name]}"), name)
