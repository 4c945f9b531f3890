"""Training of `NeuralModel` with torch, which only training needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cmdclf.classify.neural import NeuralModel, padless
from cmdclf.errors import MissingExtraError

__all__ = ["fit_neural", "neural_out_of_fold", "torch_of"]

#: Of the step's gradient.
_LONGEST = 2.0
#: How long the embedder's vectors are on average when training begins.
_LENGTH = 2.0


def torch_of() -> Any:
    """The module torch.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("train", "Training the neural network") from error
    return torch


def fit_neural(
    tokens: pa.ListArray,
    y: Any,
    vectors: NDArray[np.float32],
    *,
    epochs: int = 3,
    hidden: int = 128,
    batch: int = 256,
    hide: float = 0.1,
    drop: float = 0.3,
    rate: float = 1e-3,
    seed: int = 0,
    threads: int = 1,
) -> NeuralModel:
    """The network fitted on n lines; both classes weigh the same.

    Args:
        tokens: list<int32>, of each line, as the embedder's `tokenise` gives them.
        y: (n,) 1 malicious, 0 benign, or how likely malicious.
        vectors: (tokens, d) where the token vectors begin: the embedder's.
        epochs: passes over the lines.
        hidden: width of the hidden layer.
        batch: lines of a step.
        hide: share of the tokens that a pass hides.
        drop: share of the pooled values and of the hidden layer that a pass drops.
        rate: highest learning rate of the layers, under a one-cycle schedule; half of it for the vectors.
        seed: of all draws.
        threads: of torch.

    Raises:
        ValueError: only one class, or other lengths.
        MissingExtraError: torch is not installed.
    """
    target = np.asarray(y, np.float32)
    if len(target) != len(tokens):
        raise ValueError(f"{len(tokens)} lines but {len(target)} labels")
    positive = target > 0.5
    if positive.all() or not positive.any():
        raise ValueError("the network can't train when only one class is present")
    torch = torch_of()
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    weight = np.where(positive, len(target) / 2 / positive.sum(), len(target) / 2 / (~positive).sum()).astype(
        np.float32
    )
    unknown, d = len(vectors), vectors.shape[1]
    begin = np.vstack([vectors, np.zeros((1, d), np.float32)])
    begin *= _LENGTH / max(float(np.linalg.norm(vectors, axis=1).mean()), 1e-12)
    embedding = torch.nn.Embedding.from_pretrained(torch.from_numpy(begin), freeze=False)
    first, last = torch.nn.Linear(2 * d, hidden), torch.nn.Linear(hidden, 1)
    # Vectors without decay: a rare token must not fade.
    groups = [
        {"params": [*first.parameters(), *last.parameters()], "lr": rate},
        {"params": [embedding.weight], "lr": rate / 2, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-2)
    rng = np.random.default_rng(seed)
    # Lines of one length go together, as in scoring: none is padded.
    lengths = padless(tokens, unknown)
    steps = epochs * sum(-(-len(rows) // batch) for rows, _ in lengths)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [g["lr"] for g in groups], total_steps=steps + 1, pct_start=0.1
    )
    functional = torch.nn.functional
    everything = [*first.parameters(), *last.parameters(), embedding.weight]
    for _ in range(epochs):
        for rows, ids in _batches(lengths, batch, rng):
            ids = np.where(rng.random(ids.shape) < hide, unknown, ids)
            found = embedding(torch.from_numpy(ids))
            pooled = torch.cat([found.mean(1), found.amax(1)], 1)
            mixed = functional.dropout(functional.relu(first(functional.dropout(pooled, drop))), drop)
            # A short batch must not move as much as a full one.
            loss = (
                functional.binary_cross_entropy_with_logits(
                    last(mixed)[:, 0], torch.from_numpy(target[rows]), torch.from_numpy(weight[rows]), reduction="sum"
                )
                / batch
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(everything, _LONGEST)
            optimiser.step()
            schedule.step()

    def array(value: Any) -> NDArray[np.float32]:
        return np.ascontiguousarray(value.detach().numpy(), np.float32)

    return NeuralModel(
        array(embedding.weight), array(first.weight.T), array(first.bias), array(last.weight[0]), array(last.bias[0])
    )


def neural_out_of_fold(
    tokens: pa.ListArray, y: Any, vectors: NDArray[np.float32], fold: NDArray[np.int64], **settings: Any
) -> NDArray[np.float64]:
    """(n,) float64 log-odds of each line by a network that was fitted on the other folds.

    Args:
        tokens, y, vectors, settings: as `fit_neural` takes them.
        fold: (n,) fold of each line; every fold's rest must hold both classes.
    """
    y = np.asarray(y)
    scores = np.zeros(len(y))
    for k in np.unique(fold):
        out = fold == k
        fitted = fit_neural(tokens.filter(pa.array(~out)), y[~out], vectors, **settings)
        scores[out] = fitted.decision_function(tokens.filter(pa.array(out)))
    return scores


def _batches(lengths: list[tuple[Any, Any]], batch: int, rng: np.random.Generator) -> list[tuple[Any, Any]]:
    """(rows, tokens) of at most `batch` lines of one length, shuffled."""
    out = []
    for rows, ids in lengths:
        order = rng.permutation(len(rows))
        out += [(rows[order[at : at + batch]], ids[order[at : at + batch]]) for at in range(0, len(rows), batch)]
    return [out[i] for i in rng.permutation(len(out))]
