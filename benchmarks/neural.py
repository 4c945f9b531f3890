"""Whether a small neural network over tokens helps the n-grams on sources that neither saw; training needs torch.

    python benchmarks/neural.py --data FOLDER [--kind mean|cnn] [--cache DIR] [--folds N...] [--epochs N] [--save FILE]

The protocol, its folds and its test rows are those of benchmarks/classifiers.py (classifiers.py --help says what FOLDER
holds). Token vectors begin as the bundled embedder's and are trained on; what a line hides is read before it. `mean`
takes mean and maximum of a line's vectors, `cnn` mean and maximum of 64 filters one and three tokens wide; a hidden
layer and a sum follow. Printed: AUC, TPR at FPR 1e-2 and 1e-3 and AUC against hard benign lines, rows that verdicts
confirm, alone and with log-odds added to those of the n-grams at a row of weights: none is chosen on the test.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _classifier_cache import Cache
from _classifier_folds import Protocol, Training
from _classifier_metrics import Ranked, measured
from _classifier_scores import score_all
from _labelled_lines import FOLDS
from classifiers import protocol_of

from cmdclf.errors import CmdclfError, MissingExtraError
from cmdclf.features import load_embedder
from cmdclf.features.embed_layers import with_layers

MOST_TOKENS = 96
WEIGHTS = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
FILTERS, WIDTHS = 64, (1, 3)
HIDDEN, BATCH, RATE, DROP = 128, 256, 1e-3, 0.3
#: Share of the tokens that a pass hides, by kind.
HIDE = {"mean": 0.1, "cnn": 0.2}


def padless(tokens: pa.ListArray, unknown: int) -> list[tuple[np.ndarray, np.ndarray]]:
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


def batches(tokens: pa.ListArray, unknown: int, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rows, tokens) of at most `BATCH` lines of one length, shuffled."""
    out = []
    for rows, ids in padless(tokens, unknown):
        order = rng.permutation(len(rows))
        out += [(rows[order[at : at + BATCH]], ids[order[at : at + BATCH]]) for at in range(0, len(rows), BATCH)]
    return [out[i] for i in rng.permutation(len(out))]


class Network:
    """Log-odds of a line from its tokens.

    Args:
        kind: mean or cnn.
        vectors: (tokens, d) where the token vectors begin.
        seed: of all draws.

    Raises:
        MissingExtraError: torch is not installed.
    """

    def __init__(self, kind: str, vectors: np.ndarray, seed: int) -> None:
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("train", "torch is missing: training a neural network") from error
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        self.torch, self.kind, self.unknown, d = torch, kind, len(vectors), vectors.shape[1]
        begin = np.vstack([vectors, np.zeros((1, d))]) * 2 / np.linalg.norm(vectors, axis=1).mean()
        self.vectors = torch.nn.Embedding.from_pretrained(torch.from_numpy(begin.astype(np.float32)), freeze=False)
        filters = [torch.nn.Conv1d(d, FILTERS, w, padding=w // 2) for w in WIDTHS] if kind == "cnn" else []
        self.filters = torch.nn.ModuleList(filters)
        width = 2 * (FILTERS * len(WIDTHS) if kind == "cnn" else d)
        drop = torch.nn.Dropout(DROP)
        layers = (drop, torch.nn.Linear(width, HIDDEN), torch.nn.ReLU(), drop, torch.nn.Linear(HIDDEN, 1))
        self.head = torch.nn.Sequential(*layers)
        self.rng = np.random.default_rng(seed)

    def fit(self, tokens: pa.ListArray, y: np.ndarray, epochs: int) -> Network:
        """Both classes weigh the same. Returns self."""
        torch = self.torch
        weight = (len(y) / 2 / np.where(y, y.sum(), (~y).sum())).astype(np.float32)
        layers = [*self.filters.parameters(), *self.head.parameters()]
        # Vectors without decay: a rare token must not fade.
        groups: list[dict[str, Any]] = [
            {"params": layers, "lr": RATE},
            {"params": [self.vectors.weight], "lr": RATE / 2, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, weight_decay=1e-2)
        steps = epochs * len(batches(tokens, self.unknown, self.rng)) + 1
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, [g["lr"] for g in groups], total_steps=steps, pct_start=0.1
        )
        self.head.train()
        for _ in range(epochs):
            for rows, ids in batches(tokens, self.unknown, self.rng):
                hidden = np.where(self.rng.random(ids.shape) < HIDE[self.kind], self.unknown, ids)
                wanted, weighed = torch.from_numpy(y[rows].astype(np.float32)), torch.from_numpy(weight[rows])
                # A short batch must not move as much as a full one.
                loss = torch.nn.functional.binary_cross_entropy_with_logits(
                    self._log_odds(hidden), wanted, weighed, reduction="sum"
                ) / BATCH  # fmt: skip
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_([*layers, self.vectors.weight], 2.0)
                optimiser.step()
                schedule.step()
        return self

    def scores(self, tokens: pa.ListArray) -> np.ndarray:
        """(n,) float64 log-odds at even odds of the classes."""
        self.head.eval()
        out = np.zeros(len(tokens))
        with self.torch.no_grad():
            for rows, ids in padless(tokens, self.unknown):
                for at in range(0, len(rows), 1024):
                    out[rows[at : at + 1024]] = self._log_odds(ids[at : at + 1024]).numpy()
        return out

    def _log_odds(self, ids: np.ndarray) -> Any:
        each = self.vectors(self.torch.from_numpy(ids))
        found = [self.torch.relu(f(each.transpose(1, 2))).transpose(1, 2) for f in self.filters] or [each]
        pooled = [part for values in found for part in (values.mean(1), values.amax(1))]
        return self.head(self.torch.cat(pooled, 1))[:, 0]


def row_of(title: str, protocol: Protocol, rows: np.ndarray, scores: np.ndarray) -> str:
    """AUC, both rates, and AUC against hard lines, of these rows."""
    y, hard = protocol.pool.malicious[rows], protocol.pool.hard[rows] | protocol.pool.malicious[rows]
    whole, part = Ranked(y, scores[rows]).measured(), Ranked(y[hard], scores[rows][hard]).measured()
    return f"{title:24} AUC {whole[0]:.4f}  TPR {whole[1]:.4f} {whole[2]:.4f}  hard AUC {part[0]:.4f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="labelled pools")
    parser.add_argument("--kind", choices=sorted(HIDE), default="mean")
    parser.add_argument("--folds", type=int, nargs="+", choices=range(FOLDS), default=[*range(FOLDS)], metavar="N")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--cache", type=Path, metavar="DIR", help="of benchmarks/classifiers.py: its n-grams' scores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="fewer lines")
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="write the network's scores of the pool's lines (.npy)"
    )
    args = parser.parse_args()
    cache = Cache(args.cache)
    try:
        embedder = load_embedder()
        vectors = np.load(embedder.folder / "vectors.npy").astype(np.float32)
        Network(args.kind, vectors, args.seed)
        protocol = protocol_of(args, cache)
        grams = score_all(protocol, ["grams"], {}, cache)["grams"].pool
    except CmdclfError as error:
        print(error, file=sys.stderr)
        return 2
    scores = np.full(len(protocol.pool), np.nan)
    for k in args.folds:
        start = time.process_time()
        batch, malicious, _ = protocol.training(k, Training())
        test = protocol.tested(k)
        texts = (batch.text, [protocol.pool.text[i] for i in test])
        train, judged = (embedder.tokenise(with_layers(pa.array(text, pa.string()))) for text in texts)
        network = Network(args.kind, vectors, args.seed).fit(train, malicious, args.epochs)
        scores[test] = network.scores(judged)
        print(f"fold {k}: {time.process_time() - start:.0f} s of the processor", file=sys.stderr, flush=True)
    rows = np.flatnonzero(protocol.keep & protocol.pool.agree & ~np.isnan(scores))
    print(row_of(f"{args.kind} alone", protocol, rows, scores))
    for weight in WEIGHTS:
        print(row_of(f"grams + {weight:g} x {args.kind}", protocol, rows, grams + weight * scores))
    keep = protocol.keep & ~np.isnan(scores)
    for case, figure in measured(protocol.pool, keep, grams + 0.25 * scores, 200).items():
        print(case, figure)
    if args.save:
        np.save(args.save, scores)
    return 0


if __name__ == "__main__":
    sys.exit(main())
