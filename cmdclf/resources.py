"""Where the bundled data lies: `cmdclf/_data` in an installed wheel or a zip, `data/` in a checkout."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from cmdclf.errors import CmdclfError

__all__ = ["data_path", "service_path"]


def _bundled(packaged: str, in_checkout: str) -> Path:
    package = Path(str(files("cmdclf")))
    if not package.exists() and package.parent.is_file():
        package = _unpacked(package.parent)
    for folder in (package / packaged, package.parent / in_checkout):
        if folder.is_dir():
            return folder
    raise CmdclfError(
        f"the bundled folder '{in_checkout}' is missing from this installation",
        remedy="Install cmdclf again from its wheel, or run it from a complete checkout",
    )


@cache
def _unpacked(archive: Path) -> Path:
    """The data of a package that is imported out of a zip, in a folder of this process, removed at its end."""
    import atexit
    import shutil
    import tempfile
    import zipfile

    folder = Path(tempfile.mkdtemp(prefix="cmdclf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder, [name for name in content.namelist() if name.startswith("cmdclf/_")])
    return folder / "cmdclf"


def data_path(*parts: str) -> Path:
    """The path of a bundled data file or folder, which need not exist.

    Raises:
        CmdclfError: this installation has no bundled data at all.
    """
    return _bundled("_data", "data").joinpath(*parts)


def service_path() -> Path:
    """The folder that holds the BentoML service's `app.py`."""
    return _bundled("_service", "service")
