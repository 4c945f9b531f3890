"""The classifier from text to score: lines per second in batches, milliseconds for a single line.

    python benchmarks/scoring.py [--quick] [--json FILE] [--model DIR] [--data FILE]

`Scorer.score` of the bundled model (or of --model) on lines whose platform is known: features, embedding, n-grams,
decoding of what lines hide, and trees. Three measures in one run: a large batch on one thread, in lines per second of
this process's CPU time, which other work on the machine hardly changes; the same batch on two threads by the clock;
and lines one by one, by both, with median and 99th percentile. Every figure is the best of its rounds, since other
work only ever adds time. First the batch's scores are compared with those of its lines one by one.

Lines are drawn from the bundled lexicon, or from a Parquet file with `command_line` and `platform` (--data).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmdclf.classify import Scorer
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.resources import data_path

THREADS = 2


def lexicon_lines(n: int) -> pa.RecordBatch:
    pool = LexiconPool()
    rng = random.Random(11)
    rows = np.array([rng.randrange(len(pool.table.malicious)) for _ in range(n)])
    lines, _ = pool.lines(rows, rng)
    return pa.record_batch({"command_line": lines, "platform": pa.array(pool.table.platform[rows], pa.string())})


def file_lines(path: str, n: int) -> pa.RecordBatch:
    """At most `n` lines of a file, drawn without order."""
    table = pq.read_table(path, columns=["command_line", "platform"])
    chosen = np.random.default_rng(11).permutation(table.num_rows)[:n]
    table = table.take(pa.array(chosen)).combine_chunks()
    return pa.record_batch({name: table[name].chunk(0).cast(pa.string()) for name in table.column_names})


def best(clock: Callable[[], float], work: Callable[[], object], rounds: int) -> float:
    """Seconds of the fastest round."""
    taken = []
    for _ in range(rounds):
        start = clock()
        work()
        taken.append(clock() - start)
    return min(taken)


def one_by_one(scorer: Scorer, singles: list[pa.RecordBatch], rounds: int) -> dict[str, float]:
    """Milliseconds a line: each line's best round, by CPU time and by the clock."""
    cpu, wall = np.full(len(singles), np.inf), np.full(len(singles), np.inf)
    for _ in range(rounds):
        for k, single in enumerate(singles):
            before, start = time.process_time(), time.perf_counter()
            scorer.score(single)
            wall[k] = min(wall[k], time.perf_counter() - start)
            cpu[k] = min(cpu[k], time.process_time() - before)
    return {
        f"{name}_{share}_ms": round(1e3 * float(np.quantile(values, at)), 3)
        for name, values in (("cpu", cpu), ("wall", wall))
        for share, at in (("median", 0.5), ("p99", 0.99))
    }


def measure(model: Path, lines: pa.RecordBatch, n_singles: int, rounds: int) -> list[dict[str, object]]:
    one, two = Scorer.load(model, threads=1), Scorer.load(model, threads=THREADS)
    singles = [lines.slice(k, 1) for k in range(min(n_singles, lines.num_rows))]
    # Also what compiles and opens everything once.
    whole = two.score(lines)["score"]
    for k, single in enumerate(singles):
        if one.score(single)["score"][0].as_py() != whole[k].as_py():
            raise SystemExit(f"line {k} has another score alone than in the batch")
    cpu = best(time.process_time, lambda: one.score(lines), rounds)
    wall = best(time.perf_counter, lambda: two.score(lines), rounds)
    n = lines.num_rows
    return [
        {"case": "batch, one thread", "ours": round(n / cpu), "unit": "lines per CPU second", "n": n},
        {"case": f"batch, {THREADS} threads", "ours": round(n / wall), "unit": "lines/s", "n": n},
        {"case": "single line", "unit": "ms", "n": len(singles), **one_by_one(one, singles, rounds)},
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer lines and rounds: some ten seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", help="write the table there too")
    parser.add_argument("--model", metavar="DIR", help="a model folder instead of the bundled one")
    parser.add_argument("--data", metavar="FILE", help="Parquet of lines instead of the lexicon's")
    args = parser.parse_args()
    n, singles, rounds = (20_000, 500, 3) if args.quick else (50_000, 2_000, 7)

    lines = file_lines(args.data, n) if args.data else lexicon_lines(n)
    model = Path(args.model) if args.model else data_path("model")
    rows = measure(model, lines, singles, rounds)
    size = sum(len(text.encode()) for text in lines["command_line"].to_pylist())
    result = {
        "name": "scoring",
        "machine": ", ".join(
            (platform.machine(), f"{os.cpu_count()} cores", platform.system(), f"Python {platform.python_version()}")
        ),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "bytes_per_line": round(size / max(1, lines.num_rows)),
        "rows": rows,
    }
    for row in rows[:-1]:
        print(f"{row['case']:<20}{row['ours']:>9,} {row['unit']}")
    for name, what in (("cpu", "CPU"), ("wall", "clock")):
        median, p99 = rows[-1][f"{name}_median_ms"], rows[-1][f"{name}_p99_ms"]
        print(f"{'single line, ' + what:<20}{median:>9.3f} ms median, {p99:.3f} ms p99")
    print(f"{result['bytes_per_line']} bytes a line, load {result['load']}, {result['machine']}")
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
