"""What every stage of a study works with: settings, store, the lake's days, and the hashes that key the work."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.errors import StudyError
from cmdclf.features import Embedder, FeatureMaker, load_embedder
from cmdclf.rules import RuleSet
from cmdclf.store import Store
from cmdclf.study.config import StudyConfig
from cmdclf.telemetry import Lake

__all__ = ["Workplace", "arm_name", "content_hash", "file_hash", "kept", "settings_hash"]

_BLOCK = 1 << 20


def settings_hash(*parts: Any) -> str:
    """16 hex digits over everything that a stage's result depends on; dataclasses and paths may be among it."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Path):
            return file_hash(value) if value.is_file() else str(value)
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return value

    text = json.dumps([plain(p) for p in parts], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content: a file that was written again with the same bytes changes nothing."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def content_hash(table: pa.Table) -> str:
    """Hash of a table of lines: of everything but their text, for which command_id stands."""
    columns = sorted(set(table.column_names) - {"platform", "command_line"})
    return settings_hash([[c, table[c].to_pylist()] for c in columns])


def kept(file: Path, make: Callable[[], pa.Table]) -> pa.Table:
    """The table in `file`, made first when it is missing; written whole or not at all."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        pq.write_table(make(), part)
        os.replace(part, file)
    return pq.read_table(file)


def arm_name(baseline: str, arm: str) -> str:
    """`ab` for a baseline alone, `ab+full` for an arm on top of it."""
    return baseline if arm == "base" else f"{baseline}+{arm}"


@dataclass
class Workplace:
    """One run's surroundings.

    Args:
        config: the study.
        out: folder for the store, the arms' models and the results; made when missing.
        store: the open store in it.
        progress: report on stderr.
        part: a folder below `out` for models and results of a run of single arms; empty for the whole study.
    """

    config: StudyConfig
    out: Path
    store: Store
    progress: bool = True
    part: str = ""
    _fingerprints: dict[date, str] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        """Where arms, model, results and report go."""
        return self.out / self.part if self.part else self.out

    @cached_property
    def lake(self) -> Lake:
        """The lake that the study reads."""
        return Lake(self.config.data.lake)

    @cached_property
    def days(self) -> tuple[list[date], list[date]]:
        """Training and test days.

        Raises:
            StudyError: the lake has too few days.
        """
        have = self.lake.days()
        train, test = self.config.data.train_days, self.config.data.test_days
        if len(have) < train + test:
            raise StudyError(
                f"the lake has {len(have)} days, the study asks for {train} training and {test} test days",
                file=self.config.data.lake,
                remedy="Ingest or replay more days, or ask for fewer",
            )
        return have[:train], have[train : train + test]

    @property
    def train_days(self) -> list[date]:
        """The days whose anomalies are looked for and whose lines teach."""
        return self.days[0]

    @property
    def test_days(self) -> list[date]:
        """The days right after, for the time-split test."""
        return self.days[1]

    @cached_property
    def embedder(self) -> Embedder:
        """The study's embedder."""
        return load_embedder(self.config.reduced.embedder)

    @cached_property
    def rules(self) -> RuleSet:
        """The regex baseline's rules."""
        return RuleSet.load(self.config.model.rules)

    @cached_property
    def behaviours_version(self) -> str:
        """The version of the behavioural checks among the features."""
        return str(FeatureMaker().rules.version)

    @cached_property
    def threshold_cosine(self) -> float:
        """From which cosine similarity on two lines count as near-duplicates."""
        given = self.config.threshold_cosine
        if given is not None:
            return float(given)
        own = getattr(self.embedder, "manifest", {}).get("threshold_cosine")
        if own is None:
            raise StudyError(
                f"the embedder '{self.embedder.name}' names no threshold for near-duplicates",
                file=self.config.file,
                remedy="Set study.threshold_cosine, after a look at pairs with 'cmdclf dedup --threshold'",
            )
        return float(own)

    def fingerprint(self, day: date) -> str:
        """Hash of the content of one day of the lake."""
        if day not in self._fingerprints:
            self._fingerprints[day] = settings_hash(day.isoformat(), [file_hash(f) for f in self.lake.files(day)])
        return self._fingerprints[day]

    def data_hash(self, days: Sequence[date]) -> str:
        """Hash of the content of several days."""
        return settings_hash([self.fingerprint(d) for d in days])

    def embed(self, lines: pa.Table) -> npt.NDArray[np.float32]:
        """(n, dim) float32 embeddings of a table's `command_line`."""
        column = lines.column("command_line").combine_chunks()
        vectors: npt.NDArray[np.float32] = self.embedder.embed(column)
        return vectors
