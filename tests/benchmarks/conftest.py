import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parents[2] / "benchmarks"), str(Path(__file__).parent)]

from _classifier_cache import Cache
from _classifier_folds import Protocol
from _labelled_lines import from_lexicon, from_pools
from _small_pools import paths, rows_of_a_pool, small_lexicon, write


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    write(folder, rows_of_a_pool())
    return folder


@pytest.fixture
def protocol(data, tmp_path):
    pool = from_pools(paths(data), None, 0, redraw=True)
    return Protocol(pool, from_lexicon(small_lexicon(tmp_path / "lexicon"), 3, 0), 0, Cache(None))
