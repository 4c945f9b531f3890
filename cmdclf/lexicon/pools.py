"""Pools of labelled command lines that a replay draws from: a lexicon, or labelled Parquet files."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.errors import TelemetryError
from cmdclf.lexicon.assembly import Assembly
from cmdclf.lexicon.batch import BatchRenderer
from cmdclf.lexicon.estate import Estate, default_estate
from cmdclf.lexicon.redraw import redraw_program
from cmdclf.lexicon.render import render
from cmdclf.lexicon.template import Lexicon, Template
from cmdclf.lexicon.wrappers import rewrap
from cmdclf.telemetry import PLATFORMS

__all__ = ["LexiconPool", "ParquetPool", "Pool", "PoolTable"]

_MAX_LINE_BYTES = 1_048_576


@dataclass(frozen=True, slots=True)
class PoolTable:
    """What is known about the `n` templates of a pool; all columns have shape (n,).

    Attributes:
        malicious: bool.
        hard: bool, benign lines that naive rules would flag.
        platform, source, group_id: object arrays of str.
        length: int64, characters of the line (of one rendering).
        weight: int64, relative frequency of head templates; all 0 where the pool doesn't know.
        tool: object array of str, the program; None where the pool doesn't know topics (then `source`) and tools.
        technique: object array of tuples of ATT&CK ids; None where the pool doesn't know.
        family: object array of str, what is held out as a whole; None: the source. In a lexicon a family is a template
            with its twins: no source wrote a script there, but a twin in training would tell about its other half.
    """

    malicious: np.ndarray
    hard: np.ndarray
    platform: np.ndarray
    source: np.ndarray
    group_id: np.ndarray
    length: np.ndarray
    weight: np.ndarray
    tool: np.ndarray | None = None
    technique: np.ndarray | None = None
    family: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.malicious)

    @property
    def families(self) -> np.ndarray:
        """(n,) object array of str: what is held out as a whole."""
        return self.source if self.family is None else self.family


class Pool(Protocol):
    """Templates with a label, and lines drawn from them.

    Attributes:
        table: one row per template.
        repeats: how many lines of a template may stand in the tail or in a test (1 where a template is one line).
        dropped: reason -> number of rows that were left out.
        fingerprint: changes when the pool's content changes.
    """

    table: PoolTable
    repeats: int
    dropped: dict[str, int]
    fingerprint: str

    def draws(self, rows: np.ndarray, rng: random.Random) -> tuple[pa.StringArray, pa.StringArray]:
        """A line per row with its parameters drawn anew, and the parents' lines (null where not known)."""
        ...

    def programs(self, rows: np.ndarray) -> tuple[Assembly, np.ndarray]:
        """What draws the rows' lines: programs by number."""
        ...

    def bits(self, rows: np.ndarray) -> np.ndarray:
        """(n,) float64: log2 of about how many different lines each row can give."""
        ...

    def lines(self, rows: np.ndarray, rng: random.Random) -> tuple[pa.StringArray, pa.StringArray]:
        """One line per row for the tail, incidents and tests, and the parents' lines (null where not known)."""
        ...

    def original(self, rows: np.ndarray) -> pa.StringArray:
        """Each row's line as its source recorded it, before a wrapper or parameter was drawn; null where none."""
        ...


class LexiconPool:
    """The templates of a lexicon; each line is rendered.

    Args:
        lexicon: the templates; the bundled lexicon when absent.
        estate: where names come from.
        repeats: lines per rare template in the tail, in tests and in incidents.
    """

    def __init__(self, lexicon: Lexicon | None = None, *, estate: Estate | None = None, repeats: int = 12) -> None:
        self.lexicon = Lexicon.load() if lexicon is None else lexicon
        self.repeats = repeats
        self.dropped: dict[str, int] = {}
        self._estate = default_estate() if estate is None else estate
        templates = self.lexicon.templates
        self._renderer = BatchRenderer(templates, estate=self._estate)
        samples = [render(t, random.Random(t.id), estate=self._estate).command_line for t in templates]
        self.fingerprint = _fingerprint([*samples, repr(repeats)])
        self.table = PoolTable(
            malicious=np.array([t.label == "malicious" for t in templates], bool),
            hard=np.array([t.hard and t.label == "benign" for t in templates], bool),
            platform=np.array([t.platform for t in templates], object),
            source=np.array([t.role for t in templates], object),
            group_id=np.array([t.id for t in templates], object),
            length=np.array([len(s) for s in samples], np.int64),
            weight=np.array([t.weight for t in templates], np.int64),
            tool=np.array([t.tool for t in templates], object),
            technique=_objects([t.technique for t in templates]),
            family=np.array(_families(templates), object),
        )

    def draws(self, rows: np.ndarray, rng: random.Random) -> tuple[pa.StringArray, pa.StringArray]:
        """One rendering per row."""
        return self._renderer.render(rows, rng.getrandbits(62))

    def programs(self, rows: np.ndarray) -> tuple[Assembly, np.ndarray]:
        """The templates' programs."""
        return self._renderer.assembly, self._renderer.programs(rows)

    def bits(self, rows: np.ndarray) -> np.ndarray:
        """As the templates' slots allow."""
        return self._renderer.bits(rows)

    def lines(self, rows: np.ndarray, rng: random.Random) -> tuple[pa.StringArray, pa.StringArray]:
        """One rendering per row."""
        return self.draws(rows, rng)

    def original(self, rows: np.ndarray) -> pa.StringArray:
        """Nulls: every line is rendered."""
        return pa.nulls(len(rows), pa.string())


class ParquetPool:
    """The distinct lines of labelled Parquet files (command_line, platform, label; more where present).

    `process_command_line` is what a sensor would record and is used where present. Left out and counted in `dropped`:
    label unknown, malicious lines of dual use, lines that occur with both labels, repeated lines, empty lines, unknown
    platforms, lines with NUL or over 1 MiB.

    Args:
        paths: the files, read in this order.
        keep, leave_out: sources to use or not to use.
        rewrap: draw the shell wrapper of each line anew, from one pool for both labels.
        estate: where re-drawn user and host names come from.
        seed: of the wrappers.

    Raises:
        TelemetryError: a file can't be read, lacks a column, or holds an unknown label.
    """

    repeats = 1

    def __init__(
        self,
        paths: Sequence[str | Path],
        *,
        keep: Collection[str] | None = None,
        leave_out: Collection[str] = (),
        rewrap: bool = False,
        estate: Estate | None = None,
        seed: int = 0,
    ) -> None:
        self._estate = default_estate() if estate is None else estate
        self.dropped: dict[str, int] = {}
        read = pa.concat_tables([_read(Path(p)) for p in paths])
        sources = read["source"]
        if keep is not None:
            read = read.filter(pc.is_in(sources, pa.array(sorted(keep), pa.string())))
        if leave_out:
            read = read.filter(pc.invert(pc.is_in(read["source"], pa.array(sorted(leave_out), pa.string()))))
        line = read["process_command_line"]
        read = self._drop(read, "label unknown", pc.equal(read["label"], "unknown"))
        read = self._drop(
            read, "malicious of dual use", pc.and_(pc.equal(read["label"], "malicious"), read["dual_use"])
        )
        read = self._drop(
            read, "unknown platform", pc.invert(pc.is_in(read["platform"], pa.array(PLATFORMS, pa.string())))
        )
        read = read.append_column("original", read["process_command_line"])
        if rewrap:
            read = _rewrapped(read, seed)
        line = read["process_command_line"]
        bad = pc.or_(
            pc.or_(pc.equal(pc.utf8_trim_whitespace(line), ""), pc.match_substring(line, "\0")),
            pc.greater(pc.binary_length(line), _MAX_LINE_BYTES),
        )
        read = self._drop(read, "empty, NUL or over 1 MiB", bad)
        read = self._distinct(read)
        self._lines: pa.StringArray = read["process_command_line"].combine_chunks()
        self._parents: pa.StringArray = read["parent_command_line"].combine_chunks()
        self._originals: pa.StringArray = read["original"].combine_chunks()
        self._assembly = Assembly()
        self._numbers = np.full(len(self._lines), -1, np.int64)
        malicious = np.array(pc.equal(read["label"], "malicious").to_numpy(), bool)
        self.table = PoolTable(
            malicious=malicious,
            hard=np.array(read["hard"].to_numpy(), bool) & ~malicious,
            platform=np.array(read["platform"].to_pylist(), object),
            source=np.array(read["source"].to_pylist(), object),
            group_id=np.array(read["group_id"].to_pylist(), object),
            length=np.array(pc.utf8_length(self._lines).to_numpy(zero_copy_only=False), np.int64),
            weight=np.zeros(len(malicious), np.int64),
        )
        self.fingerprint = _fingerprint([*self._lines.to_pylist(), *read["label"].to_pylist()])

    def _drop(self, table: pa.Table, reason: str, mask: pa.ChunkedArray) -> pa.Table:
        dropped = int(pc.sum(mask).as_py() or 0)
        if dropped:
            self.dropped[reason] = self.dropped.get(reason, 0) + dropped
        return table.filter(pc.invert(mask)) if dropped else table

    def _distinct(self, table: pa.Table) -> pa.Table:
        """The first row of each line; none where both labels claim it."""
        table = table.append_column("row", pa.array(np.arange(len(table))))
        grouped = table.group_by(["platform", "process_command_line"], use_threads=False).aggregate(
            [("row", "min"), ("row", "count"), ("label", "count_distinct")]
        )
        both = pc.greater(grouped["label_count_distinct"], 1)
        for reason, count in (
            ("line with both labels", int(pc.sum(pc.if_else(both, grouped["row_count"], 0)).as_py() or 0)),
            (
                "repeated line",
                len(table)
                - len(grouped)
                - int(pc.sum(pc.if_else(both, pc.subtract(grouped["row_count"], 1), 0)).as_py() or 0),
            ),
        ):
            if count:
                self.dropped[reason] = count
        rows = grouped.filter(pc.invert(both))["row_min"].to_numpy()
        return table.take(pa.array(np.sort(rows)))

    def draws(self, rows: np.ndarray, rng: random.Random) -> tuple[pa.StringArray, pa.StringArray]:
        """The rows' lines with their parameters drawn anew; parents as they are."""
        return self._assembly.write(self.programs(rows)[1], rng.getrandbits(62))

    def programs(self, rows: np.ndarray) -> tuple[Assembly, np.ndarray]:
        """What draws the rows' parameters anew."""
        for i in np.unique(rows[self._numbers[rows] < 0]):
            self._numbers[i] = redraw_program(
                self._assembly, self._lines[i].as_py(), self._parents[i].as_py(), self._estate, self.table.platform[i]
            )
        return self._assembly, np.asarray(self._numbers[rows])

    def bits(self, rows: np.ndarray) -> np.ndarray:
        """As the lines' parameters allow."""
        numbers = self.programs(rows)[1]
        return np.asarray(np.array(self._assembly.bits)[numbers])

    def lines(self, rows: np.ndarray, rng: random.Random) -> tuple[pa.StringArray, pa.StringArray]:
        """The rows' lines as they are."""
        index = pa.array(rows)
        return self._lines.take(index), self._parents.take(index)

    def original(self, rows: np.ndarray) -> pa.StringArray:
        """The recorded lines (`process_command_line`, else `command_line`) before `rewrap`: verdicts join here."""
        return self._originals.take(pa.array(rows))


def _objects(values: Sequence[tuple[str, ...]]) -> np.ndarray:
    """An object array of tuples: numpy would make a table of tuples of one length."""
    made = np.empty(len(values), object)
    made[:] = values
    return made


def _families(templates: Sequence[Template]) -> list[str]:
    """For each template the smallest id among those that twins link it to."""
    head = {t.id: t.id for t in templates}

    def found(name: str) -> str:
        while head[name] != name:
            head[name] = head[head[name]]
            name = head[name]
        return name

    for t in templates:
        if t.twin in head:
            first, second = sorted((found(t.id), found(t.twin)))
            head[second] = first
    return [found(t.id) for t in templates]


def _fingerprint(texts: Sequence[str]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:16]


def _rewrapped(table: pa.Table, seed: int) -> pa.Table:
    inner = table["command_line"].to_pylist()
    outer = table["process_command_line"].to_pylist()
    platforms = table["platform"].to_pylist()
    rng = random.Random(f"wrappers {seed}")
    changed = [rewrap(a, b, p, rng) for a, b, p in zip(inner, outer, platforms, strict=True)]
    at = table.schema.get_field_index("process_command_line")
    return table.set_column(at, "process_command_line", pa.chunked_array([pa.array(changed, pa.string())]))


def _read(path: Path) -> pa.Table:
    """The pool columns of one file; absent optional ones get their defaults."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TelemetryError(
            "this is no Parquet file", remedy="Give labelled Parquet files to --pool", file=path
        ) from error
    names = set(file.schema_arrow.names)
    if missing := [c for c in ("command_line", "platform", "label") if c not in names]:
        raise TelemetryError(
            f"column {' and '.join(missing)} is missing",
            remedy="A labelled pool has the columns command_line, platform and label (benign, malicious or unknown)",
            file=path,
        )
    optional = ("process_command_line", "source", "group_id", "hard", "dual_use", "parent_command_line")
    table = file.read(columns=["command_line", "platform", "label", *(c for c in optional if c in names)])
    n = len(table)
    text = pa.string()
    columns: dict[str, pa.ChunkedArray] = {
        name: pc.fill_null(table[name].cast(text), "") for name in ("command_line", "platform", "label")
    }
    unknown = pc.invert(pc.is_in(columns["label"], pa.array(["benign", "malicious", "unknown"])))
    if pc.any(unknown).as_py():
        row = pc.index(unknown, True).as_py()
        raise TelemetryError(
            f"label '{columns['label'][row]}'", remedy="Use benign, malicious or unknown", file=path, row=row + 1
        )

    def given(name: str, kind: pa.DataType, default: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
        if name not in names:
            return pa.chunked_array([default]) if isinstance(default, pa.Array) else default
        return pc.coalesce(table[name].cast(kind), default)

    no = pa.array(np.zeros(n, bool))
    columns["process_command_line"] = given("process_command_line", text, columns["command_line"])
    columns["source"] = given("source", text, pa.array([path.stem] * n, text))
    columns["group_id"] = given("group_id", text, pa.array([f"{path.stem}-{i + 1}" for i in range(n)], text))
    columns["hard"] = given("hard", pa.bool_(), no)
    columns["dual_use"] = given("dual_use", pa.bool_(), no)
    columns["parent_command_line"] = given("parent_command_line", text, pa.nulls(n, text))
    return pa.table(columns)
