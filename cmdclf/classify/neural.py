"""A small neural network over the tokens of a line and of what it hides, as one ONNX graph: tokens in, log-odds out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cmdclf.errors import CmdclfError, ModelIntegrityError

__all__ = ["MOST_TOKENS", "NEURAL_FILE", "NEURAL_VERSION", "NeuralModel", "padless", "tokens_of"]

NEURAL_FILE = "neural.onnx"
#: Changes when the same weights would give other scores.
NEURAL_VERSION = 1
#: Tokens of a line that count.
MOST_TOKENS = 96
#: Lines of one length that pass through the graph at once: the gathered vectors of the longest take 50 MB.
_ROWS = 1024
_OPSET = 21

Floats = NDArray[np.float64]


@dataclass
class NeuralModel:
    """The mean and the largest value of a line's token vectors, one hidden layer, and a sum.

    Where the n-grams know spellings, this knows neighbours: tokens that do the same begin with like vectors, those of
    the embedder. The last vector stands for no token: training hides some tokens behind it, and a line without any is
    read as it.

    Attributes:
        vectors: (tokens + 1, d) float32, rounded to float16.
        hidden: (2 d, h) float32.
        hidden_bias, out: (h,) float32.
        bias: () float32.

    Source: fastText's averaged vectors (Joulin et al. 2017), here with a maximum and a hidden layer.
    """

    vectors: NDArray[np.float32]
    hidden: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    out: NDArray[np.float32]
    bias: NDArray[np.float32]

    def __post_init__(self) -> None:
        # What is saved scores as what was fitted.
        self.vectors = self.vectors.astype(np.float16).astype(np.float32)

    def decision_function(self, tokens: pa.ListArray) -> Floats:
        """(n,) float64 log-odds of malicious, at even odds of the classes.

        Lines of one length go together, so that none is padded: a line's score depends on it alone.

        Args:
            tokens: list<int32>, tokens of each line as the embedder's `tokenise` gives them.

        Raises:
            ModelIntegrityError: a token is none of the model's.
        """
        scores = np.zeros(len(tokens))
        for rows, ids in padless(tokens, len(self.vectors) - 1):
            for at in range(0, len(rows), _ROWS):
                try:
                    got = self._session.run(["log_odds"], {"tokens": ids[at : at + _ROWS]})[0]
                # onnxruntime raises bare Exceptions of its own.
                except Exception as error:
                    raise _other_tokens() from error
                scores[rows[at : at + _ROWS]] = got
        return scores

    def reference(self, tokens: pa.ListArray) -> Floats:
        """`decision_function` by numpy in float64: what the graph is held against."""
        scores = np.zeros(len(tokens))
        vectors = self.vectors.astype(np.float64)
        for rows, ids in padless(tokens, len(self.vectors) - 1):
            found = vectors[ids]
            pooled = np.concatenate([found.mean(1), found.max(1)], axis=1)
            scores[rows] = np.maximum(pooled @ self.hidden + self.hidden_bias, 0) @ self.out + self.bias
        return scores

    def to_onnx(self) -> Any:
        """The graph: input `tokens` (n, m) int64 without padding, output `log_odds` (n,) float32."""
        import onnx
        from onnx import TensorProto, helper, numpy_helper

        constants = {
            "vectors": self.vectors.astype(np.float16),
            "hidden": self.hidden,
            "hidden_bias": self.hidden_bias,
            "out": self.out.reshape(-1, 1),
            "bias": self.bias.reshape(1),
            "places": np.array([1], np.int64),
            "flat": np.array([-1], np.int64),
        }
        nodes = [
            helper.make_node("Gather", ["vectors", "tokens"], ["found"], axis=0),
            helper.make_node("Cast", ["found"], ["each"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["each", "places"], ["mean"], keepdims=0),
            helper.make_node("ReduceMax", ["each", "places"], ["largest"], keepdims=0),
            helper.make_node("Concat", ["mean", "largest"], ["pooled"], axis=1),
            helper.make_node("Gemm", ["pooled", "hidden", "hidden_bias"], ["mixed"]),
            helper.make_node("Relu", ["mixed"], ["kept"]),
            helper.make_node("Gemm", ["kept", "out", "bias"], ["column"]),
            helper.make_node("Reshape", ["column", "flat"], ["log_odds"]),
        ]
        graph = helper.make_graph(
            nodes,
            "cmdclf-neural",
            [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["lines", "length"])],
            [helper.make_tensor_value_info("log_odds", TensorProto.FLOAT, [None])],
            [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10, producer_name="cmdclf"
        )
        model.model_version = NEURAL_VERSION
        onnx.checker.check_model(model)
        return model

    @cached_property
    def _session(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # The scorer has a thread for each part of a batch already.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(
            self.to_onnx().SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def save(self, folder: Path) -> None:
        """Write `neural.onnx` into the folder."""
        (folder / NEURAL_FILE).write_bytes(self.to_onnx().SerializeToString())

    @classmethod
    def load(cls, folder: Path) -> NeuralModel:
        """The model that `save` wrote.

        Raises:
            ModelIntegrityError: it can't be read or is of another version.
        """
        import onnx
        from onnx import numpy_helper

        path = folder / NEURAL_FILE
        try:
            model = onnx.load_model_from_string(path.read_bytes())
            held = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
            arrays = {f.name: np.array(held[f.name], np.float32) for f in fields(cls)}
        # protobuf's own error is no ValueError in all of its versions.
        except Exception as error:
            raise ModelIntegrityError(
                f"it can't be read ({type(error).__name__})", file=path, remedy="Export the model again"
            ) from error
        if model.model_version != NEURAL_VERSION:
            raise ModelIntegrityError(
                f"its network is of version {model.model_version}, this installation reads version {NEURAL_VERSION}",
                file=path,
                remedy="Use the cmdclf version that exported it, or export the model again",
            )
        arrays["out"], arrays["bias"] = arrays["out"].reshape(-1), arrays["bias"].reshape(())
        d, h = arrays["vectors"].shape[-1], len(arrays["out"])
        if arrays["hidden"].shape != (2 * d, h) or arrays["hidden_bias"].shape != (h,) or arrays["vectors"].ndim != 2:
            raise ModelIntegrityError("its layers don't fit together", file=path, remedy="Export the model again")
        return cls(**arrays)


def tokens_of(embedder: Any, read: pa.StringArray) -> pa.ListArray:
    """The tokens of lines that have what they hide before them already, as `with_layers` gives them.

    Raises:
        CmdclfError: the embedder has no tokens.
    """
    if not hasattr(embedder, "tokenise"):
        raise CmdclfError(
            f"the embedder '{embedder.name}' has no tokens that a neural network could read",
            remedy="Use the bundled embedder, or train without the network",
        )
    tokens: pa.ListArray = embedder.tokenise(read)
    return tokens


def padless(tokens: pa.ListArray, unknown: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """[((k,) rows, (k, m) tokens) for each length m that occurs]: the first `MOST_TOKENS` of each line.

    Args:
        tokens: list<int32>.
        unknown: what a line without tokens is read as.
    """
    offsets = tokens.offsets.to_numpy().astype(np.int64)
    values = np.append(tokens.values.to_numpy(zero_copy_only=False).astype(np.int64), unknown)
    lengths = np.minimum(np.diff(offsets), MOST_TOKENS)
    starts = np.where(lengths > 0, offsets[:-1], len(values) - 1)
    lengths = np.maximum(lengths, 1)
    order = np.argsort(lengths, kind="stable")
    edges = np.flatnonzero(np.diff(lengths[order])) + 1
    return [
        (rows, values[starts[rows][:, None] + np.arange(lengths[rows[0]])])
        for rows in (np.split(order, edges) if len(order) else [])
    ]


def _other_tokens() -> ModelIntegrityError:
    return ModelIntegrityError(
        "the network doesn't know these tokens",
        remedy="Use the embedder that the model was trained with, or export the model again",
    )
