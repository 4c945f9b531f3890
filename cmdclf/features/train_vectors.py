"""The training of the token vectors: contrastive, with a sentence model as teacher where one is given.

On a graphics card it takes seconds, on two cores minutes, as does the reading of 60,000 lessons by a small teacher like
MiniLM; with a larger one prepare here, and train where there is a card (`train_static --prepare`, `--prepared`).

Methods: static token embeddings as sentence-transformers' `StaticEmbedding`; multiple-negatives ranking loss in both
directions with one hard negative each (Henderson et al. 2017, section 4.4); the teacher's similarities within a batch
of lessons as soft targets (relational distillation: Park et al. 2019, Fang et al. 2021); token vectors begin as the
teacher's own of each token under PCA (as model2vec does) with SIF lengths (Arora et al. 2017).
"""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmdclf.errors import CmdclfError, MissingExtraError
from cmdclf.features.embed_layers import with_layers
from cmdclf.features.embed_text import build_trie, token_rows
from cmdclf.features.st_import import import_sentence_transformers
from cmdclf.progress import Progress

__all__ = ["Prepared", "train_vectors"]

#: Characters of a text that the training reads.
_MOST = 600
_FILES = ("tokens.npz.xz", "lessons.json.xz")


@dataclass(frozen=True, slots=True)
class Prepared:
    """Triplets as the training reads them, each text once.

    Attributes:
        vocabulary: token of each id.
        counts: (tokens,) how often each stands in the lines.
        lessons: the texts that a teacher reads; they come first among all texts.
        tokens: (m,) uint16 token ids of all texts, one after the other.
        sizes: (texts,) how many each has.
        triplets: (n, 3) int32 numbers of texts: line, the same otherwise, something else.
    """

    vocabulary: list[str]
    counts: npt.NDArray[np.int64]
    lessons: list[str]
    tokens: npt.NDArray[np.uint16]
    sizes: npt.NDArray[np.int64]
    triplets: npt.NDArray[np.int32]

    @classmethod
    def of(
        cls,
        vocabulary: Sequence[str],
        counts: npt.NDArray[np.int64],
        triplets: Sequence[tuple[str, str, str]],
        lessons: Sequence[str] = (),
    ) -> Prepared:
        """The texts tokenised, with what they hide decoded."""
        number: dict[str, int] = {}
        for text in lessons:
            number.setdefault(text[:_MOST], len(number))
        taught = list(number)
        rows = [[number.setdefault(text[:_MOST], len(number)) for text in triplet] for triplet in triplets]
        texts = list(number)
        found = token_rows(with_layers(pa.array(texts, pa.string())), build_trie(vocabulary))
        sizes = np.diff(np.asarray(found.offsets)).astype(np.int64)
        tokens = np.asarray(found.flatten()).astype(np.uint16)
        return cls(list(vocabulary), counts, taught, tokens, sizes, np.array(rows, np.int32))

    def save(self, folder: Path, about: dict[str, Any]) -> None:
        """Writes `tokens.npz.xz`, `lessons.json.xz` and `about` (any JSON) as `about.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        with lzma.open(folder / _FILES[0], "wb", preset=4) as packed:
            np.savez(packed, counts=self.counts, tokens=self.tokens, sizes=self.sizes, triplets=self.triplets)
        with lzma.open(folder / _FILES[1], "wt", encoding="utf-8", preset=2) as out:
            json.dump({"vocabulary": self.vocabulary, "lessons": self.lessons}, out)
        (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> tuple[Prepared, dict[str, Any]]:
        """What `save` wrote.

        Raises:
            CmdclfError: a file is missing.
        """
        for name in (*_FILES, "about.json"):
            if not (folder / name).is_file():
                raise CmdclfError("the file is missing", file=folder / name, remedy="Run with --prepare first")
        with lzma.open(folder / _FILES[0], "rb") as packed:
            arrays = np.load(io.BytesIO(packed.read()), allow_pickle=False)
        with lzma.open(folder / _FILES[1], "rt", encoding="utf-8") as source:
            held = json.load(source)
        about: dict[str, Any] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        names = ("tokens", "sizes", "triplets")
        return cls(held["vocabulary"], arrays["counts"], held["lessons"], *(arrays[n] for n in names)), about


def _device(torch: Any) -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _start(prepared: Prepared, dim: int, seed: int, teacher: Any) -> npt.NDArray[np.float32]:
    frequency = (prepared.counts + 1) / (prepared.counts.sum() + len(prepared.counts))
    weights = (1e-3 / (1e-3 + frequency))[:, None]
    if teacher is None:
        drawn: npt.NDArray[np.float64] = np.random.default_rng(seed).normal(
            size=(len(prepared.vocabulary), dim)
        ) / np.sqrt(dim)
        return np.asarray(drawn * weights, np.float32)
    known = teacher.encode(prepared.vocabulary, batch_size=512, show_progress_bar=False).astype(np.float64)
    known -= known.mean(0)
    _, _, axes = np.linalg.svd(known, full_matrices=False)
    reduced = known @ axes[:dim].T
    return np.asarray(reduced / np.linalg.norm(reduced, axis=1, keepdims=True) * weights, np.float32)


def train_vectors(
    prepared: Prepared,
    *,
    dim: int = 128,
    batch: int = 2048,
    epochs: int = 8,
    learning_rate: float = 0.02,
    scale: float = 20.0,
    teacher: str = "",
    teacher_weight: float = 1.0,
    seed: int = 0,
    threads: int = 2,
) -> npt.NDArray[np.float32]:
    """(len(vocabulary), dim) float32 token vectors.

    Args:
        prepared: the triplets.
        dim: length of a vector.
        batch: triplets per step; each other line of the batch is a negative.
        epochs: passes over the triplets.
        learning_rate: highest, under a one-cycle schedule; half of it where the vectors begin as the teacher's.
        scale: what cosines are multiplied with before the softmax.
        teacher: name or path of a sentence-transformers model; empty for none.
        teacher_weight: of the distillation's loss.
        seed: of all draws.
        threads: of torch on a CPU.

    Raises:
        MissingExtraError: sentence-transformers is not installed.
    """
    try:
        import torch

        library = import_sentence_transformers()
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    except ImportError as error:
        raise MissingExtraError("train", "Training the embedder") from error
    functional = torch.nn.functional
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    device = _device(torch)
    model = library.SentenceTransformer(teacher, device=device, trust_remote_code=False) if teacher else None
    module = StaticEmbedding(
        _whole_words(prepared.vocabulary), embedding_weights=_start(prepared, dim, seed, model)
    ).to(device)
    taught = None
    if model is not None and prepared.lessons:
        vectors = model.encode(prepared.lessons, batch_size=64, normalize_embeddings=True, convert_to_tensor=True)
        taught = vectors.to(device, torch.float32)
    rate = learning_rate / 2 if teacher else learning_rate
    steps = epochs * max(1, len(prepared.triplets) // batch)
    optimiser = torch.optim.Adam(module.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=max(steps, 30), pct_start=0.1)
    tokens = torch.from_numpy(prepared.tokens.astype(np.int64)).to(device)
    ends = torch.from_numpy(np.concatenate([[0], np.cumsum(prepared.sizes)])).to(device)

    def embedded(rows: Any) -> Any:
        first, sizes = ends[rows], ends[rows + 1] - ends[rows]
        starts = torch.cumsum(sizes, 0) - sizes
        at = torch.arange(int(sizes.sum()), device=device) + torch.repeat_interleave(first - starts, sizes)
        return functional.normalize(module.embedding(tokens[at], starts), dim=1)

    order = np.random.default_rng(seed)
    nothing = -1e4 * torch.eye(batch if taught is not None else 0, device=device)
    with Progress("train", total=steps, unit="batches") as progress:
        for _ in range(epochs):
            shuffled = order.permutation(len(prepared.triplets))
            for at in range(0, max(1, len(shuffled) - batch + 1), batch):
                rows = torch.from_numpy(prepared.triplets[shuffled[at : at + batch]].astype(np.int64)).to(device)
                size = len(rows)
                line, same, other = embedded(rows.T.reshape(-1)).split(size)
                target = torch.arange(size, device=device)
                forth = scale * line @ same.T
                value = functional.cross_entropy(torch.cat([forth, scale * line @ other.T], 1), target)
                value = value + 0.5 * functional.cross_entropy(forth.T, target)
                if taught is not None:
                    heard = torch.from_numpy(order.choice(len(taught), min(batch, len(taught)), replace=False)).to(
                        device
                    )
                    own = nothing[: len(heard), : len(heard)]
                    student, wanted = (scale * v @ v.T + own for v in (embedded(heard), taught[heard]))
                    soft = functional.log_softmax(student, 1), functional.softmax(wanted, 1)
                    value = value + teacher_weight * functional.kl_div(*soft, reduction="batchmean")
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
                schedule.step()
                progress.update(1)
    weights: npt.NDArray[np.float32] = module.embedding.weight.detach().cpu().numpy().astype(np.float32)
    return weights


def _whole_words(vocabulary: Sequence[str]) -> Any:
    """What `StaticEmbedding` wants for a tokeniser; the training feeds it our own token ids."""
    from tokenizers import Tokenizer, models

    return Tokenizer(models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token=vocabulary[0]))
