"""Command lines as vectors: one protocol, and one door to the bundled model, ONNX folders and sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import CmdclfError
from cmdclf.resources import data_path

__all__ = ["Embedder", "load_embedder"]


@runtime_checkable
class Embedder(Protocol):
    """Turns command lines into vectors whose dot product is their cosine similarity."""

    @property
    def name(self) -> str:
        """What names these vectors in a manifest or a settings hash; other vectors have another name."""
        ...

    @property
    def dim(self) -> int:
        """The length of a vector."""
        ...

    def embed(self, lines: pa.StringArray) -> npt.NDArray[np.float32]:
        """(n, dim) float32, rows L2-normalised; a row depends on its own line only, an empty one is finite."""
        ...


def load_embedder(name_or_dir: str | Path = "bundled") -> Embedder:
    """The embedder of that name.

    Args:
        name_or_dir: `bundled` (the static model in the package, no torch, > 30,000 lines/s); a folder with our
            `manifest.json`, `vectors.npy` and `tokenizer.json`; a folder with `model.onnx` and `tokenizer.json`; or
            `st:NAME_OR_PATH` for any sentence-transformers model (extra `st`). Remote code is never trusted.

    Raises:
        ModelIntegrityError: a file of our own format is missing or differs from its manifest.
        MissingExtraError: `st:` was asked for without sentence-transformers.
        CmdclfError: neither a known name nor a model folder.
    """
    name = str(name_or_dir)
    if name.startswith("st:"):
        from cmdclf.features.embed_st import SentenceTransformerEmbedder

        return SentenceTransformerEmbedder(name.removeprefix("st:"))
    folder = data_path("embedder") if name == "bundled" else Path(name_or_dir)
    if (folder / "model.onnx").is_file():
        from cmdclf.features.embed_onnx import OnnxEmbedder

        return OnnxEmbedder.load(folder)
    if (folder / "manifest.json").is_file() or name == "bundled":
        from cmdclf.features.embed_static import StaticEmbedder

        return StaticEmbedder.load(folder)
    raise CmdclfError(
        "this is neither 'bundled', 'st:NAME' nor a folder with manifest.json, or model.onnx and tokenizer.json",
        file=name,
        remedy="Give one of these; for a sentence-transformers model write st: before its name or path",
    )
