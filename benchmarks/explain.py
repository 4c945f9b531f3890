"""What an explanation costs: milliseconds of processor time per line, beside scoring alone.

    python benchmarks/explain.py [--quick] [--json FILE] [--model DIR]

Lines are drawn from the bundled lexicon. A model without labelled neighbours is copied and given those of the lexicon,
so that both can be measured. One thread; medians over turns, in which all take part on the same lines.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from cmdclf.classify import Scorer
from cmdclf.classify.manifest import MANIFEST, SEAL, seal
from cmdclf.classify.neighbours import NEIGHBOURS_FILE, Neighbours
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.resources import data_path

BATCHES = (1, 100, 2000)


def with_neighbours(model: Path, folder: Path, pool: LexiconPool) -> Path:
    """A copy of the model folder that carries a line of each of the pool's templates."""
    shutil.copytree(model, folder)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    Neighbours.of_lexicon(pool, Scorer.load(model, threads=1).featuriser.embedder.embed).save(folder)
    (folder / SEAL).unlink()
    seal(folder, {key: value for key, value in manifest.items() if key not in ("files", "format")})
    return folder


def measure(
    ways: dict[str, tuple[Scorer, str]], lines: pa.RecordBatch, turns: dict[int, int]
) -> list[dict[str, float]]:
    """For each batch size the median milliseconds of processor time per line of each way."""
    rows = []
    for size, repeats in turns.items():
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(repeats):
            batch = lines.slice(turn * size % lines.num_rows, size)
            for name, (scorer, method) in ways.items():
                start = time.process_time()
                getattr(scorer, method)(batch)
                taken[name].append((time.process_time() - start) * 1000 / batch.num_rows)
        rows.append({"lines": size} | {name: statistics.median(values) for name, values in taken.items()})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    parser.add_argument(
        "--model", type=Path, default=data_path("model"), metavar="DIR", help="default: the bundled one"
    )
    args = parser.parse_args()
    pool = LexiconPool(repeats=1)
    chosen = np.random.default_rng(1).integers(0, len(pool.table), max(BATCHES))
    text, _ = pool.lines(chosen, random.Random(9))
    lines = pa.record_batch({"command_line": text, "platform": pa.array(pool.table.platform[chosen], pa.string())})
    with tempfile.TemporaryDirectory() as work, threadpool_limits(1, user_api="blas"):
        carries = (args.model / NEIGHBOURS_FILE).is_file()
        model = args.model if carries else with_neighbours(args.model, Path(work) / "model", pool)
        whole, plain = Scorer.load(model, threads=1), Scorer.load(model, threads=1)
        plain.neighbours = None
        ways = {"score": (plain, "score"), "explain": (plain, "explain"), "explain, neighbours": (whole, "explain")}
        start = time.process_time()
        known = whole.neighbours
        loaded = (time.process_time() - start) * 1000
        for scorer, method in ways.values():
            getattr(scorer, method)(lines.slice(0, 20))
        rows = measure(ways, lines, dict(zip(BATCHES, (20, 3, 1) if args.quick else (300, 20, 3), strict=True)))
    sys.stdout.write(f"{len(known.rows):,} neighbours, read in {loaded:.0f} ms\n\n")
    sys.stdout.write(f"| lines per call | {' | '.join(ways)} |\n|{'---|' * (1 + len(ways))}\n")
    for row in rows:
        sys.stdout.write(f"| {row['lines']:,} | {' | '.join(f'{row[name]:.2f} ms' for name in ways)} |\n")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
