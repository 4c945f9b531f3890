"""The files of a representatives' index: parts and graphs under the names of their content, one manifest over all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.dedup.graph import LANES
from cmdclf.dedup.known import KnownGroups
from cmdclf.errors import StoreError

__all__ = [
    "LOCK",
    "MANIFEST",
    "FolderShelf",
    "check_ours",
    "damaged",
    "read_manifest",
    "read_part",
    "remove_others",
    "write_manifest",
    "write_part",
]

FORMAT = "cmdclf-representatives"
MANIFEST, LOCK = "manifest.json", "lock"
_PREFIXES = ("part-", "graph-", "tmp-")
_TEXTS = ("command_id", "platform", "behaviour", "masked")


def _digest(content: Mapping[str, Any]) -> str:
    rest = {k: v for k, v in content.items() if k != "manifest_sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The folder's manifest, or None where there is no index yet.

    Raises:
        StoreError: it is lost, damaged, or that of something else.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        # The first save writes a manifest before anything else.
        if any(name.startswith(_PREFIXES[:2]) for name in os.listdir(folder)):
            raise StoreError("the manifest of the index is lost", file=path) from error
        return None
    except (ValueError, RecursionError) as error:
        raise StoreError("the manifest of the index can't be read", file=path) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise StoreError("this is not the manifest of an index of representatives", file=path)
    if content.get("manifest_sha256") != _digest(content):
        raise StoreError("the manifest of the index differs from its own SHA-256", file=path)
    return content


def check_ours(folder: Path) -> None:
    """Refuses a folder in which something else lies.

    Raises:
        StoreError: names what lies there.
    """
    for name in sorted(os.listdir(folder)):
        if not name.startswith((".", *_PREFIXES)) and name not in (MANIFEST, LOCK):
            raise StoreError(
                f"the folder holds something else ({name}), an index needs one of its own",
                file=folder,
                remedy="Give an empty or a new folder",
            )


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Makes `content` the state of the folder: the one step by which everything written before begins to count."""
    sealed = {"format": FORMAT, **content}
    sealed["manifest_sha256"] = _digest(sealed)
    raw = (json.dumps(sealed, indent=1, sort_keys=True) + "\n").encode()
    _written(folder, lambda path: path.write_bytes(raw), MANIFEST)
    _sync(folder)


def _written(folder: Path, write: Callable[[Path], object], name: str) -> tuple[str, str]:
    """Writes a file, whole on the disk before it has its name, in which `{}` stands for its SHA-256; gives both."""
    passing = folder / f"tmp-{os.getpid()}"
    write(passing)
    with passing.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    os.replace(passing, folder / name.format(sha256[:32]))
    return name.format(sha256[:32]), sha256


def _sync(folder: Path) -> None:
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def damaged(folder: Path, files: Mapping[str, str]) -> list[str]:
    """The files that are missing or differ from their SHA-256."""
    wrong = []
    for name, sha256 in files.items():
        try:
            with (folder / name).open("rb") as file:
                right = hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except OSError:
            right = False
        if not right:
            wrong.append(name)
    return wrong


def write_part(folder: Path, known: KnownGroups) -> tuple[str, str]:
    """The representatives as one Parquet file, `vector` as little-endian float32; gives its name and SHA-256."""
    dim = known.vectors.shape[1]
    raw = np.ascontiguousarray(known.vectors, "<f4")
    vectors = pa.FixedSizeBinaryArray.from_buffers(pa.binary(4 * dim), len(known), [None, pa.py_buffer(raw)])
    texts = (known.ids, known.platforms, known.behaviours, known.masks)
    table = pa.table({**dict(zip(_TEXTS, texts, strict=True)), "vector": vectors})
    packed = {name: "zstd" for name in _TEXTS} | {"vector": "none"}
    return _written(
        folder,
        lambda path: pq.write_table(table, path, compression=packed, use_dictionary=["platform", "behaviour"]),
        "part-{}.parquet",
    )


def read_part(path: Path, dim: int) -> KnownGroups:
    """What `write_part` wrote."""
    table = pq.read_table(path).combine_chunks()
    ids, platforms, behaviours, masks = (table[name].combine_chunks().cast(pa.string()) for name in _TEXTS)
    rows = table["vector"].combine_chunks()
    raw = np.frombuffer(rows.buffers()[1], "<f4", len(rows) * dim, rows.offset * dim * 4)
    return KnownGroups(ids, platforms, behaviours, masks, raw.astype(np.float32).reshape(-1, dim))


def remove_others(folder: Path, files: Mapping[str, str]) -> None:
    """Removes what an earlier state or a killed writer left; files of other kinds stay."""
    for path in folder.iterdir():
        if path.name.startswith(_PREFIXES) and path.name not in files:
            path.unlink(missing_ok=True)


class FolderShelf:
    """Graphs as files of the folder. What is not in `files` does not count (see `cmdclf.dedup.graph.Shelf`).

    Attributes:
        files: name -> SHA-256.
    """

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self._folder = folder
        self.files = dict(files)

    def load(self, digest: str) -> list[bytes] | None:
        """The lanes kept under this digest."""
        names = [_lane(digest, lane) for lane in range(LANES)]
        if not all(name in self.files for name in names):
            return None
        return [(self._folder / name).read_bytes() for name in names]

    def save(self, digest: str, lanes: list[bytes], instead: str | None) -> None:
        """Keeps the lanes; those under `instead` are no longer needed."""
        for lane, content in enumerate(lanes):
            name, sha256 = _written(self._folder, partial(Path.write_bytes, data=content), _lane(digest, lane))
            self.files[name] = sha256
            if instead is not None:
                self.files.pop(_lane(instead, lane), None)


def _lane(digest: str, lane: int) -> str:
    return f"graph-{digest}-{lane}.usearch"
