"""This package as one file for Spark's executors."""

from __future__ import annotations

import zipfile
from pathlib import Path

import cmdclf
from cmdclf.resources import data_path

__all__ = ["build_package"]

_TIME = (1980, 1, 1, 0, 0, 0)
#: What scoring a day may read of the bundled data; models and lexicon stay at home.
_DATA = ("rules",)


def build_package(out: str | Path) -> Path:
    """Write a zip of the package's modules and the bundled rules, for `addPyFile`, --py-files or a PYTHONPATH.

    The same package gives the same bytes. Third-party libraries are not in it: see docs/spark.md.

    Args:
        out: the file, which is replaced.

    Returns:
        The file.
    """
    out = Path(out)
    root = Path(str(cmdclf.__file__)).parent
    members = {f"cmdclf/{path.relative_to(root)}": path for path in root.rglob("*.py")}
    for name in _DATA:
        folder = data_path(name)
        members |= {
            f"cmdclf/_data/{name}/{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()
        }
    partial = out.with_name(out.name + ".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name, _TIME), members[name].read_bytes(), zipfile.ZIP_DEFLATED)
    partial.replace(out)
    return out
