"""The house of the design: rooms import downwards only, files stay small."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cmdclf"
#: Data flows from left to right; a room may import from any room to its left.
ORDER = [
    "errors", "resources", "progress",
    "telemetry", "store", "lines", "lexicon", "rules", "features", "detect", "dedup", "select", "labels", "classify",
    "study", "spark", "cli",
]  # fmt: skip
FOUNDATION = set(ORDER[:3])
FILES = sorted(PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module] if node.module != "cmdclf" else [f"cmdclf.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        rooms |= {n.split(".")[1] for n in names if n.startswith("cmdclf.")}
    return rooms - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_below_it(path):
    room = _room(path)
    if room in {"__init__", "__main__"}:
        return
    assert room in ORDER, f"{room} has no place in the house"
    rank = ORDER.index(room)
    upwards = {r for r in _imported_rooms(path) - {room} - FOUNDATION if ORDER.index(r) >= rank}
    assert not upwards, f"{path.relative_to(PACKAGE)} imports upwards: {sorted(upwards)}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_is_one_idea_of_at_most_420_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 420
