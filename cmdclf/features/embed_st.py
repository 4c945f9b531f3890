"""Any sentence-transformers model as an embedder (extra `st`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import CmdclfError, MissingExtraError
from cmdclf.features.st_import import import_sentence_transformers

__all__ = ["SentenceTransformerEmbedder"]


class SentenceTransformerEmbedder:
    """Wraps a sentence-transformers model by name or path; its remote code is never run.

    A name that is not a folder is looked up by sentence-transformers itself (its cache, then its hub); with
    `HF_HUB_OFFLINE=1` it looks only into the cache.

    Args:
        model: a folder, or a model name.
        batch_size: lines per forward pass.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        CmdclfError: there is no such model.
    """

    def __init__(self, model: str, *, batch_size: int = 64) -> None:
        if not model:
            raise CmdclfError("'st:' names no model", remedy="Write st:NAME or st:FOLDER")
        try:
            library = import_sentence_transformers()
        except ImportError as error:
            raise MissingExtraError("st", f"The embedder st:{model}") from error
        try:
            self._model = library.SentenceTransformer(model, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise CmdclfError(
                f"sentence-transformers can't load it ({type(error).__name__}: {str(error)[:200]!r})",
                file=model,
                remedy="Give the folder of a saved model, or the name of one that is in the local cache",
            ) from error
        # As it was given, so that the name alone finds the model again.
        self.name = f"st:{model}"
        self.dim = int(self._model.get_embedding_dimension() or 0)
        self._batch_size = batch_size

    def embed(self, lines: pa.StringArray) -> npt.NDArray[np.float32]:
        """(n, dim) float32, rows L2-normalised (a zero vector stays zero); nulls count as empty lines."""
        if len(lines) == 0:
            return np.zeros((0, self.dim), np.float32)
        vectors = self._model.encode(
            [line or "" for line in lines.to_pylist()],
            batch_size=self._batch_size,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )
        return np.ascontiguousarray(np.nan_to_num(vectors), np.float32)
