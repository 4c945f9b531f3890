"""Which lines are replayed, which serve as labelled baseline, and which are held out for the incident test."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cmdclf.errors import CmdclfError
from cmdclf.lexicon.pools import Pool, PoolTable

__all__ = ["PoolSplit", "every_template", "incident_test", "labelled_pool", "split_pool"]


@dataclass(frozen=True, slots=True)
class PoolSplit:
    """Rows of a pool's table by what they are for; the four arrays are disjoint int64 rows.

    Attributes:
        held_out: sources (of a lexicon: families of templates) that are never replayed.
        benign: benign rows for the telemetry.
        incidents: malicious rows for the telemetry's incidents.
        labelled: malicious rows for the labelled pool; no group of theirs is in `incidents`.
        test: all rows of what is held out.
    """

    held_out: frozenset[str]
    benign: np.ndarray
    incidents: np.ndarray
    labelled: np.ndarray
    test: np.ndarray


def split_pool(
    pool: Pool, *, hold_out: float = 1 / 3, rotation: int = 0, labelled_share: float = 0.5, seed: int = 0
) -> PoolSplit:
    """Split a pool by whole sources (a lexicon: by families of templates), then its malicious rows by whole groups.

    Sources with malicious lines and sources with benign lines only are drawn separately, so that both labels are held
    out. With `hold_out=1/3` the rotations 0, 1 and 2 of one seed hold out disjoint thirds.

    Raises:
        CmdclfError: a share is outside 0..1, or one label would have no source left on one side.
    """
    if not 0 <= hold_out < 1 or not 0 <= labelled_share <= 1:
        raise CmdclfError(
            f"hold-out {hold_out} or labelled share {labelled_share} is no share",
            remedy="Use 0 <= hold-out < 1 and 0 <= labelled share <= 1",
        )
    table = pool.table
    held: set[str] = set()
    attacked = set(table.families[table.malicious])
    calm = set(table.families[~table.malicious])
    for number, stratum in enumerate((attacked - calm, attacked & calm, calm - attacked)):
        held |= _held_sources(sorted(stratum), hold_out, rotation, np.random.default_rng([seed, 1, number]))
    out = np.isin(table.families.astype(str), sorted(held)) if held else np.zeros(len(table), bool)
    for name, mask in (("malicious", table.malicious), ("benign", ~table.malicious)):
        if not (mask & ~out).any() or (hold_out > 0 and not (mask & out).any()):
            raise CmdclfError(
                f"the pool has too few sources with {name} lines to hold out {hold_out:.0%} of them",
                remedy="Give a pool with at least three sources per label, or another --hold-out",
            )
    malicious = np.flatnonzero(table.malicious & ~out)
    groups = np.unique(table.group_id[malicious].astype(str))
    shuffled = np.random.default_rng([seed, 2]).permutation(groups)
    labelled_groups = shuffled[: round(len(groups) * labelled_share)]
    is_labelled = np.isin(table.group_id[malicious].astype(str), labelled_groups)
    return PoolSplit(
        held_out=frozenset(held),
        benign=np.flatnonzero(~table.malicious & ~out),
        incidents=malicious[~is_labelled],
        labelled=malicious[is_labelled],
        test=np.flatnonzero(out),
    )


def _held_sources(sources: list[str], share: float, rotation: int, rng: np.random.Generator) -> set[str]:
    """The `rotation`-th run of a fixed circle of sources."""
    n = len(sources)
    take = min(n - 1, max(1, round(n * share))) if share > 0 and n > 1 else 0
    order = rng.permutation(n)
    # Rotations start at multiples of the share, not of the rounded count: three thirds then cover the circle evenly.
    start = round(rotation * n * share)
    return {sources[order[(start + k) % n]] for k in range(take)}


def incident_test(
    pool: Pool,
    split: PoolSplit,
    *,
    malicious: int = 2500,
    hard: int = 2000,
    complex_: int = 2000,
    simple: int = 1000,
    complex_length: int = 150,
    simple_length: int = 80,
    seed: int = 0,
) -> pa.Table:
    """Lines of what is held out: malicious against hard, complex and simple benign ones, at most so many of each.

    A benign line is `hard` where its source says so, else `complex` from `complex_length` characters on, else `simple`
    up to `simple_length`; lines between the two are left out.

    Returns:
        Distinct lines: command_line, platform, label, source, group_id, hard, family (of a lexicon: what is held out
        as a whole), original_command_line (the pool's own, null for a lexicon), benign_group (null where malicious).
    """
    table = pool.table
    test = split.test
    is_benign = ~table.malicious[test]
    is_hard = table.hard[test]
    length = table.length[test]
    parts: list[pa.Table] = []
    for number, (group, mask, limit) in enumerate(
        (
            (None, ~is_benign, malicious),
            ("hard", is_benign & is_hard, hard),
            ("complex", is_benign & ~is_hard & (length >= complex_length), complex_),
            ("simple", is_benign & ~is_hard & (length <= simple_length), simple),
        )
    ):
        rows = _spread(test[mask], limit, pool.repeats, np.random.default_rng([seed, 3, number]))
        lines, _ = pool.lines(rows, random.Random(f"incident test {seed} {number}"))
        part = _labelled_table(table, rows, lines).append_column("original_command_line", pool.original(rows))
        parts.append(part.append_column("benign_group", pa.array([group] * len(rows), pa.string())))
    return _first_of_each_line(pa.concat_tables(parts))


def labelled_pool(pool: Pool, split: PoolSplit, *, seed: int = 0) -> pa.Table:
    """The malicious lines that an aggregated baseline may use as labels; disjoint by group from replayed incidents.

    Returns:
        Distinct lines: command_line, platform, label, source, group_id, hard, and family of a lexicon.
    """
    rows = np.repeat(split.labelled, pool.repeats)
    lines, _ = pool.lines(rows, random.Random(f"labelled pool {seed}"))
    return _first_of_each_line(_labelled_table(pool.table, rows, lines))


def every_template(pool: Pool, lines: int = 1, *, seed: int = 0) -> pa.Table:
    """So many lines of each row of a pool, both labels.

    Returns:
        Distinct lines: command_line, platform, label, source, group_id, hard, and family of a lexicon.
    """
    rows = np.repeat(np.arange(len(pool.table)), lines)
    text, _ = pool.lines(rows, random.Random(f"every template {seed}"))
    return _first_of_each_line(_labelled_table(pool.table, rows, text))


def _spread(rows: np.ndarray, limit: int, repeats: int, rng: np.random.Generator) -> np.ndarray:
    """At most `limit` rows, each at most `repeats` times and as evenly as can be."""
    rounds = [rng.permutation(rows) for _ in range(repeats)]
    return np.concatenate(rounds)[:limit] if len(rows) else rows


def _labelled_table(table: PoolTable, rows: np.ndarray, lines: pa.StringArray) -> pa.Table:
    columns = {
        "command_line": lines,
        "platform": pa.array(table.platform[rows], pa.string()),
        "label": pa.array(np.where(table.malicious[rows], "malicious", "benign").astype(object), pa.string()),
        "source": pa.array(table.source[rows], pa.string()),
        "group_id": pa.array(table.group_id[rows], pa.string()),
        "hard": pa.array(table.hard[rows]),
    }
    if table.family is not None:
        columns["family"] = pa.array(table.family[rows], pa.string())
    return pa.table(columns)


def _first_of_each_line(table: pa.Table) -> pa.Table:
    numbered = table.append_column("row", pa.array(np.arange(len(table))))
    first = numbered.group_by(["platform", "command_line"], use_threads=False).aggregate([("row", "min")])
    return table.take(pa.array(np.sort(first["row_min"].to_numpy())))
