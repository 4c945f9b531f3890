"""Labelled lines that a model folder carries, so that an explanation can show what is known of lines like this one."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cmdclf.errors import ModelIntegrityError
from cmdclf.lines import redact_hidden_batch

if TYPE_CHECKING:
    from cmdclf.lexicon.pools import LexiconPool

__all__ = ["MOST_NEIGHBOURS", "NEIGHBOURS_FILE", "NEIGHBOUR_ROWS", "Neighbours"]

NEIGHBOURS_FILE = "neighbours.parquet"
#: At most so many of a study's training lines; bounds the model folder and the time of a search.
MOST_NEIGHBOURS = 20_000
#: label: malicious | benign; source: where the label comes from; intent and technique: null and empty where not known.
NEIGHBOUR_ROWS = pa.schema(
    [
        pa.field("command_line", pa.string(), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("intent", pa.string()),
        pa.field("technique", pa.list_(pa.string()), nullable=False),
    ]
)
#: Lines whose cosines are held at once.
_BLOCK = 256
#: Rounding in a product depends on the batch; cosines that differ by less count as equal, and the first row wins.
_DIGITS = 5
_REMEDY = "Copy the model folder again from where it was exported, or export it again"


class Neighbours:
    """Labelled lines with their vectors, searched exactly: 12,000 of 128 dimensions take about 1 ms a line.

    Args:
        rows: NEIGHBOUR_ROWS.
        vectors: (n, d) of the rows; of any length, a row of zeros is never found.
    """

    def __init__(self, rows: pa.Table, vectors: NDArray[np.float32]) -> None:
        self.rows = rows.select(NEIGHBOUR_ROWS.names).cast(NEIGHBOUR_ROWS).combine_chunks()
        self._vectors = _as_bytes(vectors)
        length = np.linalg.norm(self._vectors.astype(np.float32), axis=1, keepdims=True)
        unit = self._vectors / np.maximum(length, 1)
        self._of: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        platforms = np.asarray(self.rows["platform"].to_pylist(), dtype=str)
        for platform in np.unique(platforms):
            at = np.flatnonzero((platforms == platform) & (length[:, 0] > 0))
            self._of[str(platform)] = (at, np.ascontiguousarray(unit[at], dtype=np.float32))

    @classmethod
    def of_lexicon(cls, pool: LexiconPool, embed: Callable[[pa.StringArray], NDArray[np.float32]]) -> Neighbours:
        """One rendered line of each template, whose id is the source; always the same lines."""
        line, _ = pool.lines(np.arange(len(pool.table)), random.Random("neighbours"))
        templates = pool.lexicon.templates
        rows = {
            "command_line": line,
            "platform": [t.platform for t in templates],
            "label": [t.label for t in templates],
            "source": [t.id for t in templates],
            "intent": [t.intent or None for t in templates],
            "technique": [list(t.technique) for t in templates],
        }
        return cls(pa.table(rows, schema=NEIGHBOUR_ROWS), embed(line))

    @classmethod
    def of_training(
        cls,
        training: pa.Table,
        embed: Callable[[pa.Table], NDArray[np.float32]],
        *,
        most: int = MOST_NEIGHBOURS,
        seed: int = 0,
    ) -> Neighbours:
        """One line of each label and group of TRAINING rows, secrets redacted; of more than `most` a fixed draw.

        Args:
            training: TRAINING rows.
            embed: gives the vectors of the rows that were chosen.
            most: lines at most, those with the smallest hash of seed and command_id.
            seed: salt of that hash.
        """
        salted = [
            hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
            for name in training["command_id"].to_pylist()
        ]
        keys = zip(training["group"].to_pylist(), training["label"].to_pylist(), strict=True)
        first: dict[Any, tuple[bytes, int]] = {}
        for row, (key, hashed) in enumerate(zip(keys, salted, strict=True)):
            first[key] = min(first.get(key, (hashed, row)), (hashed, row))
        chosen = training.take(pa.array(sorted(row for _, row in sorted(first.values())[:most]), pa.int64()))
        text, platform = (chosen[name].combine_chunks() for name in ("command_line", "platform"))
        rows = {
            "command_line": redact_hidden_batch(text, platform)[0],
            "platform": platform,
            "label": pc.if_else(pc.equal(chosen["label"], 1), "malicious", "benign").combine_chunks(),
            "source": chosen["source"].combine_chunks(),
            "intent": pa.nulls(len(text), pa.string()),
            "technique": pa.array([[]] * len(text), pa.list_(pa.string())),
        }
        return cls(pa.table(rows, schema=NEIGHBOUR_ROWS), embed(chosen))

    def save(self, folder: Path) -> None:
        """Write `neighbours.parquet` into the folder: the rows, and their vectors as int8."""
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self._vectors.ravel()), self._vectors.shape[1])
        pq.write_table(self.rows.append_column("vector", vectors), folder / NEIGHBOURS_FILE, compression="zstd")

    @classmethod
    def load(cls, folder: Path, sha256: str, dim: int) -> Neighbours:
        """The neighbours that `save` wrote.

        Args:
            folder: the model folder.
            sha256: what its manifest says of the file.
            dim: of the model's embedder.

        Raises:
            ModelIntegrityError: the file was changed or removed, or its vectors have another width.
        """
        path = folder / NEIGHBOURS_FILE
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise ModelIntegrityError(
                f"it can't be read ({type(error).__name__})", file=path, remedy=_REMEDY
            ) from error
        if hashlib.sha256(raw).hexdigest() != sha256:
            raise ModelIntegrityError("it was changed after the model was loaded", file=path, remedy=_REMEDY)
        # The short way: `read_table` loads the dataset library and may start threads that abort a process at its end.
        table = pq.ParquetFile(io.BytesIO(raw), pre_buffer=False).read(use_threads=False)
        vector = table["vector"].combine_chunks()
        if vector.type.list_size != dim:
            raise ModelIntegrityError(
                f"its vectors have {vector.type.list_size} dimensions, the embedder's have {dim}",
                file=path,
                remedy="Export the model again",
            )
        return cls(table, np.asarray(vector.flatten()).reshape(-1, dim))

    def nearest(self, vectors: NDArray[np.float32], platforms: list[str], k: int = 3) -> list[list[dict[str, Any]]]:
        """For each line the k rows of its platform with the largest cosine, as NEIGHBOUR_ROWS with `cosine` before.

        Args:
            vectors: (m, d) float32 of the lines, rows L2-normalised; a row of zeros has no neighbours.
            platforms: of each line.
            k: how many.
        """
        found: list[list[dict[str, Any]]] = [[] for _ in platforms]
        known = np.flatnonzero(np.abs(vectors).sum(axis=1) > 0)
        names = np.asarray(platforms, dtype=str)[known]
        for platform, (rows, unit) in self._of.items():
            mine = known[names == platform]
            for start in range(0, len(mine) if len(rows) else 0, _BLOCK):
                lines = mine[start : start + _BLOCK]
                cosines = np.round(vectors[lines] @ unit.T, _DIGITS)
                for line, cosine in zip(lines.tolist(), cosines, strict=True):
                    # More than k, since equal ones are put in order afterwards.
                    some = min(len(rows), k + 8)
                    best = np.argpartition(-cosine, some - 1)[:some]
                    best = best[np.lexsort((best, -cosine[best]))][:k]
                    taken = self.rows.take(pa.array(rows[best])).to_pylist()
                    found[line] = [{"cosine": float(c), **row} for c, row in zip(cosine[best], taken, strict=True)]
        return found


def _as_bytes(vectors: NDArray[Any]) -> NDArray[np.int8]:
    """(n, d) int8: each row's largest value becomes 127; moves a cosine by less than 0.01."""
    if vectors.dtype == np.int8:
        return vectors
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    return np.round(vectors * (127 / np.where(largest > 0, largest, 1))).astype(np.int8)
