"""The static embedder: a line's vector is the normalised sum of its tokens' vectors. Small, fast, without torch.

The method is that of sentence-transformers' `StaticEmbedding` (an embedding bag with mean pooling); the tokens' weights
lie in the lengths of their vectors. `cmdclf.features.train_static` trains such a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import ModelIntegrityError
from cmdclf.features.embed_layers import with_layers
from cmdclf.features.embed_text import FOLDING_VERSION, build_trie, embed_rows, string_buffers, token_rows

__all__ = ["FORMAT", "THRESHOLD_COSINE", "StaticEmbedder", "seal_manifest"]

#: The default near-duplicate decision for the bundled model; how it was chosen: `data/embedder/MODEL_CARD.md`.
THRESHOLD_COSINE = 0.7

FORMAT = "cmdclf-static-embedding"
_FILES = ("vectors.npy", "tokenizer.json")
_REMEDY = "Install cmdclf again, or copy the model folder anew"
#: Below this many lines a second thread costs more than it brings.
_ROWS_PER_THREAD = 2048


def _digest(manifest: Mapping[str, Any]) -> str:
    rest = {k: v for k, v in manifest.items() if k != "manifest_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def seal_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Writes `manifest.json` with the SHA-256 of the folder's files and of the manifest itself."""
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _FILES}
    sealed = {**manifest, "format": FORMAT, "folding_version": FOLDING_VERSION, "files": files}
    sealed["manifest_sha256"] = _digest(sealed)
    (folder / "manifest.json").write_text(json.dumps(sealed, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not path.is_file():
        raise ModelIntegrityError("the file is missing", file=path, remedy=_REMEDY)
    try:
        manifest = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelIntegrityError("the manifest is not JSON", file=path, remedy=_REMEDY) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ModelIntegrityError("this is not the manifest of a static embedder", file=path, remedy=_REMEDY)
    if manifest.get("manifest_sha256") != _digest(manifest):
        raise ModelIntegrityError("the manifest differs from its own SHA-256", file=path, remedy=_REMEDY)
    if manifest.get("folding_version") != FOLDING_VERSION:
        raise ModelIntegrityError(
            f"the model reads folding {manifest.get('folding_version')}, this cmdclf writes folding {FOLDING_VERSION}",
            file=path,
            remedy="Take the model that belongs to this version of cmdclf, or train it again",
        )
    return manifest


def _verified(folder: Path, name: str, sha256: str | None) -> Path:
    path = folder / name
    if not path.is_file():
        raise ModelIntegrityError("the file is missing", file=path, remedy=_REMEDY)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ModelIntegrityError("the file differs from the SHA-256 in its manifest", file=path, remedy=_REMEDY)
    return path


class StaticEmbedder:
    """Sums token vectors over greedily matched tokens of the folded line (see `embed_text`).

    Args:
        name: names these vectors.
        vocabulary: token of each id, printable ASCII.
        vectors: (len(vocabulary), dim) floating; kept as float32.
        manifest: what the model's folder says about it.
        folder: where its files lie.
        threads: most threads for one call; by default one for each core that this process may use.

    Example:
        >>> embedder = StaticEmbedder.load(data_path("embedder"))
        >>> embedder.embed(pa.array(["net user", "NET  USER"])).shape
        (2, 128)
    """

    def __init__(
        self,
        name: str,
        vocabulary: list[str],
        vectors: npt.NDArray[Any],
        *,
        manifest: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        threads: int | None = None,
    ) -> None:
        if vectors.ndim != 2 or len(vocabulary) != len(vectors):
            raise ValueError(f"{len(vocabulary)} tokens need as many vectors, got an array of shape {vectors.shape}")
        self.name = name
        self.dim = int(vectors.shape[1])
        self.vocabulary = vocabulary
        self.manifest = dict(manifest or {})
        self.folder = folder
        self._vectors = np.ascontiguousarray(vectors, np.float32)
        self._trie = build_trie(vocabulary)
        self._threads = threads or (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )

    @classmethod
    def load(cls, folder: Path | str) -> StaticEmbedder:
        """The model of a folder, after its files were checked against the manifest.

        Raises:
            ModelIntegrityError: a file is missing, was changed, or belongs to another version; names the file.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        vectors_path, tokenizer_path = (_verified(folder, name, manifest.get("files", {}).get(name)) for name in _FILES)
        vectors = np.load(vectors_path, allow_pickle=False)
        ids = json.loads(tokenizer_path.read_bytes())["model"]["vocab"]
        return cls(str(manifest["name"]), sorted(ids, key=ids.__getitem__), vectors, manifest=manifest, folder=folder)

    def embed(self, lines: pa.StringArray) -> npt.NDArray[np.float32]:
        """(n, dim) float32, rows L2-normalised; a line without a token gives zeros. Equal however lines are batched.

        What a line hides is decoded first and counts with it (see `embed_layers`).
        """
        return self.embed_read(with_layers(lines))

    def embed_read(self, lines: pa.StringArray) -> npt.NDArray[np.float32]:
        """`embed` of lines that have what they hide in its place already, as `with_layers` gives them."""
        out = np.zeros((len(lines), self.dim), np.float32)
        text, offsets = string_buffers(lines)
        parts = max(1, min(self._threads, len(lines) // _ROWS_PER_THREAD))
        if parts == 1:
            embed_rows(text, offsets, 0, len(lines), self._trie, self._vectors, out)
            return out
        # Equal bytes, not equal rows, for each thread: long lines come in clusters.
        edges = np.searchsorted(offsets, np.linspace(offsets[0], offsets[-1], parts + 1))
        edges[0], edges[-1] = 0, len(lines)
        with ThreadPoolExecutor(parts) as pool:
            for job in [
                pool.submit(embed_rows, text, offsets, int(a), int(b), self._trie, self._vectors, out)
                for a, b in pairwise(edges)
            ]:
                job.result()
        return out

    def tokenise(self, lines: pa.StringArray) -> pa.ListArray:
        """The token ids of each line: list<int32>, same length."""
        return token_rows(lines, self._trie)
