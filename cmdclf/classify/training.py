"""Training sets: the regex baseline, the aggregated baseline, and benign lines that a judge adds to either.

A training set is one table of TRAINING rows, each command line once. Whether a line came from rules, from labelled
files or from a judge stays readable in `source`; `group` keeps near-duplicates on one side of every split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cmdclf.lines import guess_platform, mask
from cmdclf.telemetry import command_ids

__all__ = [
    "RULE_HITS",
    "TRAINING",
    "add_benign",
    "add_malicious",
    "aggregated_baseline",
    "describe_training",
    "known_from",
    "regex_baseline",
    "training_arrays",
    "with_known",
    "without_hits",
]

#: label 1 = malicious, 0 = benign; group = id of the masked text.
TRAINING = pa.schema(
    [
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("platform", pa.string(), nullable=False),
        pa.field("command_line", pa.string(), nullable=False),
        pa.field("label", pa.int8(), nullable=False),
        pa.field("weight", pa.float32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("group", pa.string(), nullable=False),
    ]
)

#: Sources of rows that no expert and no judge has looked at: a judge's verdict beats these labels.
RULE_HITS = "rules"
FREQUENT = "frequent"
_LABELLED = "labelled"
_KEYS = ["command_id", "platform", "command_line"]


class _Rules(Protocol):
    def any(self, lines: Any, platform: Any = None) -> NDArray[np.bool_]: ...


def regex_baseline(
    lines: Iterable[pa.RecordBatch],
    rules: _Rules,
    *,
    benign_min_events: int = 3,
    max_benign: int = 20_000,
    max_malicious: int = 20_000,
    seed: int = 0,
) -> pa.Table:
    """RB: lines that a rule hits are malicious, frequent lines without a hit are benign. No other label goes in.

    Args:
        lines: batches of distinct lines with command_id, platform, command_line and events (int).
        rules: the regex rules, usually `RuleSet.bundled("baseline")`.
        benign_min_events: a benign line was seen at least this often.
        max_benign, max_malicious: caps; of more lines those with the smallest salted hash stay, the same on every run.
        seed: salt of that hash.

    Returns:
        TRAINING rows in order of command_id, sources `rules` and `frequent`. Memory is bounded by the caps.
    """
    hits, frequent = _from_telemetry(lines, rules, benign_min_events, None, max_benign, max_malicious, seed)
    return _training([(hits, 1, RULE_HITS), (frequent, 0, FREQUENT)])


def aggregated_baseline(
    lines: Iterable[pa.RecordBatch],
    rules: _Rules,
    labelled: Sequence[pa.Table],
    *,
    benign_min_events: int = 3,
    benign_max_length: int = 100,
    max_benign: int = 20_000,
    max_malicious: int = 20_000,
    seed: int = 0,
) -> pa.Table:
    """AB: rule hits and labelled malicious lines are malicious; frequent short lines without a hit are benign.

    Benign rows of the labelled tables are benign as well. An expert's label beats a rule or a frequency; a line that
    the tables call both benign and malicious is left out. The caps hold for each class as a whole, and the experts'
    rows come first.

    Args:
        lines: batches of distinct lines with command_id, platform, command_line and events (int).
        rules: the regex rules.
        labelled: tables with command_line, platform, label (benign | malicious | unknown) and perhaps source; a
            platform that is null is guessed.
        benign_min_events: a benign line of the telemetry was seen at least this often,
        benign_max_length: and is at most this many characters long.
        max_benign, max_malicious: caps, by salted hash.
        seed: salt of that hash.

    Returns:
        TRAINING rows in order of command_id; sources `rules`, `frequent`, and `labelled` or `labelled:SOURCE`.
    """
    expert = _experts(labelled)
    known = expert["command_id"].combine_chunks()
    hits, frequent = _from_telemetry(
        lines, rules, benign_min_events, benign_max_length, max_benign, max_malicious, seed, without=known
    )
    parts: list[tuple[pa.Table, int, str | None]] = []
    for label, cap, rest, source in ((1, max_malicious, hits, RULE_HITS), (0, max_benign, frequent, FREQUENT)):
        own = _smallest(expert.filter(pc.equal(expert["label"], label)), cap, seed)
        parts += [(own, label, None), (_smallest(rest, cap - own.num_rows, seed), label, source)]
    return _training(parts)


def add_benign(base: pa.Table, lines: pa.Table, *, source: str, weight: float = 1.0) -> tuple[pa.Table, int]:
    """The training set `base` with lines that were judged benign, and how many of its malicious labels they overruled.

    A line that `base` holds as malicious because a rule hit it, or as benign because it is frequent, becomes a benign
    row of this source: the verdict wins. A line that a labelled file calls malicious stays malicious.

    Args:
        base: TRAINING rows.
        lines: command_id, platform, command_line; a line that occurs twice counts once.
        source: what the added rows' `source` says.
        weight: their weight.

    Returns:
        (TRAINING rows in order of command_id, number of malicious rows of the base that are benign now).
    """
    lines = lines.select(_KEYS).unify_dictionaries().cast(pa.schema([TRAINING.field(k) for k in _KEYS]))
    by_expert = pc.starts_with(base["source"], _LABELLED)
    expert_says = base.filter(pc.and_(by_expert, pc.equal(base["label"], 1)))["command_id"].combine_chunks()
    lines = lines.filter(pc.invert(pc.is_in(lines["command_id"], value_set=expert_says)))
    judged = pc.is_in(base["command_id"], value_set=lines["command_id"].combine_chunks())
    overruled = pc.sum(pc.and_(judged, pc.equal(base["label"], 1)).cast(pa.int64())).as_py() or 0
    added = _rows(lines, 0, source, weight)
    return _unique(pa.concat_tables([base.filter(pc.invert(judged)).cast(TRAINING), added])), int(overruled)


def add_malicious(base: pa.Table, lines: pa.Table, *, source: str, weight: float = 1.0) -> pa.Table:
    """The training set with lines that were judged malicious, which overrule what a rule or their frequency says.

    Args:
        base: TRAINING rows.
        lines: command_id, platform, command_line; a line that occurs twice counts once.
        source: what the added rows' `source` says.
        weight: their weight.

    Returns:
        TRAINING rows in order of command_id.
    """
    lines = lines.select(_KEYS).unify_dictionaries().cast(pa.schema([TRAINING.field(k) for k in _KEYS]))
    known = pc.is_in(base["command_id"], value_set=lines["command_id"].combine_chunks())
    return _unique(pa.concat_tables([base.filter(pc.invert(known)).cast(TRAINING), _rows(lines, 1, source, weight)]))


#: Malicious lines that must be known without the rules before their hits may leave a training set: by itself the regex
#: baseline knows no other attacks, and stays as it is.
LEAST_MALICIOUS = 100


def without_hits(base: pa.Table) -> pa.Table:
    """The training set without what rules alone call malicious, where enough other malicious lines are known."""
    rest = base.filter(pc.not_equal(base["source"], RULE_HITS))
    known = int(pc.sum(rest["label"].cast(pa.int64())).as_py() or 0)
    return rest if known >= LEAST_MALICIOUS else base


def known_from(lines: pa.Table, *, source: str) -> pa.Table:
    """TRAINING rows of lines whose label is known, each line once; one that has both labels is left out.

    Args:
        lines: command_line, platform, label (benign | malicious).
        source: what the rows' `source` says.
    """
    rows = _experts([lines.select(["command_line", "platform", "label"])])
    parts: list[tuple[pa.Table, int, str | None]] = [
        (rows.filter(pc.equal(rows["label"], label)), label, source) for label in (1, 0)
    ]
    return _training(parts)


def with_known(base: pa.Table, known: pa.Table) -> pa.Table:
    """The training set with further TRAINING rows; a line that it holds already keeps its label."""
    return _unique(pa.concat_tables([base.cast(TRAINING), known.cast(TRAINING)]))


def describe_training(table: pa.Table, *, added: str | None = None) -> dict[str, Any]:
    """The counts that `results.json` gives for an arm: benign, malicious, added, by_source.

    Args:
        table: TRAINING rows.
        added: the source of the added rows, of which the benign ones count.
    """
    sources = table.group_by("source").aggregate([("source", "count")])
    by_source = dict(sorted(zip(sources["source"].to_pylist(), sources["source_count"].to_pylist(), strict=True)))
    malicious = int(pc.sum(table["label"].cast(pa.int64())).as_py() or 0)
    new = pc.and_(pc.equal(table["source"], added or ""), pc.equal(table["label"], 0))
    return {
        "benign": table.num_rows - malicious,
        "malicious": malicious,
        "added": int(pc.sum(new.cast(pa.int64())).as_py() or 0),
        "by_source": by_source,
    }


def training_arrays(table: pa.Table) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[Any]]:
    """(labels (n,) int8, weights (n,) float32, groups (n,) str): what `Classifier.fit` takes beside the matrix."""
    return (
        table["label"].to_numpy().astype(np.int8),
        table["weight"].to_numpy().astype(np.float32),
        np.asarray(table["group"].to_pylist(), dtype=str),
    )


def _from_telemetry(
    lines: Iterable[pa.RecordBatch],
    rules: _Rules,
    min_events: int,
    max_length: int | None,
    max_benign: int,
    max_malicious: int,
    seed: int,
    *,
    without: pa.Array | None = None,
) -> tuple[pa.Table, pa.Table]:
    """(rule hits, frequent lines without a hit), each at most its cap."""
    kept = {1: _Smallest(max_malicious, seed), 0: _Smallest(max_benign, seed)}
    for batch in lines:
        if batch.num_rows == 0:
            continue
        text, platform = batch.column("command_line"), batch.column("platform")
        hit = pa.array(np.asarray(rules.any(text, platform), dtype=bool))
        benign = pc.and_(pc.invert(hit), pc.greater_equal(batch.column("events"), min_events))
        if max_length is not None:
            benign = pc.and_(benign, pc.less_equal(pc.utf8_length(text), max_length))
        if without is not None:
            fresh = pc.invert(pc.is_in(batch.column("command_id"), value_set=without))
            hit, benign = pc.and_(hit, fresh), pc.and_(benign, fresh)
        rows = pa.Table.from_batches([batch]).select(_KEYS)
        kept[1].push(rows.filter(hit))
        kept[0].push(rows.filter(pc.fill_null(benign, False)))
    return kept[1].table(), kept[0].table()


class _Smallest:
    """Keeps the rows with the smallest salted hash of a stream, in memory of about twice the cap."""

    def __init__(self, cap: int, seed: int) -> None:
        self._cap, self._seed = cap, seed
        self._parts: list[pa.Table] = [pa.schema([TRAINING.field(k) for k in _KEYS]).empty_table()]
        self._rows = 0

    def push(self, rows: pa.Table) -> None:
        self._parts.append(rows.cast(self._parts[0].schema))
        self._rows += rows.num_rows
        if self._rows > 2 * self._cap + 65_536:
            self._parts = [self.table()]
            self._rows = self._parts[0].num_rows

    def table(self) -> pa.Table:
        return _smallest(pa.concat_tables(self._parts), self._cap, self._seed)


def _smallest(table: pa.Table, cap: int, seed: int) -> pa.Table:
    if table.num_rows <= max(0, cap):
        return table
    order = np.argsort(_salted(table["command_id"], seed), kind="stable")[: max(0, cap)]
    return table.take(pa.array(np.sort(order)))


def _salted(ids: pa.ChunkedArray, seed: int) -> NDArray[np.uint64]:
    """(n,) uint64 hash of each id with the seed: the finaliser of splitmix64 over its 8-byte words."""
    width = max(8, -(-max((pc.max(pc.binary_length(ids)).as_py() or 1), 1) // 8) * 8)
    raw = np.array(ids.to_pylist(), dtype=f"S{width}")
    words = np.frombuffer(raw.tobytes(), dtype="<u8").reshape(len(raw), width // 8)
    hashed = np.full(len(raw), np.uint64(seed % 2**64) * np.uint64(0x9E3779B97F4A7C15 % 2**63), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for column in words.T:
            hashed = (hashed ^ column) + np.uint64(0x9E3779B97F4A7C15)
            hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            hashed ^= hashed >> np.uint64(31)
    return hashed


def _experts(labelled: Sequence[pa.Table]) -> pa.Table:
    """The labelled rows as command_id, platform, command_line, label (0 or 1), source; contradicted lines left out."""
    schema = pa.schema([*(TRAINING.field(k) for k in _KEYS), TRAINING.field("label"), TRAINING.field("source")])
    parts = [schema.empty_table()]
    for table in labelled:
        known = pc.is_in(table["label"], value_set=pa.array(["benign", "malicious"]))
        table = table.filter(pc.and_(known, pc.is_valid(table["command_line"])))
        text = table["command_line"].cast(pa.string()).combine_chunks()
        platform = table["platform"].cast(pa.string()).combine_chunks()
        if platform.null_count:
            platform = pc.coalesce(platform, guess_platform(text))
        source = pa.repeat(pa.scalar(_LABELLED), table.num_rows)
        if "source" in table.column_names:
            named = pc.binary_join_element_wise(_LABELLED, table["source"].cast(pa.string()), ":")
            source = pc.if_else(pc.is_valid(named), named, source)
        label = pc.equal(table["label"], "malicious").cast(pa.int8())
        parts.append(pa.table([command_ids(platform, text), platform, text, label, source], schema=schema))
    rows = pa.concat_tables(parts)
    spread = rows.group_by("command_id").aggregate([("label", "min"), ("label", "max")])
    clear = spread.filter(pc.equal(spread["label_min"], spread["label_max"]))["command_id"].combine_chunks()
    return _unique(rows.filter(pc.is_in(rows["command_id"], value_set=clear)))


def _training(parts: Sequence[tuple[pa.Table, int, str | None]]) -> pa.Table:
    return _unique(pa.concat_tables([_rows(table, label, source, 1.0) for table, label, source in parts]))


def _rows(table: pa.Table, label: int, source: str | None, weight: float) -> pa.Table:
    """TRAINING rows; `source=None` keeps the table's own."""
    n = table.num_rows
    text = table["command_line"].combine_chunks().cast(pa.string())
    columns = [table[k] for k in _KEYS]
    columns += [
        pa.repeat(pa.scalar(label, pa.int8()), n),
        pa.repeat(pa.scalar(weight, pa.float32()), n),
        table["source"] if source is None else pa.repeat(pa.scalar(source), n),
        command_ids(pa.repeat(pa.scalar(""), n), mask(text).cast(pa.string())),
    ]
    return pa.table(columns, schema=TRAINING)


def _unique(table: pa.Table) -> pa.Table:
    """Each command_id once (its first row), in order of command_id."""
    indexed = table.append_column("_row", pa.array(np.arange(table.num_rows)))
    first = indexed.group_by("command_id").aggregate([("_row", "min")]).sort_by("command_id")
    return table.take(first["_row_min"]).combine_chunks()
