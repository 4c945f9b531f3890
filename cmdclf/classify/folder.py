"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

__all__ = ["fsync_tree", "replace_folder"]


def fsync_tree(folder: Path) -> None:
    """Bring every file of the folder to the disk, so that a rename never outlives the content."""
    for here, _, names in os.walk(folder):
        for name in names:
            with (Path(here) / name).open("rb") as file:
                os.fsync(file.fileno())


def replace_folder(new: Path, target: Path, *, keep: Path | None = None) -> None:
    """Give the folder `new` the name `target`; what stood there is kept under `keep`, or removed.

    A reader sees the old folder or the new one, and for the moment between two renames none. Whatever fails, the old
    folder is put back.

    Args:
        new: on the same file system as `target`.
        target: the name.
        keep: where the old folder goes; a folder of that name is removed.
    """
    fsync_tree(new)
    aside = target.parent / f".{target.name}.old-{uuid.uuid4().hex[:12]}"
    there = target.exists()
    if there:
        os.rename(target, aside)
    try:
        os.rename(new, target)
    except OSError:
        if there:
            os.rename(aside, target)
        raise
    if not there:
        return
    if keep is None:
        shutil.rmtree(aside)
    else:
        if keep.exists():
            shutil.rmtree(keep)
        os.rename(aside, keep)
