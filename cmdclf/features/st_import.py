"""sentence-transformers, imported at use and in any process."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

__all__ = ["import_sentence_transformers"]


def import_sentence_transformers() -> ModuleType:
    """The module `sentence_transformers`.

    transformers takes a process that has marimo loaded for a Jupyter notebook and then wants IPython, which marimo does
    not need (transformers 5.24, `is_in_notebook`). So marimo is out of sight during the import, and back after it.

    Raises:
        ImportError: it is not installed.
    """
    marimo = sys.modules.pop("marimo", None)
    try:
        return importlib.import_module("sentence_transformers")
    finally:
        if marimo is not None:
            sys.modules["marimo"] = marimo
