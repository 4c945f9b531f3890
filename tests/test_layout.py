"""The house of the design: rooms import downwards only, files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cmdclf"
#: Data flows from left to right; a room may import from any room to its left.
ORDER = [
    "errors", "resources", "progress", "jit",
    "telemetry", "store", "lines", "lexicon", "rules", "features", "detect", "dedup", "select", "labels", "classify",
    "study", "proof", "spark", "cli",
]  # fmt: skip
FOUNDATION = set(ORDER[:4])
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


def test_help_imports_no_room_and_no_library():
    code = (
        "import sys\nfrom cmdclf.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*sorted(n for n in sys.modules if n.split('.')[0] not in sys.stdlib_module_names), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert "the whole job" in done.stdout
    loaded = set(done.stderr.split()) - {"__main__"}
    assert {m.split(".")[0] for m in loaded} == {"cmdclf"}
    assert {m.split(".")[1] for m in loaded if "." in m} <= {"cli", *FOUNDATION}
