"""Near-duplicates: the index against exhaustive search, and the whole removal against semhash.

    python benchmarks/dedup.py [--quick] [--json FILE] [--lines N] [--peer N]

Lines are drawn from the bundled lexicon, every template equally often, and embedded by the bundled model.
  index      `NearIndex` is filled with N lines' vectors and asked for the nearest of other lines. Of those with a
             neighbour of at least the threshold by exhaustive search (a sample), how many get one: the recall.
  removal    all near-duplicates among N lines are removed. `ours` compares lines of one platform and behaviour, which
             takes the behaviour keys' time, too; `by cosine alone` knows neither, as semhash does. semhash gets the
             same vectors, the same threshold and the lines in the order of ours. What was missed is found by
             exhaustive search among the kept: those with another kept line before them that is near enough. Also
             counted: removed lines that do something else than the line they were removed for.

Each case runs in a process of its own, so that its memory is its own. Without semhash its rows are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.dedup import THRESHOLD_COSINE, NearIndex, near_duplicates
from cmdclf.dedup.behaviour import behaviour_keys
from cmdclf.dedup.keys import in_slices
from cmdclf.features import load_embedder
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.telemetry import command_ids

#: Queries of the index, and those of them (or kept lines) that exhaustive search looks at, too.
ASKED, SAMPLE = 20_000, 3_000
_CELLS = 200_000_000


# ---------------------------------------------------------------- lines and exhaustive search


def make_lines(n: int, folder: Path) -> None:
    """n different lines by ascending id with their vectors: `lines.parquet`, `vectors.npy`."""
    pool, rng = LexiconPool(), random.Random(1)
    templates = len(pool.lexicon.templates)
    table = None
    while table is None or table.num_rows < n:
        rows = np.sort(np.random.default_rng(rng.randrange(2**32)).integers(0, templates, n))
        drawn, _ = pool.draws(rows, rng)
        more = pa.table({"platform": pa.array(pool.table.platform[rows], pa.string()), "command_line": drawn})
        both = more if table is None else pa.concat_tables([table, more])
        table = both.group_by(["platform", "command_line"]).aggregate([])
    columns = [table[name].combine_chunks() for name in ("platform", "command_line")]
    table = table.append_column("command_id", command_ids(*columns))
    # Sorted first: a grouped table comes in another order each time.
    table = table.sort_by("command_id")
    table = table.take(pa.array(np.sort(np.random.default_rng(0).permutation(table.num_rows)[:n]))).combine_chunks()
    pq.write_table(table, folder / "lines.parquet")
    np.save(folder / "vectors.npy", load_embedder().embed(table["command_line"].combine_chunks()))


def part(folder: Path, n: int) -> tuple[pa.Table, np.ndarray]:
    """The first n lines and their vectors."""
    lines = pq.read_table(folder / "lines.parquet").slice(0, n).combine_chunks()
    return lines, np.array(np.load(folder / "vectors.npy", mmap_mode="r")[:n])


def highest(queries: np.ndarray, vectors: np.ndarray, allowed: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """(n,) the highest cosine of each query to the vectors that it may be compared with."""
    best = np.full(len(queries), -1, np.float32)
    step = max(1, _CELLS // max(1, len(queries)))
    for start in range(0, len(vectors), step):
        near = queries @ vectors[start : start + step].T
        near[~allowed(start, start + near.shape[1])] = -1
        np.maximum(best, near.max(1), out=best)
    return best


def resident_mb() -> int:
    """The most memory that this process ever held."""
    status = Path("/proc/self/status")
    if status.exists():  # the other measure is inherited from the parent
        return next(int(row.split()[1]) for row in status.read_text().splitlines() if row.startswith("VmHWM")) // 1024
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(usage / (1024 * 1024 if sys.platform == "darwin" else 1024))


class Watch:
    """Wall and CPU seconds since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._cpu


# ---------------------------------------------------------------- cases, each in a process of its own


def index_case(folder: Path, n: int) -> dict[str, Any]:
    _, vectors = part(folder, n + ASKED)
    order = np.random.default_rng(3).permutation(len(vectors))
    held, asked = vectors[order[:n]], vectors[order[n:]]
    del vectors
    warm = NearIndex(held.shape[1], exact_limit=10)
    warm.add([str(i) for i in range(100)], held[:100])
    warm.nearest(asked[:10])
    ids = [f"{i:032d}" for i in range(n)]
    watch, index = Watch(), NearIndex(held.shape[1], exact_limit=0)
    index.add(ids, held)
    adding, watch = watch.read(), Watch()
    found = index.nearest(asked).cosine
    asking, memory = watch.read(), resident_mb()
    watch, sample = Watch(), slice(0, min(SAMPLE, len(asked)))
    best = highest(asked[sample], held, lambda a, b: np.ones(b - a, bool)[None, :].repeat(len(asked[sample]), 0))
    exact = watch.read()
    recall = {}
    for threshold in (0.8, THRESHOLD_COSINE, 0.98):
        near = best >= threshold + 1e-6
        recall[f"{threshold:g}"] = round(float((found[sample][near] >= threshold).mean()), 5)
    return {
        "n": n, "distinct_vectors": len(np.unique(held.view(f"V{held.itemsize * held.shape[1]}"))),
        "added_per_s": n / adding[0], "cpu_us_added": adding[1] / n * 1e6,
        "asked_per_s": len(asked) / asking[0], "cpu_us_asked": asking[1] / len(asked) * 1e6,
        "exact_per_s": len(best) / exact[0], "with_near": int((best >= THRESHOLD_COSINE).sum()), "sample": len(best),
        "recall": recall, "index_mb": round(index.nbytes / 2**20), "memory_mb": memory,
    }  # fmt: skip


def quality(lines: pa.Table, vectors: np.ndarray, leader: np.ndarray, worlds: np.ndarray, keys: list) -> dict[str, Any]:
    """What was removed rightly, and what was missed; `leader` is the row that each row was removed for, or itself.

    Args:
        lines, vectors: by ascending id.
        leader: (n,).
        worlds: (n,) numbers; only lines of one world may be compared.
        keys: behaviour keys with the platforms.
    """
    kept = np.flatnonzero(leader == np.arange(len(leader)))
    gone = np.flatnonzero(leader != np.arange(len(leader)))
    if not np.isin(leader[gone], kept).all():
        raise SystemExit("a line was removed for one that was removed itself")
    cosines = np.einsum("ij,ij->i", vectors[gone], vectors[leader[gone]])
    sample = np.sort(np.random.default_rng(5).choice(len(kept), min(SAMPLE, len(kept)), replace=False))
    places, own = kept[sample][:, None], worlds[kept[sample]][:, None]
    best = highest(
        vectors[kept[sample]],
        vectors[kept],
        lambda a, b: (kept[None, a:b] < places) & (worlds[None, kept[a:b]] == own),
    )
    missed = float((best >= THRESHOLD_COSINE + 1e-6).mean()) * len(kept)
    elsewhere = sum(keys[a] != keys[b] for a, b in zip(gone.tolist(), leader[gone].tolist(), strict=True))
    return {
        "n": lines.num_rows, "kept": len(kept), "removed": len(gone),
        "below": int((cosines < THRESHOLD_COSINE - 1e-5).sum()),
        "missed": round(missed), "recall": round(len(gone) / max(1, len(gone) + missed), 5),
        "do_something_else": round(elsewhere / max(1, len(gone)), 4),
    }  # fmt: skip


def world_keys(lines: pa.Table) -> list[str]:
    keys = in_slices(behaviour_keys, lines)
    return pc.binary_join_element_wise(lines["platform"].combine_chunks(), keys, " ").to_pylist()


def ours_case(folder: Path, n: int, alone: bool) -> dict[str, Any]:
    lines, given = part(folder, n)
    embedder = load_embedder()
    few = lines.slice(0, 50)
    near_duplicates(few, embedder.embed(few["command_line"].combine_chunks()))
    if alone:
        lines = lines.set_column(0, "platform", pa.array(["any"] * n))
    watch = Watch()
    vectors = embedder.embed(lines["command_line"].combine_chunks())
    embedding, watch = watch.read(), Watch()
    groups = near_duplicates(lines, vectors, behaviours=pa.array([""] * n) if alone else None)
    grouping, memory = watch.read(), resident_mb()
    if not np.array_equal(vectors, given):
        raise SystemExit("the vectors are not the same")
    leader = pc.index_in(groups["representative_id"], value_set=lines["command_id"].combine_chunks())
    keys = world_keys(pq.read_table(folder / "lines.parquet").slice(0, n))
    worlds = np.zeros(n, np.int64) if alone else np.unique(np.array(keys), return_inverse=True)[1]
    return {
        "seconds": grouping[0], "cpu": grouping[1], "embedding": embedding[0], "memory_mb": memory,
        **quality(lines, vectors, leader.to_numpy(zero_copy_only=False).astype(np.int64), worlds, keys),
    }  # fmt: skip


def semhash_case(folder: Path, n: int) -> dict[str, Any]:
    from semhash import SemHash

    lines, vectors = part(folder, n)
    embedder, spent = load_embedder(), [0.0, 0.0]

    class Ours:
        """Our embedder as semhash's model."""

        def encode(self, inputs: list[str], **_: Any) -> np.ndarray:
            watch = Watch()
            made = embedder.embed(pa.array(inputs, pa.string()))
            spent[:] = [a + b for a, b in zip(spent, watch.read(), strict=True)]
            return made

    # Platform and line: the same text on two platforms is two lines here, and none is an exact copy of another.
    texts = lines["command_line"].to_pylist()
    SemHash.from_records(texts[:200], model=Ours()).self_deduplicate(threshold=THRESHOLD_COSINE)
    spent[:] = [0.0, 0.0]
    watch = Watch()
    result = SemHash.from_records(texts, model=Ours()).self_deduplicate(threshold=THRESHOLD_COSINE)
    wall, cpu = watch.read()
    memory = resident_mb()
    first = {}
    for row, text in enumerate(texts):
        first.setdefault(text, row)
    leader = np.array([first[text] for text in texts])
    own = leader.copy()
    for removed in result.filtered:
        if not removed.exact:
            own[first[removed.record]] = first[removed.duplicate_of]
    leader = own[leader]
    return {
        "seconds": wall - spent[0], "cpu": cpu - spent[1], "embedding": spent[0], "memory_mb": memory,
        **quality(lines, vectors, leader, np.zeros(n, np.int64), world_keys(lines)),
    }  # fmt: skip


CASES: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "index": index_case,
    "ours": lambda folder, n: ours_case(folder, n, alone=False),
    "by cosine alone": lambda folder, n: ours_case(folder, n, alone=True),
    "semhash": semhash_case,
}


def measured(case: str, folder: Path, n: int) -> dict[str, Any]:
    """What the case's own process found."""
    out = folder / "figures.json"
    subprocess.run([sys.executable, __file__, "--child", case, str(folder), str(n), str(out)], check=True)
    return json.loads(out.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the table


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 and 10,000 lines: under 50 seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the table there too")
    parser.add_argument("--lines", metavar="N", type=int, help="lines for the index and for ours (default: 1,000,000)")
    parser.add_argument("--peer", metavar="N", type=int, help="lines for semhash and for ours beside it (200,000)")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    if args.child:
        case, folder, n, out = args.child
        Path(out).write_text(json.dumps(CASES[case](Path(folder), int(n))), encoding="utf-8")
        return 0
    n = args.lines or (100_000 if args.quick else 1_000_000)
    few = min(n, args.peer or (10_000 if args.quick else 200_000))
    with tempfile.TemporaryDirectory(prefix="cmdclf-dedup-") as passing:
        folder = Path(passing)
        make_lines(n + ASKED, folder)
        index = measured("index", folder, n)
        peer = measured("semhash", folder, few) if importlib.util.find_spec("semhash") else None
        ours = dict.fromkeys([("ours", few), ("by cosine alone", few), ("ours", n)])
        runs = {(case, size): measured(case, folder, size) for case, size in ours}
    rows = [
        {"case": "index, search", "ours": round(index["asked_per_s"]), "peer": round(index["exact_per_s"]),
         "peer_name": "exhaustive", "ratio": round(index["asked_per_s"] / index["exact_per_s"], 1),
         "unit": "queries per second", **index}
    ]  # fmt: skip
    for (case, size), run in runs.items():
        for embedded in (False, True):
            seconds = [r["seconds"] + embedded * r["embedding"] for r in (run, peer or run)]
            beside = peer is not None and size == few
            rows.append(
                {"case": f"removal, {case}{' with embedding' if embedded else ''}", "ours": round(size / seconds[0]),
                 "peer": round(size / seconds[1]) if beside else None, "peer_name": "semhash" if beside else None,
                 "ratio": round(seconds[1] / seconds[0], 1) if beside else None, "unit": "lines per second", **run,
                 "peer_figures": peer if beside else None}
            )  # fmt: skip
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    memory = max(run["memory_mb"] for run in (index, *runs.values()))
    result = {"name": "dedup", "machine": machine, "threshold": THRESHOLD_COSINE, "rows": rows, "memory_mb": memory}
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def show(result: dict[str, Any]) -> None:
    index, *removals = result["rows"]
    print(f"index of {index['n']:,} vectors ({index['distinct_vectors']:,} of them distinct)")
    print(f"  filled at {index['added_per_s']:,.0f} a second, {index['index_mb']:,} MB")
    print(f"  asked {index['ours']:,} times a second, exhaustive search {index['peer']:,} ({index['ratio']} times)")
    shares = ", ".join(f"{share:.4f} at {threshold}" for threshold, share in index["recall"].items())
    print(f"  recall {shares} ({index['with_near']:,} of {index['sample']:,} queries near something)")
    names = ("lines", "lines/s", "ratio", "CPU s", "MB", "kept", "recall", "unlike")
    print(f"{'removal':<38}" + "".join(f"{name:>10}" for name in names))
    for row in removals:
        print(f"{row['case'][9:]:<38}{row['n']:>10,}{row['ours']:>10,}{row['ratio'] or '':>10}{figures(row)}")
        peer = row["peer_figures"]
        if peer and "alone" in row["case"]:
            name = row["case"].replace("removal, by cosine alone", "semhash")
            print(f"{name:<38}{peer['n']:>10,}{row['peer']:>10,}{'':>10}{figures(peer)}")
    print(f"cosine >= {result['threshold']}, {result['memory_mb']:,} MB at most, {result['machine']}")


def figures(run: dict[str, Any]) -> str:
    return (
        f"{run['cpu']:>10.1f}{run['memory_mb']:>10,}{run['kept']:>10,}{run['recall']:>10.4f}"
        f"{run['do_something_else']:>10.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
