"""Arrays kept between runs of a benchmark, in files named by what they were made from."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

__all__ = ["Cache"]


class Cache:
    """A folder of .npz files, or nothing.

    Args:
        folder: where they lie; None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def arrays(self, key: str) -> dict[str, np.ndarray] | None:
        """What `put` kept under this key, or None."""
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as held:
                return {name: held[name] for name in held.files}
        except (OSError, ValueError, EOFError, BadZipFile):  # cut off by a full disk: made again
            return None

    def put(self, key: str, **arrays: np.ndarray) -> None:
        """Keep these arrays."""
        path = self._path(key)
        if path is None:
            return
        part = path.with_suffix(f".{os.getpid()}.part.npz")
        np.savez(part, **arrays)
        part.replace(path)

    def _path(self, key: str) -> Path | None:
        return self.folder and self.folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.npz"
