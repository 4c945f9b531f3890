"""A verified model folder in the place that a service reads, with the way back kept."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

from cmdclf.classify.folder import replace_folder
from cmdclf.classify.manifest import SEAL, verify_model
from cmdclf.errors import ModelIntegrityError

__all__ = ["promote_model"]


def promote_model(model_dir: Path, target: Path) -> dict[str, Any]:
    """The manifest of the model that now stands in `target`; what stood there is in `TARGET.previous`.

    The copy is verified before it takes the place, so that a full disk or a damaged source changes nothing.

    Raises:
        ModelIntegrityError: the model is damaged, or `target` is a folder that isn't a model, or lies inside of one.
    """
    verify_model(model_dir)
    if target.exists() and any(target.iterdir() if target.is_dir() else [target]):
        if not (target / "manifest.json").is_file():
            raise ModelIntegrityError(
                "this is not a model folder, so it is not replaced", file=target, remedy="Choose another --to"
            )
        if target.resolve() == model_dir.resolve():
            raise ModelIntegrityError("the model stands there already", file=target, remedy="Choose another --to")
    around = next((folder for folder in target.resolve().parents if (folder / SEAL).is_file()), None)
    if around is not None:
        raise ModelIntegrityError(
            f"this lies inside of the model folder {around}, which would be damaged",
            file=target,
            remedy="Choose another --to",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.parent / f".{target.name}.{uuid.uuid4().hex[:12]}"
    try:
        shutil.copytree(model_dir, work)
        manifest = verify_model(work)
        replace_folder(work, target, keep=target.parent / f"{target.name}.previous")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest
