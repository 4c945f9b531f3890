"""Representatives in a folder, so that a later file or day goes on from them without embedding them again."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmdclf.dedup._index_files import (
    LOCK,
    MANIFEST,
    FolderShelf,
    check_ours,
    damaged,
    read_manifest,
    read_part,
    remove_others,
    write_manifest,
    write_part,
)
from cmdclf.dedup._kernels import Floats
from cmdclf.dedup.behaviour import behaviour_keys, behaviour_version
from cmdclf.dedup.groups import THRESHOLD_COSINE, near_duplicates
from cmdclf.dedup.index import EXACT_LIMIT
from cmdclf.dedup.keys import in_slices
from cmdclf.dedup.known import KnownGroups
from cmdclf.errors import StoreError

__all__ = ["RepresentativeIndex"]

_LAYOUT = 1
#: With more parts than this the next save writes one.
_MOST_PARTS = 64
_ANEW = "start it anew with --rebuild, and group the earlier files again"

Make = Callable[[pa.StringArray], KnownGroups]


@dataclass
class RepresentativeIndex:
    """`KnownGroups` that outlive the process; open one with `open`, in a `with` block.

    The folder holds `part-*.parquet` (representatives with their vectors, one file for each save), `graph-*.usearch`
    (graphs of worlds with more representatives than the exact limit) and `manifest.json` with the SHA-256 of each.
    Files never change: a save adds files and then replaces the manifest in one step, so that a killed writer leaves
    the earlier state. In memory a representative takes its vector (512 bytes at dimension 128) and about 150 more.

    Attributes:
        folder: where it lies.
        known: the representatives, in the order in which they came.
        notice: what was lost and made anew, for people; empty where nothing was.
    """

    folder: Path
    known: KnownGroups
    notice: str
    _facts: dict[str, Any]
    _shelf: FolderShelf
    _parts: dict[str, str] = field(default_factory=dict)
    _graphs: dict[str, str] = field(default_factory=dict)
    _saved: int = 0
    _stands: bool = False
    _lock: int | None = None

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        embedder: str,
        dim: int,
        anew: bool = False,
        expected: pa.StringArray | None = None,
        make: Make | None = None,
    ) -> Self:
        """The index of a folder, or an empty one where there is none yet.

        Args:
            folder: made when missing.
            embedder: the name of the embedder; vectors of two are never mixed.
            dim: length of its vectors.
            anew: forget what the folder holds. Its files stay until the first save.
            expected: the ids of the representatives in the order in which they came, where a store knows them.
            make: gives the representatives of these ids, in their order. Asked for what the index lacks, which is
                everything where files are damaged or belong to another embedder.

        Raises:
            StoreError: another process works with the index; or, without `make`, files are lost or damaged, or belong
                to another embedder, dimension or version of cmdclf.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise StoreError("this is a file, an index is a folder", file=folder, remedy="Give a folder")
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder)
        try:
            facts = {"embedder": embedder, "dim": dim, "behaviour_version": behaviour_version(), "layout": _LAYOUT}
            index = cls(folder, KnownGroups.empty(dim), "", facts, FolderShelf(folder, {}), _lock=lock)
            check_ours(folder)
            if not anew:
                index._read(make is not None)
            if expected is not None and make is not None:
                index._align(expected, make)
        except BaseException:
            _unlocked(lock)
            raise
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let others use the folder; what was not saved is lost."""
        _unlocked(self._lock)
        self._lock = None

    def group(
        self,
        lines: pa.Table,
        embeddings: Floats,
        *,
        threshold: float = THRESHOLD_COSINE,
        behaviours: pa.StringArray | None = None,
        exact_limit: int | None = EXACT_LIMIT,
    ) -> pa.Table:
        """`near_duplicates` against the representatives; the new ones join them, for good with the next `save`."""
        keys = in_slices(behaviour_keys, lines) if behaviours is None else behaviours
        groups = near_duplicates(
            lines, embeddings, threshold=threshold, known=self.known, behaviours=keys, exact_limit=exact_limit,
            shelf=self._shelf,
        )  # fmt: skip
        self.known = self.known.extended(lines, embeddings, groups, keys)
        return groups

    def save(self) -> None:
        """Brings the new representatives to the disk: until it returns the folder holds none of them, then all."""
        if self._stands and self._saved == len(self.known) and self._shelf.files == self._graphs:
            return
        if not (self.folder / MANIFEST).exists():
            # So that parts without a manifest can only mean that it was lost.
            self._state({}, {}, 0)
        if len(self._parts) >= _MOST_PARTS:
            self._parts, self._saved = {}, 0
        parts, graphs = dict(self._parts), dict(self._shelf.files)
        if self._saved < len(self.known):
            name, sha256 = write_part(self.folder, self.known.take(np.arange(self._saved, len(self.known))))
            parts[name] = sha256
        self._state(parts, graphs, len(self.known))
        remove_others(self.folder, parts | graphs)

    def _state(self, parts: dict[str, str], graphs: dict[str, str], count: int) -> None:
        content = {**self._facts, "representatives": count, "parts": list(parts.items()), "graphs": graphs}
        write_manifest(self.folder, content)
        self._parts, self._graphs, self._saved, self._stands = parts, graphs, count, True

    def _read(self, replaceable: bool) -> None:
        try:
            manifest = read_manifest(self.folder)
            if manifest is None:
                return
            self._check(manifest)
            parts = dict(manifest["parts"])
            wrong = damaged(self.folder, parts)
            if wrong:
                raise StoreError(f"{len(wrong)} of {len(parts)} files are lost or damaged", file=self.folder / wrong[0])
        except StoreError as error:
            if not replaceable:
                raise StoreError(error.message, file=error.file, remedy=error.remedy or _ANEW.capitalize()) from error
            self.notice = error.message
            return
        if parts:
            self.known = KnownGroups.concat([read_part(self.folder / name, self._facts["dim"]) for name in parts])
        self._parts, self._graphs = parts, dict(manifest["graphs"])
        self._saved, self._stands = len(self.known), True
        lost = damaged(self.folder, self._graphs)
        if lost:
            self.notice = f"{len(lost)} files of graphs are lost or damaged, they are made anew from the vectors"
        self._shelf.files = {name: sha for name, sha in self._graphs.items() if name not in lost}

    def _check(self, manifest: dict[str, Any]) -> None:
        for name, asked in self._facts.items():
            if manifest.get(name) != asked:
                raise StoreError(
                    f"the index was made with {name} {manifest.get(name)!r}, asked for is {asked!r}",
                    file=self.folder,
                    remedy=f"Take the same one as before or another folder, or {_ANEW}",
                )

    def _align(self, expected: pa.StringArray, make: Make) -> None:
        """Exactly the expected representatives in their order; those that the index lacks are made."""
        if expected.equals(self.known.ids):
            return
        at = pc.index_in(expected, value_set=self.known.ids)
        missing = expected.filter(at.is_null())
        if len(missing):
            both = KnownGroups.concat([self.known, make(missing)])
            reason = f"{self.notice}: " if self.notice else ""
            self.notice = f"{reason}{len(missing):,} of {len(expected):,} representatives were embedded anew"
        else:
            both = self.known
        rows = pc.index_in(expected, value_set=both.ids).to_numpy(zero_copy_only=False).astype(np.int64)
        goes_on = len(self.known) <= len(expected) and self.known.ids.equals(expected.slice(0, len(self.known)))
        self.known = both.take(rows)
        if not goes_on:
            self._parts, self._saved = {}, 0


def _locked(folder: Path) -> int | None:
    """An open file that no other process has locked; None where the file system knows no locks."""
    import fcntl

    place = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(place)
        raise StoreError(
            "another process works with this index", file=folder, remedy="Wait until it has ended"
        ) from error
    except OSError:
        os.close(place)
        return None
    return place


def _unlocked(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)
