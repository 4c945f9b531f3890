"""A transformer encoder from a folder with `model.onnx` and `tokenizer.json`, on onnxruntime, without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import ModelIntegrityError

__all__ = ["OnnxEmbedder"]

_FILES = ("model.onnx", "tokenizer.json")


class OnnxEmbedder:
    """Runs an encoder over length-sorted batches.

    An output of rank 3 (n, tokens, dim) is mean-pooled under the attention mask, one of rank 2 is taken as it is; both
    are L2-normalised. Only those of `input_ids`, `attention_mask`, `token_type_ids` are fed that the graph asks for.

    Args:
        name: names these vectors.
        session: an onnxruntime session.
        tokenizer: a `tokenizers.Tokenizer`; its own truncation and padding are replaced.
        max_tokens: longer lines are cut there. tokenizer.json files often carry a fixed padding or a shorter limit of
            their own, which would change the vectors silently.
        batch_size: lines per forward pass.
        folder: where its files lie.
    """

    def __init__(
        self,
        name: str,
        session: Any,
        tokenizer: Any,
        *,
        max_tokens: int = 256,
        batch_size: int = 64,
        folder: Path | None = None,
    ) -> None:
        tokenizer.enable_truncation(max_length=max_tokens)
        tokenizer.no_padding()
        self.name = name
        self.folder = folder
        self._session = session
        self._tokenizer = tokenizer
        self._batch_size = batch_size
        self._inputs = {i.name for i in session.get_inputs()}
        self._output = self._best_output()
        self.dim = len(self._encode(["a"])[0])

    @classmethod
    def load(cls, folder: Path | str) -> OnnxEmbedder:
        """The encoder of a folder. Its name holds the graph's SHA-256; a `manifest.json` with `files` is checked.

        A `manifest.json` may set `max_tokens`; otherwise `sentence_bert_config.json`'s `max_seq_length`, otherwise 256.

        Raises:
            ModelIntegrityError: a file is missing, unreadable, or differs from the manifest; names the file.
        """
        import onnxruntime as ort
        from tokenizers import Tokenizer

        folder = Path(folder)
        manifest = _json(folder / "manifest.json")
        digests = {}
        for file in _FILES:
            if not (folder / file).is_file():
                raise ModelIntegrityError(
                    "the file is missing", file=folder / file, remedy="Copy the model's files into one folder"
                )
            digests[file] = hashlib.sha256((folder / file).read_bytes()).hexdigest()
            expected = manifest.get("files", {}).get(file)
            if expected is not None and expected != digests[file]:
                raise ModelIntegrityError(
                    "the file differs from the SHA-256 in its manifest",
                    file=folder / file,
                    remedy="Copy the folder anew",
                )
        limit = manifest.get("max_tokens") or _json(folder / "sentence_bert_config.json").get("max_seq_length") or 256
        session = _opened(folder / "model.onnx", lambda p: ort.InferenceSession(p, providers=["CPUExecutionProvider"]))
        tokenizer = _opened(folder / "tokenizer.json", Tokenizer.from_file)
        return cls(
            f"onnx:{folder.name}:{digests['model.onnx'][:12]}", session, tokenizer, max_tokens=int(limit), folder=folder
        )

    def _best_output(self) -> str:
        outputs = self._session.get_outputs()
        pooled = [o.name for o in outputs if o.name == "sentence_embedding"]
        return str(pooled[0] if pooled else outputs[0].name)

    def _encode(self, texts: list[str]) -> npt.NDArray[np.float32]:
        encoded = self._tokenizer.encode_batch_fast(texts)
        width = max(1, max(len(e.ids) for e in encoded))
        ids, mask = np.zeros((len(texts), width), np.int64), np.zeros((len(texts), width), np.int64)
        for row, e in enumerate(encoded):
            ids[row, : len(e.ids)] = e.ids
            mask[row, : len(e.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        out = self._session.run([self._output], {k: v for k, v in feed.items() if k in self._inputs})[0]
        vectors = np.asarray(out, np.float32)
        if vectors.ndim == 3:
            weight = mask[:, :, None].astype(np.float32)
            vectors = (vectors * weight).sum(1) / np.maximum(weight.sum(1), 1e-9)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: npt.NDArray[np.float32] = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        return unit

    def embed(self, lines: pa.StringArray) -> npt.NDArray[np.float32]:
        """(n, dim) float32, rows L2-normalised; an empty line gives its special tokens' vector, or zeros."""
        texts = [line or "" for line in lines.to_pylist()]
        out = np.zeros((len(texts), self.dim), np.float32)
        # Lines of like length together: padding costs as much as text.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for at in range(0, len(order), self._batch_size):
            rows = order[at : at + self._batch_size]
            out[rows] = self._encode([texts[i] for i in rows])
        return out


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ModelIntegrityError("the file is not JSON", file=path, remedy="Copy the model's files anew") from error
    return value if isinstance(value, dict) else {}


def _opened(path: Path, opener: Callable[[str], Any]) -> Any:
    try:
        return opener(str(path))
    # onnxruntime and tokenizers raise bare Exceptions of their own for whatever is wrong with a file.
    except Exception as error:
        text = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelIntegrityError(f"the file can't be loaded ({text})", file=path, remedy="Export it again") from error
