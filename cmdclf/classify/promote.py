"""A verified model folder in the place that a service reads, with the way back kept."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmdclf.classify.folder import replace_folder
from cmdclf.classify.manifest import SEAL, verify_model
from cmdclf.errors import ModelIntegrityError

__all__ = ["promote_model", "promote_recorded", "record_file"]


def record_file(target: Path) -> Path:
    """Where the record of the promotion to `target` lies: beside the model folder, which is sealed."""
    return target.parent / f"{target.name}.promotion.json"


def promote_recorded(
    model_dir: Path, target: Path, record: Mapping[str, Any], *, seal: str | None = None
) -> dict[str, Any]:
    """`promote_model`, with `record` in `TARGET.promotion.json`; the record of what stood there goes with it.

    The record is on the disk before the model takes the place, so that a full disk promotes nothing unrecorded.

    Args:
        model_dir, target, seal: as `promote_model` takes them.
        record: JSON-able.
    """
    place = record_file(target)
    part = place.with_name(place.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        part.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        there = target.exists()
        manifest = promote_model(model_dir, target, seal=seal)
        if there:
            previous = record_file(target.parent / f"{target.name}.previous")
            previous.unlink(missing_ok=True)
            if place.exists():
                place.replace(previous)
        part.replace(place)
    finally:
        part.unlink(missing_ok=True)
    return manifest


def promote_model(model_dir: Path, target: Path, *, seal: str | None = None) -> dict[str, Any]:
    """The manifest of the model that now stands in `target`; what stood there is in `TARGET.previous`.

    The copy is verified before it takes the place, so that a full disk or a damaged source changes nothing.

    Args:
        model_dir: the model folder.
        target: where its copy goes.
        seal: the text of the `manifest.sha256` that the model must have; None: any.

    Raises:
        ModelIntegrityError: the model is damaged or has another seal, or `target` is a folder that isn't a model, or
            lies inside of one.
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
        if seal is not None and (work / SEAL).read_text(encoding="ascii") != seal:
            raise ModelIntegrityError(
                "another model stands here than the one that was compared", file=model_dir, remedy="Compare it again"
            )
        replace_folder(work, target, keep=target.parent / f"{target.name}.previous")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return manifest
