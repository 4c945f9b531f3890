"""A day at full scale: `cmdclf anomalies` against `cmdclf spark anomalies` on Spark local[2], the same functions.

    python benchmarks/spark_day.py [--quick] [--json FILE] [--sizes 1,5] [--master URL] [--lake DIR] [--keep DIR]

For each size (millions of distinct lines) `cmdclf replay --distinct` makes a day of the bundled lexicon; --lake takes
the last day of a lake instead. Then both commands work on it in turn, each as a process of its own from its start to
its end, Java's and Python's start included; their rows must be equal before any figure is told. From the second size on
a row tells the lines a second between the two sizes, in which no start counts. CPU seconds and memory (resident, summed
over the processes of a command, so pages that they share count more than once) are sampled from /proc, on Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.spark import missing

TOP = 100
UNIT = "lines a second"


@dataclass
class Watched:
    """What a process and its descendants used, as seen five times a second."""

    pid: int
    memory_mb: float = 0.0
    cpu_s: dict[int, float] = field(default_factory=dict)

    def look(self) -> None:
        parents, pages, times = {}, {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            pid = int(folder.name)
            parents[pid], pages[pid] = int(fields[1]), int(fields[21])
            times[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        tree = {self.pid}
        while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
            tree |= more
        self.memory_mb = max(
            self.memory_mb, sum(pages.get(pid, 0) for pid in tree) * os.sysconf("SC_PAGE_SIZE") / 2**20
        )
        self.cpu_s |= {pid: times[pid] for pid in tree if pid in times}


def command(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and MiB of `cmdclf` with these arguments."""
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "cmdclf", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    watched, ended = Watched(process.pid), threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            watched.look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    said = process.communicate()[1]
    seconds = time.perf_counter() - begin
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"cmdclf {' '.join(arguments)} failed:\n{said[-2000:]}")
    return seconds, sum(watched.cpu_s.values()), watched.memory_mb


def measured(lake: Path, folder: Path, rounds: int, spark: list[str]) -> dict[str, tuple[float, float, float]]:
    """Medians over the rounds of both commands, whose rows were found to be equal."""
    verbs = {"ours": ["anomalies"], "spark": ["spark", "anomalies", *spark]}
    figures: dict[str, list[tuple[float, float, float]]] = {name: [] for name in verbs}
    for number in range(rounds):
        rows: list[pa.Table] = []
        for name, verb in verbs.items():
            out = folder / f"{name}-{number}.parquet"
            figures[name].append(command([*verb, "--lake", str(lake), "--top", str(TOP), "--out", str(out)]))
            rows.append(pq.read_table(out))
        if rows[0] != rows[1] or not rows[0].num_rows:
            raise SystemExit("the two commands found different rows")
    return {name: tuple(map(statistics.median, zip(*runs, strict=True))) for name, runs in figures.items()}


def make_lake(lake: Path, n: int) -> None:
    if not lake.exists():
        replay = [
            "replay",
            "--lexicon",
            "--lake",
            str(lake),
            "--days",
            "1",
            "--per-day",
            str(n),
            "--distinct",
            "--quiet",
        ]
        command(replay)


def row(case: str, n: int, ours: tuple[float, float, float], peer: tuple[float, float, float], name: str) -> dict:
    return {
        "case": case, "ours": round(n / ours[0]), "peer": round(n / peer[0]), "peer_name": name,
        "ratio": round(peer[0] / ours[0], 1), "unit": UNIT, "n": n,
        "ours_s": round(ours[0], 1), "peer_s": round(peer[0], 1),
        "ours_cpu_s": round(ours[1], 1), "peer_cpu_s": round(peer[1], 1),
        "ours_mb": round(ours[2]), "peer_mb": round(peer[2]),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100,000 lines, once: under 50 seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    parser.add_argument("--sizes", default="1,5", metavar="M,...", help="millions of lines (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="runs of each (default: %(default)s)")
    parser.add_argument("--master", default="local[2]", help="Spark's (default: %(default)s)")
    parser.add_argument("--spark-memory", default="4g", help="of Spark's Java process (default: %(default)s)")
    parser.add_argument("--lake", type=Path, metavar="DIR", help="the last day of this lake instead")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the made lakes there, and use them again")
    args = parser.parse_args()
    if lacking := missing():
        raise SystemExit(lacking)
    sizes = [100_000] if args.quick else [round(float(size) * 1e6) for size in args.sizes.split(",")]
    spark = ["--master", args.master, "--conf", f"spark.driver.memory={args.spark_memory}"]
    name = f"Spark {args.master}"

    # What numba compiles lies on the disk after this, for both.
    from cmdclf.features import FeatureMaker

    few = pa.record_batch({"command_line": ["ls", "cmd /c e^c^h^o"], "platform": ["linux", "windows"]})
    FeatureMaker().fit(few).matrix(few)

    rows: list[dict] = []
    with nullcontext(str(args.keep)) if args.keep else tempfile.TemporaryDirectory() as kept:
        before = None
        for size in [0] if args.lake else sizes:
            lake = args.lake or Path(kept) / f"lake-{size}"
            if not args.lake:
                make_lake(lake, size)
            with tempfile.TemporaryDirectory() as folder:
                found = measured(lake, Path(folder), args.rounds, spark)
            n = size or sum(
                pq.read_metadata(file).num_rows for file in sorted(lake.glob("day=*"))[-1].glob("*.parquet")
            )
            rows.append(row(f"{n:,} lines" if size else f"{n:,} events", n, found["ours"], found["spark"], name))
            if before is not None:
                more = {key: tuple(b - a for a, b in zip(before[key], found[key], strict=True)) for key in found}
                rows.append(row("between the two", n - before["n"], more["ours"], more["spark"], name))
            before = {**found, "n": n}

    result = {
        "name": "spark_day",
        "machine": ", ".join(
            (platform.machine(), f"{os.cpu_count()} cores", platform.system(), f"Python {platform.python_version()}")
        ),
        "rows": rows,
        "memory_mb": max(one["ours_mb"] for one in rows),
    }
    print(f"{'case':<20}{'ours':>10}{name:>16}{'ratio':>7}   {UNIT}")
    for one in rows:
        print(f"{one['case']:<20}{one['ours']:>10,}{one['peer']:>16,}{one['ratio']:>7}")
    for one in rows:
        if one["case"] != "between the two":
            print(
                f"{one['case']}: {one['ours_s']} s, {one['ours_cpu_s']} CPU s, {one['ours_mb']:,} MiB against "
                f"{one['peer_s']} s, {one['peer_cpu_s']} CPU s, {one['peer_mb']:,} MiB"
            )
    print(f"the same {TOP} rows from both; {result['machine']}")
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
