"""Arrow in, Arrow out: hand-engineered features of command lines, and their embeddings."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["FEATURE_VERSION", "Embedder", "FeatureMaker", "load_embedder"]

_HOME = {
    "FEATURE_VERSION": "cmdclf.features.handmade",
    "FeatureMaker": "cmdclf.features.handmade",
    "Embedder": "cmdclf.features.embedders",
    "load_embedder": "cmdclf.features.embedders",
}


def __getattr__(name: str) -> Any:
    """Names are looked up at use, so that a caller of one half doesn't load the other."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
