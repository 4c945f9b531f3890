"""Replay: its speed against rendering line by line, and how like real telemetry it is.

    python benchmarks/replay.py [--quick] [--json FILE] [--telemetry FILE... --html FILE]

Speed, in CPU time so that other work on the machine disturbs little:
  lines drawn      the compiled machine against the single rendering in Python, same templates
  ordinary days    events of a replay with its files written, against the same
  distinct days    lines of a day in which every event is another line, with its files written; `peak_mb` is the
                   memory of a process of its own
Every line is checked: as many distinct lines as the day has events, and the truth has each.

--telemetry takes Parquet files of real process events (command_line or process_command_line, platform; count where
present). Each platform of each file is compared with as many events of that platform in a replay: a table on the
terminal, and with --html a page with the distributions side by side.
"""

from __future__ import annotations

import argparse
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

from cmdclf.lexicon import render
from cmdclf.lexicon.pools import LexiconPool
from cmdclf.lexicon.replay import replay
from cmdclf.study.realism import compare, profile, realism_page
from cmdclf.telemetry import Lake

_FEWEST = 500
_PEER = "render, line by line"


def cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of all threads, and what the work gives."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def row(case: str, seconds: float, n: int, peer_per_s: float, **more: Any) -> dict[str, Any]:
    ours = n / seconds
    return {
        "case": case, "ours": round(ours), "peer": round(peer_per_s), "peer_name": _PEER,
        "ratio": round(ours / peer_per_s, 1), "unit": "lines per CPU second", "n": n, **more,
    }  # fmt: skip


def distinct_day(n: int, folder: Path) -> dict[str, Any]:
    """Time and memory of `cmdclf replay --distinct` in a process of its own; the answer is checked."""
    lake = folder / f"distinct{n}"
    command = [sys.executable, "-m", "cmdclf", "replay", "--lexicon", "--days", "1", "--per-day", str(n)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    subprocess.run([*command, "--distinct", "--lake", str(lake), "--quiet"], check=True, stdout=subprocess.DEVNULL)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A line is one of its platform: the same text on another is another line.
    batches = Lake(lake).batches(columns=["platform", "command_line"])
    lines = pa.concat_arrays([pc.binary_join_element_wise(b["platform"], b["command_line"], "\0") for b in batches])
    truth = pq.read_table(str(lake) + ".truth.parquet", columns=["command_line"])["command_line"]
    if not len(lines) == pc.count_distinct(lines).as_py() == len(truth) == n:
        raise SystemExit(f"the day of {n:,} distinct lines has others")
    return {
        "seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "wall_s": round(wall, 1),
        "peak_mb": round(after.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)),
    }


def speed(quick: bool, folder: Path) -> list[dict[str, Any]]:
    pool = LexiconPool()
    templates = pool.lexicon.templates
    rng = np.random.default_rng(0)
    n = 200_000 if quick else 1_000_000
    which = np.sort(rng.integers(0, len(templates), n))
    words = random.Random(1)
    pool.draws(np.arange(len(templates)), words)  # templates taken apart, the machine compiled
    drawn, _ = cpu(lambda: pool.draws(which, words))
    few = which[:: n // 10_000]
    single, _ = cpu(lambda: [render(templates[k], words) for k in few])
    peer = len(few) / single
    rows = [row("lines drawn", drawn, n, peer)]
    events = 200_000 if quick else 1_000_000
    replay(pool, folder / "warm", days=2, per_day=1000)
    seconds, report = cpu(lambda: replay(pool, folder / "days", days=10, per_day=events // 10))
    rows.append(row("ordinary days", seconds, report.events, peer, distinct=report.distinct))
    for size in (100_000,) if quick else (300_000, 1_000_000, 3_000_000):
        found = distinct_day(size, folder)
        rows.append(row("distinct day", found.pop("seconds"), size, peer, **found))
    return rows


def real_lines(path: Path) -> dict[str, pa.StringArray]:
    """Platform -> the command lines of a file's events."""
    names = pq.read_schema(path).names
    text = "process_command_line" if "process_command_line" in names else "command_line"
    table = pq.read_table(path, columns=[text, *(c for c in ("platform", "count") if c in names)])
    table = table.filter(pc.and_(pc.is_valid(table[text]), pc.not_equal(table[text], "")))
    if "count" in table.column_names:
        table = table.take(pa.array(np.repeat(np.arange(len(table)), table["count"].fill_null(1).to_numpy())))
    lines = table[text].cast(pa.string()).combine_chunks()
    if "platform" not in table.column_names:
        return {"windows": lines}
    found = {}
    for name in sorted(set(table["platform"].to_pylist())):
        part = lines.filter(pc.equal(table["platform"], name).combine_chunks())
        if len(part) >= _FEWEST:
            found[name] = part
    return found


def realism(files: list[Path], folder: Path, quick: bool) -> dict[str, Any]:
    """Comparison -> replayed and real profile of the same number of events."""
    replay(LexiconPool(), folder / "month", days=10, per_day=5_000 if quick else 20_000, seed=1)
    table = pa.Table.from_batches(Lake(folder / "month").batches(columns=["platform", "command_line"]))
    pairs = {}
    for path in files:
        for name, lines in real_lines(path).items():
            ours = table.filter(pc.equal(table["platform"], name))["command_line"].combine_chunks()
            n = min(len(ours), len(lines))
            rng = np.random.default_rng(0)
            sampled = [x.take(pa.array(np.sort(rng.permutation(len(x))[:n]))) for x in (ours, lines)]
            pairs[f"{path.stem}, {name}"] = tuple(profile(x) for x in sampled)
    return pairs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="within 50 seconds")
    parser.add_argument("--json", metavar="FILE", help="write the rows here")
    parser.add_argument("--telemetry", nargs="+", type=Path, default=[], metavar="FILE", help="real process events")
    parser.add_argument("--html", metavar="FILE", help="write the page here (with --telemetry)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = speed(args.quick, Path(work))
        pairs = realism(args.telemetry, Path(work), args.quick) if args.telemetry else {}
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = {
        "name": "replay",
        "machine": machine,
        "rows": rows,
        "memory_mb": round(usage / (1024 * 1024 if sys.platform == "darwin" else 1024)),
        "realism": {
            name: {"replay": ours.numbers(), "real": real.numbers(), "distance": compare(ours, real)}
            for name, (ours, real) in pairs.items()
        },
    }
    print(f"{'case':<16}{'n':>11}{'ours':>12}{'peer':>10}{'ratio':>8}   {rows[0]['unit']}; peer is {_PEER}")
    for one in rows:
        more = f"   {one['wall_s']} s, peak {one['peak_mb']} MB" if "wall_s" in one else ""
        print(f"{one['case']:<16}{one['n']:>11,}{one['ours']:>12,}{one['peer']:>10,}{one['ratio']:>8}{more}")
    for name, found in result["realism"].items():
        print(f"\n{name:<46}{'replay':>12}{'real':>12}")
        for key, value in found["replay"].items():
            print(f"  {key:<44}{value:>12,.4g}{found['real'][key]:>12,.4g}")
        for key, value in found["distance"].items():
            print(f"  {'distance: ' + key:<44}{value:>12.3f}")
    print(machine)
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if args.html:
        Path(args.html).write_text(realism_page(pairs, rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
