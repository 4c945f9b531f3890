"""What runs on the executors: iterators of record batches in, iterators of record batches out, and no pyspark.

Spark hands a partition to such a function in batches, by `mapInArrow`. Each function keeps a batch and its result in
memory, and what it says.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from cmdclf.detect.day import SmallestIds, top_scores
from cmdclf.detect.daymodel import FOREST, DayModel
from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.features.rarity import Rarity
from cmdclf.store.salvage import file_batches, salvage

__all__ = [
    "COPIED",
    "COUNTED",
    "LOST",
    "SCORED",
    "Files",
    "Work",
    "counting",
    "featuring",
    "folder_files",
    "lost_rows",
    "merging",
    "pack",
    "salvaged_rows",
    "scoring",
    "smallest",
    "unpack",
]

Work = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
#: A saved model: path inside its folder -> content.
Files = Mapping[str, bytes]

COUNTED = "lines bigint, counts binary"
SCORED = "command_id string, score double"
COPIED = "platform string, command_line string, count bigint"
LOST = "file string, reason string, rows bigint, events bigint"

_COUNTED = pa.schema([("lines", pa.int64()), ("counts", pa.binary())])
_LOST = pa.schema([("file", pa.string()), ("reason", pa.string()), ("rows", pa.int64()), ("events", pa.int64())])


# ---------------------------------------------------------------- counts


def pack(rarity: Rarity) -> bytes:
    """Counts as bytes."""
    content = io.BytesIO()
    np.savez(content, **rarity.arrays())  # type: ignore[arg-type]
    return content.getvalue()


def unpack(content: bytes) -> Rarity:
    """The counts that `pack` wrote."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Rarity.from_arrays(dict(arrays))


def counting(params: Mapping[str, Any], version: str) -> Work:
    """COUNTED, one row for a partition of lines.

    Args:
        params: of the FeatureMaker.
        version: FEATURE_VERSION of the driver; executors with another package must not count for it.
    """

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if version != FEATURE_VERSION:
            raise RuntimeError(f"the executors' cmdclf makes features of version {FEATURE_VERSION}, not {version}")
        lines = 0

        def told() -> Iterator[pa.RecordBatch]:
            nonlocal lines
            for batch in batches:
                lines += batch.num_rows
                yield batch

        with threadpool_limits(limits=1):
            rarity = FeatureMaker(**params).fit(told()).rarity_
        yield _counted(lines, rarity)

    return count


def merging(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """COUNTED, one row for all rows of a partition of COUNTED; none for none."""
    lines, sums = 0, None
    for batch in batches:
        for more, content in zip(batch.column("lines").to_pylist(), batch.column("counts"), strict=True):
            lines += more
            rarity = unpack(content.as_py())
            sums = rarity if sums is None else sums.merge(rarity)
    if sums is not None:
        yield _counted(lines, sums)


def _counted(lines: int, rarity: Rarity) -> pa.RecordBatch:
    return pa.record_batch([pa.array([lines], pa.int64()), pa.array([pack(rarity)], pa.binary())], schema=_COUNTED)


# ---------------------------------------------------------------- the fit's sample


def smallest(rows: int) -> Work:
    """The lines of a partition with the smallest command_ids."""

    def keep(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kept = SmallestIds(rows)
        for batch in batches:
            kept.push(batch)
        table = kept.table()
        if table.num_rows:
            yield from table.to_batches(max_chunksize=16_384)

    return keep


# ---------------------------------------------------------------- scores and features


def folder_files(folder: Path) -> dict[str, bytes]:
    """The content of a folder, to be sent."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def scoring(files: Callable[[], Files], top_k: int) -> Work:
    """SCORED: the `top_k` highest scores of a partition of lines, by the day's model."""

    def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        model = _loaded(DayModel, files())
        with threadpool_limits(limits=1):
            top = top_scores(batches, model.scores, [FOREST], top_k)
        yield from top.select(["command_id", "score"]).to_batches()

    return score


def featuring(files: Callable[[], Files]) -> Work:
    """`command_id, platform, command_line, events` and the columns of the fitted FeatureMaker."""

    def features(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        maker = _loaded(FeatureMaker, files())
        with threadpool_limits(limits=1):
            for batch in batches:
                made = maker.transform(batch)
                yield pa.RecordBatch.from_arrays(
                    [*batch.columns, *made.columns], names=[*batch.schema.names, *made.schema.names]
                )

    return features


#: The model that this process loaded last, by its digest: a worker works through many partitions.
_LOADED: dict[bytes, Any] = {}


def _loaded(kind: type[Any], files: Files) -> Any:
    digest = hashlib.sha256(kind.__name__.encode())
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    key = digest.digest()
    if key not in _LOADED:
        with TemporaryDirectory(prefix="cmdclf-") as folder:
            for name, content in files.items():
                path = Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            model = kind.load(folder)
        _LOADED.clear()
        _LOADED[key] = model
    return _LOADED[key]


# ---------------------------------------------------------------- damaged files


def lost_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """LOST of files that Spark's own reader can't be given: what can't be read of each; and its events, without reason.

    In: `file`, paths that the executors can open.
    """
    for file in _files(batches):
        with TemporaryDirectory(prefix="cmdclf-") as folder:
            copy = Path(folder) / "copy.parquet"
            rows = [
                {"file": lost.file, "reason": lost.reason, "rows": lost.rows, "events": None}
                for lost in salvage(Path(file), copy)
            ]
            events = sum(pc.sum(batch.column("count").fill_null(1)).as_py() or 0 for batch in _batches(copy))
        yield pa.RecordBatch.from_pylist([*rows, {"file": file, "events": events}], schema=_LOST)


def salvaged_rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """COPIED: what can be read of such files, without lines longer than 1 MiB."""
    for file in _files(batches):
        with TemporaryDirectory(prefix="cmdclf-") as folder:
            copy = Path(folder) / "copy.parquet"
            salvage(Path(file), copy)
            yield from _batches(copy)


def _batches(copy: Path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(copy) as file:
        for index in range(file.num_row_groups):
            yield from file_batches(file, index)


def _files(batches: Iterator[pa.RecordBatch]) -> Iterator[str]:
    for batch in batches:
        yield from batch.column("file").to_pylist()
