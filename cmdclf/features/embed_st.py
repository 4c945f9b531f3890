"""Any sentence-transformers model as an embedder (extra `st`)."""

from __future__ import annotations

import importlib
import json
import math
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import CmdclfError, MissingExtraError, ModelIntegrityError
from cmdclf.features.st_import import import_sentence_transformers
from cmdclf.features.text_batches import MIN_CHARS, WINDOW, distinct_texts, rows_for, windows
from cmdclf.progress import Progress

__all__ = ["SentenceTransformerEmbedder"]

_OWN_CODE = (
    "cmdclf runs no code that comes with a model. Use its ONNX export instead (docs/embedders.md), "
    "or another model that needs none"
)


class SentenceTransformerEmbedder:
    """Wraps a sentence-transformers model by name or path. Code of the model's own is never run, nothing downloaded.

    Equal lines are embedded once. Lines of like length go together, the fewer the longer they are: attention costs the
    square of a line's length.

    Args:
        model: a folder, or the name of a model in the local cache.
        batch_size: most lines per forward pass.
        device: as torch names it; sentence-transformers' own choice by default.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        CmdclfError: there is no such model here, or it needs code of its own.
    """

    def __init__(self, model: str, *, batch_size: int = 64, device: str | None = None) -> None:
        if not model:
            raise CmdclfError("'st:' names no model", remedy="Write st:NAME or st:FOLDER")
        try:
            library = import_sentence_transformers()
        except ImportError as error:
            raise MissingExtraError("st", f"The embedder st:{model}") from error
        _refuse_foreign_modules(Path(model))
        # Bars of its own for the weights say nothing to whoever embeds command lines.
        importlib.import_module("transformers.utils.logging").disable_progress_bar()
        try:
            self.model = library.SentenceTransformer(
                model, device=device, trust_remote_code=False, local_files_only=True
            )
        # What a damaged folder makes of these libraries has no class in common.
        except Exception as error:
            raise CmdclfError(
                f"sentence-transformers can't load it ({type(error).__name__}: {str(error)[:200]!r})",
                file=model,
                remedy="Give the folder of a saved model, or the name of one in the local cache; cmdclf downloads none",
            ) from error
        _refuse_stand_in(self.model, model)
        # As it was given, so that the name alone finds the model again.
        self.name = f"st:{model}"
        self.dim = int(self.model.get_embedding_dimension() or 0)
        self._batch_size = batch_size

    @property
    def max_tokens(self) -> int | None:
        """Longer lines are cut there; None where the model has no limit."""
        limit = self.model.max_seq_length
        return int(limit) if limit and math.isfinite(limit) else None

    def embed(self, lines: pa.StringArray) -> npt.NDArray[np.float32]:
        """(n, dim) float32, rows L2-normalised (a zero vector stays zero); nulls count as empty lines."""
        texts, places = distinct_texts(lines, max(MIN_CHARS, 16 * (self.max_tokens or 0)))
        out = np.zeros((len(texts), self.dim), np.float32)
        with Progress(f"embed {self.name}", len(texts), unit="lines", enabled=len(texts) >= WINDOW) as progress:
            for window in windows(texts):
                for rows, group in groupby(window, key=lambda i: self._rows(len(texts[i]))):
                    chosen = list(group)
                    vectors = self.model.encode(
                        [texts[i] for i in chosen],
                        batch_size=rows,
                        normalize_embeddings=True,
                        convert_to_numpy=True,
                        show_progress_bar=False,
                    )
                    out[chosen[0] : chosen[-1] + 1] = np.nan_to_num(vectors)
                    progress.update(len(chosen))
        return out[places]

    def _rows(self, chars: int) -> int:
        """Lines for one pass, where they have up to `chars` characters, as a power of two.

        A token has two characters or more, as a rule; where it hasn't, a pass is up to four times as large.
        """
        limit = self.max_tokens
        rows = self._batch_size if limit is None else min(self._batch_size, rows_for(min(limit, chars // 2 + 8)))
        return 1 << (rows.bit_length() - 1)


def _refuse_foreign_modules(folder: Path) -> None:
    """Before sentence-transformers 6 a local folder's own Python files were imported without being asked for."""
    path = folder / "modules.json"
    if not path.is_file():
        return
    try:
        kinds = [str(module["type"]) for module in json.loads(path.read_bytes())]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelIntegrityError("the file names no modules", file=path, remedy="Copy the model anew") from error
    foreign = [kind for kind in kinds if not kind.startswith("sentence_transformers.")]
    if foreign:
        raise CmdclfError(f"the model brings code of its own ({foreign[0][:80]})", file=path, remedy=_OWN_CODE)


def _refuse_stand_in(model: Any, name: str) -> None:
    """transformers takes a class of its own where a config names one from elsewhere: other vectors, and no warning."""
    first = next(iter(model), None)
    inner = getattr(first, "model", None) or getattr(first, "auto_model", None)
    asked = (getattr(getattr(inner, "config", None), "auto_map", None) or {}).get("AutoModel")
    asked = asked[0] if isinstance(asked, list | tuple) and asked else asked
    if asked and str(asked).rpartition(".")[2] != type(inner).__name__:
        raise CmdclfError(
            f"the model needs code of its own ({str(asked)[:80]}); without it its vectors would be wrong",
            file=name,
            remedy=_OWN_CODE,
        )
