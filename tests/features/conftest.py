from __future__ import annotations

from importlib.util import find_spec

import pytest


@pytest.fixture(scope="session")
def sentence_transformers():
    # Not pytest.importorskip: it would also skip where the package is there and its import is broken.
    if find_spec("sentence_transformers") is None:
        pytest.skip("needs the extra 'st'")
    from cmdclf.features.st_import import import_sentence_transformers

    return import_sentence_transformers()
