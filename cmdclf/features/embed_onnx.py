"""A transformer encoder from a folder with `model.onnx` and `tokenizer.json`, on onnxruntime, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import CmdclfError, ModelIntegrityError
from cmdclf.features.onnx_folder import MAX_TOKENS, SOUND, OnnxFolder, is_fault, opened, read_folder, write_manifest
from cmdclf.features.onnx_graph import EncoderGraph
from cmdclf.features.text_batches import LINES, MIN_CHARS, WINDOW, distinct_texts, same_cost_batches, windows
from cmdclf.progress import Progress

__all__ = ["OnnxEmbedder", "seal_folder"]

#: Characters for each token that a line may have: beyond, a line is cut before it is tokenised.
_CHARS_PER_TOKEN = 16
_PADDING = ("[PAD]", "<pad>")
_BELONGS = "Take the tokenizer.json that belongs to this model.onnx"


class OnnxEmbedder:
    """Runs an encoder over batches of lines of like length.

    Token vectors (n, tokens, dim) are pooled by mean, or the first token's is taken; an output of rank 2 is taken as it
    is; all are L2-normalised. A line's vector doesn't depend on the lines around it (to 1e-5). Equal lines are embedded
    once. Memory for one pass is bounded; a single line of 8,192 tokens is the exception, see docs/embedders.md.

    Args:
        folder: what `read_folder` gave.
        graph: its graph.
        tokenizer: its `tokenizers.Tokenizer`; truncation and padding of its own are replaced, for published files often
            carry a fixed padding or a shorter limit, which would change the vectors silently.

    Raises:
        ModelIntegrityError: graph and tokenizer don't belong together, or the graph can't embed.
    """

    def __init__(self, folder: OnnxFolder, graph: EncoderGraph, tokenizer: Any) -> None:
        self.name = folder.name
        self.folder = folder.path
        self.files: Mapping[str, str] = folder.files
        self.manifest = folder.manifest
        self.max_tokens = folder.max_tokens
        self.sealed = folder.sealed
        self.graph = graph
        self._tokenizer_file = folder.tokenizer_file
        self._most_rows = 1 if folder.one_by_one else LINES
        self._pad_id = self._bounded(tokenizer)
        self._tokenizer = tokenizer
        probe = self._tokens(["a"])[0] or [0]
        self.dim = int(graph.vectors([probe]).shape[1])
        if folder.dim not in (None, self.dim):
            raise ModelIntegrityError(
                f"its vectors have {self.dim} numbers, its manifest says {folder.dim}",
                file=folder.model_file,
                remedy="Copy the folder anew, or seal it again",
            )
        self._check_largest_id(probe)

    @classmethod
    def load(cls, folder: Path | str) -> OnnxEmbedder:
        """The encoder of a folder; see `onnx_folder` for where its settings come from.

        Raises:
            ModelIntegrityError: a file is missing, unreadable, or differs from the manifest; names the file.
        """
        return cls._from(read_folder(folder))

    @classmethod
    def _from(cls, folder: OnnxFolder) -> OnnxEmbedder:
        from tokenizers import Tokenizer

        tokenizer = opened(folder.tokenizer_file, Tokenizer.from_file)
        graph = EncoderGraph.open(folder.model_file, pooling=folder.pooling, default_pooling=folder.default_pooling)
        return cls(folder, graph, tokenizer)

    def embed(self, lines: pa.StringArray) -> npt.NDArray[np.float32]:
        """(n, dim) float32, rows L2-normalised; an empty line gives its special tokens' vector, or zeros.

        Lines longer than `max_tokens` are cut there, lines of more than 65,536 characters (16 for each token of
        `max_tokens`, if that is more) before they are tokenised.
        """
        texts, places = distinct_texts(lines, max(MIN_CHARS, _CHARS_PER_TOKEN * self.max_tokens))
        out = np.zeros((len(texts), self.dim), np.float32)
        with Progress(f"embed {self.name}", len(texts), unit="lines", enabled=len(texts) >= WINDOW) as progress:
            for window in windows(texts):
                tokens = self._tokens([texts[i] for i in window])
                # Without a token there is nothing to attend to: those rows stay zero.
                rows = sorted((i for i, ids in enumerate(tokens) if ids), key=lambda i: len(tokens[i]))
                for batch in same_cost_batches([len(tokens[i]) for i in rows], most=self._most_rows):
                    chosen = [rows[i] for i in batch]
                    vectors = self.graph.vectors([tokens[i] for i in chosen], pad_id=self._pad_id)
                    out[np.asarray(chosen) + window.start] = vectors
                    progress.update(len(chosen))
        return out[places]

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        try:
            return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(texts)]
        except BaseException as error:
            if not is_fault(error):
                raise
            raise ModelIntegrityError(
                f"it can't read a line ({str(error)[:200]})", file=self._tokenizer_file, remedy=_BELONGS
            ) from error

    def _bounded(self, tokenizer: Any) -> int:
        """Set the limit of a line; the id to pad with."""
        special = tokenizer.num_special_tokens_to_add(False)
        if special >= self.max_tokens:
            raise ModelIntegrityError(
                f"it adds {special} tokens to each line, which leaves none of {self.max_tokens}",
                file=self._tokenizer_file,
                remedy="Seal the folder with more --max-tokens",
            )
        padding = tokenizer.padding or {}
        tokenizer.enable_truncation(max_length=self.max_tokens)
        tokenizer.no_padding()
        known = [padding.get("pad_id"), *(tokenizer.token_to_id(token) for token in _PADDING), 0]
        return int(next(i for i in known if i is not None))

    def _check_largest_id(self, probe: list[int]) -> None:
        """A line may hold any token: the graph must know the last one, too."""
        largest = max([self._pad_id, *self._tokenizer.get_vocab(with_added_tokens=True).values()])
        try:
            self.graph.vectors([[*probe[:-1], largest]])
        except ModelIntegrityError as error:
            raise ModelIntegrityError(
                f"it gives token ids up to {largest}, and model.onnx doesn't know that one",
                file=self._tokenizer_file,
                remedy=_BELONGS,
            ) from error


def seal_folder(
    folder: Path | str,
    *,
    name: str | None = None,
    max_tokens: int | None = None,
    pooling: str | None = None,
    threshold_cosine: float | None = None,
) -> OnnxEmbedder:
    """The embedder of a folder whose `manifest.json` was just written; later loads verify every file against it.

    What isn't given comes from an earlier seal, else from the model's own files.

    Args:
        folder: with `model.onnx` and `tokenizer.json`.
        name: readable name; by default the folder's.
        max_tokens: longer lines are cut there, up to 8,192.
        pooling: `mean` or `cls` over token vectors, or `graph` for an output that is pooled already.
        threshold_cosine: from which cosine on lines are near-duplicates; what `dedup` takes without `--threshold`.

    Raises:
        ModelIntegrityError: the folder is no encoder that could be loaded.
        CmdclfError: a setting is impossible.
    """
    settings: dict[str, Any] = {
        "name": name,
        "max_tokens": max_tokens,
        "pooling": pooling,
        "threshold_cosine": threshold_cosine,
    }
    given = {key: value for key, value in settings.items() if value is not None}
    faulty = [key for key, value in given.items() if not SOUND[key](value)]
    if faulty:
        raise CmdclfError(
            f"{faulty[0]} can't be {given[faulty[0]]!r}",
            remedy=f"max_tokens goes from 1 to {MAX_TOKENS}, a cosine from above 0 to 1, a name is printable text",
        )
    embedder = OnnxEmbedder._from(read_folder(folder, settings=given))
    content = {
        "name": Path(folder).resolve().name,
        **{k: v for k, v in embedder.manifest.items() if k in settings},
        "dim": embedder.dim,
        "max_tokens": embedder.max_tokens,
        "pooling": embedder.graph.pooling,
    }
    write_manifest(Path(folder), content, embedder.files)
    return OnnxEmbedder.load(folder)
