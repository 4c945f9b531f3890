from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cmdclf.features import FEATURE_VERSION, FeatureMaker
from cmdclf.features.document import page

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_the_committed_page_is_what_the_command_prints():
    command = [sys.executable, "-m", "cmdclf.features.document"]
    printed = subprocess.run(command, capture_output=True, check=True, cwd=PAGE.parents[1]).stdout
    assert printed == PAGE.read_bytes(), "run: python -m cmdclf.features.document > docs/features.md"


def test_the_page_has_each_column_once_with_its_meaning_and_source():
    text = page()
    assert f"feature version {FEATURE_VERSION}" in text
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in rows] == FeatureMaker().feature_names
    for line in rows:
        cells = [cell.strip() for cell in line.replace("\\|", "").strip("|").split("|")]
        assert len(cells) == 5
        assert all(cells)
