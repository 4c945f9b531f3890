"""A sentence-transformers encoder as an ONNX folder, so that it runs without torch; int8 where decisions hold."""

from __future__ import annotations

import logging
import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cmdclf.errors import CmdclfError, ModelIntegrityError
from cmdclf.features.compare_embedders import Comparison, compare_vectors
from cmdclf.features.embed_onnx import OnnxEmbedder, seal_folder
from cmdclf.features.embed_st import SentenceTransformerEmbedder
from cmdclf.features.embedders import Embedder

__all__ = ["MOST_FLIPPED", "PARITY", "export_encoder", "quantise_encoder"]

#: Largest difference between numbers of the two models' vectors.
PARITY = 1e-4
#: Largest share of near-duplicate decisions that int8 may change.
MOST_FLIPPED = 0.01
_OPSET = 17
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_LINE = (
    "powershell -NoProfile -File C:\\Scripts\\report-{n}.ps1 -Since 2024-0{n}-11 | Out-File \\\\fs0{n}\\logs\\{n}.txt"
)


def export_encoder(model: str, out_dir: Path, *, name: str | None = None) -> tuple[OnnxEmbedder, float]:
    """The sealed ONNX folder of a sentence-transformers model, and its largest difference from the model.

    The graph holds the whole model: transformer, pooling, further layers and the normalisation. Its output is
    `sentence_embedding`; `tokenizer.json` is the model's own without a fixed truncation or padding.

    Args:
        model: folder or name, as after `st:`.
        out_dir: the folder to write; must not exist.
        name: readable name for the seal; by default the model's.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
        CmdclfError: the model is no text transformer with a fast tokenizer, or `out_dir` exists.
        ModelIntegrityError: the vectors differ by more than `PARITY`; nothing was written.
    """
    _free(out_dir)
    source = SentenceTransformerEmbedder(model, device="cpu")
    tokenizer = _tokenizer(source)

    def write(work: Path) -> None:
        tokenizer.save(str(work / "tokenizer.json"))
        _write_graph(source.model, work / "model.onnx")
        seal_folder(work, name=name or Path(model).name, max_tokens=source.max_tokens, pooling="graph")

    difference = 0.0

    def check(work: Path) -> None:
        nonlocal difference
        difference = _difference(source, OnnxEmbedder.load(work))
        if not difference <= PARITY:
            raise ModelIntegrityError(
                f"the exported vectors differ by {difference:.2g} (at most {PARITY:g} is allowed)",
                file=model,
                remedy="Use the model itself as st:NAME; models with prompts or with layers of their own can't go",
            )

    _build(out_dir, write, check)
    return OnnxEmbedder.load(out_dir), difference


def quantise_encoder(
    folder: Path, out_dir: Path, lines: Sequence[str], *, threshold_cosine: float
) -> tuple[OnnxEmbedder, Comparison]:
    """The sealed int8 folder of an encoder (dynamic, weights by channel), and how its decisions compare.

    Args:
        folder: an encoder's folder.
        out_dir: the folder to write; must not exist.
        lines: distinct lines on whose pairs the two decide.
        threshold_cosine: from which cosine on lines are near-duplicates.

    Raises:
        CmdclfError: more than `MOST_FLIPPED` of the decided pairs flip, or none is decided; nothing was written.
    """
    _free(out_dir)
    source = OnnxEmbedder.load(folder)

    def write(work: Path) -> None:
        shutil.copy(Path(folder) / "tokenizer.json", work)
        _quantise(Path(folder) / "model.onnx", work / "model.onnx")
        seal_folder(
            work,
            name=f"{source.manifest.get('name') or Path(folder).resolve().name}-int8",
            max_tokens=source.max_tokens,
            pooling=source.graph.pooling,
        )

    found: list[Comparison] = []

    def check(work: Path) -> None:
        found.append(_compared(source, OnnxEmbedder.load(work), lines, threshold_cosine))
        if not found[0].decided:
            raise CmdclfError(
                f"no pair of the {len(lines)} lines is a near-duplicate at {threshold_cosine:g}: int8 can't be judged",
                remedy="Give more lines, or lines that repeat with small changes",
            )
        if found[0].flip_share > MOST_FLIPPED:
            raise CmdclfError(
                f"int8 changes {found[0].flip_share:.1%} of the near-duplicate decisions ({found[0].flipped} of "
                f"{found[0].decided} pairs at cosine {threshold_cosine:g}; at most {MOST_FLIPPED:.0%} is allowed), so "
                "that no int8 folder was written",
                remedy="Use the float32 folder",
            )

    _build(out_dir, write, check)
    return OnnxEmbedder.load(out_dir), found[0]


def _free(out_dir: Path) -> None:
    if out_dir.exists():
        raise CmdclfError("the folder exists already", file=out_dir, remedy="Name a new folder")


def _build(out_dir: Path, *steps: Callable[[Path], None]) -> None:
    """Let the steps fill a folder beside, and give it its name when all of them are done."""
    out_dir = out_dir.absolute()
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    work = out_dir.parent / f".{out_dir.name}.{uuid.uuid4().hex[:12]}"
    work.mkdir()
    try:
        for step in steps:
            step(work)
        os.rename(work, out_dir)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _tokenizer(source: SentenceTransformerEmbedder) -> Any:
    from tokenizers import Tokenizer, normalizers

    model = source.model
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None or source.max_tokens is None or not hasattr(model[0], "max_seq_length"):
        raise CmdclfError(
            "only text transformers with a fast tokenizer can be exported",
            file=source.name,
            remedy="Use the model itself as st:NAME",
        )
    tokenizer = Tokenizer.from_str(backend.to_str())
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if getattr(model[0], "do_lower_case", False):
        parts = [normalizers.Lowercase(), *([tokenizer.normalizer] if tokenizer.normalizer else [])]
        tokenizer.normalizer = normalizers.Sequence(parts)
    return tokenizer


def _write_graph(model: Any, path: Path) -> None:
    import torch

    # tokenize is its name before sentence-transformers 5.4.
    example = getattr(model, "preprocess", model.tokenize)(["net user bob /add", "ls"])
    names = [n for n in _INPUTS if n in example]

    class Whole(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            out = self.model(dict(zip(names, values, strict=True)))["sentence_embedding"]
            return torch.nn.functional.normalize(out, p=2, dim=1)

    axes: dict[str, dict[int, str]] = {n: {0: "batch", 1: "tokens"} for n in names}
    # Not "embedding": transformers' own initialisers have that name, and the file would not load.
    axes["sentence_embedding"] = {0: "batch"}
    with torch.no_grad(), warnings.catch_warnings():
        # The tracer warns of branches on shapes; that the graph holds at other shapes is measured afterwards.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Whole().eval(),
            tuple(example[n] for n in names),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=names,
            output_names=["sentence_embedding"],
            dynamic_axes=axes,
        )


def _difference(source: SentenceTransformerEmbedder, exported: OnnxEmbedder) -> float:
    """Over lines of one token up to more than the limit, in one batch and one by one."""
    line = " ".join(_LINE.format(n=n) for n in range(1, 10))
    limit = 8 * (source.max_tokens or 1)
    lines = ["", "a", "ls -la /", "echo 'höflich' ═ 日本語 🙂"]
    lines += [(line * (size // len(line) + 1))[:size] for size in (40, 120, 350, 1000, 3000) if size <= limit]
    lines += [(line * (limit // len(line) + 1))[:limit]] if limit <= 8 * 512 else []
    wanted = source.embed(pa.array(lines))
    together = exported.embed(pa.array(lines))
    alone = np.concatenate([exported.embed(pa.array([text])) for text in lines])
    return float(max(np.abs(wanted - together).max(), np.abs(wanted - alone).max()))


def _quantise(source: Path, target: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # It writes advice on stderr through the root logger.
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(str(source), str(target), weight_type=QuantType.QInt8, per_channel=True)
    finally:
        logging.disable(previous)


def _compared(a: Embedder, b: Embedder, lines: Sequence[str], threshold: float) -> Comparison:
    texts = pa.array(lines, pa.string())
    return compare_vectors(a.embed(texts), b.embed(texts), threshold_a=threshold, threshold_b=threshold)
