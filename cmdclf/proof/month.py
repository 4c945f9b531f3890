"""One rotation's month: replayed, sieved and split, with everything that arms are built from and judged on."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.classify.gram_counts import counted, squared
from cmdclf.dedup import TWIN_COSINE, near_duplicates, remove_near
from cmdclf.errors import StudyError
from cmdclf.lexicon.pools import Pool
from cmdclf.lexicon.replay import ReplaySettings, replay, truth_path, write_atomically
from cmdclf.lexicon.split import PoolSplit, incident_test, labelled_pool, split_pool
from cmdclf.proof.settings import ProofSettings, Shape
from cmdclf.proof.verdicts import verdicts_on
from cmdclf.select import CANDIDATES
from cmdclf.study.candidates import anomalous_candidates, stored_anomalies
from cmdclf.study.config import Baseline, Data, Full, Labels, Model, Reduced, StudyConfig
from cmdclf.study.known import lexicon_rows
from cmdclf.study.runner import label_baselines, open_workplace
from cmdclf.study.sieve import find_anomalies, group_anomalies, take_in_days
from cmdclf.study.tests import Test, incident_tests, test_groups
from cmdclf.study.workplace import Workplace, kept, settings_hash

__all__ = ["BASELINES", "Late", "Month", "prepare_month"]

BASELINES: tuple[Baseline, ...] = ("ab", "rb")
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Late:
    """The events of the test days by distinct line: what a deployed model meets.

    Attributes:
        rows: (n,) places in the month's lines.
        events: (n,) int64.
        malicious: (n,) by the truth.
    """

    rows: Rows
    events: Rows
    malicious: Bools


@dataclass
class Month:
    """A rotation, ready for its arms.

    Attributes:
        settings, rotation: which one.
        w: the study's workplace, its sieves done.
        lines: command_id, platform, command_line of every line that trains or is judged, each once.
        bases: TRAINING rows of each baseline.
        known: TRAINING rows of the bundled lexicon.
        splits: the baselines' own labels on the test days.
        test: the incident test, without near-duplicates of any line that an arm could train on.
        agreed: (n,) which test lines a recorded verdict confirms, or has not spoken on and that aren't malicious.
        truth: command_id, malicious, and what the pool's own line was, of the replayed lines.
        held_out: sources that the test comes from.
    """

    settings: ProofSettings
    rotation: int
    w: Workplace
    lines: pa.Table
    bases: dict[Baseline, pa.Table]
    known: pa.Table
    splits: dict[Baseline, pa.Table]
    test: Test
    agreed: Bools
    truth: pa.Table
    held_out: tuple[str, ...]

    @cached_property
    def place(self) -> dict[str, int]:
        """command_id -> row of `lines`."""
        return {i: row for row, i in enumerate(self.lines["command_id"].to_pylist())}

    def rows(self, ids: pa.Array | pa.ChunkedArray | Sequence[str]) -> Rows:
        """(n,) rows of `lines`."""
        names = ids.to_pylist() if isinstance(ids, pa.Array | pa.ChunkedArray) else ids
        return np.fromiter((self.place[i] for i in names), np.int64, len(names))

    @cached_property
    def counts(self) -> Any:
        """(n, f) scipy matrix: counted n-grams of `lines`."""
        return counted(self.lines["command_line"].to_pylist(), layers=True)

    @cached_property
    def squares(self) -> Any:
        """`counts`, its entries squared: every model needs them to score."""
        return squared(self.counts)

    @cached_property
    def malicious(self) -> dict[str, bool]:
        """The truth on each replayed line."""
        return dict(zip(self.truth["command_id"].to_pylist(), self.truth["malicious"].to_pylist(), strict=True))

    @cached_property
    def distinct(self) -> pa.Table:
        """command_id, platform, command_line, events of each distinct line of the training days."""
        return pa.Table.from_batches(list(self.w.store.lines(self.w.train_days)))

    @cached_property
    def late(self) -> Late:
        """The test days."""
        table = pa.Table.from_batches(list(self.w.store.lines(self.w.test_days)))
        ids = table["command_id"].to_pylist()
        bad = np.fromiter((self.malicious[i] for i in ids), bool, len(ids))
        return Late(self.rows(ids), table["events"].to_numpy().astype(np.int64), bad)

    @cached_property
    def published(self) -> pa.Table:
        """CANDIDATES: the representatives of the anomalies, as a study has them."""
        return anomalous_candidates(self.w)

    @cached_property
    def everything(self) -> pa.Table:
        """CANDIDATES: every distinct line, one of each near-duplicate group a representative.

        The representatives of the anomalies carry their anomaly scores and detectors; they stand for their groups here
        too, so that both kinds of selection choose from one table.
        """
        file = self.w.out / "work" / f"everything-{self._key}.parquet"
        return kept(file, self._everything).cast(CANDIDATES)

    def _everything(self) -> pa.Table:
        table = self.distinct
        groups = near_duplicates(table, self.w.embed(table), threshold=self.w.threshold_cosine)
        head = dict(zip(groups["command_id"].to_pylist(), groups["representative_id"].to_pylist(), strict=True))
        ids = table["command_id"].to_pylist()
        found = {row["command_id"]: row for row in self.published.to_pylist()}
        spoken_for = {head[i] for i in found}
        n = len(ids)
        return pa.table(
            {
                "command_id": table["command_id"],
                "platform": table["platform"],
                "command_line": table["command_line"],
                "detectors": pa.array(
                    [found[i]["detectors"] if i in found else [] for i in ids], pa.list_(pa.string())
                ),
                "scale": pa.array([found[i]["scale"] if i in found else None for i in ids], pa.string()),
                "anomaly": pa.array([found[i]["anomaly"] if i in found else None for i in ids], pa.float64()),
                "group": pa.array([head[i] for i in ids], pa.string()),
                "representative": pa.array([i in found or (head[i] == i and i not in spoken_for) for i in ids]),
                "events": table["events"],
                "length": pc.utf8_length(table["command_line"]).cast(pa.int32()),
                "classifier_score": pa.nulls(n, pa.float64()),
            },
            schema=CANDIDATES,
        )

    @cached_property
    def undeduplicated(self) -> pa.Table:
        """CANDIDATES: every anomaly for itself."""
        return self.candidates_of(stored_anomalies(self.w), {"full": self.settings.top_k})

    def candidates_of(self, found: pa.Table, top: dict[str, int]) -> pa.Table:
        """CANDIDATES of anomalies (command_id, scale, detector, rank), each line for itself."""
        best: dict[str, float] = {}
        owners: dict[str, set[str]] = {}
        columns = (found[c].to_pylist() for c in ("command_id", "scale", "detector", "rank"))
        for command_id, scale, detector, rank in zip(*columns, strict=True):
            score = 1 - (rank - 1) / top.get(scale, self.settings.reduced_top_k)
            best[command_id] = max(best.get(command_id, 0.0), score)
            owners.setdefault(command_id, set()).add(detector)
        rows = self.everything.filter(pc.is_in(self.everything["command_id"], pa.array(sorted(best), pa.string())))
        ids = rows["command_id"].to_pylist()
        table = rows.drop_columns(["anomaly", "detectors", "representative"])
        table = table.append_column("anomaly", pa.array([best[i] for i in ids], pa.float64()))
        table = table.append_column("detectors", pa.array([sorted(owners[i]) for i in ids], pa.list_(pa.string())))
        return table.append_column("representative", pa.array([True] * len(ids))).select(CANDIDATES.names)

    @cached_property
    def _key(self) -> str:
        return settings_hash(self.w.data_hash(self.w.train_days), self.w.threshold_cosine, self.w.embedder.name,
                             self.settings.top_k, self.settings.sample, self.settings.reduced_top_k)  # fmt: skip

    @cached_property
    def groups(self) -> npt.NDArray[np.int32]:
        """(n,) group of each test line, for resampling."""
        return test_groups(self.test.lines)


def prepare_month(
    settings: ProofSettings, pool: Pool, out: Path, rotation: int, kind: Shape, *, progress: bool
) -> Month:
    """Replay the month, find its anomalies and group them; what an earlier run did is not done again.

    Raises:
        StudyError: the pool holds too few sources, or the test is empty after near-duplicates are removed.
    """
    out.mkdir(parents=True, exist_ok=True)
    shape = settings.replay(rotation, kind)
    lake = out / "lake"
    split = split_pool(
        pool, hold_out=shape.hold_out, rotation=rotation, labelled_share=shape.labelled_share, seed=shape.seed
    )
    _replayed(settings, pool, split, shape, out, progress=progress)
    config = StudyConfig(
        name=f"rotation {rotation}", file=out / "study.toml",
        data=Data(lake, settings.train_days, settings.test_days, (out / "incident.parquet",)),
        full=Full(top_k=settings.top_k), reduced=Reduced(sample=settings.sample, top_k=settings.reduced_top_k),
        labels=Labels(judge="truth", truth=truth_path(lake), budget=settings.budget, noise=settings.noise),
        model=Model(labelled=(out / "labelled.parquet",)), seeds=(settings.seed,), bootstrap=settings.bootstrap,
    )  # fmt: skip
    w = open_workplace(config, out, progress=progress)
    take_in_days(w)
    find_anomalies(w)
    group_anomalies(w)
    bases, splits = label_baselines(w)
    truth = _truth(truth_path(lake))
    seen = pa.Table.from_batches(list(w.store.lines(w.train_days)))
    known = lexicon_rows(w.out / "work", settings.lexicon_lines)
    test, agreed = _clean_test(w, settings, [seen, *bases.values(), known])
    late = pa.Table.from_batches(list(w.store.lines(w.test_days)))
    keep = ["command_id", "platform", "command_line"]
    parts = [seen, late, known, *bases.values(), *splits.values(), test.lines]
    return Month(
        settings, rotation, w, _each_once(pa.concat_tables([p.select(keep).cast(_KEYS) for p in parts])),
        bases, known, splits, test, agreed, truth, tuple(sorted(split.held_out)),
    )  # fmt: skip


def _replayed(
    settings: ProofSettings, pool: Pool, split: PoolSplit, shape: ReplaySettings, out: Path, *, progress: bool
) -> None:
    """The lake, its truth, labelled lines and incident test; what lies there is kept if it has these settings.

    The mark is the last file to be written and the first to go: half a replay is never taken for a whole one.
    """
    lake, mark = out / "lake", out / "month.txt"
    wanted = settings_hash(shape, list(settings.pools), pool.fingerprint)
    found = mark.read_text(encoding="utf-8") if mark.exists() else ""
    if found == wanted and (out / "incident.parquet").exists() and truth_path(lake).exists():
        return
    if found not in ("", wanted):
        # Scores of arms are kept by what they depend on, but for the truth on each line.
        shutil.rmtree(out / "arms", ignore_errors=True)
    mark.unlink(missing_ok=True)
    replay(pool, lake, shape, overwrite=True, progress=progress)
    write_atomically(labelled_pool(pool, split, seed=settings.seed), out / "labelled.parquet")
    write_atomically(incident_test(pool, split, seed=settings.seed), out / "incident.parquet")
    mark.write_text(wanted, encoding="utf-8")


_KEYS = pa.schema([(c, pa.string()) for c in ("command_id", "platform", "command_line")])


def _truth(file: Path) -> pa.Table:
    table = pq.read_table(file, columns=["command_id", "label", "platform", "original_command_line"])
    return table.append_column("malicious", pc.equal(table["label"], "malicious"))


def _clean_test(w: Workplace, settings: ProofSettings, trained: Sequence[pa.Table]) -> tuple[Test, Bools]:
    """The incident test without near-duplicates, so that all arms of all baselines are judged on the same lines."""
    file = w.config.data.incident[0]
    test = incident_tests([file])[0]
    keys = ["command_id", "platform", "command_line"]
    train = _each_once(pa.concat_tables([t.select(keys).cast(_KEYS) for t in trained]))
    threshold = max(TWIN_COSINE, w.threshold_cosine)
    keep, removed = remove_near(test.lines, w.embed(test.lines), train, w.embed(train), threshold)
    original = pq.read_table(file)["original_command_line"].combine_chunks()
    agreed = _agreed(settings, test, original) if test.lines.num_rows == len(original) else np.ones(len(keep), bool)
    test = Test(test.name, test.lines.filter(pa.array(keep)), test.rows, dict(removed))
    malicious = int(test.labels.sum())
    if not 0 < malicious < test.lines.num_rows:
        raise StudyError(
            f"{test.rows} test lines leave {malicious} malicious of {test.lines.num_rows} after near-duplicates of the "
            "training days are removed",
            file=file,
            remedy="Give pools with more sources, or fewer rotations",
        )
    return test, agreed[keep]


def _agreed(settings: ProofSettings, test: Test, original: pa.StringArray) -> Bools:
    """Which rows a verdict confirms; benign rows without one count as confirmed."""
    if not settings.verdicts:
        return np.ones(test.lines.num_rows, bool)
    bad = test.labels == 1
    said = verdicts_on(settings.verdicts[:1], test.lines["platform"].combine_chunks(), original)
    return np.array(
        [
            (verdict or ("" if malicious else "benign")) == ("malicious" if malicious else "benign")
            for verdict, malicious in zip(said, bad, strict=True)
        ],
        bool,
    )


def _each_once(table: pa.Table) -> pa.Table:
    seen = pc.dictionary_encode(table["command_id"].combine_chunks()).indices.to_numpy(zero_copy_only=False)
    _, first = np.unique(seen, return_index=True)
    return table.take(pa.array(np.sort(first))).combine_chunks()
