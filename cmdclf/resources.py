"""Where the bundled data lies: `cmdclf/_data` in an installed wheel, `data/` in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from cmdclf.errors import CmdclfError

__all__ = ["data_path", "service_path"]


def _bundled(packaged: str, in_checkout: str) -> Path:
    package = Path(str(files("cmdclf")))
    for folder in (package / packaged, package.parent / in_checkout):
        if folder.is_dir():
            return folder
    raise CmdclfError(
        f"the bundled folder '{in_checkout}' is missing from this installation",
        remedy="Install cmdclf again from its wheel, or run it from a complete checkout",
    )


def data_path(*parts: str) -> Path:
    """The path of a bundled data file or folder, which need not exist.

    Raises:
        CmdclfError: this installation has no bundled data at all.
    """
    return _bundled("_data", "data").joinpath(*parts)


def service_path() -> Path:
    """The folder that holds the BentoML service's `app.py`."""
    return _bundled("_service", "service")
