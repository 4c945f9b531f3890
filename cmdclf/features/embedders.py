"""Command lines as vectors: one protocol, and one door to the bundled model, ONNX folders and sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import CmdclfError, ModelIntegrityError
from cmdclf.resources import data_path

__all__ = ["Embedder", "embedder_files", "load_embedder"]


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
        ModelIntegrityError: a file of the folder is missing, damaged, or differs from its manifest.
        MissingExtraError: `st:` was asked for without sentence-transformers.
        CmdclfError: neither a known name nor a model folder.
    """
    name = str(name_or_dir)
    if name.startswith("st:"):
        from cmdclf.features.embed_st import SentenceTransformerEmbedder

        return SentenceTransformerEmbedder(name.removeprefix("st:"))
    folder = data_path("embedder") if name == "bundled" else Path(name_or_dir)
    if any((folder / place).is_file() for place in ("model.onnx", "onnx/model.onnx")) or _sealed_encoder(folder):
        from cmdclf.features.embed_onnx import OnnxEmbedder

        return OnnxEmbedder.load(folder)
    if (folder / "manifest.json").is_file() or name == "bundled":
        from cmdclf.features.embed_static import StaticEmbedder

        try:
            return StaticEmbedder.load(folder)
        # Its digests are right and its content is not: somebody sealed nonsense.
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelIntegrityError(
                f"the model can't be read ({type(error).__name__}: {str(error)[:100]})",
                file=folder,
                remedy="Copy the model folder anew, or train it again",
            ) from error
    raise CmdclfError(
        "this is neither 'bundled', 'st:NAME' nor a folder with manifest.json, or model.onnx and tokenizer.json",
        file=name,
        remedy="Give one of these; for a sentence-transformers model write st: before its name or path",
    )


def embedder_files(embedder: Embedder) -> dict[str, str]:
    """File -> SHA-256 of the files that the embedder was read from; empty where they are not known (`st:NAME`)."""
    files = getattr(embedder, "files", None) or getattr(embedder, "manifest", {}).get("files", {})
    return {str(name): str(digest) for name, digest in sorted(files.items())}


def _sealed_encoder(folder: Path) -> bool:
    """Whether the folder's manifest is an encoder's, so that a missing graph is missed."""
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == "cmdclf-onnx-encoder"
