"""A folder in which a long piece of work keeps what it has finished, so that the next run goes on from there."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from cmdclf.errors import CmdclfError

__all__ = ["WorkFolder", "file_keys", "settings_key"]

_KEY_CHARACTERS = 16
_STAGE = re.compile(rf"[a-z]+-[0-9a-f]{{{_KEY_CHARACTERS}}}(\.partial)?")
_LOCK = "lock"


def settings_key(*settings: Any) -> str:
    """A hash of everything that a result depends on (values that JSON can hold)."""
    text = json.dumps(settings, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_CHARACTERS]


def file_keys(files: Sequence[Path]) -> list[list[Any]]:
    """Path, size and time of change of each file: another file, or a changed one, has another key."""
    found = []
    for file in files:
        state = file.stat()
        found.append([str(file.resolve()), state.st_size, state.st_mtime_ns])
    return found


class WorkFolder:
    """Context manager for one process at a time.

    Args:
        root: the folder; made if it is missing. Nothing in it is touched but what such a folder holds.

    Raises:
        CmdclfError: another process works in it.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._lock: int | None = None

    def __enter__(self) -> WorkFolder:
        import fcntl

        self.root.mkdir(parents=True, exist_ok=True)
        # The lock ends with the process, however that ends.
        self._lock = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            self._lock = None
            raise CmdclfError(
                "another process works in this folder",
                remedy="Wait for it or end it, or name another folder with --work",
                file=self.root,
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def stage(self, name: str, key: str) -> Path:
        """The folder of a stage with a key, which need not exist; what the stage left under other keys is removed."""
        folder = self.root / f"{name}-{key}"
        for other in self.root.glob(f"{name}-*"):
            if _STAGE.fullmatch(other.name) and other.name.removesuffix(".partial") != folder.name:
                shutil.rmtree(other)
        return folder

    def remove(self) -> None:
        """Remove what the work left, and the folder if nothing else is in it."""
        for folder in self.root.glob("*-*"):
            if _STAGE.fullmatch(folder.name):
                shutil.rmtree(folder)
        (self.root / _LOCK).unlink(missing_ok=True)
        if not any(self.root.iterdir()):
            self.root.rmdir()
