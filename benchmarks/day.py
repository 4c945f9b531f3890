"""A whole day at full scale: seconds per stage, lines a second, memory and disk, and how all of them grow.

    python benchmarks/day.py [--quick] [--json FILE] [--sizes 1,5,10,50] [--memory MIB] [--keep DIR] [--lake DIR]

For each size (millions of distinct lines) a day of process events is written into a lake; then the work of
`cmdclf anomalies` (distinct lines, token counts, forest, scores, the 100 highest) is done by a process of its own, so
that the memory given is that of this size. The lines are ordinary ones of ten programs with changing names, numbers and
identifiers, 110 bytes on average; --lake takes the last day of a lake instead, for instance of `cmdclf replay
--distinct`. At the smallest size a straightforward computation by scikit-learn, all in memory,
checks the answer first (the same lines; scores within 1e-9) and is the peer.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmdclf.detect import FIT_ROWS, IsolationForestDetector, StreamedDay, WorkFolder
from cmdclf.features import FeatureMaker
from cmdclf.telemetry import PROCESS_EVENT, Lake, command_ids

TOP = 100
CHECKED = 2_000_000  # more lines than this don't fit into the memory of the peer
TEMPLATES = [
    ("windows", r"C:\Windows\System32\svchost.exe -k netsvcs -p -s {w}Svc -session {h}"),
    ("windows", r'"C:\Program Files\{w}\{w}.exe" --type=renderer --lang=en-US --handle={n},{h},131072 /prefetch:{n}'),
    ("windows", r"powershell.exe -NoProfile -File C:\ProgramData\{w}\inventory-{n}.ps1 -Site {w} -Run {h}"),
    ("windows", r"C:\Windows\system32\cmd.exe /c robocopy D:\{w} \\backup{n}\share\{w} /MIR /R:2 /LOG:C:\logs\{h}.txt"),
    ("windows", r"msiexec.exe /i C:\deploy\{w}-{n}.msi /qn /norestart /l*v C:\Windows\Temp\{w}{h}.log"),
    ("linux", "/usr/bin/python3 /opt/{w}/manage.py sync --shard {n} --since 2025-01-{n} --job {h}"),
    ("linux", "/bin/sh -c /usr/lib/{w}/check_{w} -w {n} -c {n} -p /var/lib/{w}/{h} | grep -c OK"),
    ("linux", "kubectl get pods -n {w} -l app={w},release={h} -o jsonpath={.items[{n}].metadata.name}"),
    ("linux", "gcc -O2 -g -Wall -I/usr/include/{w} -c src/{w}_{h}.c -o build/{w}_{h}.o"),
    ("macos", "/usr/sbin/softwareupdate --list --product-types {w} --verbose {n} --session {h}"),
]  # fmt: skip
CHUNK, FILE_LINES = 100_000, 1_000_000
MULTIPLIER = 0x9E3779B97F4A7C15


# ---------------------------------------------------------------- a day to run it on


def identifiers(start: int, n: int) -> pa.StringArray:
    """Hexadecimal numbers of 16 digits, each once in all of the day: an odd multiplier permutes the 64-bit numbers."""
    numbers = np.arange(start, start + n, dtype=np.uint64) * np.uint64(MULTIPLIER)
    octets = numbers.byteswap().view(np.uint8).reshape(n, 8)
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    text = np.empty((n, 16), np.uint8)
    text[:, 0::2], text[:, 1::2] = digits[octets >> 4], digits[octets & 15]
    offsets = np.arange(0, 16 * n + 1, 16, dtype=np.int32)
    return pa.StringArray.from_buffers(n, pa.py_buffer(offsets), pa.py_buffer(text))


def chunk(start: int, n: int, rng: np.random.Generator, words: pa.Array, numbers: pa.Array) -> pa.RecordBatch:
    lines, platforms = [], []
    share = n // len(TEMPLATES)
    for k, (name, template) in enumerate(TEMPLATES):
        rows = share if k else n - share * (len(TEMPLATES) - 1)
        pieces = []
        unique = identifiers(start, rows)
        start += rows
        for piece in re.split(r"(\{[wnh]\})", template):
            if piece == "{w}":  # few words are frequent, many are rare
                pieces.append(words.take(pa.array((len(words) * rng.random(rows) ** 3).astype(np.int32))))
            elif piece == "{n}":
                pieces.append(numbers.take(pa.array(rng.integers(0, len(numbers), rows))))
            else:
                pieces.append(unique if piece == "{h}" else pa.scalar(piece))
        lines.append(pc.binary_join_element_wise(*pieces, ""))
        platforms.append(pa.repeat(pa.scalar(name), rows))
    order = pa.array(rng.permutation(n))
    when = pa.array(1_767_571_200_000_000 + rng.integers(0, 86_400_000_000, n)).cast(pa.timestamp("us", "UTC"))
    columns = {
        "event_time": when, "platform": pa.concat_arrays(platforms).take(order),
        "command_line": pa.concat_arrays(lines).take(order), "source_format": pa.repeat("made", n),
        "quoting": pa.repeat("native", n), "count": pa.array(np.ones(n, np.int32)),
    }  # fmt: skip
    empty = pa.nulls(n, pa.string())
    return pa.RecordBatch.from_arrays([columns.get(name, empty) for name in PROCESS_EVENT.names], schema=PROCESS_EVENT)


def make_day(n: int, folder: Path) -> list[Path]:
    """Lake files of n process events with n distinct lines."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)
    letters = [rng.integers(97, 123, rng.integers(4, 11), np.uint8).tobytes().decode() for _ in range(4000)]
    words, numbers = pa.array(letters), pa.array([str(i) for i in range(10_000)])
    files = []
    for begin in range(0, n, FILE_LINES):
        files.append(folder / f"part-{len(files):03d}.parquet")
        with pq.ParquetWriter(files[-1], PROCESS_EVENT, compression="zstd") as writer:
            for start in range(begin, min(begin + FILE_LINES, n), CHUNK):
                writer.write_batch(chunk(start, min(CHUNK, n - start), rng, words, numbers), row_group_size=CHUNK)
    return files


# ---------------------------------------------------------------- ours, in a process of its own


def resident_mb() -> int:
    """The most memory that this process ever held."""
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(usage / (1024 * 1024 if sys.platform == "darwin" else 1024))


def ours(folder: Path, work: Path, memory_mb: int, out: Path) -> None:
    """What a child does: the day, its figures as JSON and its answer as Parquet."""
    spilt, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            sizes = 0
            for path in work.glob("*/spill/*"):
                try:
                    sizes += path.stat().st_size
                except OSError:  # gone meanwhile
                    continue
            spilt[0] = max(spilt[0], sizes)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    maker = FeatureMaker()
    maker.fit(first := pa.record_batch({"command_line": ["ls"], "platform": ["linux"]})).matrix(first)  # compiled
    begin = time.perf_counter()
    with WorkFolder(work) as inside:
        day = StreamedDay(sorted(folder.glob("*.parquet")), inside, memory_mb, progress=sys.stderr.isatty())
        result = day.full_scale(TOP, maker=FeatureMaker(), forest=IsolationForestDetector())
        parts = sum(path.stat().st_size for path in work.glob("distinct-*/*.parquet"))
    figures = {
        "seconds": time.perf_counter() - begin, "stages": day.seconds, "cpu": day.cpu_seconds,
        "distinct": result.distinct, "memory_mb": resident_mb(), "spill_mb": round(spilt[0] / 2**20),
        "parts_mb": round(parts / 2**20),
    }  # fmt: skip
    ended.set()
    watcher.join()
    pq.write_table(result.found, out.with_suffix(".parquet"))
    out.write_text(json.dumps(figures), encoding="utf-8")


def run_ours(folder: Path, work: Path, memory_mb: int) -> dict:
    out = work.parent / "figures.json"
    command = [sys.executable, __file__, "--child", str(folder), str(work), str(out), "--memory", str(memory_mb)]
    subprocess.run(command, check=True)
    return json.loads(out.read_text(encoding="utf-8"))


# ---------------------------------------------------------------- the peer


def peer(folder: Path) -> tuple[float, pa.Table]:
    """Seconds and (command_id, score) of every line by group_by and scikit-learn's forest, all in memory."""
    from sklearn.ensemble import IsolationForest

    begin = time.perf_counter()
    table = pq.read_table(folder, columns=["platform", "command_line", "count"])
    lines = table.group_by(["platform", "command_line"]).aggregate([("count", "sum")]).combine_chunks()
    ids = command_ids(lines["platform"], lines["command_line"])
    lines = lines.append_column("command_id", ids).sort_by("command_id").combine_chunks()
    matrix = FeatureMaker().fit(lines).matrix(lines)
    # As the detector draws its seed.
    seed = np.random.RandomState(0).randint(np.iinfo(np.int32).max)
    smallest = matrix[:FIT_ROWS]
    forest = IsolationForest(n_estimators=100, max_samples=min(256, len(smallest)), random_state=seed).fit(smallest)
    scores = -forest.score_samples(matrix)
    return time.perf_counter() - begin, pa.table({"command_id": lines["command_id"], "score": scores})


def check(found: pa.Table, everything: pa.Table) -> None:
    """Stop unless `found` are the highest scores of everything, up to the rounding of the last place."""
    right = everything.sort_by([("score", "descending"), ("command_id", "ascending")]).slice(0, TOP)
    mine, theirs = found["score"].to_numpy(), right["score"].to_numpy()
    if not np.allclose(mine, theirs, rtol=0, atol=1e-9):
        raise SystemExit("our scores are not those of scikit-learn")
    clear = theirs > theirs[-1] + 1e-9  # at the edge, lines of equal score may change places
    if not set(np.array(right["command_id"])[clear]) <= set(found["command_id"].to_pylist()):
        raise SystemExit("our lines are not those of scikit-learn")


# ---------------------------------------------------------------- the table


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="0.2 and 1 million lines: under 50 seconds on 2 cores")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the table there too")
    parser.add_argument("--sizes", default="1,5,10,50", help="millions of distinct lines (default: %(default)s)")
    parser.add_argument("--memory", type=int, default=2048, help="DuckDB's limit in MiB (default: %(default)s)")
    parser.add_argument("--keep", metavar="DIR", type=Path, help="where the days are made and kept for the next run")
    parser.add_argument("--lake", metavar="DIR", type=Path, help="measure the last day of this lake instead")
    parser.add_argument("--child", nargs=3, type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    if args.child:
        folder, work, out = args.child
        ours(folder, work, args.memory, out)
        return 0
    sizes = [0.2, 1.0] if args.quick else sorted(float(size) for size in args.sizes.split(","))
    given = None if args.lake is None else Lake(args.lake).files(Lake(args.lake).days()[-1])
    if given:
        sizes = [sum(pq.read_metadata(path).num_rows for path in given) / 1e6]
    rows = []
    with tempfile.TemporaryDirectory(prefix="cmdclf-day-", dir=args.keep) as passing:
        for millions in sizes:
            n = round(millions * 1e6)
            folder = given[0].parent if given else (args.keep or Path(passing)) / f"day-{n}"
            if not folder.is_dir():
                partial = folder.with_suffix(".partial")
                shutil.rmtree(partial, ignore_errors=True)
                make_day(n, partial)
                partial.rename(folder)
            work = Path(passing) / "work"
            figures = run_ours(folder, work, args.memory)
            if figures["distinct"] != n and not given:
                raise SystemExit(f"{figures['distinct']} distinct lines of {n}")
            n = figures["distinct"]
            row = {"case": f"day of {n:,} lines", "ours": round(n / figures["seconds"]), "unit": "lines per second",
                   "peer": None, "peer_name": None, "ratio": None, "n": n, **figures}  # fmt: skip
            if millions == sizes[0] and n <= CHECKED:
                seconds, everything = peer(folder)
                check(pq.read_table(work.parent / "figures.parquet"), everything)
                row |= {
                    "peer": round(n / seconds),
                    "peer_name": "scikit-learn",
                    "ratio": round(seconds / figures["seconds"], 2),
                }
            rows.append(row)
            shutil.rmtree(work)
            if args.keep is None and not given:
                shutil.rmtree(folder)
    machine = (platform.machine(), f"{os.cpu_count()} cores", platform.system(), f"Python {platform.python_version()}")
    result = {
        "name": "day",
        "machine": ", ".join(machine),
        "rows": rows,
        "memory_mb": max(r["memory_mb"] for r in rows),
    }
    show(result)
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


def show(result: dict) -> None:
    stages = ("distinct", "count", "fit", "score", "look up")
    print(f"{'lines':>11}{'seconds':>9}" + "".join(f"{stage:>10}" for stage in stages)
          + f"{'CPU s':>9}{'lines/s':>10}{'RSS MB':>8}{'spill MB':>10}{'parts MB':>10}")  # fmt: skip
    for row in result["rows"]:
        print(f"{row['n']:>11,}{row['seconds']:>9.1f}" + "".join(f"{row['stages'].get(s, 0):>10.1f}" for s in stages)
              + f"{sum(row['cpu'].values()):>9.1f}{row['ours']:>10,}{row['memory_mb']:>8,}{row['spill_mb']:>10,}"
              f"{row['parts_mb']:>10,}")  # fmt: skip
        if row["peer"]:
            print(
                f"{'':>11} scikit-learn, all in memory: {row['peer']:,} lines/s; ours is {row['ratio']} times as fast"
            )
    if result["rows"][0]["peer"]:
        print(f"the same {TOP} lines and scores as scikit-learn at {result['rows'][0]['n']:,} lines")
    print(result["machine"])


if __name__ == "__main__":
    sys.exit(main())
