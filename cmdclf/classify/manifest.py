"""The manifest of a model folder: which files belong to it, with their SHA-256, and what the model is."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from cmdclf.errors import ModelIntegrityError

__all__ = ["FORMAT", "MANIFEST", "SEAL", "read_manifest", "seal", "verify_model"]

#: Version of the folder's layout.
FORMAT = 1
MANIFEST = "manifest.json"
#: The manifest's own SHA-256, in the form that `sha256sum -c` reads: no byte of the folder is without a check.
SEAL = "manifest.sha256"
_REMEDY = "Copy the folder again from where it was exported, or export it again"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> dict[str, Path]:
    found = {}
    for here, _, names in os.walk(folder):
        for name in names:
            path = Path(here) / name
            found[path.relative_to(folder).as_posix()] = path
    return found


def seal(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Write `manifest.json` with `content` and every file of the folder, and its seal; returns the manifest.

    Args:
        folder: the model folder, complete but for its manifest.
        content: the manifest without `files` and `format`.
    """
    listed = {
        name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        for name, path in sorted(_files(folder).items())
        if name not in (MANIFEST, SEAL)
    }
    manifest = {"format": FORMAT, **content, "files": listed}
    raw = (json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    (folder / MANIFEST).write_bytes(raw)
    (folder / SEAL).write_bytes(_seal_text(raw))
    return manifest


def _seal_text(raw: bytes) -> bytes:
    return f"{hashlib.sha256(raw).hexdigest()}  {MANIFEST}\n".encode()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a model folder, checked against its own seal but not against the other files.

    Raises:
        ModelIntegrityError: it is missing, was changed, or has another format.
    """
    if not folder.is_dir():
        raise ModelIntegrityError("there is no model folder here", file=folder, remedy="Check the path")
    try:
        raw, written = (folder / MANIFEST).read_bytes(), (folder / SEAL).read_bytes()
    except FileNotFoundError as error:
        raise ModelIntegrityError("it is missing from the model folder", file=error.filename, remedy=_REMEDY) from error
    if written != _seal_text(raw):
        raise ModelIntegrityError(f"it or {SEAL} was changed after the export", file=folder / MANIFEST, remedy=_REMEDY)
    manifest = json.loads(raw)
    if manifest.get("format") != FORMAT:
        raise ModelIntegrityError(
            f"the model folder has format {manifest.get('format')}, this installation reads format {FORMAT}",
            file=folder / MANIFEST,
            remedy="Use the cmdclf version that exported it, or export it again with this one",
        )
    return dict(manifest)


def verify_model(folder: Path) -> dict[str, Any]:
    """The manifest of a model folder after every byte of the folder was checked against it.

    Raises:
        ModelIntegrityError: a file was changed, is missing, or doesn't belong there; names the file and a remedy.
    """
    manifest = read_manifest(folder)
    found = _files(folder)
    for name, entry in manifest["files"].items():
        path = found.pop(name, None)
        if path is None:
            raise ModelIntegrityError("it is missing from the model folder", file=folder / name, remedy=_REMEDY)
        if path.stat().st_size != entry["bytes"] or _sha256(path) != entry["sha256"]:
            raise ModelIntegrityError(
                "it was changed after the export: its SHA-256 is not the manifest's", file=path, remedy=_REMEDY
            )
    extra = sorted(set(found) - {MANIFEST, SEAL})
    if extra:
        raise ModelIntegrityError(
            "it doesn't belong to the model folder",
            file=folder / extra[0],
            remedy="Remove it, or export the model again",
        )
    return manifest
