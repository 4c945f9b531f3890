"""A small lexicon of both labels and a labelled Parquet file, made here so that the tests say what they rely on."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmdclf.lexicon import Lexicon, Template
from cmdclf.lexicon.pools import LexiconPool, ParquetPool

_PLATFORM = ("windows", "windows", "linux", "macos")


def small_lexicon() -> Lexicon:
    """40 recurring and 60 rare benign templates in 10 roles, 24 malicious ones in 6 roles."""
    made = []
    for i in range(40):
        made.append(
            Template(
                id=f"head-{i}",
                label="benign",
                platform=_PLATFORM[i % 4],
                role=f"calm-{i % 10}",
                line=f"agent{i} --check {{{{guid}}}} --n {{{{int:1-99999}}}}" if i % 4 else f"probe{i} --quiet",
                weight=1 + i,
            )
        )
    for i in range(60):
        made.append(
            Template(
                id=f"rare-{i}",
                label="benign",
                platform=_PLATFORM[i % 4],
                role=f"calm-{i % 10}",
                line=f"tool{i} " + "--option {{word}} " * (2 + i % 3 * 8) + "--case {{int:1-999999}}",
                hard=i % 2 == 0,
            )
        )
    for i in range(24):
        made.append(
            Template(
                id=f"bad-{i}",
                label="malicious",
                platform=_PLATFORM[i % 4],
                role=f"attack-{i % 6}",
                line=f"loader{i} {{{{url}}}} {{{{hex:12}}}}",
                technique=("T1059",),
            )
        )
    return Lexicon(tuple(made))


@pytest.fixture
def lexicon_pool() -> LexiconPool:
    return LexiconPool(small_lexicon(), repeats=6)


def write_pool(path: Path) -> Path:
    """2,100 benign lines of 21 sources (every third line has a GUID), 180 malicious ones of 6 sources, some to drop."""
    rows: dict[str, list[object]] = {
        k: []
        for k in ("command_line", "process_command_line", "platform", "label", "source", "group_id", "hard", "dual_use")
    }

    def add(
        line: str, process: str, i: int, label: str, source: str, group: str, hard: bool, dual: bool = False
    ) -> None:
        for key, value in zip(rows, (line, process, _PLATFORM[i % 4], label, source, group, hard, dual), strict=True):
            rows[key].append(value)

    for i in range(2100):
        parameter = f"--id 7f9c24e5-{i:04x}-4a3d-b85a-5cd22959fea3" if i % 3 == 0 else f"--name item{i}x"
        line = f"Get-Thing{i}x {parameter}" + (" --verbose" * 30 if i % 10 == 1 else "")
        process = f"powershell.exe -NoProfile -Command {line}" if i % 4 < 2 else line
        add(line, process, i, "benign", f"docs-{i % 21}", f"page-{i // 5}", i % 10 == 0)
    for i in range(180):
        line = f"Invoke-Bad{i}x http://192.0.2.{i + 1}/a"
        process = f'powershell.exe -ep bypass -c "{line}"' if i % 4 < 2 else line
        add(line, process, i, "malicious", f"attacks-{i % 6}", f"test-{i // 3}", False)
    add("whoami", "whoami", 0, "malicious", "attacks-0", "test-0", False, dual=True)
    add("mkdir x", "mkdir x", 0, "unknown", "attacks-0", "test-0", False)
    add("both ways", "both ways", 0, "malicious", "attacks-0", "test-0", False)
    add("both ways", "both ways", 0, "benign", "docs-0", "page-0", False)
    add("Get-Thing2x --name item2x", "Get-Thing2x --name item2x", 2, "benign", "docs-2", "page-0", False)
    pq.write_table(pa.table(rows), path)
    return path


@pytest.fixture
def parquet_pool(tmp_path: Path) -> ParquetPool:
    return ParquetPool([write_pool(tmp_path / "pool.parquet")])
