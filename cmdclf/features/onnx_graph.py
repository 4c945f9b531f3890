"""An encoder's graph on onnxruntime: feeds what the graph names, pools what it gives, and says what it can't do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cmdclf.errors import ModelIntegrityError
from cmdclf.features.onnx_folder import opened

__all__ = ["EncoderGraph"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_FLOATS = {"tensor(float)", "tensor(float16)", "tensor(double)"}
#: Exporters' names: optimum and sentence-transformers, transformers, sentence-transformers.
_POOLED, _TOKENS = "sentence_embedding", ("last_hidden_state", "token_embeddings")
#: Passes with more cells of attention than this are rare and give their memory back: 5 GB at 4,096 tokens.
_WIDE = 1 << 21
_EXPORT = "Take the export of a text encoder: inputs (batch, tokens), output (batch, tokens, dim) or (batch, dim)"


class EncoderGraph:
    """Token ids in, unit vectors out.

    Args:
        session: an onnxruntime session.
        file: the graph's file, for messages.
        pooling: `mean` or `cls` over token vectors, `graph` for an output that is pooled already; None takes a pooled
            output named `sentence_embedding`, else token vectors, else whatever has one vector for each line.
        default_pooling: how token vectors are pooled where `pooling` is None.

    Raises:
        ModelIntegrityError: the graph wants inputs that a command line doesn't have, or gives no vectors.
    """

    def __init__(self, session: Any, file: Path, *, pooling: str | None = None, default_pooling: str = "mean") -> None:
        self.file = file
        self._session = session
        self._types = self._checked_inputs()
        self.output, rank = self._chosen_output(pooling)
        self.pooling = "graph" if rank == 2 else (pooling or default_pooling)
        self._dim: int | None = None
        self._wide = _shrinking()

    @classmethod
    def open(cls, file: Path, *, pooling: str | None = None, default_pooling: str = "mean") -> EncoderGraph:
        """The graph of a file, on the CPU cores that this process may use."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )
        # Spinning threads cost a quarter of the CPU time here and save no time worth the name.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # What goes wrong becomes an error of ours; the library's own lines on stderr would only repeat it.
        options.log_severity_level = 4

        def graph_of(path: str) -> EncoderGraph:
            # Without the fallback: it would try the same once more and say so on standard output.
            session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"], enable_fallback=0)
            return cls(session, file, pooling=pooling, default_pooling=default_pooling)

        graph: EncoderGraph = opened(file, graph_of)
        return graph

    @property
    def inputs(self) -> list[str]:
        """The inputs that the graph names."""
        return list(self._types)

    def vectors(self, rows: list[list[int]], *, pad_id: int = 0) -> Floats:
        """(n, dim) float32 with unit rows for n rows of token ids, none of them empty.

        Args:
            rows: token ids; shorter rows are padded on the right, under the mask.
            pad_id: what they are padded with.

        Raises:
            ModelIntegrityError: the graph fails, or its output has another shape or no finite numbers.
        """
        lengths = [len(row) for row in rows]
        width = max(lengths)
        ids, mask = np.full((len(rows), width), pad_id, np.int64), np.zeros((len(rows), width), np.int64)
        for row, (tokens, length) in enumerate(zip(rows, lengths, strict=True)):
            ids[row, :length] = tokens
            mask[row, :length] = 1
        out = np.asarray(self._run(ids, mask))
        # Each row by itself and without its padding: its sum can't depend on the batch it came in.
        if out.ndim == 3 and self.pooling != "graph":
            self._check_shape(out.shape[:2] == ids.shape, out, width)
            pooled = np.stack(
                [v[0].astype(np.float64) if self.pooling == "cls" else v[:n].mean(0, dtype=np.float64)
                 for v, n in zip(out, lengths, strict=True)]
            )  # fmt: skip
        else:
            self._check_shape(out.ndim == 2 and len(out) == len(rows) and self.pooling == "graph", out, width)
            pooled = out.astype(np.float64)
        self._check_dim(pooled.shape[1], width)
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        if not np.isfinite(norms).all():
            raise ModelIntegrityError(
                f"it gives no finite numbers for a line of {width} tokens",
                file=self.file,
                remedy="Take the float32 export, or seal the folder with a smaller --max-tokens",
            )
        unit: Floats = np.divide(pooled, norms, out=np.zeros_like(pooled), where=norms > 0).astype(np.float32)
        return unit

    def _run(self, ids: Ints, mask: Ints) -> Any:
        feed: dict[str, Any] = {}
        for name, kind in self._types.items():
            if name == "input_ids":
                values = ids
            elif name == "attention_mask":
                values = mask
            elif name == "position_ids":
                # As BERT counts: from 0, the padding too.
                values = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
            else:
                values = np.zeros_like(ids)
            feed[name] = np.ascontiguousarray(values, kind)
        try:
            return self._session.run([self.output], feed, self._wide if ids.size * ids.shape[1] > _WIDE else None)[0]
        # onnxruntime raises bare Exceptions of its own for whatever goes wrong inside a graph.
        except Exception as error:
            text = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelIntegrityError(
                f"it can't read a line of {ids.shape[1]} tokens ({text[:200]})",
                file=self.file,
                remedy="If shorter lines work, seal the folder with a smaller --max-tokens; else export it again",
            ) from error

    def _checked_inputs(self) -> dict[str, Any]:
        types = {}
        declared = self._session.get_inputs()
        foreign = [i.name for i in declared if i.name not in _INPUTS]
        if foreign or "input_ids" not in [i.name for i in declared]:
            asked = f"it wants the input '{foreign[0][:80]}'" if foreign else "it has no input 'input_ids'"
            raise ModelIntegrityError(
                f"{asked}; a command line has only {', '.join(_INPUTS)}", file=self.file, remedy=_EXPORT
            )
        for i in declared:
            fixed = [d for d in i.shape if isinstance(d, int)]
            if i.type not in _INTEGERS or len(i.shape) != 2 or fixed:
                raise ModelIntegrityError(
                    f"its input '{i.name}' is {i.type} {i.shape}, not int64 or int32 (batch, tokens) of any size",
                    file=self.file,
                    remedy="Export it with dynamic axes for batch and tokens",
                )
            types[i.name] = _INTEGERS[i.type]
        return types

    def _chosen_output(self, pooling: str | None) -> tuple[str, int]:
        """Name and rank (2 or 3) of the output to take."""
        ranks = {
            o.name: len(o.shape)
            for o in self._session.get_outputs()
            # Logits are vectors over a vocabulary or over classes, not of a line.
            if o.type in _FLOATS and o.name != "logits" and len(o.shape) in (2, 3)
        }
        pooled = [name for name in (_POOLED, *ranks) if ranks.get(name) == 2]
        tokens = [name for name in (*_TOKENS, *ranks) if ranks.get(name) == 3]
        wanted = {
            "graph": pooled,
            "mean": tokens,
            "cls": tokens,
            None: pooled[:1] if ranks.get(_POOLED) == 2 else tokens + pooled,
        }[pooling]
        if not wanted:
            given = ", ".join(f"{o.name} {o.shape}" for o in self._session.get_outputs())[:300]
            asked = f" for the pooling '{pooling}'" if pooling else ""
            raise ModelIntegrityError(f"it gives no vectors{asked}: {given}", file=self.file, remedy=_EXPORT)
        return wanted[0], ranks[wanted[0]]

    def _check_shape(self, sound: bool, out: npt.NDArray[Any], width: int) -> None:
        if not sound:
            raise ModelIntegrityError(
                f"its output '{self.output}' has the shape {out.shape} for lines of {width} tokens",
                file=self.file,
                remedy=_EXPORT,
            )

    def _check_dim(self, dim: int, width: int) -> None:
        if self._dim is None:
            self._dim = dim
        if dim != self._dim or dim == 0:
            raise ModelIntegrityError(
                f"its vectors have {dim} numbers for a line of {width} tokens, and {self._dim} for others",
                file=self.file,
                remedy=_EXPORT,
            )


def _shrinking() -> Any:
    import onnxruntime as ort

    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options
